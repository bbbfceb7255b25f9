// What a program on the device publishes: POST /publish of the device's own API (docs/protocol.md section 8).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fleet::device {

// One field: a live text, and a sample if it is a number or null.
struct PublishedField {
  std::string signal;           // of no reserved group
  std::string text;             // at most PublishRequest::kMaxTextBytes
  std::optional<double> value;  // NaN: invalid; absent: a text, of which there are no samples
};

struct PublishRequest {
  static constexpr size_t kMaxBytes = 64 << 10;
  static constexpr size_t kMaxFields = 1000;
  static constexpr size_t kMaxTextBytes = 256;

  std::vector<PublishedField> fields;
  int64_t at_unix_ms = 0;  // of the samples; 0: now
};

// Reads a JSON object:
//
//   {"engine": {"rpm": 3500}, "door/open": true, "note": "ok", "oil_temp": null, "timestamp": 1760000000.5}
//
// Objects become parts of names: engine/rpm. A name of one part goes to the group `app`: app/note. Numbers are
// themselves, true and false 1 and 0, null makes a signal invalid, texts have neither control characters nor samples.
// `timestamp` at the top is a number, Unix seconds below 1e11 and milliseconds from there on, or ISO 8601 text, UTC
// when it names no zone. All of it or nothing.
//
// kInvalidArgument: no JSON, with byte, line and column, each from 1; or a field that cannot be published, with its
// name. kOutOfRange: too many bytes or fields.
absl::StatusOr<PublishRequest> ParsePublishRequest(absl::string_view json);

}  // namespace fleet::device
