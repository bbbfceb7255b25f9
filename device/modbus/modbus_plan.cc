#include "device/modbus/modbus_plan.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/config.h"
#include "common/config_words.h"
#include "common/modbus/modbus_values.h"
#include "common/nearest.h"
#include "common/status_macros.h"
#include "common/topics.h"
#include "fleet/v1/config.pb.h"

namespace fleet::device {
namespace {

constexpr uint32_t kMaxRtuAddress = 247;  // Modbus over Serial Line V1.02, section 2.2
constexpr uint32_t kMaxTcpAddress = 255;
constexpr char kAllOthers[] = "*";

// HOST, HOST:PORT, or [ADDRESS]:PORT of IPv6.
absl::Status ParseHost(absl::string_view text, ModbusBusPlan& bus) {
  absl::string_view host = text.substr(0, text.find(':'));
  if (absl::ConsumePrefix(&text, "[")) host = text.substr(0, text.find(']'));
  const auto fits = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains(".-_:%", c);
  };
  if (host.empty() || !std::ranges::all_of(host, fits)) return Wrong("'", host, "' is no host");
  bus.host = std::string(host);
  text.remove_prefix(host.size());
  absl::ConsumePrefix(&text, "]");
  if (text.empty()) return absl::OkStatus();
  if (!absl::ConsumePrefix(&text, ":") || !absl::SimpleAtoi(text, &bus.port) || bus.port < 1 || bus.port > UINT16_MAX)
    return Wrong("'", text, "' is no port");
  return absl::OkStatus();
}

absl::Status ParseInterface(absl::string_view text, ModbusBusPlan& bus) {
  if (absl::ConsumePrefix(&text, "rtu:")) {
    bus.kind = ModbusKind::kRtu;
    bus.host = std::string(text);
    return absl::StartsWith(text, "/") ? absl::OkStatus() : Wrong("'", text, "' is no path such as /dev/ttyUSB0");
  }
  if (absl::ConsumePrefix(&text, "tcp:")) {
    bus.kind = ModbusKind::kTcp;
    return ParseHost(text, bus);
  }
  if (absl::ConsumePrefix(&text, "http://")) {
    bus.kind = ModbusKind::kWeb;
    bus.port = 80;
    return ParseHost(absl::StripSuffix(text, "/"), bus);
  }
  return Wrong("'", text, "' is not rtu:DEVICE, tcp:HOST, tcp:HOST:PORT or http://HOST:PORT");
}

absl::StatusOr<char> ParseParity(absl::string_view text) {
  if (text == "even") return 'E';
  if (text == "odd") return 'O';
  if (text == "none") return 'N';
  return Wrong("'", text, "' is not even, odd or none");
}

absl::StatusOr<bool> ParseOrder(absl::string_view text) {
  if (text == "big" || text == "little") return text == "little";
  return Wrong("'", text, "' is not big or little");
}

absl::StatusOr<ModbusType> ParseType(absl::string_view text) {
  const std::optional<ModbusType> type = ParseModbusType(text);
  if (type) return *type;
  return Wrong("'", text, "' is not ", kModbusTypeNames,
               DidYouMean(text, {"U16", "I16", "U32", "I32", "U64", "I64", "F32"}));
}

absl::Status CheckScale(double scale) {
  return std::isfinite(scale) && scale != 0 ? absl::OkStatus() : Wrong(scale, " is not a number other than 0");
}

absl::StatusOr<ModbusNumber> ParseNumber(absl::string_view text) {
  if (int64_t number = 0; absl::SimpleAtoi(text, &number)) return number;
  if (uint64_t number = 0; absl::SimpleAtoi(text, &number)) return number;
  if (double number = 0; absl::SimpleAtod(text, &number) && std::isfinite(number)) return number;
  return Wrong("'", text, "' is not a number");
}

// A bound as registers hold it, so that the very number that is configured as a float is within. Empty: none.
absl::StatusOr<std::optional<ModbusNumber>> ParseBound(absl::string_view text, const ModbusWriteRule& rule) {
  if (text.empty()) return std::nullopt;
  if (rule.coils) {
    if (text == "0" || text == "1") return ModbusNumber(int64_t{text == "1"});
    return Wrong("'", text, "' is not 0 or 1, which a coil is");
  }
  if (rule.type == ModbusType::kString) return Wrong("a text has no bounds");
  ASSIGN_OR_RETURN(const ModbusNumber number, ParseNumber(text));
  std::vector<uint16_t> words;
  const absl::Status fits = AppendRegisters(number, rule.type, /*little_endian=*/false, /*scale=*/1, words);
  if (!fits.ok()) return Wrong(fits.message());
  const ModbusNumber held = NumberOf(words.data(), rule.type, /*little_endian=*/false);
  if (rule.type != ModbusType::kF32 && Compare(held, number) != 0)
    return Wrong("'", text, "' is not whole, as a ", Name(rule.type), " is");
  return held;
}

// "FIRST" or "FIRST..LAST".
absl::Status ParseAddresses(absl::string_view text, ModbusWriteRule& rule) {
  const size_t dots = text.find("..");
  const absl::string_view first_text = text.substr(0, dots);
  uint32_t first = 0;
  if (!absl::SimpleAtoi(first_text, &first) || first > UINT16_MAX) return Wrong("'", first_text, "' is not 0 to 65535");
  uint32_t last = first + static_cast<uint32_t>(rule.step()) - 1;
  if (dots != text.npos) {
    const absl::string_view last_text = text.substr(dots + 2);
    if (!absl::SimpleAtoi(last_text, &last)) return Wrong("'", last_text, "' is not 0 to 65535");
  }
  if (last > UINT16_MAX) return Wrong("they go beyond 65535");
  if (last < first) return Wrong("they end before they begin");
  if ((last - first + 1) % static_cast<uint32_t>(rule.step()) != 0)
    return Wrong(last - first + 1, " registers are not whole values: a ", Name(rule.type), " has ", rule.step());
  rule.first = static_cast<uint16_t>(first);
  rule.last = static_cast<uint16_t>(last);
  return absl::OkStatus();
}

// Three values missed; but what takes a few seconds may be a busy line.
absl::Duration SilenceOf(const v1::ModbusPollConfig& config) {
  constexpr int kMissed = 3;
  constexpr absl::Duration kShortest = absl::Seconds(3);
  const absl::Duration chosen = ToAbsl(config.silent_after());
  return chosen > absl::ZeroDuration() ? chosen : std::max(kMissed * ToAbsl(config.period()), kShortest);
}

int DecimalsOf(const ModbusPollPlan& poll) {
  if (!IsOfBits(poll.function) && poll.type == ModbusType::kF32) return -1;
  return DecimalsFor(poll.scale_factor, 0);
}

class Planner {
 public:
  explicit Planner(const std::vector<std::string>& taken) : taken_(taken) {}

