#include "device/modbus/modbus_poller.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace fleet::device {
namespace {

int MostOf(ModbusFunction function) {
  return IsOfBits(function) ? kMaxReadBits : kMaxReadRegisters;
}

ModbusPoller::Block BlockOf(const ModbusPollPlan& poll, size_t index) {
  return {.unit = poll.unit,
          .function = poll.function,
          .address = poll.address,
          .count = static_cast<uint16_t>(poll.size()),
          .period = poll.period,
          .items = {{.poll = index, .offset = 0, .count = static_cast<uint16_t>(poll.size())}}};
}

bool IsNear(const ModbusPoller::Block& block, const ModbusPollPlan& poll, int join_gap) {
  const int end = block.address + block.count;
  const int new_end = std::max(end, poll.address + poll.size());
  return std::tie(block.unit, block.function, block.period) == std::tie(poll.unit, poll.function, poll.period) &&
         poll.address <= end + join_gap && new_end - block.address <= MostOf(block.function);
}

void Join(ModbusPoller::Block& block, const ModbusPollPlan& poll, size_t index) {
  const int end = std::max(block.address + block.count, poll.address + poll.size());
  block.items.push_back({.poll = index,
                         .offset = static_cast<uint16_t>(poll.address - block.address),
                         .count = static_cast<uint16_t>(poll.size())});
  block.count = static_cast<uint16_t>(end - block.address);
}

}  // namespace

ModbusPoller::ModbusPoller(const ModbusPlan& plan, MonoTime start) {
  std::vector<size_t> order(plan.polls.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto key = [&](size_t i) {
    const ModbusPollPlan& poll = plan.polls[i];
    return std::make_tuple(poll.unit, poll.function, poll.period, poll.address, i);
  };
  std::ranges::sort(order, {}, key);
  for (const size_t index : order) {
    const ModbusPollPlan& poll = plan.polls[index];
    const ModbusUnitPlan& unit = plan.units[poll.unit];
    const bool can_join = plan.buses[unit.bus].kind != ModbusKind::kWeb;
    if (can_join && !blocks_.empty() && IsNear(blocks_.back(), poll, unit.join_gap)) {
      Join(blocks_.back(), poll, index);
    } else {
      blocks_.push_back(BlockOf(poll, index));
    }
  }
  states_.resize(blocks_.size());
  for (size_t i = 0; i < blocks_.size(); ++i) timers_.push({start, i});
}

bool ModbusPoller::TakeDue(MonoTime now, Due& due) {
  while (!timers_.empty() && timers_.top().at <= now) {
    Timer timer = timers_.top();
    timers_.pop();
    State& state = states_[timer.block];
    if (state.is_split) continue;
    due = {.block = timer.block, .is_late = std::exchange(state.is_on_its_way, true)};
    // Periods that nobody was there for are not made up for.
    const absl::Duration period = blocks_[timer.block].period;
    timer.at = std::max(timer.at + period, now + period - (now - timer.at) % period);
    timers_.push(timer);
    return true;
  }
  return false;
}

void ModbusPoller::Split(size_t index, MonoTime now) {
  if (states_[index].is_split) return;
  states_[index].is_split = true;
  const Block whole = blocks_[index];
  for (const Item& item : whole.items) {
    Block single = whole;
    single.address = static_cast<uint16_t>(whole.address + item.offset);
    single.count = item.count;
    single.items = {{.poll = item.poll, .offset = 0, .count = item.count}};
    Add(std::move(single), now);
  }
}

void ModbusPoller::Add(Block block, MonoTime due) {
  timers_.push({due, blocks_.size()});
  blocks_.push_back(std::move(block));
  states_.emplace_back();
}

}  // namespace fleet::device
