// Any text as a DBC file: it is refused with its line, or every signal can be chosen, and the decoder cuts it out of
// any frame as long as its message says. What the frames have is the text itself.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "common/status_macros.h"
#include "device/can/dbc.h"
#include "device/can/frame_decoder.h"

namespace fleet::device {
namespace {

std::vector<FrameDecoder::Choice> ChooseAll(const DbcFile& file) {
  std::vector<FrameDecoder::Choice> choices;
  for (const DbcMessage& message : file.messages) {
    FLEET_CHECK(message.id <= (message.extended ? kMaxExtendedCanId : kMaxStandardCanId)) << message.id;
    for (const DbcSignal& signal : message.signals) {
      const auto choice = FrameDecoder::Choose(message, signal, choices.size());
      FLEET_CHECK(choice.ok() || message.size > kMaxClassicCanBytes) << choice.status();
      if (choice.ok()) choices.push_back(*choice);
    }
  }
  return choices;
}

void DecodeAll(const DbcFile& file, absl::string_view text) {
  const std::vector<FrameDecoder::Choice> choices = ChooseAll(file);
  FrameDecoder decoder(choices);
  for (const DbcMessage& message : file.messages) {
    CanFrame frame;
    frame.id = message.id;
    frame.flags = message.extended ? kCanExtended : 0;
    frame.size = static_cast<uint8_t>(std::min<size_t>(message.size, kMaxCanBytes));
    std::memcpy(frame.data.data(), text.data(), std::min(text.size(), frame.data.size()));
    decoder.Decode(frame, [&](size_t index, double) { FLEET_CHECK(index < choices.size()) << index; });
  }
  // With J1939, messages of several sizes may have the same PGN.
  const bool ids_are_unique = std::ranges::none_of(file.messages, &DbcMessage::j1939);
  FLEET_CHECK(decoder.short_frames() == 0 || !ids_are_unique) << "a frame as its message says is too short";
}

}  // namespace
}  // namespace fleet::device

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto file = fleet::device::ParseDbc(text, "fuzz.dbc");
  if (file.ok()) {
    fleet::device::DecodeAll(*file, text);
  } else {
    FLEET_CHECK(absl::StartsWith(file.status().message(), "fuzz.dbc")) << file.status();
  }
  return 0;
}
