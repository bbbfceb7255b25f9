// MqttLink over a real broker: MQTT 5 with Eclipse Paho C++. Only paho_link.cc and paho_options.* know of the library.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "common/backoff.h"
#include "common/mqtt_link.h"

namespace fleet {

// Paho's own reconnecting and offline buffering are off: Tick decides when to connect, every connection is clean and
// subscribes anew, and what cannot be sent is refused. An attempt that is not up after kConnectTimeout is given up.
//
// The sink runs on Paho's receiving thread, which all links of the process share, or on the owner's inside Tick; never
// after Close or the destructor. Paho holds its own lock meanwhile, so a sink that waited for a thread that is inside
// Publish would wait for ever.
class PahoLink : public MqttLink {
 public:
  static constexpr absl::Duration kConnectTimeout = absl::Seconds(5);

  // kInvalidArgument: a URL or client id that Paho refuses. Connects nothing yet.
  static absl::StatusOr<std::unique_ptr<PahoLink>> Open(LinkOptions options, LinkSink sink);
  // Waits up to a second for the broker to be told that the will is to be published.
  ~PahoLink() override;

  MonoTime Tick(MonoTime now) override;
  absl::Status Publish(const Publication& publication) override;
  absl::Status Close(const std::optional<Publication>& goodbye, absl::Duration timeout) override;

 private:
  class Connection;

  PahoLink(LinkOptions options, LinkSink sink);
  absl::Status Renew();

  const LinkOptions options_;
  const LinkSink sink_;
  Backoff backoff_;
  std::unique_ptr<Connection> connection_;  // null: closed
  MonoTime due_;                            // of the next attempt, or the end of the present one
  MonoTime started_;                        // of the last attempt
};

}  // namespace fleet
