#include "device/health.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/can/can_bus.h"
#include "device/can/can_hub_bus.h"
#include "device/config_page.h"
#include "device/utf8.h"

namespace fleet::device {
namespace {

double Seconds(absl::Duration duration) {
  return std::round(absl::ToDoubleSeconds(duration) * 1000) / 1000;
}

void FillQueues(const Agent& agent, Health::Inboxes inboxes, v1::DeviceQueues& queues) {
  const Outbox& outbox = agent.outbox();
  queues.set_inbox_waiting(static_cast<double>(inboxes.waiting));
  queues.set_inbox_dropped(static_cast<double>(inboxes.dropped));
  queues.set_outbox_events_waiting(static_cast<double>(outbox.waiting(v1::STREAM_EVENT)));
  queues.set_outbox_telemetry_waiting(static_cast<double>(outbox.waiting(v1::STREAM_TELEMETRY)));
  queues.set_outbox_events_dropped(static_cast<double>(outbox.counters().dropped[v1::STREAM_EVENT]));
  queues.set_outbox_telemetry_dropped(static_cast<double>(outbox.counters().dropped[v1::STREAM_TELEMETRY]));
  queues.set_outbox_memory_bytes(static_cast<double>(outbox.memory_bytes()));
  queues.set_command_answers_waiting(static_cast<double>(agent.waiting_updates()));
  queues.set_command_answers_dropped(static_cast<double>(agent.counters().dropped_updates));
  queues.set_commands_remembered(static_cast<double>(agent.memory().size()));
}

void FillCan(const CanHub& can, v1::DeviceHealth& page) {
  for (size_t i = 0; i < can.size(); ++i) {
    v1::DeviceBus& bus = *page.add_buses();
    bus.set_name(can.bus(i).name());
    bus.set_kind("can");
    bus.set_up(can.bus(i).report().up);
    bus.set_problem(can.bus(i).report().problem);
    bus.set_frames(static_cast<double>(can.bus(i).frames()));
    bus.set_lost(static_cast<double>(can.bus(i).lost()));
  }
}

absl::string_view StateOf(const UnitHealth& health) {
  if (health.is_set_aside()) return "set_aside";
  return health.has_answered() ? "answers" : "unknown";
}

void FillModbus(const ModbusHub& modbus, v1::DeviceHealth& page) {
  const ModbusPlan& plan = modbus.plan();
  const int first = page.buses_size();
  for (size_t i = 0; i < plan.buses.size(); ++i) {
    v1::DeviceBus& bus = *page.add_buses();
    bus.set_name(plan.buses[i].name);
    bus.set_kind("modbus");
    bus.set_up(modbus.bus(i).problem.empty());
    bus.set_problem(modbus.bus(i).problem);
    bus.set_transactions(static_cast<double>(modbus.bus(i).transactions));
    bus.set_failures(static_cast<double>(modbus.bus(i).failures));
    bus.set_waiting(static_cast<double>(modbus.bus(i).line.waiting()));
  }
  for (size_t i = 0; i < plan.units.size(); ++i) {
    v1::DeviceUnit& unit = *page.mutable_buses(first + static_cast<int>(plan.units[i].bus))->add_units();
    unit.set_id(plan.units[i].id);
    unit.set_state(std::string(StateOf(modbus.unit(i).health)));
    unit.set_problem(modbus.unit(i).problem);
    unit.set_answers(static_cast<double>(modbus.unit(i).answers));
    unit.set_failures(static_cast<double>(modbus.unit(i).failures));
  }
}

}  // namespace

Health::Health(Facts facts, Now started)
    : facts_(std::move(facts)), started_(started.mono), link_changed_at_(started.mono) {
  if (!facts_.spool_problem.empty()) problems_.Note(absl::StrCat("spool: ", facts_.spool_problem), started.unix_ms());
}

void Health::SetLink(Link link, MonoTime now) {
  if (std::exchange(link_, link) != link) link_changed_at_ = now;
}

void Health::Hear(const Input& input, const Agent& agent, Now now) {
  if (std::holds_alternative<LinkUp>(input)) {
    SetLink(Link::kConnected, now.mono);
  } else if (const auto* down = std::get_if<LinkDown>(&input)) {
    if (link_ == Link::kConnected) SetLink(Link::kLost, now.mono);  // attempts that fail are no change
    link_reason_ = CutUtf8(down->reason, ProblemList::kMaxTextBytes);
    problems_.Note(absl::StrCat("broker: ", down->reason), now.unix_ms());
  } else if (const auto* done = std::get_if<SpoolDone>(&input)) {
    disk_problem_ = CutUtf8(done->status.message(), ProblemList::kMaxTextBytes);
    if (!done->status.ok()) problems_.Note(absl::StrCat("spool: ", disk_problem_), now.unix_ms());
  } else if (const auto* heard = std::get_if<CanHeard>(&input); heard != nullptr && agent.can() != nullptr) {
    const CanHubBus& bus = agent.can()->bus(heard->bus);
    const bool is_news = !bus.report().up && bus.report().problem != kNotOpenedYet;
    HearBus(absl::StrCat("can ", bus.name()), is_news ? bus.report().problem : "", now);
  } else if (const auto* modbus = std::get_if<ModbusDone>(&input); modbus != nullptr && agent.modbus() != nullptr) {
    const ModbusHub& hub = *agent.modbus();
    HearBus(absl::StrCat("modbus ", hub.plan().buses[modbus->bus].name), hub.bus(modbus->bus).problem, now);
  }
}

void Health::HearBus(absl::string_view bus, absl::string_view problem, Now now) {
  auto known = std::ranges::find(buses_, bus, &Bus::name);
  if (known == buses_.end()) known = buses_.insert(known, {.name = std::string(bus), .problem = {}});
  if (problem == known->problem) return;
  known->problem = std::string(problem);
  if (!problem.empty()) problems_.Note(absl::StrCat(bus, ": ", problem), now.unix_ms());
}

void Health::FillConnection(const Agent& agent, Now now, v1::DeviceConnection& connection) const {
  constexpr absl::string_view kStates[] = {"never_connected", "connected", "lost"};
  connection.set_state(std::string(kStates[static_cast<size_t>(link_)]));
  connection.set_since_unix_ms(
      static_cast<double>(now.unix_ms() - absl::ToInt64Milliseconds(now.mono - link_changed_at_)));
  connection.set_losses(static_cast<double>(agent.counters().link_losses));
  connection.set_last_reason(link_reason_);
}

void Health::FillSpool(const Outbox& outbox, v1::DeviceSpool& spool) const {
  if (!facts_.spool_problem.empty()) {
    spool.set_state("missing");
  } else if (!facts_.has_spool) {
    spool.set_state("off");
  } else {
    spool.set_state(disk_problem_.empty() ? "works" : "failing");
  }
  spool.set_problem(
      CutUtf8(facts_.spool_problem.empty() ? disk_problem_ : facts_.spool_problem, ProblemList::kMaxTextBytes));
  const SpoolTotals& totals = outbox.spool_totals();
  spool.set_payload_bytes(static_cast<double>(totals.payload_bytes));
  spool.set_event_records(static_cast<double>(totals.event_records));
  spool.set_telemetry_records(static_cast<double>(totals.telemetry_records));
}

v1::DeviceHealth Health::Page(const Agent& agent, Inboxes inboxes, Now now) const {
  v1::DeviceHealth page;
  page.set_ok(agent.link_up() && SpoolWorks());
  page.set_device_id(agent.device().str());
  page.set_epoch(facts_.epoch);
  page.set_broker(agent.link_up() ? "connected" : "not connected");
  page.set_version(facts_.version);
  page.set_uptime_s(Seconds(now.mono - started_));
  page.set_broker_url(WithoutUser(facts_.broker_url));
  FillConnection(agent, now, *page.mutable_connection());
  FillQueues(agent, inboxes, *page.mutable_queues());
  FillSpool(agent.outbox(), *page.mutable_spool());
  if (agent.can() != nullptr) FillCan(*agent.can(), page);
  if (agent.modbus() != nullptr) FillModbus(*agent.modbus(), page);
  for (const ProblemList::Problem& problem : problems_.problems()) {
    v1::DeviceProblem& out = *page.add_problems();
    out.set_what(problem.what);
    out.set_first_unix_ms(static_cast<double>(problem.first_unix_ms));
    out.set_last_unix_ms(static_cast<double>(problem.last_unix_ms));
    out.set_count(static_cast<double>(problem.count));
  }
  return page;
}

}  // namespace fleet::device