  absl::StatusOr<ModbusPlan> Plan(const v1::ModbusConfig& config) {
    plan_.state_period = ToAbsl(config.state_period());
    RETURN_IF_ERROR(At("modbus.alias", SetAlias(config.alias())));
    for (const v1::ModbusBusConfig& bus : config.bus()) {
      RETURN_IF_ERROR(At(absl::StrCat("modbus.bus ", plan_.buses.size() + 1, " (", bus.name(), ")"), AddBus(bus)));
    }
    for (const v1::ModbusUnitConfig& unit : config.unit()) {
      RETURN_IF_ERROR(At(absl::StrCat("modbus.unit ", plan_.units.size() + 1, " (", unit.id(), ")"), AddUnit(unit)));
    }
    for (const v1::ModbusPollConfig& poll : config.poll()) {
      RETURN_IF_ERROR(At(absl::StrCat("modbus.poll ", plan_.polls.size() + 1, " (", poll.topic(), ")"), AddPoll(poll)));
    }
    for (const v1::ModbusWriteConfig& write : config.write()) {
      RETURN_IF_ERROR(
          At(absl::StrCat("modbus.write ", plan_.writes.size() + 1, " (", write.unit(), ")"), AddWrite(write)));
    }
    return std::move(plan_);
  }

 private:
  absl::Status SetAlias(absl::string_view alias) {
    if (alias == "rpi" || alias == "server") return Wrong("\"", alias, "\" is where the fleet itself speaks");
    if (!alias.empty() && !IsBusName(alias))
      return Wrong("\"", alias, "\": one level of a topic, of A-Z a-z 0-9 . _ -");
    plan_.alias = std::string(alias);
    return absl::OkStatus();
  }

  absl::StatusOr<size_t> FindBus(absl::string_view name) const {
    std::vector<std::string> names;
    for (const ModbusBusPlan& bus : plan_.buses) {
      if (bus.name == name) return names.size();
      names.push_back(bus.name);
    }
    return Wrong("there is no modbus.bus \"", name, "\"", DidYouMean(name, names));
  }

  absl::StatusOr<size_t> FindUnit(absl::string_view id) const {
    std::vector<std::string> ids;
    for (const ModbusUnitPlan& unit : plan_.units) {
      if (unit.id == id) return ids.size();
      ids.push_back(unit.id);
    }
    return Wrong("there is no modbus.unit \"", id, "\"", DidYouMean(id, ids));
  }

