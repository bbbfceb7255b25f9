// Any text as a request to a Modbus unit and as an answer of a web bridge: whatever comes of it is JSON again, and a
// request that comes out is sound. Registers that answer it are the text itself.
#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "common/modbus/modbus_json.h"
#include "common/modbus/modbus_values.h"
#include "common/status_macros.h"

namespace fleet {
namespace {

constexpr size_t kShort = 200;
const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

void CheckSound(const ModbusRequest& request) {
  const bool is_write = IsWrite(request.function);
  FLEET_CHECK(IsUnitId(request.device_id)) << request.device_id;
  FLEET_CHECK(request.size >= 1 && request.size <= MaxSize(request.function)) << request.size;
  FLEET_CHECK(request.size % SizeOfValue(request) == 0) << request.size;
  FLEET_CHECK(request.address + request.size <= UINT16_MAX + 1) << request.address;
  FLEET_CHECK(request.words.size() == (is_write ? request.size : 0u)) << request.words.size();
  FLEET_CHECK(request.values.empty() == !is_write) << request.values;
}

// What is to be written reads back as numbers that are written in the same way.
void CheckWords(const ModbusRequest& request) {
  if (IsOfBits(request.function) || request.type == ModbusType::kString) return;
  std::vector<uint16_t> again;
  for (size_t first = 0; first < request.words.size(); first += RegistersOf(request.type)) {
    const ModbusNumber number = NumberOf(&request.words[first], request.type, request.little_endian);
    const absl::Status status = AppendRegisters(number, request.type, request.little_endian, /*scale=*/1, again);
    FLEET_CHECK(status.ok()) << status;
  }
  FLEET_CHECK(again == request.words);
}

std::vector<uint16_t> WordsFor(const ModbusRequest& request, absl::string_view text) {
  std::vector<uint16_t> words(request.size);
  for (size_t i = 0; i < words.size(); ++i) {
    const auto high = static_cast<uint8_t>(text[2 * i % text.size()]);
    const auto low = static_cast<uint8_t>(text[(2 * i + 1) % text.size()]);
    words[i] = IsOfBits(request.function) ? low & 1 : static_cast<uint16_t>(high << 8 | low);
  }
  return words;
}

std::string AnswerTo(const ModbusRequest& request, absl::string_view text) {
  CheckSound(request);
  CheckWords(request);
  FLEET_CHECK(absl::StartsWith(ModbusWebTarget(request), "/api/inverter/modbus?device_id="));
  if (IsWrite(request.function)) return ModbusWriteJson(request, /*was_read_back=*/true);
  return ModbusReadJson(request, WordsFor(request, text));
}

void CheckFit(const std::string& response) {
  const auto fits = FitModbusJson(response, kShort);
  FLEET_CHECK(!fits || (fits->size() <= kShort && IsJsonObject(*fits))) << *fits;
}

void TryRequest(absl::string_view text) {
  const ParsedModbusRequest parsed = ParseModbusRequest(text);
  const auto* request = std::get_if<ModbusRequest>(&parsed.request);
  const std::string response =
      request != nullptr ? AnswerTo(*request, text) : ModbusFailureJson(std::get<ModbusFailure>(parsed.request));
  FLEET_CHECK(IsJsonObject(response)) << response;
  CheckFit(response);
  const std::string message = ModbusResponseJson(parsed, response, kNow);
  FLEET_CHECK(IsJsonObject(message)) << message;
  FLEET_CHECK(parsed.echo == "null" || IsJsonObject(parsed.echo)) << parsed.echo;
}

void TryWebAnswer(absl::string_view text) {
  for (const ModbusFunction function : {ModbusFunction::kReadInputRegisters, ModbusFunction::kWriteRegister}) {
    for (const int status : {200, 400}) {
      const auto answer = ModbusWebAnswer({.device_id = "m", .function = function}, status, text);
      const auto* failure = std::get_if<ModbusFailure>(&answer);
      const std::string response = failure != nullptr ? ModbusFailureJson(*failure) : std::get<std::string>(answer);
      FLEET_CHECK(IsJsonObject(response)) << response;
      CheckFit(response);
    }
  }
  const auto words = ModbusWebWords(text, 2);
  FLEET_CHECK(!words || words->size() == 2);
  const std::string state = GatewayStateJson(text, kNow);
  FLEET_CHECK(state.empty() == !IsJsonObject(text)) << state;
}

}  // namespace
}  // namespace fleet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  fleet::TryRequest(text);
  fleet::TryWebAnswer(text);
  return 0;
}
