#include "device/modbus/modbus_hub.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/codec.h"
#include "common/modbus/modbus_json.h"
#include "common/nearest.h"
#include "common/topics.h"

namespace fleet::device {
namespace {

constexpr char kAnyUnit[] = "*";
constexpr char kNoId[] = "null";  // as JSON

std::optional<ModbusFailure> FailureOf(const absl::Status& judged) {
  if (judged.ok()) return std::nullopt;
  return ModbusFailure{absl::IsResourceExhausted(judged) ? "too_soon" : "not_allowed", std::string(judged.message())};
}

uint64_t ContentOf(const ModbusRequest& write) {
  const absl::string_view words(reinterpret_cast<const char*>(write.words.data()), 2 * write.words.size());
  const std::string all =
      absl::StrCat(write.device_id, " ", static_cast<int>(write.function), " ", write.address, " ", words);
  return std::hash<std::string>()(all);
}

std::string AliasTopic(const std::string& alias, absl::string_view rest) {
  return alias.empty() ? "" : absl::StrCat(alias, "/", rest);
}

std::optional<size_t> FindBridge(const ModbusPlan& plan) {
  const auto found = std::ranges::find(plan.buses, ModbusKind::kWeb, &ModbusBusPlan::kind);
  if (found == plan.buses.end()) return std::nullopt;
  return static_cast<size_t>(found - plan.buses.begin());
}

}  // namespace

ModbusHub::ModbusHub(ModbusHubOptions options, MonoTime now)
    : plan_(std::move(options.plan)),
      version_(std::move(options.version)),
      needs_signature_(options.needs_signature),
      start_(now),
      request_topic_(ModbusRequestTopic(options.device)),
      response_topic_(ModbusResponseTopic(options.device)),
      state_topic_(GatewayStateTopic(options.device)),
      alias_request_topic_(AliasTopic(plan_.alias, "modbus/request")),
      alias_response_topic_(AliasTopic(plan_.alias, "modbus/response")),
      alias_state_topic_(AliasTopic(plan_.alias, "state")),
      bridge_(FindBridge(plan_)),
      signals_(options.device, plan_.signals),
      poller_(plan_, now),
      guard_(plan_.writes),
      units_(plan_.units.size()) {
  for (const ModbusBusPlan& bus : plan_.buses) buses_.push_back({.line = ModbusLine(bus.in_flight), .problem = ""});
  if (!plan_.buses.empty() && plan_.state_period > absl::ZeroDuration()) state_due_ = now + plan_.state_period;
}

std::vector<Subscription> ModbusHub::Subscriptions() const {
  std::vector<Subscription> subscriptions = {{.filter = request_topic_, .qos = 1}};
  if (!alias_request_topic_.empty()) subscriptions.push_back({.filter = alias_request_topic_, .qos = 1});
  return subscriptions;
}

bool ModbusHub::Owns(absl::string_view topic) const {
  return topic == request_topic_ || (!alias_request_topic_.empty() && topic == alias_request_topic_);
}

bool ModbusHub::IsResponse(absl::string_view topic) const {
  return topic == response_topic_ || (!alias_response_topic_.empty() && topic == alias_response_topic_);
}

// ---- who asks

void ModbusHub::Arrive(const Arrived& arrived, Now now, ModbusEffects& effects) {
  ++counters_.requests;
  AskedInJson origin{.head = {}, .by_alias = arrived.topic != request_topic_};
  const auto fail = [&](const ModbusFailure& failure) { Respond(origin, ModbusFailureJson(failure), now, effects); };
  if (!CheckSize(arrived.payload).ok()) {
    ++counters_.bad_requests;
    return fail({"too_large", absl::StrCat("a request has at most ", kMaxPayloadBytes, " bytes")});
  }
  origin.head = ParseModbusRequest(arrived.payload);
  Parsed parsed = PlanTask(origin.head);
  if (const auto* failure = std::get_if<ModbusFailure>(&parsed)) {
    ++counters_.bad_requests;
    return fail(*failure);
  }
  if (arrived.retained) return fail({"retained", "the broker had kept this request, so nobody knows how old it is"});
  auto& task = std::get<ModbusTask>(parsed);
  const std::string id = origin.head.id == kNoId ? "" : origin.head.id;
  const RecentWrites::Write* known = nullptr;
  if (IsWrite(task.request.function) && !id.empty()) known = recent_writes_.Find(id, now.mono);
  if (known != nullptr && known->content != ContentOf(task.request)) {
    return fail({"duplicate", "another write had this id, less than ten minutes ago"});
  }
  if (known != nullptr && known->is_over) return Respond(origin, known->response, now, effects);
  if (known != nullptr) return fail({"duplicate", "a write with this id is on its way already"});
  if (const auto failure = JudgePlain(task, id, now, effects)) return fail(*failure);
  task.not_after = now.mono + origin.head.ttl.value_or(kDefaultTtl);
  task.origin = std::move(origin);
  Add(std::move(task), now, effects);
}

ModbusHub::Parsed ModbusHub::PlanTask(const ParsedModbusRequest& parsed) const {
  if (const auto* failure = std::get_if<ModbusFailure>(&parsed.request)) return *failure;
  const auto& request = std::get<ModbusRequest>(parsed.request);
  const std::optional<size_t> unit = FindUnit(request.device_id);
  if (!unit) {
    std::vector<std::string> ids;
    for (const ModbusUnitPlan& known : plan_.units) ids.push_back(known.id);
    return ModbusFailure{"unknown_device", absl::StrCat("there is no modbus.unit \"", request.device_id, "\"",
                                                        DidYouMean(request.device_id, ids))};
  }
  ModbusTask task{.bus = plan_.units[*unit].bus, .unit = *unit, .request = request};
  task.wants_read_back = IsWrite(request.function) && guard_.WantsReadBack(*unit, request);
  return task;
}

std::optional<size_t> ModbusHub::FindUnit(absl::string_view id) const {
  std::optional<size_t> any;
  for (size_t i = 0; i < plan_.units.size(); ++i) {
    if (plan_.units[i].id == id) return i;
    if (plan_.units[i].id == kAnyUnit) any = i;
  }
  return any;
}

std::optional<ModbusFailure> ModbusHub::JudgePlain(const ModbusTask& task, const std::string& id, Now now,
                                                   ModbusEffects& effects) {
  if (!IsWrite(task.request.function)) return std::nullopt;
  std::optional<ModbusFailure> failure;
  if (needs_signature_) {
    ++counters_.unsigned_writes;
    failure = {"not_signed", "this device has a command key, so it writes only what the server signs"};
  } else {
    failure = JudgeWrite(task, now.mono);
  }
  if (failure) {
    TellRefused(task, *failure, now.mono, effects);
  } else if (!id.empty()) {
    recent_writes_.Begin(id, ContentOf(task.request), now.mono);
  }
  return failure;
}

std::optional<ModbusFailure> ModbusHub::JudgeWrite(const ModbusTask& task, MonoTime now) {
  return FailureOf(guard_.Look(task.unit, task.request, now));
}

void ModbusHub::TellRefused(const ModbusTask& task, const ModbusFailure& failure, MonoTime now,
                            ModbusEffects& effects) {
  if (now < tell_refused_at_) {
    ++untold_refusals_;
    return;
  }
  tell_refused_at_ = now + kEventPause;
  const std::string before =
      untold_refusals_ > 0 ? absl::StrCat("and ", std::exchange(untold_refusals_, 0), " before; ") : "";
  std::string detail = absl::StrCat(before, failure.code, ": ", WriteText(task.request), ": ", failure.message);
  Tell(v1::EVENT_KIND_MODBUS_REFUSED, task.unit, std::move(detail), effects);
}

std::optional<ModbusFailure> ModbusHub::Judge(const v1::ModbusCall& call, MonoTime now) {
  if (call.by().size() > kMaxByBytes) return ModbusFailure{"bad_request", "who asks has too long a name"};
  if (call.request().size() > kMaxModbusRequestBytes) {
    return ModbusFailure{"too_large", absl::StrCat("a request has at most ", kMaxModbusRequestBytes, " bytes")};
  }
  const Parsed parsed = PlanTask(ParseModbusRequest(call.request()));
  if (const auto* failure = std::get_if<ModbusFailure>(&parsed)) return *failure;
  const auto& task = std::get<ModbusTask>(parsed);
  if (IsWrite(task.request.function)) return JudgeWrite(task, now);
  if (IsOfBits(task.request.function) && task.request.size > kMaxCommandBits) {
    return ModbusFailure{"bad_size", absl::StrCat("a command reads at most ", kMaxCommandBits, " bits")};
  }
  return std::nullopt;
}

void ModbusHub::Run(const ModbusCommand& command, Now now, ModbusEffects& effects) {
  auto task = std::get<ModbusTask>(PlanTask(ParseModbusRequest(command.body.request())));
  task.origin = AskedByCommand{.command = command.command, .by = command.body.by()};
  task.not_after = command.expires_at;
  Add(std::move(task), now, effects);
}

bool ModbusHub::Cancel(CommandId command, ModbusEffects& effects) {
  const auto chosen = [command](const ModbusTask&, CommandId waiting) { return waiting == command; };
  return TakeBack(chosen, "cancelled", effects) > 0;
}

size_t ModbusHub::StopBelow(CommandId command, absl::string_view reason, ModbusEffects& effects) {
  const auto chosen = [command](const ModbusTask& task, CommandId waiting) {
    return waiting < command && IsWrite(task.request.function);
  };
  return TakeBack(chosen, reason, effects);
}

template <typename Chosen>
size_t ModbusHub::TakeBack(Chosen chosen, absl::string_view reason, ModbusEffects& effects) {
  size_t count = 0;
  absl::erase_if(tasks_, [&](const auto& entry) {
    const auto& [number, task] = entry;
    const auto* origin = std::get_if<AskedByCommand>(&task.origin);
    if (origin == nullptr || task.has_begun || !chosen(task, origin->command)) return false;
    buses_[task.bus].line.Remove(number);
    v1::CommandUpdate& update = effects.updates.emplace_back();
    update.set_command_id(Number(origin->command));
    update.set_state(v1::COMMAND_STATE_CANCELLED);
    update.set_reason(reason.data(), reason.size());
    ++count;
    return true;
  });
  return count;
}

// ---- to the bus and back

void ModbusHub::Add(ModbusTask task, Now now, ModbusEffects& effects) {
  const size_t bus = task.bus;
  const uint64_t number = ++numbers_;
  if (!buses_[bus].line.Add(task.kind(), number)) {
    return End(task,
               ModbusFailure{"overloaded", absl::StrCat(ModbusLine::kMaxAsked, " requests wait for this bus already")},
               now, effects);
  }
  expiry_due_ = std::min(expiry_due_, task.not_after);
  tasks_.emplace(number, std::move(task));
  Pump(bus, now, effects);
}

void ModbusHub::Pump(size_t bus, Now now, ModbusEffects& effects) {
  while (const std::optional<uint64_t> number = buses_[bus].line.Take()) {
    const auto found = tasks_.find(*number);
    auto failure = MayBegin(found->second, now.mono);
    if (!failure) failure = TakeFromRate(found->second, now.mono);
    if (failure) {
      const ModbusTask task = std::move(found->second);
      tasks_.erase(found);
      End(task, *failure, now, effects);
    } else {
      Begin(*number, found->second, effects);
    }
  }
}

std::optional<ModbusFailure> ModbusHub::MayBegin(const ModbusTask& task, MonoTime now) const {
  if (task.is_read_back) return std::nullopt;
  if (now >= task.not_after) return ModbusFailure{"expired", "its time to live was over before its turn came"};
  if (plan_.buses[task.bus].kind == ModbusKind::kWeb) return std::nullopt;
  const UnitHealth& health = units_[task.unit].health;
  if (task.is_poll() ? health.MayPoll(now) : health.MayAsk(now)) return std::nullopt;
  const int64_t wait_s = absl::ToInt64Seconds(absl::Ceil(health.next_try() - now, absl::Seconds(1)));
  return ModbusFailure{"set_aside", absl::StrCat("the unit did not answer (", units_[task.unit].problem,
                                                 ") and is asked again in ", std::max<int64_t>(wait_s, 1), " s")};
}

std::optional<ModbusFailure> ModbusHub::TakeFromRate(const ModbusTask& task, MonoTime now) {
  const bool writes = !task.is_for_state() && !task.is_read_back && IsWrite(task.request.function);
  return writes ? FailureOf(guard_.Judge(task.unit, task.request, now)) : std::nullopt;
}

void ModbusHub::Begin(uint64_t number, ModbusTask& task, ModbusEffects& effects) {
  const ModbusUnitPlan& unit = task.is_for_state() ? ModbusUnitPlan{} : plan_.units[task.unit];
  if (!task.is_for_state()) units_[task.unit].health.Asked();
  if (const auto* origin = std::get_if<AskedByCommand>(&task.origin); origin != nullptr && !task.is_read_back) {
    v1::CommandUpdate& update = effects.updates.emplace_back();
    update.set_command_id(Number(origin->command));
    update.set_state(v1::COMMAND_STATE_RUNNING);
  }
  task.has_begun = true;
  // The state of a bridge does not wait behind requests and is not one of them: the port has a thread for it.
  if (!task.is_for_state()) buses_[task.bus].line.Begin();
  effects.starts.push_back({.bus = task.bus, .job = JobOf(task, number, plan_.buses[task.bus], unit)});
}

void ModbusHub::Hear(const ModbusDone& done, Now now, ModbusEffects& effects) {
  const auto found = tasks_.find(done.number);
  if (found == tasks_.end()) return HearLate(done, now, effects);
  ModbusTask& task = found->second;
  if (!task.is_for_state()) {
    buses_[task.bus].line.End();
    HearHealth(task, done, now.mono, effects);
  }
  ModbusResult result = ResultOf(task, done.reply);
  if (!GoesOn(done.number, task, result)) {
    if (task.is_read_back) result = ReadBackResult(task, result);
    const ModbusTask ended = std::move(task);
    tasks_.erase(found);
    End(ended, result, now, effects);
  }
  Pump(done.bus, now, effects);
}

void ModbusHub::HearLate(const ModbusDone& done, Now now, ModbusEffects& effects) {
  buses_[done.bus].line.End();
  Pump(done.bus, now, effects);
}

void ModbusHub::HearHealth(const ModbusTask& task, const ModbusDone& done, MonoTime now, ModbusEffects& effects) {
  Bus& bus = buses_[task.bus];
  Unit& unit = units_[task.unit];
  const bool answered = IsAnswer(done.reply);
  ++bus.transactions;
  bus.problem.clear();
  if (answered) {
    ++unit.answers;
    unit.problem.clear();
  } else {
    const ModbusResult why = ResultOf(task, done.reply);
    unit.problem = std::get<ModbusFailure>(why).message;
    bus.problem = unit.problem;
    ++unit.failures;
    ++bus.failures;
  }
  const UnitHealth::Change change = unit.health.Hear(answered, now);
  if (plan_.buses[task.bus].kind == ModbusKind::kWeb || change == UnitHealth::Change::kNone) return;
  const std::string where = absl::StrCat("bus ", plan_.buses[task.bus].name);
  if (change == UnitHealth::Change::kBack) return Tell(v1::EVENT_KIND_MODBUS_BACK, task.unit, where, effects);
  Tell(v1::EVENT_KIND_MODBUS_SILENT, task.unit, absl::StrCat(where, ": ", unit.problem), effects);
}

// A write that was done and is to be read back stays ahead of everybody else.
bool ModbusHub::GoesOn(uint64_t number, ModbusTask& task, const ModbusResult& result) {
  if (!task.wants_read_back || task.is_read_back || std::holds_alternative<ModbusFailure>(result)) return false;
  if (const auto* said = std::get_if<ModbusSaid>(&result)) task.written = said->response;
  task.is_read_back = true;
  task.has_begun = true;
  buses_[task.bus].line.GoOn(number);
  return true;
}

// ---- what is due

void ModbusHub::Tick(Now now, ModbusEffects& effects) {
  ExpireWaiting(now, effects);
  StartPolls(now, effects);
  ReportState(now, effects);
  signals_.Tick(now, effects);
}

MonoTime ModbusHub::NextDue() const {
  return std::min({poller_.NextDue(), expiry_due_, state_due_, signals_.NextDue()});
}

void ModbusHub::ExpireWaiting(Now now, ModbusEffects& effects) {
  if (now.mono < expiry_due_) return;
  expiry_due_ = MonoTime::Max();
  const auto is_over = [&](const ModbusTask& task) {
    if (task.has_begun) return false;
    if (now.mono < task.not_after) expiry_due_ = std::min(expiry_due_, task.not_after);
    return now.mono >= task.not_after;
  };
  for (const uint64_t number : NumbersOf(is_over)) {
    const ModbusTask task = TakeOut(number);
    End(task, *MayBegin(task, now.mono), now, effects);
  }
}

void ModbusHub::Stop(Now now, ModbusEffects& effects) {
  const auto is_asked_in_json = [](const ModbusTask& task) { return std::holds_alternative<AskedInJson>(task.origin); };
  for (const uint64_t number : NumbersOf(is_asked_in_json)) {
    const ModbusTask task = TakeOut(number);
    const bool may_be_done = task.has_begun && IsWrite(task.request.function);
    const char* const message = may_be_done ? "the agent is being stopped; it may have been written all the same"
                                            : "the agent is being stopped";
    End(task, ModbusFailure{"stopping", message}, now, effects);
  }
}

template <typename Chosen>
std::vector<uint64_t> ModbusHub::NumbersOf(Chosen chosen) const {
  std::vector<uint64_t> numbers;
  for (const auto& [number, task] : tasks_) {
    if (chosen(task)) numbers.push_back(number);
  }
  std::ranges::sort(numbers);
  return numbers;
}

ModbusTask ModbusHub::TakeOut(uint64_t number) {
  const auto found = tasks_.find(number);
  ModbusTask task = std::move(found->second);
  tasks_.erase(found);
  buses_[task.bus].line.Remove(number);
  return task;
}

void ModbusHub::StartPolls(Now now, ModbusEffects& effects) {
  ModbusPoller::Due due;
  while (poller_.TakeDue(now.mono, due)) {
    if (due.is_late) {
      ++counters_.late_polls;
      continue;
    }
    const ModbusPoller::Block& block = poller_.block(due.block);
    const ModbusUnitPlan& unit = plan_.units[block.unit];
    ModbusTask task{.bus = unit.bus, .unit = block.unit, .request = {}, .origin = AskedByPoll{due.block}};
    task.request.device_id = unit.id;
    task.request.function = block.function;
    task.request.address = block.address;
    task.request.size = block.count;
    Add(std::move(task), now, effects);
  }
}

void ModbusHub::ReportState(Now now, ModbusEffects& effects) {
  if (now.mono < state_due_) return;
  state_due_ = std::max(state_due_ + plan_.state_period, now.mono);
  if (!bridge_) return SayState(GatewayStateJson(Facts(now.mono), now.wall), effects);
  if (std::exchange(is_asking_for_state_, true)) {
    return SayState(GatewayFallbackJson(Facts(now.mono), now.wall), effects);
  }
  const uint64_t number = ++numbers_;
  ModbusTask task{.bus = *bridge_, .request = {}, .origin = AskedForState{}};
  Begin(number, tasks_.emplace(number, std::move(task)).first->second, effects);
  // So that there is a word before the next one is due.
  absl::Duration& timeout = effects.starts.back().job.timeout;
  timeout = std::min(timeout, 0.8 * plan_.state_period);
}

}  // namespace fleet::device
