// The adapter's side of slcan, without the line: it keeps the channel and says the answers. Any bytes are survived.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "common/can/can_frame.h"

namespace fleet {

class SlcanAdapter {
 public:
  // One line of the program, without its CR. Appends the answer; returns the frame that the program sent.
  std::optional<CanFrame> Hear(absl::string_view line, std::string& answer);
  // The program is gone, and did not say so.
  void Reset();

  bool open() const { return open_; }
  uint64_t malformed() const { return malformed_; }  // lines that slcan does not have

  // `frame` for the program, with CR. It is a classic one.
  void AppendFrame(const CanFrame& frame, std::string& out) const;

 private:
  enum class Verdict { kYes, kNo, kNonsense };

  std::optional<CanFrame> HearFrame(absl::string_view line, std::string& answer);
  Verdict HearCommand(absl::string_view line, std::string& answer);
  Verdict Open(bool to_send);
  Verdict Close();
  Verdict WhileClosed(bool valid);

  bool open_ = false;
  bool may_send_ = false;  // opened by O, not L
  bool stamps_ = false;
  uint64_t malformed_ = 0;
};

}  // namespace fleet
