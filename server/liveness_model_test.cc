// Liveness against the same rules written without lists and deadlines.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <vector>

#include "common/testing/fake_clock.h"
#include "server/liveness.h"

namespace fleet::server {
namespace {

using State = LivenessState;
using Reason = OfflineReason;

// The rules without lists: every device is looked at on every tick.
class Model {
 public:
  void Add() { nodes_.emplace_back(); }
  void Heard(DeviceIndex i, MonoTime now) {
    Node& node = nodes_[i];
    node = {Alive(node), now, MonoTime::Max(), node.replaced};
  }
  void SetReplaced(DeviceIndex i, bool replaced) {
    Node& node = nodes_[i];
    node.replaced = replaced;
    if (!Living(node)) return;
    node.will_due = MonoTime::Max();
    node.status = Alive(node);
  }
  void SaidGoodbye(DeviceIndex i) {
    Node& node = nodes_[i];
    if (node.status.reason == Reason::kReplaced) return;
    if (!node.last) node.last = MonoTime();  // heard of
    node.will_due = MonoTime::Max();
    node.status = {State::kOffline, Reason::kClean};
  }
  void WillArrived(DeviceIndex i, MonoTime now) {
    Node& node = nodes_[i];
    if (node.status.reason == Reason::kReplaced) return;
    if (!node.last) node.last = MonoTime();
    node.will_due = now + Liveness::kWillConfirm;
    if (verdict_at_ != MonoTime::Max()) node.will_due = std::max(node.will_due, verdict_at_);
  }
  void Deaf() {
    verdict_at_ = MonoTime::Max();
    hearing_ = false;
    for (Node& node : nodes_) {
      if (node.status.state != State::kOffline) node.status = {};
      node.will_due = MonoTime::Max();
    }
  }
  void Hearing(MonoTime now) {
    if (hearing_) return;
    hearing_ = true;
    verdict_at_ = now + absl::Seconds(2);
    for (Node& node : nodes_) {
      if (node.will_due != MonoTime::Max()) node.will_due = verdict_at_;
    }
  }
  void Tick(MonoTime now) {
    if (!hearing_) return;
    const bool verdict = verdict_at_ <= now;
    for (Node& node : nodes_) {
      if (node.will_due <= now) {
        const bool settled = node.status.state == State::kOffline && node.status.reason != Reason::kSilent;
        if (!settled) node.status = {State::kOffline, Reason::kLost};
        node.will_due = MonoTime::Max();
      }
      const bool alive = Living(node);
      const absl::Duration silence = now - node.last.value_or(MonoTime());
      if (alive && !node.replaced && silence >= absl::Seconds(1)) node.status = {State::kStale, Reason::kNone};
      if (alive && silence >= absl::Seconds(2)) node.status = {State::kOffline, Reason::kSilent};
      if (verdict && node.last && node.status.state == State::kUnknown)
        node.status = {State::kOffline, Reason::kSilent};
    }
    if (verdict) verdict_at_ = MonoTime::Max();
  }
  const LivenessStatus& status(DeviceIndex i) const { return nodes_[i].status; }
  size_t count(State state) const {
    return std::count_if(nodes_.begin(), nodes_.end(), [&](const Node& n) { return n.status.state == state; });
  }

 private:
  struct Node {
    LivenessStatus status;
    std::optional<MonoTime> last;
    MonoTime will_due = MonoTime::Max();
    bool replaced = false;
  };
  static bool Living(const Node& node) {
    return node.status.state == State::kOnline || node.status.state == State::kStale;
  }
  static LivenessStatus Alive(const Node& node) {
    return {State::kOnline, node.replaced ? Reason::kReplaced : Reason::kNone};
  }
  std::vector<Node> nodes_;
  bool hearing_ = false;
  MonoTime verdict_at_ = MonoTime::Max();
};

void ExpectSame(const Liveness& liveness, const Model& model, size_t devices) {
  for (DeviceIndex i = 0; i < devices; ++i) {
    ASSERT_EQ(liveness.status(i).state, model.status(i).state) << "device " << i;
    ASSERT_EQ(liveness.status(i).reason, model.status(i).reason) << "device " << i;
  }
  for (State state : {State::kUnknown, State::kOnline, State::kStale, State::kOffline}) {
    ASSERT_EQ(liveness.count(state), model.count(state)) << Name(state);
  }
}

TEST(LivenessAgainstModel, ListsStayRightOnARandomWalk) {
  for (uint32_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    FakeClock clock;
    Liveness liveness{LivenessOptions{}};
    Model model;
    Liveness::Changes changes;
    size_t devices = 0;
    for (int step = 0; step < 2000; ++step) {
      const MonoTime now = clock.Read().mono;
      const DeviceIndex i = devices == 0 ? 0 : random() % devices;
      const auto action = random() % 100;
      if (devices == 0 || (action < 2 && devices < 40)) {
        liveness.Add();
        model.Add();
        ++devices;
      } else if (action < 5) {
        const bool replaced = random() % 2 == 0;
        liveness.SetReplaced(i, replaced, changes);
        model.SetReplaced(i, replaced);
      } else if (action < 70) {
        liveness.Heard(i, now, changes);
        model.Heard(i, now);
      } else if (action < 75) {
        if (random() % 2 == 0) {
          liveness.SaidGoodbye(i, changes);
          model.SaidGoodbye(i);
        } else {
          liveness.WillArrived(i, now);
          model.WillArrived(i, now);
        }
      } else if (action < 76) {
        liveness.Deaf(changes);
        model.Deaf();
      } else if (action < 80) {
        liveness.Hearing(now);
        model.Hearing(now);
      } else {
        clock.Advance(absl::Milliseconds(random() % 300));
        liveness.Tick(clock.Read().mono, changes);
        model.Tick(clock.Read().mono);
      }
      ASSERT_NO_FATAL_FAILURE(ExpectSame(liveness, model, devices)) << "step " << step;
    }
  }
}

TEST(LivenessAgainstModel, NextDueIsWhenTheNextChangeHappens) {
  std::mt19937 random(1);
  FakeClock clock;
  Liveness liveness{LivenessOptions{}};
  Liveness::Changes changes;
  liveness.Hearing(clock.Read().mono);
  for (int i = 0; i < 20; ++i) {
    liveness.Heard(liveness.Add(), clock.Read().mono, changes);
    clock.Advance(absl::Milliseconds(random() % 90));
  }
  while (liveness.count(State::kOffline) < 20) {
    changes.clear();
    const MonoTime due = liveness.NextDue();
    liveness.Tick(MonoTime::FromNanos(due.nanos() - 1), changes);
    ASSERT_TRUE(changes.empty());
    liveness.Tick(due, changes);
    ASSERT_TRUE(!changes.empty() || liveness.NextDue() > due);
  }
}

}  // namespace
}  // namespace fleet::server
