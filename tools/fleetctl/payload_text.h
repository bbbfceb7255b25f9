// Bytes that could not be understood, made readable.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace fleet {

// "Heartbeat {epoch: 4 seq: 12}" when the bytes are a message of the kind that the topic carries. nullopt: they are
// not, or the topic carries none.
std::optional<std::string> DecodePayload(absl::string_view topic, absl::string_view payload);

// Lines of 16 bytes: "    0000  68 65 6c 6c 6f 0a ...  |hello.|". Of more than `max_bytes` a last line says how many.
std::string HexDump(absl::string_view bytes, size_t max_bytes);

}  // namespace fleet
