#include "tools/fleetctl/sse.h"

#include <gtest/gtest.h>

#include <vector>

#include "absl/strings/str_cat.h"

namespace fleet {
namespace {

constexpr char kStream[] =
    ": keep-alive\n\n"
    "event: device\ndata: {\"a\":1}\n\n"
    "data:one\r\ndata: two\r\nretry: 5\r\n\r\n"
    "event: empty\n\n"
    "event: last\ndata\n\n"
    "event: unfinished\ndata: x\n";

std::vector<std::string> Read(absl::string_view stream, size_t piece_bytes) {
  std::vector<std::string> events;
  SseReader reader([&](const SseEvent& event) { events.push_back(absl::StrCat(event.name, "=", event.data)); });
  for (size_t i = 0; i < stream.size(); i += piece_bytes) {
    EXPECT_TRUE(reader.Take(stream.substr(i, piece_bytes)).ok());
  }
  return events;
}

TEST(SseReader, ReadsWholeEventsFromPiecesOfAnySize) {
  const std::vector<std::string> expected = {"device={\"a\":1}", "message=one\ntwo", "last="};
  for (size_t piece = 1; piece <= sizeof(kStream); ++piece) EXPECT_EQ(Read(kStream, piece), expected) << piece;
}

TEST(SseReader, RefusesAnEventWithoutEnd) {
  SseReader reader([](const SseEvent&) {});
  const std::string line = absl::StrCat("data: ", std::string(1000, 'x'), "\n");
  absl::Status status;
  for (size_t i = 0; i < 2 * SseReader::kMaxEventBytes / line.size() && status.ok(); ++i) status = reader.Take(line);
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
}

}  // namespace
}  // namespace fleet
