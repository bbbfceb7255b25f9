#include "device/modbus/modbus_task.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/modbus/modbus_json.h"

namespace fleet::device {
namespace {

constexpr char kStateTarget[] = "/api/state";
constexpr absl::Duration kStateTimeout = absl::Seconds(4);

// Said by a gateway in the name of a unit that it cannot reach.
constexpr uint8_t kGatewayPath = 10;
constexpr uint8_t kGatewayTarget = 11;

constexpr char kMaybeWritten[] = "; it may have been written all the same";

// What a write that is done is read back with: its registers as they are.
ModbusRequest ReadBackOf(const ModbusRequest& write) {
  ModbusRequest read = write;
  read.function = IsOfBits(write.function) ? ModbusFunction::kReadCoils : ModbusFunction::kReadHoldingRegisters;
  read.type = ModbusType::kU16;
  read.little_endian = false;
  read.scale_factor = 1;
  read.words.clear();
  return read;
}

// Section 7 of the Modbus application protocol V1.1b3.
ModbusFailure FailureOf(uint8_t exception) {
  struct Meaning {
    uint8_t exception;
    const char* code;
    const char* message;
  };
  constexpr std::array<Meaning, 10> kMeanings = {{
      {1, "illegal_function", "the unit does not know this function code"},
      {2, "illegal_data_address", "the unit has no such register"},
      {3, "illegal_data_value", "the unit does not take this value or size"},
      {4, "device_failure", "the unit has failed while it did this"},
      {5, "acknowledge", "the unit has accepted it and needs long: ask for the result later"},
      {6, "busy", "the unit is busy: try again"},
      {7, "negative_acknowledge", "the unit cannot do this"},
      {8, "memory_parity", "the memory of the unit is damaged"},
      {kGatewayPath, "gateway_path", "the gateway has no way to this unit: see address and bus of it"},
      {kGatewayTarget, "gateway_target", "the unit behind the gateway does not answer"},
  }};
  for (const Meaning& meaning : kMeanings) {
    if (meaning.exception == exception) return {meaning.code, meaning.message};
  }
  return {absl::StrCat("exception_", exception), "the unit refuses, for a reason of its own"};
}

ModbusFailure FailureOf(const ModbusReply& reply) {
  switch (reply.outcome) {
    case ModbusReply::Outcome::kException:
      return FailureOf(reply.exception);
    case ModbusReply::Outcome::kNoAnswer:
      return {"no_answer", "the unit does not answer in time"};
    case ModbusReply::Outcome::kBadAnswer:
      return {"bad_answer", absl::StrCat("what came is no answer to this: ", reply.detail)};
    case ModbusReply::Outcome::kNotConnected:
      return {"not_connected", reply.detail};
    case ModbusReply::Outcome::kTooLate:
      return {"expired", reply.detail};
    case ModbusReply::Outcome::kInterrupted:
    case ModbusReply::Outcome::kDone:
      break;
  }
  return {"not_connected", "the agent is being stopped"};
}

ModbusResult ResultOf(const ModbusTask& task, const ModbusReply& reply) {
  if (reply.outcome == ModbusReply::Outcome::kDone) return ModbusWords{reply.words};
  ModbusFailure failure = FailureOf(reply);
  const bool is_write = IsWrite(task.request.function) && !task.is_read_back;
  if (is_write && reply.was_sent && reply.outcome != ModbusReply::Outcome::kException) failure.message += kMaybeWritten;
  return failure;
}

ModbusResult ResultOf(const ModbusTask& task, const WebReply& reply) {
  if (reply.status == 0) {
    ModbusFailure failure{reply.timed_out  ? "timeout"
                          : reply.was_sent ? "bridge_failed"
                                           : "not_connected",
                          absl::StrCat("the web bridge does not answer: ", reply.detail)};
    if (reply.was_sent && IsWrite(task.request.function) && !task.is_read_back) failure.message += kMaybeWritten;
    return failure;
  }
  if (task.is_for_state()) {
    if (reply.status == 200) return ModbusSaid{.response = "", .body = reply.body};
    return ModbusFailure{"bridge_failed", absl::StrCat("status ", reply.status)};
  }
  const ModbusRequest& request = task.is_read_back ? ReadBackOf(task.request) : task.request;
  std::variant<std::string, ModbusFailure> answer = ModbusWebAnswer(request, reply.status, reply.body);
  if (auto* failure = std::get_if<ModbusFailure>(&answer)) return std::move(*failure);
  if (!task.is_poll() && !task.is_read_back) {
    return ModbusSaid{.response = std::move(std::get<std::string>(answer)), .body = reply.body};
  }
  std::optional<std::vector<uint16_t>> words = ModbusWebWords(reply.body, request.size);
  if (!words) return ModbusFailure{"bridge_failed", "the web bridge names no registers (raw_value)"};
  return ModbusWords{*std::move(words)};
}

std::string HexOf(uint16_t word) {
  return absl::AsciiStrToUpper(absl::StrCat(absl::Hex(word, absl::kZeroPad4)));
}

// Names the first one.
std::string Difference(const ModbusRequest& write, const std::vector<uint16_t>& words) {
  for (size_t i = 0; i < write.words.size() && i < words.size(); ++i) {
    if (words[i] == write.words[i]) continue;
    return absl::StrCat(IsOfBits(write.function) ? "coil " : "register ", write.address + i, ": written was ",
                        HexOf(write.words[i]), ", and there is ", HexOf(words[i]), " (hex)");
  }
  return "another number of registers came back";
}

}  // namespace

ModbusJob JobOf(const ModbusTask& task, uint64_t number, const ModbusBusPlan& bus, const ModbusUnitPlan& unit) {
  if (task.is_for_state()) return {.number = number, .call = WebCall{kStateTarget}, .timeout = kStateTimeout};
  const ModbusRequest& request = task.is_read_back ? ReadBackOf(task.request) : task.request;
  if (bus.kind == ModbusKind::kWeb) {
    return {.number = number, .call = WebCall{ModbusWebTarget(request)}, .timeout = kWebTimeout};
  }
  return {.number = number,
          .call = ModbusTransaction{.unit = unit.address,
                                    .function = request.function,
                                    .address = request.address,
                                    .count = request.size,
                                    .words = request.words,
                                    .not_after = task.is_read_back ? MonoTime::Max() : task.not_after},
          .timeout = bus.timeout};
}

ModbusResult ResultOf(const ModbusTask& task, const std::variant<ModbusReply, WebReply>& reply) {
  return std::visit([&](const auto& r) { return ResultOf(task, r); }, reply);
}

bool IsAnswer(const std::variant<ModbusReply, WebReply>& reply) {
  if (const auto* web = std::get_if<WebReply>(&reply)) return web->status != 0;
  const auto& modbus = std::get<ModbusReply>(reply);
  if (modbus.outcome != ModbusReply::Outcome::kException) return modbus.outcome == ModbusReply::Outcome::kDone;
  return modbus.exception != kGatewayPath && modbus.exception != kGatewayTarget;
}

ModbusResult ReadBackResult(const ModbusTask& task, const ModbusResult& read) {
  if (const auto* failure = std::get_if<ModbusFailure>(&read)) {
    return ModbusFailure{failure->code, absl::StrCat("it was written, but not read again: ", failure->message)};
  }
  const std::vector<uint16_t>& words = std::get<ModbusWords>(read).words;
  if (words != task.request.words) {
    return ModbusFailure{"read_back_differs", Difference(task.request, words)};
  }
  if (task.written.empty()) return ModbusWords{};
  return ModbusSaid{.response = task.written, .body = ""};
}

std::string ResponseOf(const ModbusTask& task, const ModbusResult& result) {
  if (const auto* failure = std::get_if<ModbusFailure>(&result)) return ModbusFailureJson(*failure);
  if (const auto* said = std::get_if<ModbusSaid>(&result)) return said->response;
  if (IsWrite(task.request.function)) return ModbusWriteJson(task.request, task.is_read_back);
  return ModbusReadJson(task.request, std::get<ModbusWords>(result).words);
}

std::string WriteText(const ModbusRequest& write) {
  constexpr size_t kShown = 8;
  const std::vector<uint16_t> first(
      write.words.begin(), write.words.begin() + static_cast<std::ptrdiff_t>(std::min(kShown, write.words.size())));
  const auto to_hex = [](std::string* out, uint16_t word) { absl::StrAppend(out, HexOf(word)); };
  const std::string more =
      write.words.size() > kShown ? absl::StrCat(" and ", write.words.size() - kShown, " more") : "";
  return absl::StrCat(IsOfBits(write.function) ? "coil " : "holding ", write.address, " = hex ",
                      absl::StrJoin(first, " ", to_hex), more);
}

}  // namespace fleet::device
