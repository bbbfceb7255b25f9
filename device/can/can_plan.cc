#include "device/can/can_plan.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/config.h"
#include "common/config_words.h"
#include "common/nearest.h"
#include "common/status_macros.h"
#include "common/topics.h"
#include "device/can/can_sources.h"
#include "device/can/canopen.h"
#include "device/can/send_gate.h"

namespace fleet::device {
namespace {

using Pair = std::pair<std::string, std::string>;

// "can0=can,can1=car7". `shape`: how one is written, for the error.
absl::StatusOr<std::vector<Pair>> ParsePairs(absl::string_view text, absl::string_view shape) {
  std::vector<Pair> pairs;
  for (absl::string_view part : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    part = absl::StripAsciiWhitespace(part);
    const std::vector<std::string> words = absl::StrSplit(part, '=');
    if (words.size() != 2 || words[0].empty() || words[1].empty()) return Wrong("'", part, "' is not ", shape);
    pairs.emplace_back(words[0], words[1]);
  }
  return pairs;
}

absl::StatusOr<PlannedNode> ParseNode(const Pair& pair) {
  constexpr absl::Duration kLongest = absl::Hours(24);
  PlannedNode node;
  uint32_t number = 0;
  if (!absl::SimpleAtoi(pair.first, &number) || number == 0 || number > kMaxCanOpenNode) {
    return Wrong("there is no node ", pair.first, ", only 1 to ", kMaxCanOpenNode);
  }
  node.node = static_cast<uint8_t>(number);
  if (!absl::ParseDuration(pair.second, &node.silent_after) || node.silent_after <= absl::ZeroDuration() ||
      node.silent_after > kLongest) {
    return Wrong("node ", number, ": '", pair.second, "' is not a duration such as 500ms, of at most 24h");
  }
  return node;
}

absl::StatusOr<std::vector<PlannedNode>> ParseNodes(absl::string_view text) {
  ASSIGN_OR_RETURN(const std::vector<Pair> pairs, ParsePairs(text, "NODE=SILENCE, such as 5=1s"));
  std::vector<PlannedNode> nodes;
  for (const Pair& pair : pairs) {
    ASSIGN_OR_RETURN(PlannedNode node, ParseNode(pair));
    if (std::ranges::count(nodes, node.node, &PlannedNode::node) > 0)
      return Wrong("node ", pair.first, " is given twice");
    nodes.push_back(std::move(node));
  }
  return nodes;
}

absl::StatusOr<std::optional<PlannedObd>> PlanObd(const v1::CanBusConfig& config) {
  if (config.obd().empty() || config.obd() == "off") return std::nullopt;
  if (config.obd() != "11bit" && config.obd() != "29bit")
    return Wrong("'", config.obd(), "' is not off, 11bit or 29bit");
  if (config.listen_only()) return Wrong("controllers have to be asked, which listen_only forbids");
  return PlannedObd{.extended = config.obd() == "29bit", .pids = {}, .dtc_period = ToAbsl(config.dtc_period())};
}

// Ten values missed; but what takes a second may be a busy machine.
absl::Duration SilenceOf(const v1::CanSignalConfig& config, const SourceFacts& facts) {
  constexpr int kMissed = 10;
  constexpr absl::Duration kShortest = absl::Seconds(1);
  const absl::Duration chosen = ToAbsl(config.silent_after());
  if (chosen > absl::ZeroDuration()) return chosen;
  const absl::Duration cycle = facts.cycle_time.value_or(ToAbsl(config.period()));
  return cycle > absl::ZeroDuration() ? std::max(kMissed * cycle, kShortest) : absl::InfiniteDuration();
}

class Planner {
 public:
  explicit Planner(const FileReader& read) : sources_(read) {}

  absl::StatusOr<CanPlan> Plan(const v1::CanConfig& config) {
    for (const v1::CanBusConfig& bus : config.bus()) {
      RETURN_IF_ERROR(At(absl::StrCat("can.bus ", plan_.buses.size() + 1, " (", bus.name(), ")"), AddBus(bus)));
    }
    for (const v1::CanSignalConfig& signal : config.signal()) {
      RETURN_IF_ERROR(
          At(absl::StrCat("can.signal ", plan_.signals.size() + 1, " (", signal.topic(), ")"), AddSignal(signal)));
    }
    RETURN_IF_ERROR(At("can.compat.bases", AddBases(config.compat().bases())));
    return std::move(plan_);
  }

