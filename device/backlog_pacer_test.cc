#include "device/backlog_pacer.h"

#include <gtest/gtest.h>

#include <deque>

#include "common/testing/fake_clock.h"

namespace fleet::device {
namespace {

TEST(BacklogPacer, OneBatchAlwaysMayAndTheWindowBoundsTheRest) {
  BacklogPacer pacer;
  EXPECT_TRUE(pacer.MaySend(1 << 20));
  pacer.Sent(1800);
  EXPECT_TRUE(pacer.MaySend(1000));
  EXPECT_FALSE(pacer.MaySend(1001));
}

TEST(BacklogPacer, WhatIsLostHalvesTheWindowAndFreesIt) {
  FakeClock clock;
  BacklogPacer pacer;
  pacer.Sent(4000);
  pacer.Lost(4000, clock.Read().mono, clock.Read().mono);
  EXPECT_EQ(pacer.window_bytes(), BacklogPacer::kMinWindowBytes);
  EXPECT_EQ(pacer.in_flight_bytes(), 0);
}

// Sends 1 KiB batches through a link of `bytes_per_ms` with a receipt 10 ms after arrival, for `duration`. Returns the
// bytes that arrived; `longest_queue`: of what a live message would have met.
size_t Drain(double bytes_per_ms, absl::Duration duration, absl::Duration& longest_queue) {
  constexpr size_t kBatch = 1024;
  struct Batch {
    MonoTime sent_at;
    MonoTime receipt_at;
  };
  FakeClock clock;
  BacklogPacer pacer;
  std::deque<Batch> batches;
  MonoTime free_at;
  size_t arrived = 0;
  const MonoTime end = clock.Read().mono + duration;
  for (; clock.Read().mono < end; clock.Advance(absl::Milliseconds(1))) {
    const MonoTime now = clock.Read().mono;
    for (; !batches.empty() && batches.front().receipt_at <= now; batches.pop_front()) {
      pacer.Receipted(kBatch, batches.front().sent_at, now);
      arrived += kBatch;
    }
    while (pacer.MaySend(kBatch)) {
      pacer.Sent(kBatch);
      free_at = std::max(free_at, now) + absl::Milliseconds(kBatch / bytes_per_ms);
      batches.push_back({now, free_at + absl::Milliseconds(10)});
    }
    if (free_at > now) longest_queue = std::max(longest_queue, free_at - now);
  }
  return arrived;
}

TEST(BacklogPacer, OnASlowLinkTheQueueStaysShort) {
  absl::Duration longest;
  const size_t arrived = Drain(/*bytes_per_ms=*/100, absl::Seconds(10), longest);
  EXPECT_LE(longest, absl::Milliseconds(50));
  EXPECT_GT(arrived, 600'000);  // of a million that the link could take
}

TEST(BacklogPacer, OnAVerySlowLinkOneBatchGoesAtATime) {
  absl::Duration longest;
  const size_t arrived = Drain(/*bytes_per_ms=*/32, absl::Minutes(2), longest);  // 256 kbit/s
  EXPECT_LE(longest, absl::Milliseconds(65));                                    // twice a batch, when it is tried
  EXPECT_GT(arrived, 2'400'000);
}

TEST(BacklogPacer, AFastLinkIsUsed) {
  absl::Duration longest;
  EXPECT_GT(Drain(/*bytes_per_ms=*/100'000, absl::Seconds(1), longest), 3'000'000);
  EXPECT_LE(longest, absl::Milliseconds(2));
}

}  // namespace
}  // namespace fleet::device
