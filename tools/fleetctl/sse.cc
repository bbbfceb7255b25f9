#include "tools/fleetctl/sse.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace fleet {

absl::Status SseReader::Take(absl::string_view bytes) {
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    absl::StrAppend(&line_, bytes.substr(0, end));
    if (line_.size() + event_.data.size() > kMaxEventBytes) {
      return absl::OutOfRangeError(absl::StrCat("an event of the stream is larger than ", kMaxEventBytes, " bytes"));
    }
    if (end == absl::string_view::npos) break;
    TakeLine(absl::StripSuffix(line_, "\r"));
    line_.clear();
    bytes.remove_prefix(end + 1);
  }
  return absl::OkStatus();
}

void SseReader::TakeLine(absl::string_view line) {
  if (line.empty()) {
    if (event_.name.empty()) event_.name = "message";
    if (has_data_) on_event_(event_);
    event_ = {};
    has_data_ = false;
    return;
  }
  const size_t colon = line.find(':');
  const absl::string_view field = line.substr(0, colon);
  absl::string_view value = colon == absl::string_view::npos ? "" : line.substr(colon + 1);
  absl::ConsumePrefix(&value, " ");
  if (field == "event") event_.name = std::string(value);
  if (field == "data") {
    absl::StrAppend(&event_.data, has_data_ ? "\n" : "", value);
    has_data_ = true;
  }
}

}  // namespace fleet
