#include "tools/fleetctl/device_text.h"

#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tools/fleetctl/paging.h"

namespace fleet {

absl::StatusOr<std::vector<v1::DeviceView>> FetchDevices(Client& client) {
  std::vector<v1::DeviceView> devices;
  RETURN_IF_ERROR(ForEachPage<v1::DeviceList>(client, "/api/v1/devices", {}, [&](v1::DeviceList& page) {
    std::move(page.mutable_devices()->begin(), page.mutable_devices()->end(), std::back_inserter(devices));
    return true;
  }));
  return devices;
}

std::string LastSeen(const v1::DeviceView& device, const Here& here) {
  if (device.has_last_heartbeat_ms_ago()) {
    return absl::StrCat(HumanDuration(absl::Milliseconds(device.last_heartbeat_ms_ago())), " ago");
  }
  if (device.last_seen_unix_ms() <= 0) return "never";
  const absl::Time seen = absl::FromUnixMillis(static_cast<int64_t>(device.last_seen_unix_ms()));
  return absl::StrCat(HumanDuration(here.now - seen), " ago");
}

std::string Skew(const v1::DeviceView& device) {
  return device.has_clock_skew_ms() ? HumanSkew(device.clock_skew_ms()) : "-";
}

std::string EntityIds(const v1::DeviceView& device) {
  constexpr int kAll = 3;
  constexpr int kOfMany = 2;
  const int count = device.entities_size();
  const auto last = device.entities().begin() + (count <= kAll ? count : kOfMany);
  const auto id = [](std::string* out, const v1::EntityView& entity) { absl::StrAppend(out, entity.entity_id()); };
  const std::string ids = absl::StrJoin(device.entities().begin(), last, ",", id);
  return count <= kAll ? ids : absl::StrCat(ids, ",.. (", count, ")");
}

std::string Since(const v1::DeviceView& device, const Here& here) {
  std::vector<std::string> parts;
  if (device.state_since_unix_ms() > 0) {
    const absl::Time since = absl::FromUnixMillis(static_cast<int64_t>(device.state_since_unix_ms()));
    parts.push_back(absl::StrCat("since ", HumanTime(since, here), " (", HumanDuration(here.now - since), " ago)"));
  }
  if (!device.reason().empty()) parts.push_back(ReasonInWords(device.reason()));
  return absl::StrJoin(parts, ", ");
}

std::string AlarmWords(const v1::DeviceView& device) {
  std::vector<std::string> words;
  if (device.clone_alarm()) words.push_back("CLONE");
  if (device.fail_safe()) words.push_back("FAIL-SAFE");
  return absl::StrJoin(words, ", ");
}

}  // namespace fleet
