// What other threads have for the loop.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <variant>
#include <vector>

#include "common/bounded_queue.h"
#include "common/codec.h"
#include "device/inputs.h"

namespace fleet::device {

// Keeps news of links and answers of the spool apart from everything else, so that no flood of messages can crowd out
// that a link is up again, that a command may start, or how a segment ended. Samples have a small queue of their own,
// for they are large. Payloads that are too large anyway are cut just above the limit: enough to be recognised and
// refused.
class Inbox {
 public:
  // More than a spool can owe: what waits for it, what it is doing, and what it refused in one turn.
  static constexpr size_t kMaxSpoolDones = 8192;
  static constexpr size_t kMaxSamplesTaken = 4;   // per link; each is at most a megabyte
  static constexpr size_t kMaxModbusDones = 256;  // more than 16 buses have threads

  struct Item {
    uint32_t agent = 0;  // which one it is for, where there are several
    Input input;
  };

  // `links`: how many links there are; each has few events, for it pauses between attempts to connect.
  Inbox(size_t capacity, size_t links, const std::function<void()>& on_first)
      : news_(16 * links, on_first),
        dones_(kMaxSpoolDones, on_first),
        modbus_(kMaxModbusDones, on_first),
        ends_(capacity, on_first),
        samples_(kMaxSamplesTaken * links, on_first),
        data_(capacity, on_first) {}

  // Any thread. False: full, dropped and counted.
  bool Push(uint32_t agent, Input input) {
    if (auto* arrived = std::get_if<Arrived>(&input)) {
      if (arrived->payload.size() > kMaxPayloadBytes) arrived->payload.resize(kMaxPayloadBytes + 1);
    }
    return QueueOf(input).Push({agent, std::move(input)});
  }
  bool PushEvent(uint32_t agent, LinkEvent event) {
    return std::visit([&](auto& e) { return Push(agent, Input{std::move(e)}); }, event);
  }

  // The reader's thread. News first.
  template <typename Visitor>
  void Drain(Visitor visit) {
    for (BoundedQueue<Item>* queue : {&news_, &dones_, &modbus_, &ends_, &samples_, &data_}) {
      queue->TakeAll(taken_);
      for (Item& item : taken_) visit(item);
    }
  }

  size_t waiting() const {
    return news_.size() + dones_.size() + modbus_.size() + ends_.size() + samples_.size() + data_.size();
  }
  // Samples that were refused are not in it: whoever brought them was told.
  uint64_t dropped() const {
    return news_.dropped() + dones_.dropped() + modbus_.dropped() + ends_.dropped() + data_.dropped();
  }

 private:
  BoundedQueue<Item>& QueueOf(const Input& input) {
    if (std::holds_alternative<LinkUp>(input) || std::holds_alternative<LinkDown>(input)) return news_;
    if (std::holds_alternative<SpoolDone>(input)) return dones_;
    if (std::holds_alternative<ModbusDone>(input)) return modbus_;
    if (std::holds_alternative<SegmentEnded>(input)) return ends_;
    if (std::holds_alternative<SamplesTaken>(input)) return samples_;
    return data_;
  }

  BoundedQueue<Item> news_;
  BoundedQueue<Item> dones_;
  BoundedQueue<Item> modbus_;
  BoundedQueue<Item> ends_;
  BoundedQueue<Item> samples_;
  BoundedQueue<Item> data_;
  std::vector<Item> taken_;
};

}  // namespace fleet::device
