// Publishes what many devices say as fast as the broker takes it, at next to no cost of its own: the MQTT packets of
// all devices stand ready in one buffer, of which only the sequence numbers change. Five state reports for one
// heartbeat, as devices do; MQTT 3.1.1, QoS 0.
//
//   ingest_publisher PORT DEVICES ENTITIES     prints its count of messages for every line of standard input
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/status_macros.h"
#include "tests/bench/count_on_request.h"
#include "tests/bench/sample_messages.h"

namespace fleet {
namespace {

using std::string_literals::operator""s;

constexpr int kStatesPerHeartbeat = 5;
constexpr uint32_t kFirstSeq = 1 << 21;  // from here up to 2^28 a varint has four bytes
constexpr size_t kSeqBytes = 4;
constexpr size_t kSeqOffset = 2 + 1;  // in both messages: epoch 1 with its tag, the tag of seq

// MQTT 3.1.1, section 3.1: clean session, no keepalive.
std::string ConnectPacket() {
  return "\x10\x11\x00\x04MQTT\x04\x02\x00\x00\x00\x05"s + "bench";
}

// MQTT 3.1.1, section 2.2.3.
std::string RemainingLength(size_t length) {
  std::string bytes;
  do {
    const auto low = static_cast<char>(length % 128);
    length /= 128;
    bytes.push_back(length > 0 ? static_cast<char>(low | 0x80) : low);
  } while (length > 0);
  return bytes;
}

// PUBLISH packets of one round of all devices.
class Packets {
 public:
  void Add(const std::string& topic, const std::string& payload) {
    const size_t remaining = 2 + topic.size() + payload.size();
    const char topic_size[] = {static_cast<char>(topic.size() >> 8), static_cast<char>(topic.size() & 0xff)};
    absl::StrAppend(&bytes_, "\x30", RemainingLength(remaining), absl::string_view(topic_size, 2), topic);
    seq_at_.push_back(bytes_.size() + kSeqOffset);
    bytes_ += payload;
  }

  absl::string_view NextRound() {
    ++seq_;
    FLEET_CHECK(seq_ < 1 << 28) << "sequence numbers would grow longer";
    char digits[kSeqBytes];
    for (size_t i = 0; i < kSeqBytes; ++i) {
      digits[i] = static_cast<char>(((seq_ >> (7 * i)) & 0x7f) | (i + 1 < kSeqBytes ? 0x80 : 0));
    }
    for (const size_t at : seq_at_) std::memcpy(&bytes_[at], digits, kSeqBytes);
    return bytes_;
  }

  size_t count() const { return seq_at_.size(); }

 private:
  std::string bytes_;
  std::vector<size_t> seq_at_;
  uint32_t seq_ = kFirstSeq;
};

int Connect(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  FLEET_CHECK(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) << "no broker";
  return fd;
}

void WriteAll(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (written <= 0) std::_Exit(0);  // the broker has ended
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

void PublishForever(int port, int devices, int entities, std::atomic<uint64_t>& count) {
  Packets states;
  Packets heartbeats;
  for (int i = 0; i < devices; ++i) {
    const std::string device = absl::StrCat("rpi/bench-", 10'000 + i);
    states.Add(device + "/state", SampleState(i, entities, kFirstSeq));
    heartbeats.Add(device + "/heartbeat", SampleHeartbeat(kFirstSeq));
  }
  const int fd = Connect(port);
  WriteAll(fd, ConnectPacket());
  char connack[4];
  FLEET_CHECK(recv(fd, connack, sizeof(connack), MSG_WAITALL) == sizeof(connack) && connack[3] == 0) << "refused";
  for (int round = 0;; ++round) {
    Packets& packets = round % (kStatesPerHeartbeat + 1) == 0 ? heartbeats : states;
    WriteAll(fd, packets.NextRound());
    count.fetch_add(packets.count(), std::memory_order_relaxed);
  }
}

}  // namespace
}  // namespace fleet

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  std::atomic<uint64_t> count = 0;
  std::thread(fleet::PublishForever, std::atoi(argv[1]), std::atoi(argv[2]), std::atoi(argv[3]), std::ref(count))
      .detach();
  fleet::AnswerCounts(count);
  std::_Exit(0);
}
