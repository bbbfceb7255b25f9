// Server-sent events (HTML standard, section "Server-sent events"), as far as our server speaks them.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace fleet {

struct SseEvent {
  std::string name;  // "message" when the sender names none
  std::string data;  // lines joined by \n
};

// Takes the stream in pieces of any size and calls `on_event` for each whole event. Comments and unknown fields are
// skipped. An event holds at most kMaxEventBytes.
class SseReader {
 public:
  static constexpr size_t kMaxEventBytes = 1024 * 1024;

  explicit SseReader(std::function<void(const SseEvent&)> on_event) : on_event_(std::move(on_event)) {}

  // kOutOfRange: an event is too large; the stream cannot be read on.
  absl::Status Take(absl::string_view bytes);

 private:
  void TakeLine(absl::string_view line);

  const std::function<void(const SseEvent&)> on_event_;
  std::string line_;  // begun and not ended
  SseEvent event_;
  bool has_data_ = false;
};

}  // namespace fleet
