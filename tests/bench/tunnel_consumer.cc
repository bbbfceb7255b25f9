// Counts the frames of the benchmarks' tunnels as they come out of the broker, and looks at each of them.
//
//   tunnel_consumer BROKER_URL native|compat TOPIC_FILTER
//
// Says "ready", then for every line of standard input how many frames came, in how many messages. Each frame has its
// number in its first four bytes; one that comes twice or ahead of another is not counted.
#include <mqtt/async_client.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>

#include "common/can/can_columns.h"
#include "fleet/v1/to_server.pb.h"

namespace {

class Consumer {
 public:
  explicit Consumer(bool native) : native_(native) {}

  void Take(const std::string& payload) {
    messages_.fetch_add(1, std::memory_order_relaxed);
    if (!native_) return TakeFrame(payload.data() + 9, payload.size() - 9);
    if (!batch_.ParseFromString(payload)) return;
    (void)fleet::ForEachFrame(batch_.frames(), [this](const fleet::CanFrame& frame) {
      TakeFrame(reinterpret_cast<const char*>(frame.data.data()), frame.size);
    });
  }

  void Answer() const {
    for (std::string line; std::getline(std::cin, line);) std::cout << frames_ << " " << messages_ << std::endl;
  }

 private:
  void TakeFrame(const char* data, size_t size) {
    uint32_t number = 0;
    if (size < sizeof(number)) return;
    std::memcpy(&number, data, sizeof(number));
    if (number < next_) return;
    next_ = number + 1;
    frames_.fetch_add(1, std::memory_order_relaxed);
  }

  const bool native_;
  fleet::v1::CanBatch batch_;
  uint32_t next_ = 0;
  std::atomic<uint64_t> frames_ = 0;
  std::atomic<uint64_t> messages_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  MQTTAsync_setTraceLevel(MQTTASYNC_TRACE_ERROR);
  Consumer consumer(std::string(argv[2]) == "native");
  mqtt::async_client client(argv[1], "tunnel-consumer", mqtt::create_options(MQTTVERSION_5));
  client.set_message_callback(
      [&](const mqtt::const_message_ptr& message) { consumer.Take(message->get_payload_str()); });
  mqtt::connect_options options;
  options.set_mqtt_version(MQTTVERSION_5);
  options.set_clean_session(false);  // means version 3
  options.set_clean_start(true);
  client.connect(options)->wait();
  client.subscribe(argv[3], 0)->wait();
  std::cout << "ready" << std::endl;
  consumer.Answer();
  std::_Exit(0);  // a disconnect would have to get past the messages that are on their way
}
