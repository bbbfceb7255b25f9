#include "device/modbus/libmodbus_bus.h"

#include <modbus.h>
#include <poll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/interruption.h"
#include "common/mutex.h"
#include "common/name_lookup.h"
#include "common/status_macros.h"
#include "device/modbus/modbus_pdu.h"
#include "device/modbus/serial_timing.h"
#include "device/modbus/tcp_dial.h"

namespace fleet::device {
namespace {

using Outcome = ModbusReply::Outcome;
using Woken = Interruption::Woken;

constexpr uint8_t kBroadcast = 0;
constexpr size_t kMbapBytes = 6;      // of TCP before the unit: number, protocol, length
constexpr size_t kCheckSumBytes = 2;  // of a serial line
// How much longer than its bytes take an answer that has begun may take: an adapter, a busy unit.
constexpr absl::Duration kHesitation = absl::Milliseconds(200);
constexpr absl::Duration kShortest = absl::Milliseconds(1);  // zero would be none to the library

struct FreeModbus {
  void operator()(modbus_t* context) const { modbus_free(context); }
};
using Context = std::unique_ptr<modbus_t, FreeModbus>;

Context MakeContext(const ModbusBusPlan& plan) {
  if (plan.kind == ModbusKind::kTcp) return Context(modbus_new_tcp_pi(nullptr, "502"));  // we connect, see Dial
  return Context(modbus_new_rtu(plan.host.c_str(), plan.baud, plan.parity, 8, plan.stop_bits));
}

ModbusReply Reply(Outcome outcome, std::string detail) {
  return {.outcome = outcome, .detail = std::move(detail)};
}

ModbusReply Interrupted() {
  return Reply(Outcome::kInterrupted, "interrupted");
}

ModbusReply TooLate() {
  return Reply(Outcome::kTooLate, "its time to live was over before it could be sent");
}

bool IsGood(const ModbusReply& reply) {
  return reply.outcome == Outcome::kDone || reply.outcome == Outcome::kException;
}

class LibmodbusBus : public ModbusBus {
 public:
  explicit LibmodbusBus(const ModbusBusPlan& plan)
      : plan_(plan),
        is_serial_(plan.kind == ModbusKind::kRtu),
        where_(is_serial_ ? plan.host : absl::StrCat(plan.host, ":", plan.port)),
        context_(MakeContext(plan)),
        name_(plan.host, plan.port),
        timing_(std::max(plan.baud, 1), plan.parity != 'N', plan.stop_bits) {
    FLEET_CHECK(context_ != nullptr) << "no Modbus bus: " << where_;
    modbus_set_error_recovery(context_.get(), MODBUS_ERROR_RECOVERY_NONE);
    modbus_set_byte_timeout(context_.get(), 0, 0);  // the response timeout is for all of it
  }
  ~LibmodbusBus() override { Close(); }

  ModbusReply Execute(const ModbusTransaction& transaction, absl::Duration timeout) override {
    Attempt attempt = Try(transaction, timeout);
    if (attempt.may_repeat) attempt = Try(transaction, timeout);
    if (interruption_.raised() && !IsGood(attempt.reply)) return Interrupted();
    return std::move(attempt.reply);
  }

  // A read that has begun is the library's: only the end of the connection ends it. On a serial line it ends by itself.
  void Interrupt() override {
    interruption_.Raise();
    MutexLock lock(mu_);
    if (connection_ >= 0) shutdown(connection_, SHUT_RDWR);
  }

 private:
  struct Attempt {
    ModbusReply reply;
    bool may_repeat = false;  // it failed in a way that a new connection may cure, and nobody can have done it
  };

  MonoTime now() const { return clock_.Read().mono; }
  int fd() const { return modbus_get_socket(context_.get()); }  // -1: not connected

  Attempt Try(const ModbusTransaction& transaction, absl::Duration timeout) {
    if (interruption_.raised()) return {.reply = Interrupted()};
    CloseIfGone();
    const bool was_used = fd() >= 0;
    if (!was_used) {
      const absl::Status opened = is_serial_ ? OpenLine() : Dial(timeout);
      if (!opened.ok()) return {.reply = NotConnected(opened.message())};
    }
    Attempt attempt = is_serial_ ? TrySerial(transaction, timeout) : TryTcp(transaction, timeout);
    if (attempt.reply.outcome == Outcome::kNotConnected || (!is_serial_ && !IsGood(attempt.reply))) Close();
    attempt.may_repeat = attempt.may_repeat && was_used;
    return attempt;
  }

  ModbusReply NotConnected(absl::string_view why) const {
    std::string words(why);  // of us, or of the system, which begins with a capital
    if (!words.empty()) words[0] = absl::ascii_tolower(static_cast<unsigned char>(words[0]));
    return Reply(Outcome::kNotConnected, absl::StrCat(where_, ": ", words));
  }

  // ---- connecting

