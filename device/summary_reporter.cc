#include "device/summary_reporter.h"

#include <cmath>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "common/json_text.h"
#include "common/topics.h"
#include "device/signals/signal_text.h"

namespace fleet::device {
namespace {

constexpr size_t kMaxEndBytes = 40;  // "},"omitted":18446744073709551615}"

std::string Tenths(absl::Duration time) {
  return SignalText(std::max(absl::ToDoubleSeconds(time), 0.0), 1, {});
}

std::string EntryOf(const CurrentSignal& signal, MonoTime now) {
  std::string value = "null";
  if (std::isfinite(signal.value)) {
    value = SignalText(signal.value, -1, {});
  } else if (signal.is_word) {
    value = JsonString(signal.text);
  }
  const bool has_both = std::isfinite(signal.value) && signal.is_word;
  return absl::StrCat(JsonString(signal.name), ":{\"value\":", value, has_both ? ",\"text\":" : "",
                      has_both ? JsonString(signal.text) : "", ",\"age_s\":", Tenths(now - signal.heard_at), "}");
}

}  // namespace

SummaryReporter::SummaryReporter(const DeviceId& device, Schedule schedule, MonoTime start)
    : topic_(SignalTopic(device, "gateway/summary")), start_(start), schedule_(schedule) {}

Publication SummaryReporter::Make(const std::vector<CurrentSignal>& signals, Now now) {
  std::string json =
      absl::StrCat("{\"timestamp\":\"", absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", now.wall, absl::UTCTimeZone()),
                   "\",\"type\":\"summary\",\"uptime_s\":", absl::ToInt64Seconds(now.mono - start_), ",\"signals\":{");
  uint64_t omitted = 0;
  absl::flat_hash_set<absl::string_view> seen;
  for (const CurrentSignal& signal : signals) {
    if (!seen.insert(signal.name).second) continue;
    const std::string entry = EntryOf(signal, now.mono);
    if (json.size() + entry.size() + kMaxEndBytes > kMaxBytes) {
      ++omitted;
      continue;
    }
    absl::StrAppend(&json, json.back() == '{' ? "" : ",", entry);
  }
  absl::StrAppend(&json, "},\"omitted\":", omitted, "}");
  ++made_;
  omitted_ += omitted;
  return {.topic = topic_, .payload = std::move(json), .qos = 1};
}

}  // namespace fleet::device
