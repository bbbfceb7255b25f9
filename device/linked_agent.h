// One agent on one link to the broker: the glue that the program, the simulator and the tests share.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "common/clock.h"
#include "common/mqtt_link.h"
#include "device/agent.h"

namespace fleet::device {

// Carries out what the agent wants: publications go to the link, what it refuses goes back to the agent; what is for
// the disk goes to the spool, one work at most per call. Loop thread only. The link's events and the spool's answers
// come back through Handle, by way of whatever queue the owner has.
class LinkedAgent {
 public:
  using ControllerSink = std::function<void(const ControllerEvent&)>;

  using SpoolSink = std::function<void(SpoolWork)>;
  using CanSink = std::function<void(CanWrite)>;
  using ModbusSink = std::function<void(ModbusStart)>;

  LinkedAgent(AgentOptions options, Now now) : agent_(std::move(options), now) {}

  // `options` with what the agent asks of its link: client id, will, subscriptions.
  LinkOptions CompleteLinkOptions(LinkOptions options) const;
  // Once, before anything else.
  void Attach(std::unique_ptr<MqttLink> link) { link_ = std::move(link); }
  void SetControllerSink(ControllerSink sink) { controllers_ = std::move(sink); }
  // Where AgentOptions::spool came from; needed when that is set.
  void SetSpoolSink(SpoolSink sink) { spool_ = std::move(sink); }
  // The buses of AgentOptions::can. What cannot be written comes back as the outcome of it.
  void SetCanSink(CanSink sink) { can_ = std::move(sink); }
  // The buses of AgentOptions::modbus. What becomes of each job comes back as its ModbusDone.
  void SetModbusSink(ModbusSink sink) { modbus_ = std::move(sink); }

  void Handle(const Input& input, Now now);
  // Does what is due; returns when to be called again.
  MonoTime Turn(Now now);
  // Before Close: what is only in memory goes to the spool.
  void Flush(Now now);
  // Says goodbye and disconnects. As MqttLink::Close.
  absl::Status Close(absl::Duration timeout);

  const Agent& agent() const { return agent_; }
  // Publications of this kind that the link took.
  uint64_t sent(DeviceTopic topic) const { return agent_.made(topic) - refused_[static_cast<size_t>(topic)]; }

 private:
  void CarryOut(Effects& effects, Now now);
  void Refuse(Publication publication, Now now, Effects& effects);

  std::unique_ptr<MqttLink> link_;
  ControllerSink controllers_;
  SpoolSink spool_;
  CanSink can_;
  ModbusSink modbus_;
  Agent agent_;
  uint64_t works_ = 0;                             // for the spool so far
  std::array<uint64_t, kDeviceTopics> refused_{};  // by DeviceTopic
};

}  // namespace fleet::device