  // On TCP, what has come while nobody asked is the end, or an answer to nothing.
  void CloseIfGone() {
    pollfd one = {.fd = fd(), .events = static_cast<short>(is_serial_ ? 0 : POLLIN), .revents = 0};
    if (one.fd >= 0 && poll(&one, 1, 0) > 0) Close();
  }

  absl::Status Dial(absl::Duration timeout) {
    const absl::StatusOr<int> dialed = DialTcp(name_, timeout, interruption_);
    if (!dialed.ok()) return dialed.status();
    if (*dialed >= FD_SETSIZE) {  // the library waits by select(2)
      close(*dialed);
      return absl::UnavailableError("too many files are open");
    }
    modbus_set_socket(context_.get(), *dialed);
    MutexLock lock(mu_);
    connection_ = *dialed;
    if (interruption_.raised()) shutdown(connection_, SHUT_RDWR);
    return absl::OkStatus();
  }

  absl::Status OpenLine() {
    if (modbus_connect(context_.get()) != 0) {
      return absl::UnavailableError(errno == ENOTTY ? "it is no serial line" : std::strerror(errno));
    }
    // The library takes a rate that it does not know for 9600.
    termios settings{};
    const bool has_rate = tcgetattr(fd(), &settings) == 0 && (cfgetospeed(&settings) != B9600 || plan_.baud == 9600);
    if (has_rate && fd() < FD_SETSIZE) {
      timing_.Noise(now());
      return absl::OkStatus();
    }
    Close();
    return absl::UnavailableError(has_rate ? "too many files are open"
                                           : absl::StrCat("a serial line cannot have ", plan_.baud, " bit/s"));
  }

  void Close() {
    {
      MutexLock lock(mu_);
      connection_ = -1;
    }
    if (fd() >= 0 && is_serial_) tcflush(fd(), TCIOFLUSH);  // or closing may wait half a minute for what is unsent
    if (fd() >= 0) modbus_close(context_.get());
  }

  // ---- one exchange

  Attempt TryTcp(const ModbusTransaction& transaction, absl::Duration timeout) {
    if (now() >= transaction.not_after) return {.reply = TooLate()};
    if (const int error = Send(transaction); error != 0) {
      return {.reply = NotConnected(std::strerror(error)), .may_repeat = error == EPIPE || error == ECONNRESET};
    }
    Attempt attempt = HearTcp(transaction, timeout);
    attempt.reply.was_sent = true;
    return attempt;
  }

  Attempt HearTcp(const ModbusTransaction& transaction, absl::Duration timeout) {
    const MonoTime deadline = now() + timeout;
    switch (interruption_.Wait(fd(), POLLIN, timeout)) {
      case Woken::kRaised:
        return {.reply = Interrupted()};
      case Woken::kTimeout:
        return {.reply = NoAnswer(transaction)};
      case Woken::kReady:
        break;
    }
    if (char first; recv(fd(), &first, 1, MSG_PEEK) <= 0) {
      return {.reply = NotConnected("the connection was closed before an answer"),
              .may_repeat = !IsWrite(transaction.function)};
    }
    std::vector<uint8_t> frame;
    if (const int error = Receive(deadline - now(), frame); error != 0) {
      return {.reply =
                  error == ECONNRESET ? NotConnected("the connection was closed within an answer") : Broken(error)};
    }
    // The number is that of modbus_send_raw_request, always 0; so is the protocol.
    const size_t length = frame.size() - kMbapBytes;
    if (frame[0] != 0 || frame[1] != 0 || frame[2] != 0 || frame[3] != 0 || (frame[4] << 8 | frame[5]) != int(length)) {
      return {.reply = Reply(Outcome::kBadAnswer, "the answer is to another request, or its length is wrong")};
    }
    return {.reply = ReadModbusAnswer(transaction, absl::MakeConstSpan(frame).subspan(kMbapBytes))};
  }

  Attempt TrySerial(const ModbusTransaction& transaction, absl::Duration timeout) {
    const bool is_broadcast = transaction.unit == kBroadcast;
    if (modbus_set_slave(context_.get(), transaction.unit) != 0 || (is_broadcast && !IsWrite(transaction.function))) {
      return {.reply =
                  Reply(Outcome::kNoAnswer, absl::StrCat("nobody is unit ", transaction.unit, " of a serial line"))};
    }
    if (ModbusReply problem = WaitForSilence(transaction.unit, timeout); !IsGood(problem)) return {.reply = problem};
    if (now() >= transaction.not_after) return {.reply = TooLate()};
    if (const int error = Send(transaction); error != 0) {
      return {.reply = NotConnected(std::strerror(error)),
              .may_repeat = error == EIO || error == ENXIO || error == ENODEV};
    }
    const absl::Duration sending = timing_.TimeOf(ModbusRequestBytes(transaction).size() + kCheckSumBytes);
    if (!is_broadcast) {
      Attempt attempt = {.reply = HearSerial(transaction, sending + timeout, timeout)};
      attempt.reply.was_sent = true;
      return attempt;
    }
    interruption_.Wait(-1, 0, sending);
    timing_.Broadcast(now());
    return {};
  }

