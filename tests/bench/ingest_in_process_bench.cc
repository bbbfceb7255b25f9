// State messages per second through ingest and fleet state on one core: no broker, no threads, no disk. The rows that
// would be stored are made and thrown away. A thousand devices report ten times a second of simulated time, so every
// device hands over a row after about ten reports, as it does in a real fleet. Prints one JSON line.
//
//   ingest_in_process_bench [MESSAGES_PER_REPEAT [REPEATS]]
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "server/fleet_state.h"
#include "server/ingest.h"
#include "tests/bench/sample_messages.h"

namespace fleet::server {
namespace {

constexpr int kDevices = 1000;
constexpr absl::Duration kRound = absl::Milliseconds(100);  // one report of each device, then a Tick

// Of this thread, so that other programs on the machine do not count.
double CpuSeconds() {
  rusage used{};
  getrusage(RUSAGE_THREAD, &used);
  return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
}

class Run {
 public:
  explicit Run(int entities) : entities_(entities), state_(FleetOptions{}, SavedFleet{}, now_, changes_) {
    for (int i = 0; i < kDevices; ++i) topics_.push_back(absl::StrCat("rpi/bench-", 1000 + i, "/state"));
  }

  // Messages per second of CPU.
  double Rate(int rounds) {
    double seconds = 0;
    for (int round = 0; round < rounds; ++round) {
      std::vector<std::string> payloads;  // made outside the measured time
      ++seq_;
      for (int i = 0; i < kDevices; ++i) payloads.push_back(SampleState(i, entities_, seq_));
      now_.mono = now_.mono + kRound;
      now_.wall += kRound;
      const double before = CpuSeconds();
      for (int i = 0; i < kDevices; ++i) Take(topics_[i], payloads[i]);
      state_.Tick(now_, changes_);
      changes_ = {};
      seconds += CpuSeconds() - before;
    }
    FLEET_CHECK(state_.counters().state_reports == uint64_t{seq_} * kDevices) << "not all were taken";
    return rounds * double{kDevices} / seconds;
  }

 private:
  void Take(const std::string& topic, const std::string& payload) {
    const absl::StatusOr<Event> event = ingest_.Read(topic, payload);
    FLEET_CHECK(event.ok()) << event.status().message();
    state_.Apply(*event, now_, changes_);
  }

  const int entities_;
  std::vector<std::string> topics_;
  Now now_{.mono = MonoTime::FromNanos(0), .wall = absl::FromUnixMillis(kSampleUnixMs)};
  uint32_t seq_ = 0;
  Changes changes_;
  Ingest ingest_;
  FleetState state_;
};

std::string Measure(int entities, int rounds, int repeats) {
  Run run(entities);
  run.Rate(20);  // devices made, memory in use
  std::vector<double> rates;
  for (int i = 0; i < repeats; ++i) rates.push_back(run.Rate(rounds));
  std::ranges::sort(rates);
  return absl::StrFormat(R"("entities_%d":{"payload_bytes":%d,"min_per_s":%.0f,"median_per_s":%.0f})", entities,
                         SampleState(1, entities, 5000).size(), rates.front(), rates[rates.size() / 2]);
}

}  // namespace
}  // namespace fleet::server

int main(int argc, char** argv) {
  const int messages = argc > 1 ? std::atoi(argv[1]) : 1'000'000;
  const int repeats = argc > 2 ? std::atoi(argv[2]) : 7;
  const int rounds = std::max(1, messages / fleet::server::kDevices);
  std::cout << "{" << fleet::server::Measure(1, rounds, repeats) << "," << fleet::server::Measure(3, rounds, repeats)
            << "}" << std::endl;
}
