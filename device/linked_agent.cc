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
  Effects effects;
  agent_.Handle(input, now, effects);
  CarryOut(effects, now);
}

MonoTime LinkedAgent::Turn(Now now) {
  const MonoTime link_due = link_->Tick(now.mono);
  Effects effects;
  agent_.Tick(now, effects);
  CarryOut(effects, now);
  return std::min(link_due, agent_.NextDue());
}

void LinkedAgent::Flush(Now now) {
  Effects effects;
  agent_.Flush(now, effects);
  CarryOut(effects, now);
}

absl::Status LinkedAgent::Close(absl::Duration timeout) {
  return link_->Close(agent_.Goodbye(), timeout);
}

void LinkedAgent::CarryOut(Effects& effects, Now now) {
  for (size_t i = 0; i < effects.publish.size(); ++i) {
    if (!link_->Publish(effects.publish[i]).ok()) Refuse(std::move(effects.publish[i]), now, effects);
  }
  if (controllers_) {
    for (const ControllerEvent& event : effects.controllers) controllers_(event);
  }
  if (can_) {
    for (CanWrite& write : effects.can.writes) can_(std::move(write));
  }
  if (modbus_) {
    for (ModbusStart& start : effects.modbus.starts) modbus_(std::move(start));
  }
  if (spool_ && !effects.spool.empty()) {
    effects.spool.number = ++works_;
    spool_(std::move(effects.spool));
  }
}

void LinkedAgent::Refuse(Publication publication, Now now, Effects& effects) {
  if (const auto topic = ParseDeviceTopic(publication.topic)) ++refused_[static_cast<size_t>(topic->topic)];
  agent_.Handle(PublishRefused{std::move(publication)}, now, effects);
}

}  // namespace fleet::device
