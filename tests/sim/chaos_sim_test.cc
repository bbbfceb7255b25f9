// chaos_sim_test [--first S] [--seeds N] [--jobs J] [--verbose]
//
// Runs N chaos worlds, J at a time, and says which seed failed and how to have it again. Each job is a process of its
// own, so that one that dies is only one that failed. No gtest: the seeds are the tests.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "common/clock.h"
#include "common/status_macros.h"
#include "tests/sim/chaos.h"

namespace fleet {
namespace {

struct Arguments {
  uint64_t first = 1;
  uint64_t seeds = 100;
  uint64_t jobs = 2;
  bool verbose = false;
};

bool Parse(int argc, char** argv, Arguments& out) {
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--verbose") {
      out.verbose = true;
      continue;
    }
    uint64_t* const number = word == "--first"   ? &out.first
                             : word == "--seeds" ? &out.seeds
                             : word == "--jobs"  ? &out.jobs
                                                 : nullptr;
    if (number == nullptr || ++i == argc || !absl::SimpleAtoi(argv[i], number)) return false;
  }
  return out.jobs > 0;
}

using Counts = std::map<std::string, uint64_t>;

// Runs every jobs-th seed from `first` on; `now_at` says which, for who survives us. Counts go to `out`.
int RunSeeds(const Arguments& arguments, uint64_t first, volatile uint64_t& now_at, int out) {
  Counts counts;
  for (uint64_t seed = first; seed < arguments.first + arguments.seeds; seed += arguments.jobs) {
    now_at = seed;
    const ChaosOutcome outcome = RunChaos({.seed = seed, .verbose = arguments.verbose, .sabotage = nullptr});
    for (const std::string& complaint : outcome.complaints) {
      std::cerr << "seed " << seed << ": " << complaint << std::endl;
    }
    if (!outcome.complaints.empty()) return 1;
    if (arguments.verbose) std::cout << "hash " << outcome.hash << std::endl;
    for (const auto& [what, count] : outcome.counts) counts[what] += count;
  }
  std::ostringstream text;
  for (const auto& [what, count] : counts) text << count << " " << what << "\n";
  const std::string bytes = text.str();
  return write(out, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()) ? 0 : 1;
}

struct Job {
  pid_t process = 0;
  int in = 0;
};

Job Start(const Arguments& arguments, uint64_t number, volatile uint64_t& now_at) {
  int ends[2];
  FLEET_CHECK(pipe(ends) == 0);
  const pid_t process = fork();
  FLEET_CHECK(process >= 0);
  if (process == 0) {
    close(ends[0]);
    std::_Exit(RunSeeds(arguments, arguments.first + number, now_at, ends[1]));
  }
  close(ends[1]);
  return {.process = process, .in = ends[0]};
}

void ReadCounts(int in, Counts& counts) {
  std::string bytes;
  char buffer[4096];
  for (ssize_t size = read(in, buffer, sizeof(buffer)); size > 0; size = read(in, buffer, sizeof(buffer))) {
    bytes.append(buffer, static_cast<size_t>(size));
  }
  close(in);
  std::istringstream lines(bytes);
  uint64_t count = 0;
  std::string what;
  while (lines >> count && std::getline(lines, what)) counts[what] += count;
}

int Run(const Arguments& arguments) {
  const SystemClock clock;
  const MonoTime began = clock.Read().mono;
  void* const shared =
      mmap(nullptr, arguments.jobs * sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  FLEET_CHECK(shared != MAP_FAILED);
  auto* const now_at = static_cast<volatile uint64_t*>(shared);
  std::vector<Job> jobs;
  for (uint64_t i = 0; i < arguments.jobs; ++i) jobs.push_back(Start(arguments, i, now_at[i]));
  int result = 0;
  Counts counts;
  for (uint64_t i = 0; i < arguments.jobs; ++i) {
    ReadCounts(jobs[i].in, counts);
    int status = 0;
    FLEET_CHECK(waitpid(jobs[i].process, &status, 0) == jobs[i].process);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
    result = 1;
    std::cerr << "seed " << now_at[i] << " FAILED; again: chaos_sim_test --first " << now_at[i]
              << " --seeds 1 --jobs 1 --verbose" << std::endl;
  }
  for (const auto& [what, count] : counts)
    std::printf("%9llu %s\n", static_cast<unsigned long long>(count), what.c_str());
  std::cout << arguments.seeds << " seeds from " << arguments.first << " on: " << (result == 0 ? "all well" : "FAILED")
            << " after " << absl::FormatDuration(clock.Read().mono - began) << std::endl;
  return result;
}

}  // namespace
}  // namespace fleet

int main(int argc, char** argv) {
  fleet::Arguments arguments;
  if (!fleet::Parse(argc, argv, arguments)) {
    std::cerr << "chaos_sim_test [--first SEED] [--seeds N] [--jobs N] [--verbose]\n";
    return 2;
  }
  return fleet::Run(arguments);
}
