// Collects about a second of one device's state reports into one database row (storage.proto, StateBlock). Appending
// costs a copy of the bytes; nothing is parsed or built. Pure; loop thread only.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace fleet::server {

class HistoryBlock {
 public:
  static constexpr size_t kMaxBytes = 256 * 1024;

  void Append(int64_t received_unix_ms, absl::string_view report_bytes);
  bool empty() const { return count_ == 0; }
  bool full() const { return samples_.size() >= kMaxBytes; }

  struct Row {
    int64_t first_unix_ms = 0;
    int64_t last_unix_ms = 0;  // the latest, never before first_unix_ms whatever the wall clock did
    uint32_t count = 0;
    std::string samples;  // a serialised StateBlock
  };
  Row Take();  // leaves the block empty

 private:
  uint32_t count_ = 0;
  int64_t first_unix_ms_ = 0;
  int64_t last_unix_ms_ = 0;
  std::string samples_;
};

}  // namespace fleet::server
