#include "common/name_lookup.h"

#include <netdb.h>
#include <poll.h>

#include <cstring>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/mutex.h"

namespace fleet {
namespace {

absl::StatusOr<std::vector<SocketAddress>> Ask(const std::string& host, const std::string& port, int flags) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
  if (error != 0) return absl::NotFoundError(gai_strerror(error));
  std::vector<SocketAddress> addresses;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    SocketAddress& address = addresses.emplace_back();
    address.size = one->ai_addrlen;
    std::memcpy(&address.storage, one->ai_addr, one->ai_addrlen);
  }
  freeaddrinfo(found);
  return addresses;
}

}  // namespace

std::string SocketAddress::host() const {
  char text[NI_MAXHOST];
  return getnameinfo(get(), size, text, sizeof(text), nullptr, 0, NI_NUMERICHOST) == 0 ? text : "";
}

// What a lookup and its thread share.
struct NameLookup::Question {
  Interruption answered;
  Mutex mu;
  absl::StatusOr<std::vector<SocketAddress>> answer ABSL_GUARDED_BY(mu);
};

NameLookup::NameLookup(std::string host, int port)
    : NameLookup(std::move(host), port, [](const std::string& name, const std::string& service) {
        return Ask(name, service, AI_ADDRCONFIG);
      }) {}

NameLookup::NameLookup(std::string host, int port, Resolver resolver)
    : host_(std::move(host)), port_(absl::StrCat(port)), resolver_(std::move(resolver)) {}

absl::StatusOr<std::vector<SocketAddress>> NameLookup::Find(absl::Duration timeout, const Interruption& interruption) {
  if (auto address = Ask(host_, port_, AI_NUMERICHOST); address.ok()) return address;
  if (open_ == nullptr) {
    open_ = std::make_shared<Question>();
    std::thread([question = open_, resolver = resolver_, host = host_, port = port_] {
      auto answer = resolver(host, port);
      MutexLock lock(question->mu);
      question->answer = std::move(answer);
      question->answered.Raise();
    }).detach();
  }
  switch (interruption.Wait(open_->answered.fd(), POLLIN, timeout)) {
    case Interruption::Woken::kReady:
      break;
    case Interruption::Woken::kTimeout:
      return absl::DeadlineExceededError("no name server answers");
    case Interruption::Woken::kRaised:
      return absl::CancelledError("interrupted");
  }
  const std::shared_ptr<Question> question = std::exchange(open_, nullptr);
  MutexLock lock(question->mu);
  return std::move(question->answer);
}

}  // namespace fleet
