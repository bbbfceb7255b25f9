// Which registers are read regularly, in how many transactions, and when.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <queue>
#include <vector>

#include "absl/time/time.h"
#include "common/clock.h"
#include "device/modbus/modbus_plan.h"

namespace fleet::device {

// Neighbours are read together: what is of one unit, one table and one period, and has at most join_gap registers
// between it and the next. What is of a web bridge is asked for one by one, for that is all that it can do.
//
// A block is due every period from the start on. One that is still on its way when it is due again is late, and
// counted: the line cannot do as much as it is asked to. Loop thread only; O(log blocks) per poll.
class ModbusPoller {
 public:
  struct Item {
    size_t poll = 0;      // index into ModbusPlan::polls
    uint16_t offset = 0;  // of its first register or bit in the block
    uint16_t count = 1;   // registers or bits
  };
  struct Block {
    size_t unit = 0;
    ModbusFunction function = ModbusFunction::kReadHoldingRegisters;
    uint16_t address = 0;
    uint16_t count = 0;  // registers or bits, at most what one transaction carries
    absl::Duration period;
    std::vector<Item> items;  // by address
  };

  ModbusPoller(const ModbusPlan& plan, MonoTime start);

  struct Due {
    size_t block = 0;
    bool is_late = false;  // still on its way from the last time: not to be asked again
  };
  // False: none is due. One that is due is on its way from then on, until it is Done.
  bool TakeDue(MonoTime now, Due& due);
  void Done(size_t block) { states_[block].is_on_its_way = false; }

  // The unit has no such address among those of this block: from now on its items are asked for one by one.
  void Split(size_t block, MonoTime now);

  const Block& block(size_t index) const { return blocks_[index]; }
  size_t size() const { return blocks_.size(); }
  MonoTime NextDue() const { return timers_.empty() ? MonoTime::Max() : timers_.top().at; }

 private:
  struct State {
    bool is_on_its_way = false;
    bool is_split = false;  // it is not asked for any more
  };
  struct Timer {
    MonoTime at;
    size_t block;
    auto operator<=>(const Timer&) const = default;
  };
  void Add(Block block, MonoTime due);

  std::vector<Block> blocks_;
  std::vector<State> states_;
  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
};

}  // namespace fleet::device
