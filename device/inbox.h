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

// Keeps news of links apart from everything else, so that no flood of messages can crowd out that a link is up again.
// Payloads that are too large anyway are cut just above the limit: enough to be recognised and refused.
class Inbox {
 public:
  struct Item {
    uint32_t agent = 0;  // which one it is for, where there are several
    Input input;
  };

  // `links`: how many links there are; each has few events, for it pauses between attempts to connect.
  Inbox(size_t capacity, size_t links, const std::function<void()>& on_first)
      : news_(16 * links, on_first), data_(capacity, on_first) {}

  // Any thread. False: full, dropped and counted.
  bool Push(uint32_t agent, Input input) {
    if (auto* arrived = std::get_if<Arrived>(&input)) {
      if (arrived->payload.size() > kMaxPayloadBytes) arrived->payload.resize(kMaxPayloadBytes + 1);
    }
    const bool is_news = std::holds_alternative<LinkUp>(input) || std::holds_alternative<LinkDown>(input);
    return (is_news ? news_ : data_).Push({agent, std::move(input)});
  }
  bool PushEvent(uint32_t agent, LinkEvent event) {
    return std::visit([&](auto& e) { return Push(agent, Input{std::move(e)}); }, event);
  }

  // The reader's thread. News first.
  template <typename Visitor>
  void Drain(Visitor visit) {
    for (BoundedQueue<Item>* queue : {&news_, &data_}) {
      queue->TakeAll(taken_);
      for (Item& item : taken_) visit(item);
    }
  }

  uint64_t dropped() const { return news_.dropped() + data_.dropped(); }

 private:
  BoundedQueue<Item> news_;
  BoundedQueue<Item> data_;
  std::vector<Item> taken_;
};

}  // namespace fleet::device
