#include "device/linked_agent.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "common/topics.h"

namespace fleet::device {

LinkOptions LinkedAgent::CompleteLinkOptions(LinkOptions options) const {
  options.client_id = agent_.device().str();
  options.will = agent_.Will();
  options.subscriptions = agent_.Subscriptions();
  return options;
}

void LinkedAgent::Handle(const Input& input, Now now) {
  agent_.Handle(input, now, effects_);
  CarryOut(now);
}

MonoTime LinkedAgent::Turn(Now now) {
  const MonoTime link_due = link_->Tick(now.mono);
  agent_.Tick(now, effects_);
  CarryOut(now);
  return std::min(link_due, agent_.NextDue());
}

void LinkedAgent::Flush(Now now) {
  agent_.Flush(now, effects_);
  CarryOut(now);
}

absl::Status LinkedAgent::Close(absl::Duration timeout) {
  return link_->Close(agent_.Goodbye(), timeout);
}

void LinkedAgent::CarryOut(Now now) {
  for (size_t i = 0; i < effects_.publish.size(); ++i) {
    if (!link_->Publish(effects_.publish[i]).ok()) Refuse(std::move(effects_.publish[i]), now);
  }
  if (controllers_) {
    for (const ControllerEvent& event : effects_.controllers) controllers_(event);
  }
  if (spool_ && !effects_.spool.empty()) {
    effects_.spool.number = ++works_;
    spool_(std::move(effects_.spool));
  }
  effects_.Clear();
}

void LinkedAgent::Refuse(Publication publication, Now now) {
  if (const auto topic = ParseDeviceTopic(publication.topic)) ++refused_[static_cast<size_t>(topic->topic)];
  agent_.Handle(PublishRefused{std::move(publication)}, now, effects_);
}

}  // namespace fleet::device