  absl::Status AddBus(const v1::ModbusBusConfig& config) {
    if (plan_.buses.size() == kMaxModbusBuses) return Wrong("there may be at most ", kMaxModbusBuses);
    if (!IsBusName(config.name())) return Wrong("name: 1 to ", kMaxBusBytes, " of A-Z a-z 0-9 . _ -");
    if (const auto other = FindBus(config.name()); other.ok())
      return Wrong("name: modbus.bus ", *other + 1, " has it too");
    ModbusBusPlan bus{.name = config.name(),
                      .baud = static_cast<int>(config.baud()),
                      .stop_bits = static_cast<int>(config.stop_bits()),
                      .timeout = ToAbsl(config.timeout()),
                      .in_flight = static_cast<int>(config.in_flight())};
    RETURN_IF_ERROR(At("interface", ParseInterface(config.interface(), bus)));
    RETURN_IF_ERROR(At("interface", CheckOwner(bus)));
    ASSIGN_OR_RETURN(bus.parity, At("parity", ParseParity(config.parity())));
    if (bus.kind == ModbusKind::kRtu && bus.in_flight > 1)
      return Wrong("in_flight: a serial line takes one transaction at a time");
    if (bus.kind == ModbusKind::kWeb) bus.timeout = kWebTimeout;
    // Each request to a bridge may take its ten seconds, and it has more than one unit behind it.
    if (bus.in_flight == 0) bus.in_flight = bus.kind == ModbusKind::kWeb ? 4 : 1;
    plan_.buses.push_back(std::move(bus));
    return absl::OkStatus();
  }

  // Two owners would speak into each other's transactions, and their units be the same ones under two names.
  absl::Status CheckOwner(const ModbusBusPlan& bus) const {
    for (size_t i = 0; i < plan_.buses.size(); ++i) {
      const ModbusBusPlan& other = plan_.buses[i];
      if (other.kind == bus.kind && other.host == bus.host && other.port == bus.port)
        return Wrong("modbus.bus ", i + 1, " has it too");
    }
    return absl::OkStatus();
  }

  absl::Status AddUnit(const v1::ModbusUnitConfig& config) {
    if (plan_.units.size() == kMaxModbusUnits) return Wrong("there may be at most ", kMaxModbusUnits);
    if (config.id() != kAllOthers && !IsUnitId(config.id()))
      return Wrong("id: 1 to ", kMaxUnitIdBytes, " of A-Z a-z 0-9 . _ -, or * of a web bridge");
    if (const auto other = FindUnit(config.id()); other.ok())
      return Wrong("id: modbus.unit ", *other + 1, " has it too");
    ASSIGN_OR_RETURN(const size_t bus, At("bus", FindBus(config.bus())));
    if (config.id() == kAllOthers && plan_.buses[bus].kind != ModbusKind::kWeb)
      return Wrong("id: * is for units of a web bridge only");
    RETURN_IF_ERROR(At("address", CheckUnitAddress(bus, config.address())));
    plan_.units.push_back({.id = config.id(),
                           .bus = bus,
                           .address = static_cast<uint8_t>(config.address()),
                           .join_gap = static_cast<uint16_t>(config.join_gap())});
    return absl::OkStatus();
  }

  // A web bridge knows its units by their ids.
  absl::Status CheckUnitAddress(size_t bus, uint32_t address) const {
    const ModbusKind kind = plan_.buses[bus].kind;
    if (address > kMaxTcpAddress) return Wrong("not 0 to ", kMaxTcpAddress);
    if (kind == ModbusKind::kWeb) return absl::OkStatus();
    if (kind == ModbusKind::kRtu && (address < 1 || address > kMaxRtuAddress))
      return Wrong("on a serial line a unit has 1 to ", kMaxRtuAddress);
    for (size_t i = 0; i < plan_.units.size(); ++i) {
      if (plan_.units[i].bus == bus && plan_.units[i].address == address)
        return Wrong("modbus.unit ", i + 1, " on the same bus has it too");
    }
    return absl::OkStatus();
  }

  absl::Status CheckTopic(absl::string_view topic) const {
    RETURN_IF_ERROR(CheckSignalTopic(topic));
    if (std::ranges::count(taken_, topic) > 0) return Wrong("another signal of this device has it too");
    const auto other = std::ranges::find(plan_.signals, topic, &SignalOptions::topic);
    if (other == plan_.signals.end()) return absl::OkStatus();
    return Wrong("modbus.poll ", other - plan_.signals.begin() + 1, " has it too");
  }

