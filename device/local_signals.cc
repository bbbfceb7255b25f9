#include "device/local_signals.h"

#include <limits>
#include <utility>

#include "common/topics.h"

namespace fleet::device {

void LocalSignals::Publish(const PublishRequest& request, MonoTime now, SignalEffects& effects) {
  for (const PublishedField& field : request.fields) {
    effects.publish.push_back({.topic = SignalTopic(device_, field.signal), .payload = field.text});
    if (field.value) {
      effects.samples.push_back({.signal = field.signal, .value = *field.value, .at_unix_ms = request.at_unix_ms});
    }
    Remember({.name = field.signal,
              .text = field.text,
              .is_word = !field.value.has_value(),
              .value = field.value.value_or(std::numeric_limits<double>::quiet_NaN()),
              .heard_at = now});
  }
  published_ += request.fields.size();
}

void LocalSignals::AppendCurrent(std::vector<CurrentSignal>& out) const {
  out.insert(out.end(), signals_.begin(), signals_.end());
}

void LocalSignals::Remember(CurrentSignal signal) {
  if (const auto known = by_name_.find(signal.name); known != by_name_.end()) {
    signals_.splice(signals_.begin(), signals_, known->second);
    signals_.front() = std::move(signal);
    return;
  }
  if (signals_.size() == kMaxRemembered) {
    by_name_.erase(signals_.back().name);
    signals_.pop_back();
    ++forgotten_;
  }
  signals_.push_front(std::move(signal));
  by_name_.emplace(signals_.front().name, signals_.begin());
}

}  // namespace fleet::device
