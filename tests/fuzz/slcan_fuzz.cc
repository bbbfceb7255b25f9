// Any bytes on a serial line, for both ends of slcan: a frame that is read is one that can be, and is written as a line
// that is read as the same frame; an adapter answers every line and gives frames only while its channel is open.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "common/can/can_frame.h"
#include "common/can/slcan_adapter.h"
#include "common/can/slcan_text.h"
#include "common/status_macros.h"

namespace fleet {
namespace {

void CheckFrame(const CanFrame& frame) {
  FLEET_CHECK(CheckCanFrame(frame).ok()) << frame.id;
  std::string line;
  AppendSlcanFrame(frame, line);
  FLEET_CHECK(ParseSlcanFrame(line) == frame) << line;
  AppendSlcanStamp(frame.at_unix_us, line);
  FLEET_CHECK(line.size() <= kMaxSlcanLine && ParseSlcanFrame(line) == frame) << line;
}

void CheckAdapter(SlcanAdapter& adapter, absl::string_view line) {
  const bool was_open = adapter.open();
  std::string answer;
  const std::optional<CanFrame> sent = adapter.Hear(line, answer);
  FLEET_CHECK(!answer.empty() && answer.size() <= kMaxSlcanLine) << line;
  FLEET_CHECK(answer.back() == kSlcanOk || answer == std::string(1, kSlcanError)) << line;
  FLEET_CHECK(!sent.has_value() || was_open) << line;
}

}  // namespace
}  // namespace fleet

// The first byte says where the rest is cut in two: lines may come in pieces.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  fleet::SlcanSplitter splitter;
  fleet::SlcanAdapter adapter;
  const auto visit = [&](absl::string_view text, bool /*refused*/) {
    FLEET_CHECK(text.size() <= fleet::kMaxSlcanLine) << text;
    if (const std::optional<fleet::CanFrame> frame = fleet::ParseSlcanFrame(text)) fleet::CheckFrame(*frame);
    fleet::CheckAdapter(adapter, text);
  };
  splitter.Feed(bytes.substr(0, data[0]), visit);
  if (bytes.size() > data[0]) splitter.Feed(bytes.substr(data[0]), visit);
  return 0;
}
