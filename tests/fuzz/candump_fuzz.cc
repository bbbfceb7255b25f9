// Arbitrary bytes as a line of a log, as a frame, as a filter and as columns of frames: what is taken is valid, and is
// read back the same from what is written for it.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/can/can_columns.h"
#include "common/can/can_filter.h"
#include "common/can/candump.h"
#include "common/status_macros.h"

namespace fleet {
namespace {

void TryFrame(absl::string_view text) {
  const absl::StatusOr<CanFrame> frame = ParseCanFrameText(text);
  if (!frame.ok()) return;
  FLEET_CHECK(CheckCanFrame(*frame).ok()) << text;
  std::string written, view;
  AppendCanFrameText(*frame, written);
  FLEET_CHECK(ParseCanFrameText(written).value() == *frame) << text << " became " << written;
  AppendCandumpView(*frame, "can0", view, /*indent_standard=*/text.size() % 2 == 0);
}

void TryLine(absl::string_view text) {
  const absl::StatusOr<CandumpLine> line = ParseCandumpLine(text);
  if (!line.ok()) return;
  FLEET_CHECK(CheckCanFrame(line->frame).ok()) << text;
  std::string written;
  AppendCandumpLine(line->frame, line->bus, written);
  const absl::StatusOr<CandumpLine> back = ParseCandumpLine(written);
  FLEET_CHECK(back.ok() && back->frame == line->frame && back->bus == line->bus) << written;
  FLEET_CHECK(back->frame.at_unix_us == line->frame.at_unix_us) << written;
}

void TryFilter(absl::string_view text) {
  const absl::StatusOr<v1::CanFilter> filter = ParseCanFilter(text);
  if (!filter.ok()) return;
  FLEET_CHECK(CheckCanFilter(*filter).ok()) << text;
  const std::string written = CanFilterText(*filter);
  FLEET_CHECK(CanFilterText(ParseCanFilter(written).value()) == written) << written;
}

void TryColumns(const uint8_t* data, size_t size) {
  v1::CanFrames columns;
  if (!columns.ParseFromArray(data, static_cast<int>(size))) return;
  std::vector<CanFrame> frames;
  CanColumns again;
  const absl::Status status = ForEachFrame(columns, [&](const CanFrame& frame) {
    FLEET_CHECK(CheckCanFrame(frame).ok());
    frames.push_back(frame);
    again.Add(frame);
  });
  FLEET_CHECK(status.ok() || frames.empty()) << status;
  const size_t estimate = again.bytes();
  const v1::CanFrames taken = again.Take();
  FLEET_CHECK(taken.ByteSizeLong() <= estimate);
  size_t i = 0;
  FLEET_CHECK(ForEachFrame(taken, [&](const CanFrame& frame) {
                FLEET_CHECK(frame == frames[i] && frame.at_unix_us == frames[i].at_unix_us);
                ++i;
              }).ok());
  FLEET_CHECK(i == frames.size());
}

}  // namespace
}  // namespace fleet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  fleet::TryFrame(text);
  fleet::TryLine(text);
  fleet::TryFilter(text);
  fleet::TryColumns(data, size);
  return 0;
}
