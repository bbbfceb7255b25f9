// Accounts for every message of one numbered stream of one device: what should have come, what came, what is missing.
//
//   expected = stored + missing      expected: from the first message that we ever heard to the highest number
//
// A number within the last 64 that comes late turns from missing to stored and is counted as reordered; one that came
// already, or is older than that, is a duplicate and must not be stored again. Pure; loop thread only; O(1).
#pragma once

#include <cstdint>

namespace fleet::server {

class SequenceTracker {
 public:
  // What is kept in the database, so that after a restart of the server the messages it slept through are missing.
  struct Saved {
    uint32_t epoch = 0;  // 0: nothing heard yet
    uint32_t highest = 0;
    uint64_t seen = 0;  // bit i: highest - i has been stored
    uint64_t expected = 0;
    uint64_t stored = 0;
    uint64_t duplicate = 0;
    uint64_t reordered = 0;
  };

  SequenceTracker() = default;
  explicit SequenceTracker(const Saved& saved) : s_(saved) {}

  // A new life of the device: numbers start again at 1 and all from 1 on are expected.
  void StartLife(uint32_t epoch);
  // A life that we have heard before goes on: what it said meanwhile was not for us.
  void ResumeLife(uint32_t epoch);

  enum class Verdict { kNew, kLate, kDuplicate };  // store kNew and kLate; only kNew says something of now

  // `seq`: 1 or more, of the life `epoch`, which is started when it is another than the last.
  Verdict Accept(uint32_t epoch, uint32_t seq);

  const Saved& saved() const { return s_; }
  uint64_t missing() const { return s_.expected - s_.stored; }

 private:
  Verdict AcceptLate(uint32_t behind);
  Saved s_;
};

}  // namespace fleet::server
