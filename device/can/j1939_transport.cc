#include "device/can/j1939_transport.h"

#include <algorithm>
#include <utility>

namespace fleet::device {
namespace {

constexpr uint32_t kFirstBroadcastFormat = 240;  // PDU formats below it carry a destination
constexpr uint32_t kPgnBits = 0x3FFFF;

// The first byte of TP.CM.
enum Control : uint8_t { kRequestToSend = 16, kClearToSend = 17, kEndOfMessage = 19, kBroadcast = 32, kAbort = 255 };

constexpr size_t kControlBytes = 8;
constexpr size_t kPacketBytes = 7;  // of data; the byte before them is the number of the packet
constexpr size_t kMinBytes = 9;     // what is shorter needs no transport

uint32_t PgnOf(const CanFrame& control) {
  return (control.data[5] | control.data[6] << 8 | control.data[7] << 16) & kPgnBits;
}

bool IsSilent(int64_t heard_unix_us, int64_t now_unix_us, bool broadcast) {
  const auto timeout = broadcast ? J1939Transport::kBroadcastTimeout : J1939Transport::kDirectedTimeout;
  return absl::Microseconds(now_unix_us) - absl::Microseconds(heard_unix_us) > timeout;
}

}  // namespace

J1939Id ParseJ1939Id(uint32_t can_id) {
  J1939Id id;
  id.priority = can_id >> 26 & 7;
  id.pgn = can_id >> 8 & kPgnBits;
  id.source = can_id & 0xFF;
  if ((id.pgn >> 8 & 0xFF) < kFirstBroadcastFormat) {
    id.destination = id.pgn & 0xFF;
    id.pgn &= ~uint32_t{0xFF};
  }
  return id;
}

uint32_t CanIdOf(const J1939Id& id) {
  const bool directed = (id.pgn >> 8 & 0xFF) < kFirstBroadcastFormat;
  return uint32_t{id.priority} << 26 | (id.pgn | (directed ? id.destination : 0u)) << 8 | id.source;
}

std::optional<J1939Message> J1939Transport::Hear(const J1939Id& id, const CanFrame& frame) {
  if (id.pgn == kPgnTransportData) return HearData(id, frame);
  HearControl(id, frame);
  return std::nullopt;
}

void J1939Transport::HearControl(const J1939Id& id, const CanFrame& frame) {
  if (frame.size < kControlBytes) {
    ++counters_.malformed;
    return;
  }
  const uint32_t pgn = PgnOf(frame);
  if (!pgns_.contains(pgn)) return;
  if (frame.data[0] == kRequestToSend || frame.data[0] == kBroadcast) return Open(id, frame);

  Session* const sent = Find(id.source, id.destination);      // this is its sender
  Session* const answered = Find(id.destination, id.source);  // this is its receiver
  switch (frame.data[0]) {
    case kClearToSend:
      if (answered != nullptr && answered->pgn == pgn) HearClearToSend(*answered, frame);
      return;
    case kEndOfMessage:  // we have told a whole message at its last packet: this one we have not seen whole
      if (answered != nullptr && answered->pgn == pgn) End(*answered, counters_.sequence);
      return;
    case kAbort:
      if (sent != nullptr && sent->pgn == pgn) return End(*sent, counters_.aborted);
      if (answered != nullptr && answered->pgn == pgn) End(*answered, counters_.aborted);
      return;
    default:
      ++counters_.malformed;
  }
}

void J1939Transport::Open(const J1939Id& id, const CanFrame& frame) {
  const bool broadcast = frame.data[0] == kBroadcast;
  const size_t bytes = frame.data[1] | frame.data[2] << 8;
  const uint8_t packets = frame.data[3];
  if (broadcast != (id.destination == kJ1939Global) || bytes < kMinBytes || bytes > kMaxBytes ||
      packets != (bytes + kPacketBytes - 1) / kPacketBytes) {
    ++counters_.malformed;
    return;
  }
  if (Session* const old = Find(id.source, id.destination); old != nullptr) {
    End(*old, IsSilent(old->heard_unix_us, frame.at_unix_us, broadcast) ? counters_.timeouts : counters_.aborted);
  }
  if (sessions_.size() == kMaxSessions) EndSilent(frame.at_unix_us);
  if (sessions_.size() == kMaxSessions) {
    ++counters_.no_place;
    return;
  }
  sessions_.push_back({.source = id.source,
                       .destination = id.destination,
                       .pgn = PgnOf(frame),
                       .heard_unix_us = frame.at_unix_us,
                       .packets = packets,
                       .next = 1,
                       .data = std::vector<uint8_t>(bytes)});
}

// The receiver names the packet that it wants next: one that it has missed, or with a count of 0 none for now.
void J1939Transport::HearClearToSend(Session& session, const CanFrame& frame) {
  const uint8_t count = frame.data[1];
  const uint8_t next = frame.data[2];
  if (count > 0 && (next == 0 || next > session.next)) return End(session, counters_.sequence);
  if (count > 0) session.next = next;
  session.heard_unix_us = frame.at_unix_us;
}

std::optional<J1939Message> J1939Transport::HearData(const J1939Id& id, const CanFrame& frame) {
  Session* const session = Find(id.source, id.destination);
  if (session == nullptr) return std::nullopt;
  if (IsSilent(session->heard_unix_us, frame.at_unix_us, id.destination == kJ1939Global)) {
    End(*session, counters_.timeouts);
    return std::nullopt;
  }
  const size_t begin = (session->next - 1) * kPacketBytes;
  const size_t bytes = std::min(kPacketBytes, session->data.size() - begin);
  if (frame.size < 1 + bytes) {
    End(*session, counters_.malformed);
    return std::nullopt;
  }
  if (frame.data[0] != session->next) {
    End(*session, counters_.sequence);
    return std::nullopt;
  }
  std::copy_n(frame.data.begin() + 1, bytes, session->data.begin() + begin);
  session->heard_unix_us = frame.at_unix_us;
  if (session->next < session->packets) {
    ++session->next;
    return std::nullopt;
  }
  finished_ = std::move(session->data);
  const J1939Message message = {
      .pgn = session->pgn, .source = id.source, .destination = id.destination, .data = finished_};
  End(*session, counters_.messages);
  return message;
}

J1939Transport::Session* J1939Transport::Find(uint8_t source, uint8_t destination) {
  for (Session& session : sessions_) {
    if (session.source == source && session.destination == destination) return &session;
  }
  return nullptr;
}

void J1939Transport::End(Session& session, uint64_t& why) {
  ++why;
  if (&session != &sessions_.back()) session = std::move(sessions_.back());
  sessions_.pop_back();
}

void J1939Transport::EndSilent(int64_t now_unix_us) {
  for (size_t i = sessions_.size(); i-- > 0;) {
    const Session& session = sessions_[i];
    if (IsSilent(session.heard_unix_us, now_unix_us, session.destination == kJ1939Global)) {
      End(sessions_[i], counters_.timeouts);
    }
  }
}

}  // namespace fleet::device
