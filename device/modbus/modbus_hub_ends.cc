// The part of ModbusHub that tells who asked what became of it.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/modbus/modbus_json.h"
#include "common/modbus/modbus_values.h"
#include "device/modbus/modbus_hub.h"

namespace fleet::device {
namespace {

// Nothing has been sent.
bool IsUntried(const ModbusFailure& failure) {
  return failure.code == "overloaded" || failure.code == "set_aside" || failure.code == "expired" ||
         failure.code == "too_soon";
}

v1::CommandUpdate StepOf(CommandId command, v1::CommandState state, absl::string_view reason,
                         absl::string_view detail) {
  v1::CommandUpdate update;
  update.set_command_id(Number(command));
  update.set_state(state);
  update.set_reason(reason.data(), reason.size());
  update.set_detail(detail.data(), detail.size());
  return update;
}

}  // namespace

void ModbusHub::End(const ModbusTask& task, const ModbusResult& result, Now now, ModbusEffects& effects) {
  std::visit([&](const auto& origin) { EndFor(origin, task, result, now, effects); }, task.origin);
}

void ModbusHub::EndFor(const AskedInJson& origin, const ModbusTask& task, const ModbusResult& result, Now now,
                       ModbusEffects& effects) {
  const std::string response = ResponseOf(task, result);
  if (IsWrite(task.request.function)) {
    const auto* failure = std::get_if<ModbusFailure>(&result);
    if (failure != nullptr && IsUntried(*failure)) {
      recent_writes_.Forget(origin.head.id);
    } else {
      recent_writes_.End(origin.head.id, response);
      TellWritten(task, origin.head.id.empty() ? "a request" : absl::StrCat("request ", origin.head.id), result,
                  effects);
    }
  }
  Respond(origin, response, now, effects);
}

void ModbusHub::EndFor(const AskedByCommand& origin, const ModbusTask& task, const ModbusResult& result, Now,
                       ModbusEffects& effects) {
  const auto* failure = std::get_if<ModbusFailure>(&result);
  if (IsWrite(task.request.function) && (failure == nullptr || !IsUntried(*failure))) {
    const std::string by = origin.by.empty() ? "" : absl::StrCat(" by ", origin.by);
    TellWritten(task, absl::StrCat("command ", Number(origin.command), by), result, effects);
  }
  if (failure != nullptr) {
    const auto state = failure->code == "expired" ? v1::COMMAND_STATE_EXPIRED : v1::COMMAND_STATE_FAILED;
    const absl::string_view message = failure->message;
    effects.updates.push_back(StepOf(origin.command, state, failure->code, message.substr(0, kMaxAnswerBytes)));
    return;
  }
  const std::optional<std::string> answer = FitModbusJson(ResponseOf(task, result), kMaxAnswerBytes);
  if (answer) {
    effects.updates.push_back(StepOf(origin.command, v1::COMMAND_STATE_DONE, "", *answer));
  } else {
    effects.updates.push_back(StepOf(origin.command, v1::COMMAND_STATE_FAILED, "too_large",
                                     "the answer is too long for a command: read fewer registers at once"));
  }
}

void ModbusHub::EndFor(const AskedByPoll& origin, const ModbusTask&, const ModbusResult& result, Now now,
                       ModbusEffects& effects) {
  poller_.Done(origin.block);
  const ModbusPoller::Block& block = poller_.block(origin.block);
  if (const auto* failure = std::get_if<ModbusFailure>(&result)) {
    if (failure->code == "set_aside") {
      ++counters_.skipped_polls;
      return;
    }
    ++counters_.failed_polls;
    const bool has_neighbours = block.items.size() > 1;
    if (failure->code == "illegal_data_address" && has_neighbours) return poller_.Split(origin.block, now.mono);
    // A unit that does not answer leaves its signals to their silence; one that refuses says that there is no value.
    const bool refuses = failure->code != "no_answer" && failure->code != "bad_answer" &&
                         failure->code != "not_connected" && failure->code != "timeout";
    for (const ModbusPoller::Item& item : block.items) {
      if (refuses) signals_.Invalidate(plan_.polls[item.poll].signal, now.unix_ms(), now.mono, effects);
    }
    return;
  }
  ++counters_.polls;
  const std::vector<uint16_t>& words = std::get<ModbusWords>(result).words;
  for (const ModbusPoller::Item& item : block.items) {
    const ModbusPollPlan& poll = plan_.polls[item.poll];
    const ModbusNumber raw = IsOfBits(poll.function)
                                 ? ModbusNumber{int64_t{words[item.offset]}}
                                 : NumberOf(words.data() + item.offset, poll.type, poll.little_endian);
    const double value = IsOfBits(poll.function) ? ToDouble(raw) : ToDouble(Scaled(raw, poll.scale_factor));
    signals_.Update(poll.signal, value, now.unix_ms(), now.mono, effects);
  }
}

void ModbusHub::EndFor(const AskedForState&, const ModbusTask&, const ModbusResult& result, Now now,
                       ModbusEffects& effects) {
  is_asking_for_state_ = false;
  std::string state;
  if (const auto* said = std::get_if<ModbusSaid>(&result)) state = GatewayStateJson(said->body, now.wall);
  if (state.empty()) state = GatewayFallbackJson(Facts(now.mono), now.wall);
  SayState(std::move(state), effects);
}

void ModbusHub::Respond(const AskedInJson& origin, absl::string_view response, Now now, ModbusEffects& effects) {
  ++counters_.responses;
  Publication publication{.topic = origin.by_alias ? alias_response_topic_ : response_topic_,
                          .payload = ModbusResponseJson(origin.head, response, now.wall),
                          .qos = 1};
  if (!link_up_) return Refuse(std::move(publication));
  effects.responses.push_back(std::move(publication));
}

void ModbusHub::Refuse(Publication response) {
  if (kept_responses_.size() == kMaxKeptResponses) {
    kept_responses_.pop_front();
    ++counters_.dropped_responses;
  }
  kept_responses_.push_back(std::move(response));
}

void ModbusHub::Resume(ModbusEffects& effects) {
  signals_.Resume(effects);
  for (Publication& response : kept_responses_) effects.responses.push_back(std::move(response));
  kept_responses_.clear();
}

void ModbusHub::TellWritten(const ModbusTask& task, absl::string_view who, const ModbusResult& result,
                            ModbusEffects& effects) {
  const auto* failure = std::get_if<ModbusFailure>(&result);
  if (failure == nullptr) ++counters_.writes;
  Tell(v1::EVENT_KIND_MODBUS_WRITTEN, task.unit,
       absl::StrCat(failure == nullptr ? "done" : failure->code, ": ", WriteText(task.request), ": ", who), effects);
}

void ModbusHub::Tell(v1::EventKind kind, size_t unit, std::string detail, ModbusEffects& effects) const {
  v1::Event& event = effects.events.emplace_back();
  event.set_kind(kind);
  event.set_name(plan_.units[unit].id);
  event.set_detail(std::move(detail));
}

GatewayFacts ModbusHub::Facts(MonoTime now) const {
  const auto answers = [](const Unit& unit) { return unit.health.has_answered(); };
  return {.uptime_s = absl::ToDoubleSeconds(now - start_),
          .version = version_,
          .connected_devices = static_cast<size_t>(std::ranges::count_if(units_, answers))};
}

void ModbusHub::SayState(std::string state, ModbusEffects& effects) const {
  if (!alias_state_topic_.empty()) effects.publish.push_back({.topic = alias_state_topic_, .payload = state});
  effects.publish.push_back({.topic = state_topic_, .payload = std::move(state)});
}

}  // namespace fleet::device
