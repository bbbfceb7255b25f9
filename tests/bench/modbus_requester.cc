// Asks a Modbus unit through a device, over MQTT, and measures how long until the answer is here.
//
//   modbus_requester BROKER DEVICE UNIT overhead COUNT PORT          one at a time, each beside the same request by
//                                                                    libmodbus alone to the server at PORT, and
//                                                                    beside a bare MQTT round trip
//   modbus_requester BROKER DEVICE UNIT rate PER_SECOND SECONDS      each at its moment, whether those before it are
//                                                                    answered or not
//
// Prints one JSON line: milliseconds, and how many were not answered or not well.
#include <modbus/modbus.h>
#include <mqtt/async_client.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/tcp_no_delay.h"
#include "tests/bench/figures.h"

namespace fleet {
namespace {

constexpr char kEchoTopic[] = "bench/echo";
constexpr std::chrono::milliseconds kPause(2);  // before each measurement: both begin on a machine at rest
constexpr std::chrono::seconds kPatience(15);   // longer than any request lives
constexpr int kAddresses = 60000;               // register A of the server holds A

int AddressOf(int number) {
  return number * 7 % kAddresses;
}

class MqttSide {
 public:
  MqttSide(const std::string& url, const std::string& device, const std::string& unit)
      : client_(url, "modbus-requester", mqtt::create_options(MQTTVERSION_5)),
        topic_(absl::StrCat("server/", device, "/modbus/request")),
        unit_(unit) {
    MQTTAsync_setTraceLevel(MQTTASYNC_TRACE_ERROR);
    mqtt::connect_options options;
    options.set_mqtt_version(MQTTVERSION_5);
    options.set_clean_session(false);  // means version 3
    options.set_clean_start(true);
    client_.start_consuming();
    client_.connect(options)->wait();
    client_.subscribe(absl::StrCat("rpi/", device, "/modbus/response"), 1)->wait();
    client_.subscribe(kEchoTopic, 1)->wait();
    // As our own links do. Without it a message waits 40 ms behind the acknowledgement of the one before it.
    SetNoDelayTowards(static_cast<uint16_t>(std::atoi(url.substr(url.rfind(':') + 1).c_str())));
  }

  void Send(int number) {
    client_.publish(topic_,
                    absl::StrCat("{\"id\":", number, ",\"device_id\":\"", unit_, "\",\"function_code\":3,",
                                 "\"address\":", AddressOf(number), "}"),
                    1, false);
  }

  // The least that MQTT can do: a message to oneself. A request and its answer are two of them.
  void Echo() {
    client_.publish(kEchoTopic, "0123456789", 1, false);
    client_.consume_message();
  }

  // The number of the next answer that is right; -1: it is wrong, -2: there is none.
  int Receive() {
    mqtt::const_message_ptr message;
    if (!client_.try_consume_message_for(&message, kPatience) || message == nullptr) return -2;
    const absl::string_view answer(message->get_payload_ref().data(), message->get_payload_ref().size());
    const size_t at = answer.find("\"id\":");
    int number = -1;
    if (at == answer.npos) return -1;
    const absl::string_view rest = answer.substr(at + 5);
    if (!absl::SimpleAtoi(rest.substr(0, rest.find(',')), &number)) return -1;
    return absl::StrContains(answer, absl::StrCat("\"value\":", AddressOf(number), ",")) ? number : -1;
  }

 private:
  mqtt::async_client client_;
  const std::string topic_;
  const std::string unit_;
};

// The same request by nothing but libmodbus.
class BareSide {
 public:
  explicit BareSide(int port) : context_(modbus_new_tcp("127.0.0.1", port)) {
    is_connected_ = modbus_connect(context_) == 0;
  }
  ~BareSide() { modbus_free(context_); }
  BareSide(const BareSide&) = delete;
  BareSide& operator=(const BareSide&) = delete;

  bool is_connected() const { return is_connected_; }
  bool Read(int number) {
    uint16_t value = 0;
    return modbus_read_registers(context_, AddressOf(number), 1, &value) == 1 && value == AddressOf(number);
  }

 private:
  modbus_t* context_;
  bool is_connected_ = false;
};

int MeasureOverhead(MqttSide& mqtt_side, int count, int port) {
  BareSide bare_side(port);
  if (!bare_side.is_connected()) return 1;
  std::vector<double> bare, echo, through;
  int failed = 0;
  for (int i = 0; i < count; ++i) {
    std::this_thread::sleep_for(kPause);
    const auto bare_began = SteadyClock::now();
    if (!bare_side.Read(i)) ++failed;
    bare.push_back(MillisSince(bare_began));

    std::this_thread::sleep_for(kPause);
    const auto echo_began = SteadyClock::now();
    mqtt_side.Echo();
    echo.push_back(MillisSince(echo_began));

    std::this_thread::sleep_for(kPause);
    const auto began = SteadyClock::now();
    mqtt_side.Send(i);
    if (mqtt_side.Receive() != i) ++failed;
    through.push_back(MillisSince(began));
  }
  std::cout << "{\"count\": " << count << ", \"failed\": " << failed << ", " << Summary("bare", bare) << ", "
            << Summary("echo", echo) << ", " << Summary("mqtt", through) << "}" << std::endl;
  return 0;
}

int MeasureRate(MqttSide& mqtt_side, int per_second, int seconds) {
  const int count = per_second * seconds;
  std::vector<SteadyClock::time_point> began(static_cast<size_t>(count));
  std::atomic<int> sent = 0;
  std::thread sender([&] {
    const auto start = SteadyClock::now();
    for (int i = 0; i < count; ++i) {
      std::this_thread::sleep_until(start + std::chrono::microseconds(1'000'000LL * i / per_second));
      began[static_cast<size_t>(i)] = SteadyClock::now();
      sent = i + 1;
      mqtt_side.Send(i);
    }
  });
  std::vector<double> millis;
  int wrong = 0;
  for (int i = 0; i < count; ++i) {
    const int number = mqtt_side.Receive();
    if (number == -2) break;
    if (number < 0 || number >= sent) {
      ++wrong;
    } else {
      millis.push_back(MillisSince(began[static_cast<size_t>(number)]));
    }
  }
  sender.join();
  const int unanswered = count - static_cast<int>(millis.size()) - wrong;
  std::cout << "{\"count\": " << count << ", \"unanswered\": " << unanswered << ", \"wrong\": " << wrong << ", "
            << Summary("mqtt", millis) << "}" << std::endl;
  return 0;
}

}  // namespace
}  // namespace fleet

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() != 6) return 2;
  fleet::MqttSide mqtt_side(words[0], words[1], words[2]);
  const int first = std::atoi(words[4].c_str());
  const int second = std::atoi(words[5].c_str());
  if (words[3] == "overhead") return fleet::MeasureOverhead(mqtt_side, first, second);
  if (words[3] == "rate") return fleet::MeasureRate(mqtt_side, first, second);
  return 2;
}
