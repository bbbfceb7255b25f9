// Sends commands as fleetctl does and measures how long until the requester sees that the device has accepted.
//
//   command_requester SERVER BROKER latency COUNT DEVICE      one at a time, each beside one bare MQTT round trip
//   command_requester SERVER BROKER rate PER_SECOND SECONDS DEVICE...
//
// Prints one JSON line: milliseconds, and how many were not accepted.
#include <mqtt/async_client.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/tcp_no_delay.h"
#include "fleet/v1/api.pb.h"
#include "tests/bench/figures.h"
#include "tools/fleetctl/client.h"

namespace fleet {
namespace {

// Before each measurement, so that both begin on a machine at rest: an operator's command does not come on the heels of
// the disk writes of the one before.
constexpr std::chrono::milliseconds kPause(20);
constexpr int kThreads = 24;  // requests under way at once, at most

// The least that MQTT can do: a QoS 1 message to oneself, by a bare Paho client with its trace off.
class Echo {
 public:
  explicit Echo(const std::string& url) : client_(url, "bare-echo", mqtt::create_options(MQTTVERSION_5)) {
    MQTTAsync_setTraceLevel(MQTTASYNC_TRACE_ERROR);
    mqtt::connect_options options;
    options.set_mqtt_version(MQTTVERSION_5);
    options.set_clean_session(false);  // means version 3
    options.set_clean_start(true);
    client_.start_consuming();
    client_.connect(options)->wait();
    client_.subscribe("bench/echo", 1)->wait();
    // As our own links do. Without it a message waits 40 ms behind the acknowledgement of the one before it.
    SetNoDelayTowards(static_cast<uint16_t>(std::atoi(url.substr(url.rfind(':') + 1).c_str())));
  }
  double RoundTrip() {
    const auto began = SteadyClock::now();
    client_.publish("bench/echo", "0123456789", 1, false);
    client_.consume_message();
    return MillisSince(began);
  }

 private:
  mqtt::async_client client_;
};

v1::SegmentRequest ShortMove() {
  v1::SegmentRequest request;
  request.set_entity_id(1);
  request.set_to_x_mm(10);
  request.set_v0_mm_s(1000);
  request.set_v1_mm_s(1000);
  request.set_type("line");
  request.set_ttl_ms(5000);
  return request;
}

bool IsAccepted(const v1::CommandView& command) {
  return std::any_of(command.steps().begin(), command.steps().end(),
                     [](const v1::CommandStepView& step) { return step.state() == "accepted"; });
}

struct Measured {
  std::vector<double> millis;  // of those that were accepted
  uint64_t refused = 0;
};

void Request(Client& client, const std::string& device, Measured& measured) {
  v1::CommandView command;
  const auto began = SteadyClock::now();
  const absl::Status status = client.Post(
      absl::StrCat("/api/v1/devices/", device, "/segments?wait=accepted&timeout_ms=5000"), ShortMove(), command);
  const double took = MillisSince(began);
  if (status.ok() && IsAccepted(command)) {
    measured.millis.push_back(took);
  } else {
    if (measured.refused++ == 0) std::cerr << status << " " << command.ShortDebugString() << std::endl;
  }
}

void MeasureLatency(const std::string& server, const std::string& broker, int count, const std::string& device) {
  Client client(server);
  Echo echo(broker);
  Measured commands;
  std::vector<double> raw;
  for (int i = 0; i < count; ++i) {
    std::this_thread::sleep_for(kPause);
    raw.push_back(echo.RoundTrip());
    std::this_thread::sleep_for(kPause);
    Request(client, device, commands);
  }
  std::cout << "{\"count\": " << count << ", \"refused\": " << commands.refused << ", " << Summary("raw", raw) << ", "
            << Summary("command", commands.millis) << "}" << std::endl;
}

// Each request has its moment, whether those before it are answered or not.
void MeasureRate(const std::string& server, int per_second, int seconds, const std::vector<std::string>& devices) {
  const int count = per_second * seconds;
  std::atomic<int> next = 0;
  std::vector<Measured> measured(kThreads);
  std::vector<std::thread> threads;
  const auto began = SteadyClock::now();
  for (Measured& mine : measured) {
    threads.emplace_back([&] {
      Client client(server);
      for (int i = next++; i < count; i = next++) {
        std::this_thread::sleep_until(began + std::chrono::microseconds(1'000'000LL * i / per_second));
        Request(client, devices[static_cast<size_t>(i) % devices.size()], mine);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double took_s = MillisSince(began) / 1000;
  Measured all;
  for (Measured& one : measured) {
    all.millis.insert(all.millis.end(), one.millis.begin(), one.millis.end());
    all.refused += one.refused;
  }
  std::cout << "{\"count\": " << count << ", \"refused\": " << all.refused
            << ", \"per_second\": " << static_cast<double>(all.millis.size()) / took_s << ", "
            << Summary("command", all.millis) << "}" << std::endl;
}

}  // namespace
}  // namespace fleet

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() >= 5 && words[2] == "latency") {
    fleet::MeasureLatency(words[0], words[1], std::atoi(words[3].c_str()), words[4]);
  } else if (words.size() >= 6 && words[2] == "rate") {
    fleet::MeasureRate(words[0], std::atoi(words[3].c_str()), std::atoi(words[4].c_str()),
                       {words.begin() + 5, words.end()});
  } else {
    return 2;
  }
}
