// A ModbusHub with a test as the buses, the broker and the command gate around it.
#pragma once

#include <algorithm>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/modbus/modbus_json.h"
#include "common/testing/fake_clock.h"
#include "device/modbus/modbus_hub.h"

namespace fleet::device {

// Buses: line (rtu) with the units meter (1), pump (2) and fan (3); plc (tcp, two at a time) with the unit plc;
// bridge (web) with every other device_id. holding 100 to 109 of meter may be written, 0 to 1000, once a second, and
// holding 200 of pump, which is read back.
inline ModbusPlan BedPlan() {
  ModbusPlan plan;
  plan.buses = {{.name = "line", .kind = ModbusKind::kRtu, .host = "/dev/ttyUSB0"},
                {.name = "plc", .kind = ModbusKind::kTcp, .host = "127.0.0.1", .in_flight = 2},
                {.name = "bridge", .kind = ModbusKind::kWeb, .host = "127.0.0.1", .in_flight = 4}};
  plan.units = {{.id = "meter", .bus = 0, .address = 1},
                {.id = "pump", .bus = 0, .address = 2},
                {.id = "fan", .bus = 0, .address = 3},
                {.id = "plc", .bus = 1, .address = 1},
                {.id = "*", .bus = 2}};
  plan.writes = {{.unit = 0, .first = 100, .last = 109, .min = 0, .max = 1000, .rate_hz = 1},
                 {.unit = 1, .first = 200, .last = 200, .rate_hz = 10, .read_back = true},
                 {.unit = 4, .first = 300, .last = 300, .rate_hz = 10, .read_back = true}};
  return plan;
}

inline ModbusPollPlan PollOf(size_t unit, uint16_t address, size_t signal, absl::Duration period = absl::Seconds(1)) {
  return {.unit = unit, .address = address, .period = period, .signal = signal};
}

class HubBed {
 public:
  explicit HubBed(ModbusPlan plan = BedPlan(), bool needs_signature = false)
      : hub({.device = *DeviceId::Parse("van-7"),
             .version = "1.2.3",
             .needs_signature = needs_signature,
             .plan = std::move(plan)},
            clock.Read().mono) {
    hub.SetLinkUp(true);
  }

  void Ask(const std::string& json, const std::string& topic = "server/van-7/modbus/request", bool retained = false) {
    hub.Arrive({.topic = topic, .payload = json, .retained = retained}, clock, effects);
    Take();
  }
  void AskToRead(const std::string& unit, int address = 0, const std::string& more = "") {
    Ask(absl::StrCat(R"({"function_code":3,"device_id":")", unit, R"(","address":)", address, more, "}"));
  }
  void AskToWrite(const std::string& unit, int address, int value, const std::string& more = "") {
    Ask(absl::StrCat(R"({"function_code":6,"device_id":")", unit, R"(","address":)", address, R"(,"values":)", value,
                     more, "}"));
  }
  // A command that passed the gate; the failure of one that did not.
  std::optional<ModbusFailure> Command(uint64_t id, const std::string& json, absl::Duration ttl = absl::Seconds(5)) {
    v1::ModbusCall call;
    call.set_request(json);
    call.set_by("anna");
    if (auto failure = hub.Judge(call, clock.Read().mono)) return failure;
    hub.Run({.command = CommandId{id}, .expires_at = clock.Read().mono + ttl, .body = call}, clock, effects);
    Take();
    return std::nullopt;
  }

  void Stop() {
    hub.Stop(clock, effects);
    Take();
  }
  bool Cancel(uint64_t id) {
    const bool cancelled = hub.Cancel(CommandId{id}, effects);
    Take();
    return cancelled;
  }

  // What a bus does is answered in the order in which it began, unless a test wants it otherwise.
  std::variant<ModbusReply, WebReply> Silence() {
    return ModbusReply{.outcome = ModbusReply::Outcome::kNoAnswer, .was_sent = true};
  }
  std::variant<ModbusReply, WebReply> Refusal(uint8_t exception) {
    return ModbusReply{.outcome = ModbusReply::Outcome::kException, .exception = exception};
  }
  void Reply(std::variant<ModbusReply, WebReply> reply, size_t which = 0) {
    const ModbusStart start = on_bus[which];
    on_bus.erase(on_bus.begin() + static_cast<std::ptrdiff_t>(which));
    hub.Hear({.bus = start.bus, .number = start.job.number, .reply = std::move(reply)}, clock, effects);
    Take();
  }
  void ReplyWords(std::vector<uint16_t> words, size_t which = 0) {
    Reply(ModbusReply{.words = std::move(words)}, which);
  }
  void ReplyWeb(int status, const std::string& body, size_t which = 0) {
    Reply(WebReply{.status = status, .body = body}, which);
  }
  void Pass(absl::Duration time) {
    clock.Advance(time);
    hub.Tick(clock, effects);
    Take();
  }
  const ModbusTransaction& transaction(size_t which = 0) const {
    return std::get<ModbusTransaction>(on_bus[which].job.call);
  }
  std::string target(size_t which = 0) const { return std::get<WebCall>(on_bus[which].job.call).target; }

  // The newest answer, without what is around it.
  std::string response() const {
    if (responses.empty()) return "none";
    const std::string& payload = responses.back().payload;
    return payload.substr(payload.find("\"response\":") + 11);
  }
  std::string TakeResponse() {
    std::string last = response();
    responses.clear();
    return last;
  }
  // "running done", with the reasons.
  std::string Steps() {
    std::string steps;
    for (const v1::CommandUpdate& update : std::exchange(updates, {})) {
      absl::StrAppend(&steps, steps.empty() ? "" : " ", update.command_id(), ":",
                      v1::CommandState_Name(update.state()).substr(14), update.reason().empty() ? "" : "=",
                      update.reason());
    }
    return steps;
  }
  int EventsOf(v1::EventKind kind) const {
    return static_cast<int>(std::ranges::count(events, kind, [](const v1::Event& e) { return e.kind(); }));
  }
  // The newest text on this topic.
  std::string Text(const std::string& topic) const {
    const auto found =
        std::find_if(published.rbegin(), published.rend(), [&](const auto& p) { return p.topic == topic; });
    return found == published.rend() ? "none" : found->payload;
  }

  FakeClock clock;
  ModbusHub hub;
  std::deque<ModbusStart> on_bus;
  std::vector<Publication> responses;
  std::vector<Publication> published;
  std::vector<Sample> samples;
  std::vector<v1::Event> events;
  std::vector<v1::CommandUpdate> updates;

 private:
  template <typename From, typename To>
  static void Move(From& from, To& to) {
    for (auto& part : from) to.push_back(std::move(part));
  }
  void Take() {
    Move(effects.starts, on_bus);
    Move(effects.responses, responses);
    Move(effects.publish, published);
    Move(effects.samples, samples);
    Move(effects.events, events);
    Move(effects.updates, updates);
    effects.Clear();
  }

  ModbusEffects effects;
};

}  // namespace fleet::device
