// Where the values of signals come from: `source` of a [[can.signal]], resolved. Used by can_plan.cc.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "device/can/can_plan.h"
#include "device/can/dbc.h"
#include "device/signals/signal_text.h"
#include "fleet/v1/config.pb.h"

namespace fleet::device {

// What a source knows of its values.
struct SourceFacts {
  int decimals = -1;
  std::vector<SignalLabel> labels;
  std::optional<absl::Duration> cycle_time;  // between two values
};

class CanSources {
 public:
  explicit CanSources(const FileReader& read) : read_(read) {}  // which outlives it

  // The files that describe one more bus, comma separated; each is read once. Errors of the reader and of ParseDbc.
  absl::Status AddBus(absl::string_view dbc_files);

  // Has `bus`, number `number`, listen to the source of `signal`, number `index`, or ask for it. kInvalidArgument:
  // there is no such source, with the nearest name; or the bus does not speak that protocol.
  absl::StatusOr<SourceFacts> Choose(const v1::CanSignalConfig& signal, size_t index, size_t number,
                                     BusPlan& bus) const;

 private:
  using Files = std::map<std::string, DbcFile>;  // by path

  absl::StatusOr<SourceFacts> ChooseDbc(absl::string_view name, size_t index, size_t number, BusPlan& bus) const;
  absl::StatusOr<const DbcMessage*> FindMessage(absl::string_view name, size_t bus) const;

  const FileReader& read_;
  Files files_;
  std::vector<std::vector<Files::const_iterator>> of_bus_;
};

}  // namespace fleet::device
