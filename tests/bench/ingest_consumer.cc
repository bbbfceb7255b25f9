// The least that a Paho C++ client can do: subscribes as the server does and counts. The server is compared with it.
//
//   ingest_consumer BROKER_URL [no-trace]      says "ready", then its count for every line of standard input
#include <mqtt/async_client.h>

#include <atomic>
#include <cstdlib>
#include <iostream>

#include "tests/bench/count_on_request.h"

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  if (argc > 2) MQTTAsync_setTraceLevel(MQTTASYNC_TRACE_ERROR);
  std::atomic<uint64_t> count = 0;
  mqtt::async_client client(argv[1], "bare-consumer", mqtt::create_options(MQTTVERSION_5));
  client.set_message_callback([&](const mqtt::const_message_ptr&) { count.fetch_add(1, std::memory_order_relaxed); });
  mqtt::connect_options options;
  options.set_mqtt_version(MQTTVERSION_5);
  options.set_clean_session(false);  // means version 3
  options.set_clean_start(true);
  client.connect(options)->wait();
  client.subscribe("rpi/+/+", 1)->wait();
  std::cout << "ready" << std::endl;
  fleet::AnswerCounts(count);
  std::_Exit(0);  // a disconnect would have to get past the messages that are on their way
}