  absl::Status AddPoll(const v1::ModbusPollConfig& config) {
    if (plan_.polls.size() == kMaxModbusPolls) return Wrong("there may be at most ", kMaxModbusPolls);
    RETURN_IF_ERROR(At("topic", CheckTopic(config.topic())));
    ASSIGN_OR_RETURN(ModbusPollPlan poll, PollOf(config));
    SignalOptions signal{.topic = config.topic(),
                         .on_change = config.on_change(),
                         .dead_band = config.dead_band(),
                         .silent_after = SilenceOf(config),
                         .qos = static_cast<int>(config.qos()),
                         .retain = config.retain(),
                         .decimals = DecimalsOf(poll)};
    if (!config.labels().empty()) {
      ASSIGN_OR_RETURN(signal.labels, At("labels", ParseLabels(config.labels())));
    }
    poll.signal = plan_.signals.size();
    plan_.signals.push_back(std::move(signal));
    plan_.polls.push_back(poll);
    return absl::OkStatus();
  }

  absl::StatusOr<ModbusPollPlan> PollOf(const v1::ModbusPollConfig& config) const {
    ModbusPollPlan poll{.address = static_cast<uint16_t>(config.address()), .period = ToAbsl(config.period())};
    if (config.unit() == kAllOthers) return Wrong("unit: * is not one unit");
    ASSIGN_OR_RETURN(poll.unit, At("unit", FindUnit(config.unit())));
    if (config.function_code() < 1 || config.function_code() > 4) return Wrong("function_code: not 1 to 4");
    poll.function = static_cast<ModbusFunction>(config.function_code());
    if (!IsOfBits(poll.function)) {
      ASSIGN_OR_RETURN(poll.type, At("type", ParseType(config.type())));
      if (poll.type == ModbusType::kString) return Wrong("type: telemetry is numbers, STR is none");
      ASSIGN_OR_RETURN(poll.little_endian, At("endianess", ParseOrder(config.endianess())));
      RETURN_IF_ERROR(At("scale_factor", CheckScale(config.scale_factor())));
      poll.scale_factor = config.scale_factor();
    }
    if (config.address() + static_cast<uint32_t>(poll.size()) > UINT16_MAX + uint32_t{1})
      return Wrong("address: ", poll.size(), " from ", config.address(), " on go beyond 65535");
    return poll;
  }

  absl::Status AddWrite(const v1::ModbusWriteConfig& config) {
    if (plan_.writes.size() == kMaxModbusWriteRules) return Wrong("there may be at most ", kMaxModbusWriteRules);
    ModbusWriteRule rule{.rate_hz = config.rate_hz(), .read_back = config.read_back()};
    ASSIGN_OR_RETURN(rule.unit, At("unit", FindUnit(config.unit())));
    if (config.table() != "holding" && config.table() != "coil")
      return Wrong("table: '", config.table(), "' is not holding or coil");
    rule.coils = config.table() == "coil";
    if (!rule.coils) {
      ASSIGN_OR_RETURN(rule.type, At("type", ParseType(config.type())));
      ASSIGN_OR_RETURN(rule.little_endian, At("endianess", ParseOrder(config.endianess())));
    }
    RETURN_IF_ERROR(At("addresses", ParseAddresses(config.addresses(), rule)));
    RETURN_IF_ERROR(At("addresses", CheckOverlap(rule)));
    ASSIGN_OR_RETURN(rule.min, At("min", ParseBound(config.min(), rule)));
    ASSIGN_OR_RETURN(rule.max, At("max", ParseBound(config.max(), rule)));
    if (rule.min && rule.max && Compare(*rule.min, *rule.max) > 0) return Wrong("min: greater than max");
    plan_.writes.push_back(rule);
    return absl::OkStatus();
  }

  absl::Status CheckOverlap(const ModbusWriteRule& rule) const {
    for (size_t i = 0; i < plan_.writes.size(); ++i) {
      const ModbusWriteRule& other = plan_.writes[i];
      const bool is_same_table = other.unit == rule.unit && other.coils == rule.coils;
      if (is_same_table && other.first <= rule.last && rule.first <= other.last)
        return Wrong("modbus.write ", i + 1, " has some of them too");
    }
    return absl::OkStatus();
  }

  const std::vector<std::string>& taken_;
  ModbusPlan plan_;
};

}  // namespace

absl::StatusOr<ModbusPlan> MakeModbusPlan(const v1::ModbusConfig& config, const std::vector<std::string>& taken) {
  return Planner(taken).Plan(config);
}

}  // namespace fleet::device
