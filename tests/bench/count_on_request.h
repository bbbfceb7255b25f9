// How a benchmark's process tells the script that measures it how far it is.
#pragma once

#include <atomic>
#include <cstdint>
#include <iostream>
#include <string>

namespace fleet {

// Prints the count for every line of standard input; returns at its end.
inline void AnswerCounts(const std::atomic<uint64_t>& count) {
  for (std::string line; std::getline(std::cin, line);) std::cout << count.load() << std::endl;
}

}  // namespace fleet
