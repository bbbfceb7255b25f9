// What waits for one Modbus bus, and in which order it goes there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

namespace fleet::device {

// Somebody who waits for an answer comes before polls, and the second half of something begun before both. Within each
// kind first come, first served. At most `in_flight` are on the bus at a time: 1 keeps a half-duplex line free of
// collisions. Bounds: kMaxAsked; there are never more polls than the plan has blocks. Loop thread only.
class ModbusLine {
 public:
  static constexpr size_t kMaxAsked = 256;

  explicit ModbusLine(int in_flight) : in_flight_(in_flight) {}

  // Tasks are known by their number. False: full.
  bool Ask(uint64_t task) {
    if (asked_.size() >= kMaxAsked) return false;
    asked_.push_back(task);
    return true;
  }
  void Poll(uint64_t task) { polls_.push_back(task); }
  void GoOn(uint64_t task) { asked_.push_front(task); }

  // The next one that goes to the bus now, if there is one and room for it; it has to Begin or is done with.
  std::optional<uint64_t> Take() {
    if (on_bus_ >= in_flight_) return std::nullopt;
    std::deque<uint64_t>& queue = asked_.empty() ? polls_ : asked_;
    if (queue.empty()) return std::nullopt;
    const uint64_t task = queue.front();
    queue.pop_front();
    return task;
  }
  void Begin() { ++on_bus_; }
  void End() { --on_bus_; }
  void Remove(uint64_t task) {
    std::erase(asked_, task);
    std::erase(polls_, task);
  }

  size_t waiting() const { return asked_.size() + polls_.size(); }
  int on_bus() const { return on_bus_; }

 private:
  const int in_flight_;
  int on_bus_ = 0;
  std::deque<uint64_t> asked_;
  std::deque<uint64_t> polls_;
};

}  // namespace fleet::device
