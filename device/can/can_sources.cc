#include "device/can/can_sources.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/config.h"
#include "common/config_words.h"
#include "common/nearest.h"
#include "common/status_macros.h"
#include "device/can/canopen.h"
#include "device/can/frame_decoder.h"
#include "device/can/j1939.h"
#include "device/can/obd_pids.h"

namespace fleet::device {
namespace {

template <typename Named>
std::vector<std::string> NamesOf(const std::vector<Named>& list) {
  std::vector<std::string> names;
  for (const Named& named : list) names.push_back(named.name);
  return names;
}

// As words for ranges: a value that was computed in another order is still near. Of two words for one value the first.
std::vector<SignalLabel> LabelsOf(const DbcSignal& signal) {
  const double near = std::abs(signal.factor) / 4;
  std::vector<SignalLabel> sorted;
  for (const DbcLabel& label : signal.labels) {
    sorted.push_back({.low = label.value - near, .high = label.value + near, .word = label.word});
  }
  std::ranges::stable_sort(sorted, {}, &SignalLabel::low);
  std::vector<SignalLabel> labels;
  for (SignalLabel& label : sorted) {
    if (labels.empty() || labels.back().high < label.low) labels.push_back(std::move(label));
  }
  return labels;
}

// Invalid when the node that sends them starts anew.
void AddToNode(const FrameDecoder::Choice& choice, std::vector<PlannedNode>& nodes) {
  const std::optional<uint8_t> sender = choice.extended ? std::nullopt : CanOpenNodeOf(choice.id);
  for (PlannedNode& node : nodes) {
    if (node.node == sender) node.signals.push_back(choice.index);
  }
}

absl::StatusOr<SourceFacts> ChoosePid(absl::string_view text, absl::Duration period, size_t index, BusPlan& bus) {
  uint32_t number = 0;
  if (!absl::SimpleHexAtoi(text, &number)) return Wrong("'", text, "' is not a PID in hex, such as obd:0C");
  const ObdPid* pid = number > 0xFF ? nullptr : FindObdPid(static_cast<uint8_t>(number));
  if (pid == nullptr) {
    const std::string known = absl::StrJoin(
        ObdPids(), " ", [](std::string* out, const ObdPid& of) { absl::StrAppendFormat(out, "%02X", of.pid); });
    return Wrong("PID ", text, " is not known; these are: ", known);
  }
  if (!bus.obd.has_value()) return Wrong("obd of bus ", bus.name, " is off; set it to 11bit or 29bit");
  if (period <= absl::ZeroDuration()) return Wrong("period: OBD-II values need one, to be asked for");
  bus.obd->pids.push_back({.pid = pid->pid, .index = index, .period = period});
  return SourceFacts{.decimals = DecimalsFor(pid->factor, pid->offset), .labels = {}, .cycle_time = std::nullopt};
}

absl::StatusOr<SourceFacts> ChooseSpn(absl::string_view text, size_t index, BusPlan& bus) {
  uint32_t number = 0;
  if (!absl::SimpleAtoi(text, &number)) return Wrong("'", text, "' is not a number, such as spn:190");
  const Spn* spn = FindSpn(number);
  if (spn == nullptr) {
    const std::string known =
        absl::StrJoin(KnownSpns(), " ", [](std::string* out, const Spn& of) { absl::StrAppend(out, of.number); });
    return Wrong("SPN ", text, " is not known; these are: ", known, "; others come from a DBC file");
  }
  if (!bus.j1939) return Wrong("j1939 of bus ", bus.name, " is false; set it to true");
  bus.spns.push_back({.spn = number, .index = index});
  return SourceFacts{.decimals = DecimalsFor(spn->factor, spn->offset), .labels = {}, .cycle_time = std::nullopt};
}

}  // namespace

absl::Status CanSources::AddBus(absl::string_view dbc_files) {
  of_bus_.emplace_back();
  for (const absl::string_view part : absl::StrSplit(dbc_files, ',', absl::SkipWhitespace())) {
    const std::string path(absl::StripAsciiWhitespace(part));
    auto file = files_.find(path);
    if (file == files_.end()) {
      ASSIGN_OR_RETURN(const std::string text, read_(path));
      ASSIGN_OR_RETURN(DbcFile parsed, ParseDbc(text, path));
      file = files_.emplace(path, std::move(parsed)).first;
    }
    of_bus_.back().push_back(file);
  }
  return absl::OkStatus();
}

absl::StatusOr<SourceFacts> CanSources::Choose(const v1::CanSignalConfig& signal, size_t index, size_t number,
                                               BusPlan& bus) const {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(signal.source(), absl::MaxSplits(':', 1));
  const auto& [kind, name] = parts;
  if (kind == "dbc") return ChooseDbc(name, index, number, bus);
  if (kind == "obd") return ChoosePid(name, ToAbsl(signal.period()), index, bus);
  if (kind == "spn") return ChooseSpn(name, index, bus);
  return Wrong("source \"", signal.source(), "\" is not dbc:MESSAGE.SIGNAL, obd:PID or spn:NUMBER",
               DidYouMean(kind, {"dbc", "obd", "spn"}));
}

absl::StatusOr<SourceFacts> CanSources::ChooseDbc(absl::string_view name, size_t index, size_t number,
                                                  BusPlan& bus) const {
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(name, absl::MaxSplits('.', 1));
  if (parts.first.empty() || parts.second.empty()) return Wrong("'", name, "' is not MESSAGE.SIGNAL");
  ASSIGN_OR_RETURN(const DbcMessage* message, FindMessage(parts.first, number));
  const DbcSignal* signal = message->Find(parts.second);
  if (signal == nullptr) {
    return Wrong("message ", message->name, " has no signal \"", parts.second, "\"",
                 DidYouMean(parts.second, NamesOf(message->signals)));
  }
  ASSIGN_OR_RETURN(FrameDecoder::Choice choice, FrameDecoder::Choose(*message, *signal, index));
  AddToNode(choice, bus.canopen);
  bus.dbc.push_back(std::move(choice));
  const bool is_integer = signal->kind == DbcSignal::Kind::kInteger;
  return SourceFacts{.decimals = is_integer ? DecimalsFor(signal->factor, signal->offset) : -1,
                     .labels = LabelsOf(*signal),
                     .cycle_time = message->cycle_time};
}

absl::StatusOr<const DbcMessage*> CanSources::FindMessage(absl::string_view name, size_t bus) const {
  const std::vector<Files::const_iterator>& files = of_bus_[bus];
  if (files.empty()) return Wrong("its bus has no dbc");
  std::vector<std::string> paths, names;
  const DbcMessage* found = nullptr;
  for (const Files::const_iterator file : files) {
    if (const DbcMessage* message = file->second.Find(name)) {
      if (found != nullptr) return Wrong("message ", name, " is in both ", paths.back(), " and ", file->first);
      found = message;
    }
    paths.push_back(file->first);
    for (std::string& other : NamesOf(file->second.messages)) names.push_back(std::move(other));
  }
  if (found != nullptr) return found;
  return Wrong("no message \"", name, "\" in ", absl::StrJoin(paths, ", "), DidYouMean(name, names));
}

}  // namespace fleet::device
