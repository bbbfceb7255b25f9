// What waits for one Modbus bus, and in which order it goes there.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

namespace fleet::device {

// Commands come before plain requests, which anybody may send, both before polls, and the second half of something
// begun before all. Within each kind first come, first served. At most `in_flight` are on the bus at a time: 1 keeps a
// half-duplex line free of collisions. Bounds: kMaxAsked plain requests and as many commands; there are never more
// polls than the plan has blocks. Loop thread only.
class ModbusLine {
 public:
  static constexpr size_t kMaxAsked = 256;
  enum class Kind { kCommand, kRequest, kPoll };

  explicit ModbusLine(int in_flight) : in_flight_(in_flight) {}

  // Tasks are known by their number. False: full.
  bool Add(Kind kind, uint64_t task) {
    std::deque<uint64_t>& queue = waiting_[static_cast<size_t>(kind)];
    if (kind != Kind::kPoll && queue.size() >= kMaxAsked) return false;
    queue.push_back(task);
    return true;
  }
  void GoOn(uint64_t task) { waiting_[static_cast<size_t>(Kind::kCommand)].push_front(task); }

  // The next one that goes to the bus now, if there is one and room for it; it has to Begin or is done with.
  std::optional<uint64_t> Take() {
    if (on_bus_ >= in_flight_) return std::nullopt;
    for (std::deque<uint64_t>& queue : waiting_) {
      if (queue.empty()) continue;
      const uint64_t task = queue.front();
      queue.pop_front();
      return task;
    }
    return std::nullopt;
  }
  void Begin() { ++on_bus_; }
  void End() { --on_bus_; }
  void Remove(uint64_t task) {
    for (std::deque<uint64_t>& queue : waiting_) std::erase(queue, task);
  }

  size_t waiting() const {
    size_t count = 0;
    for (const std::deque<uint64_t>& queue : waiting_) count += queue.size();
    return count;
  }
  int on_bus() const { return on_bus_; }

 private:
  const int in_flight_;
  int on_bus_ = 0;
  std::array<std::deque<uint64_t>, 3> waiting_;  // by Kind, in the order of their turn
};

}  // namespace fleet::device
