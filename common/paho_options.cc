#include "common/paho_options.h"

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/paho_link.h"
#include "common/status_macros.h"

namespace fleet {

bool IsRefusal(mqtt::ReasonCode code) {
  return static_cast<int>(code) >= 0x80;
}

std::string ReasonText(int code, const std::string& message) {
  // Negative: an error of Paho itself, -1 any failure of TCP; positive: what the broker said (MQTT 5, section 2.4).
  const char* name = code < 0 ? MQTTAsync_strerror(code) : MQTTReasonCode_toString(static_cast<MQTTReasonCodes>(code));
  const std::string text = name == nullptr ? absl::StrCat("code ", code) : std::string(name);
  return message.empty() ? text : absl::StrCat(message, ": ", text);
}

absl::Status ToStatus(const mqtt::exception& e) {
  const std::string text = ReasonText(e.get_return_code(), "");
  switch (e.get_return_code()) {
    case MQTTASYNC_DISCONNECTED:
      return absl::UnavailableError(text);
    case MQTTASYNC_NO_MORE_MSGIDS:
    case MQTTASYNC_MAX_BUFFERED_MESSAGES:
      return absl::ResourceExhaustedError(text);
    case MQTTASYNC_BAD_UTF8_STRING:
    case MQTTASYNC_BAD_QOS:
    case MQTTASYNC_BAD_PROTOCOL:
    case MQTTASYNC_NULL_PARAMETER:
      return absl::InvalidArgumentError(text);
    default:
      return absl::InternalError(text);
  }
}

mqtt::create_options CreateOptions(const LinkOptions& options) {
  mqtt::create_options create(MQTTVERSION_5);
  create.set_max_buffered_messages(options.max_in_flight);
  return create;
}

mqtt::connect_options ConnectOptions(const LinkOptions& options) {
  const int64_t keepalive_s =
      std::max<int64_t>(1, absl::ToInt64Seconds(absl::Ceil(options.keepalive, absl::Seconds(1))));
  mqtt::connect_options connect;
  connect.set_mqtt_version(MQTTVERSION_5);
  connect.set_clean_session(false);  // means version 3; Paho refuses it together with version 5
  connect.set_clean_start(true);
  connect.set_automatic_reconnect(false);
  connect.set_keep_alive_interval(static_cast<int>(keepalive_s));
  connect.set_connect_timeout(static_cast<int>(absl::ToInt64Seconds(PahoLink::kConnectTimeout)));
  if (!options.username.empty()) connect.set_user_name(options.username);
  if (!options.password.empty()) connect.set_password(options.password);
  if (options.will) {
    const Publication& will = *options.will;
    connect.set_will(
        mqtt::will_options(mqtt::string_ref(will.topic), mqtt::binary_ref(will.payload), will.qos, will.retain));
  }
  return connect;
}

mqtt::disconnect_options DisconnectWithWill() {
  mqtt::disconnect_options options(0);
  options.set_reason_code(mqtt::ReasonCode::DISCONNECT_WITH_WILL_MESSAGE);
  // Paho C++ 1.2.0 forgets to tell Paho C that its options have a reason code at all (struct_version 1).
  static_assert(std::is_standard_layout_v<mqtt::disconnect_options>, "else its first member is not where it is");
  auto& c_options = reinterpret_cast<MQTTAsync_disconnectOptions&>(options);
  FLEET_CHECK(absl::string_view(c_options.struct_id, 4) == "MQTD") << "another Paho C++";
  c_options.struct_version = std::max(c_options.struct_version, 1);
  return options;
}

}  // namespace fleet