 private:
  absl::StatusOr<size_t> FindBus(absl::string_view name) const {
    std::vector<std::string> names;
    for (const BusPlan& bus : plan_.buses) {
      if (bus.name == name) return names.size();
      names.push_back(bus.name);
    }
    return Wrong("there is no can.bus \"", name, "\"", DidYouMean(name, names));
  }

  absl::Status AddBus(const v1::CanBusConfig& config) {
    if (plan_.buses.size() == kMaxCanBuses) return Wrong("there may be at most ", kMaxCanBuses);
    if (!IsBusName(config.name())) return Wrong("name: 1 to ", kMaxBusBytes, " of A-Z a-z 0-9 . _ -");
    if (const auto other = FindBus(config.name()); other.ok())
      return Wrong("name: can.bus ", *other + 1, " has it too");
    BusPlan bus{.name = config.name(),
                .interface = config.interface(),
                .bitrate = config.bitrate(),
                .listen_only = config.listen_only(),
                .replay_speed = config.replay_speed(),
                .replay_loop = config.replay_loop(),
                .j1939 = config.j1939(),
                .max_tap = ToAbsl(config.max_tap()),
                .send_rate_hz = config.send_rate_hz()};
    RETURN_IF_ERROR(At("dbc", sources_.AddBus(config.dbc())));
    ASSIGN_OR_RETURN(bus.obd, At("obd", PlanObd(config)));
    ASSIGN_OR_RETURN(bus.canopen, At("canopen", ParseNodes(config.canopen())));
    ASSIGN_OR_RETURN(bus.send_allow, At("send_allow", ParseSendAllow(config.send_allow())));
    plan_.buses.push_back(std::move(bus));
    return absl::OkStatus();
  }

  absl::Status CheckTopic(absl::string_view topic) const {
    RETURN_IF_ERROR(CheckSignalTopic(topic));
    const auto other = std::ranges::find(plan_.signals, topic, &SignalOptions::topic);
    if (other == plan_.signals.end()) return absl::OkStatus();
    return Wrong("can.signal ", other - plan_.signals.begin() + 1, " has it too");
  }

  absl::Status AddSignal(const v1::CanSignalConfig& config) {
    if (plan_.signals.size() == kMaxCanSignals) return Wrong("there may be at most ", kMaxCanSignals);
    RETURN_IF_ERROR(At("topic", CheckTopic(config.topic())));
    ASSIGN_OR_RETURN(const size_t bus, At("bus", FindBus(config.bus())));
    ASSIGN_OR_RETURN(SourceFacts facts, sources_.Choose(config, plan_.signals.size(), bus, plan_.buses[bus]));
    if (!config.labels().empty()) {
      ASSIGN_OR_RETURN(facts.labels, At("labels", ParseLabels(config.labels())));
    }
    plan_.signals.push_back({.topic = config.topic(),
                             .period = ToAbsl(config.period()),
                             .on_change = config.on_change(),
                             .dead_band = config.dead_band(),
                             .silent_after = SilenceOf(config, facts),
                             .qos = static_cast<int>(config.qos()),
                             .retain = config.retain(),
                             .decimals = facts.decimals,
                             .labels = std::move(facts.labels)});
    return absl::OkStatus();
  }

  absl::Status AddBases(absl::string_view text) {
    ASSIGN_OR_RETURN(const std::vector<Pair> pairs, ParsePairs(text, "BUS=BASE, such as can0=can"));
    for (const auto& [name, base] : pairs) {
      ASSIGN_OR_RETURN(const size_t bus, FindBus(name));
      if (!IsBusName(base)) return Wrong("base \"", base, "\": one level of a topic, of A-Z a-z 0-9 . _ -");
      if (base == "rpi" || base == "server") return Wrong("base \"", base, "\" is where the fleet itself speaks");
      const auto other = std::ranges::find(plan_.buses, base, &BusPlan::compat_base);
      if (other != plan_.buses.end()) return Wrong("base \"", base, "\" is given twice");
      if (!plan_.buses[bus].compat_base.empty()) return Wrong("bus ", name, " is given twice");
      plan_.buses[bus].compat_base = base;
    }
    return absl::OkStatus();
  }

  CanSources sources_;
  CanPlan plan_;
};

}  // namespace

absl::StatusOr<CanPlan> MakeCanPlan(const v1::CanConfig& config, const FileReader& read) {
  return Planner(read).Plan(config);
}

}  // namespace fleet::device
