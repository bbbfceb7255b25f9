// Frames, orders and batches of a CAN bus, for tests.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/can/can_columns.h"
#include "common/can/can_filter.h"
#include "common/can/candump.h"
#include "fleet/v1/to_device.pb.h"
#include "fleet/v1/to_server.pb.h"

namespace fleet::server {

// Each as candump -L writes it: "(1436509052.249713) can0 123#1122", or without time and bus "123#1122".
inline v1::CanFrames FramesOf(const std::vector<std::string>& lines) {
  CanColumns columns;
  for (const std::string& line : lines) {
    columns.Add(line[0] == '(' ? ParseCandumpLine(line)->frame : *ParseCanFrameText(line));
  }
  return columns.Take();
}

// `count` frames of 8 bytes with standard ids, 10 us apart; the last is at 1436509052.249713 s.
inline v1::CanFrames ManyFrames(int count) {
  CanColumns columns;
  CanFrame frame{.at_unix_us = 1'436'509'052'249'713 - 10 * count, .id = 0x123, .size = 8};
  for (int i = 0; i < count; ++i) {
    frame.at_unix_us += 10;
    frame.data[0] = static_cast<uint8_t>(i);
    columns.Add(frame);
  }
  return columns.Take();
}

inline v1::CanBatch BatchOf(uint64_t tap, uint32_t seq, const v1::CanFrames& frames, uint64_t dropped = 0) {
  v1::CanBatch batch;
  batch.set_epoch(1);
  batch.set_tap(tap);
  batch.set_seq(seq);
  *batch.mutable_frames() = frames;
  batch.set_dropped(dropped);
  return batch;
}

inline v1::CanSend SendOf(const std::vector<std::string>& frames, absl::string_view bus = "can0") {
  v1::CanSend send;
  send.set_bus(std::string(bus));
  *send.mutable_frames() = FramesOf(frames);
  return send;
}

inline v1::CanTap TapOf(const std::vector<std::string>& filters, uint32_t duration_ms = 60'000) {
  v1::CanTap tap;
  tap.set_bus("can0");
  tap.set_duration_ms(duration_ms);
  for (const std::string& filter : filters) *tap.add_filters() = *ParseCanFilter(filter);
  return tap;
}

inline v1::ClearDtcs ClearOf(absl::string_view bus = "can0") {
  v1::ClearDtcs clear;
  clear.set_bus(std::string(bus));
  return clear;
}

}  // namespace fleet::server