  // Until the unit may be asked. What is heard meanwhile is dropped.
  ModbusReply WaitForSilence(uint8_t unit, absl::Duration timeout) {
    const MonoTime give_up = std::max(now(), timing_.Due(unit)) + timeout;
    while (true) {
      switch (interruption_.Wait(fd(), POLLIN, timing_.Due(unit) - now())) {
        case Woken::kTimeout:
          return {};
        case Woken::kRaised:
          return Interrupted();
        case Woken::kReady:
          break;
      }
      char dropped[256];
      const ssize_t count = read(fd(), dropped, sizeof(dropped));
      if (count < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (count <= 0) return NotConnected("the serial line is gone");
      static_cast<uint8_t>(dropped[0]) == unit ? timing_.NoiseOf(unit, now()) : timing_.Noise(now());
      if (now() >= give_up) return Reply(Outcome::kBadAnswer, "the line is never silent: is there another master?");
    }
  }

  ModbusReply HearSerial(const ModbusTransaction& transaction, absl::Duration patience, absl::Duration timeout) {
    const MonoTime deadline = now() + patience;
    const absl::Duration hearing = timing_.TimeOf(MODBUS_RTU_MAX_ADU_LENGTH) + kHesitation;
    bool heard_others = false;
    while (true) {
      switch (interruption_.Wait(fd(), POLLIN, deadline - now())) {
        case Woken::kRaised:
          return Interrupted();
        case Woken::kTimeout:
          timing_.Silent(transaction.unit, now(), timeout);
          return heard_others ? Reply(Outcome::kBadAnswer, "only other units answered") : NoAnswer(transaction);
        case Woken::kReady:
          break;
      }
      std::vector<uint8_t> frame;
      const int error = Receive(hearing, frame);
      if (error == EMBBADSLAVE) {
        timing_.NoiseOf(frame[0], now());
        heard_others = true;
        continue;
      }
      if (error == 0) frame.resize(frame.size() - kCheckSumBytes);
      ModbusReply reply = error == 0 ? ReadModbusAnswer(transaction, frame) : Broken(error);
      IsGood(reply) ? timing_.Answered(transaction.unit, now()) : timing_.NoiseOf(transaction.unit, now());
      return reply;
    }
  }

  // Both 0, or an errno or one of the library's numbers.
  int Send(const ModbusTransaction& transaction) {
    const std::vector<uint8_t> bytes = ModbusRequestBytes(transaction);
    if (modbus_send_raw_request(context_.get(), bytes.data(), static_cast<int>(bytes.size())) >= 0) return 0;
    return errno == EMBBADDATA ? EAGAIN : errno;  // that is what it calls a send of a part
  }
  // EMBBADSLAVE: a frame of another unit, of which only that is left. The read ends after `timeout`.
  int Receive(absl::Duration timeout, std::vector<uint8_t>& frame) {
    const timeval left = absl::ToTimeval(std::max(timeout, kShortest));
    modbus_set_response_timeout(context_.get(), static_cast<uint32_t>(left.tv_sec),
                                static_cast<uint32_t>(left.tv_usec));
    frame.resize(MODBUS_MAX_ADU_LENGTH);
    const int count = modbus_receive_confirmation(context_.get(), frame.data());
    if (count < 0) return errno;
    frame.resize(std::max<size_t>(static_cast<size_t>(count), 1));
    return count == 0 ? EMBBADSLAVE : 0;
  }

  ModbusReply NoAnswer(const ModbusTransaction& transaction) const {
    return Reply(Outcome::kNoAnswer, absl::StrCat("unit ", transaction.unit, " of ", where_, " does not answer"));
  }
  // An answer had begun.
  ModbusReply Broken(int error) const {
    switch (error) {
      case ETIMEDOUT:
        return Reply(Outcome::kBadAnswer, "the answer breaks off");
      case EMBBADCRC:
        return Reply(Outcome::kBadAnswer, "the checksum of the answer is wrong");
      case EMBBADDATA:
      case EMBMDATA:
        return Reply(Outcome::kBadAnswer, "the answer is longer than any can be");
      default:
        return NotConnected(is_serial_ ? "the serial line is gone" : std::strerror(error));
    }
  }

  const ModbusBusPlan plan_;
  const bool is_serial_;
  const std::string where_;
  const SystemClock clock_;
  const Context context_;
  Interruption interruption_;
  NameLookup name_;
  SerialTiming timing_;
  Mutex mu_;
  int connection_ ABSL_GUARDED_BY(mu_) = -1;  // of TCP: the library's own is for one thread
};

}  // namespace

std::unique_ptr<ModbusBus> MakeLibmodbusBus(const ModbusBusPlan& plan) {
  return std::make_unique<LibmodbusBus>(plan);
}

}  // namespace fleet::device
