// Our options in the terms of Eclipse Paho C++, and its errors in ours; for paho_link.cc only.
#pragma once

#include <mqtt/async_client.h>

#include <string>

#include "absl/status/status.h"
#include "common/mqtt_link.h"

namespace fleet {

// `code`: what Paho returned or a reason code of the broker; `message`, unless empty, goes before it.
std::string ReasonText(int code, const std::string& message);
// Whether the broker said no (MQTT 5, section 2.4).
bool IsRefusal(mqtt::ReasonCode code);

// kUnavailable: not connected; kResourceExhausted: Paho has no room; kInvalidArgument: Paho refuses what it was
// given; kInternal: anything else.
absl::Status ToStatus(const mqtt::exception& e);

mqtt::create_options CreateOptions(const LinkOptions& options);
// For one connection with a clean start and no reconnecting by Paho itself.
mqtt::connect_options ConnectOptions(const LinkOptions& options);
// A goodbye after which the broker publishes the will; after an ordinary one it does not.
mqtt::disconnect_options DisconnectWithWill();

}  // namespace fleet
