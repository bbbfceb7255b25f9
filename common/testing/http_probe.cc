#include "common/testing/http_probe.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace fleet {
namespace {

constexpr int kTimeoutSeconds = 20;

int Connect(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval timeout{.tv_sec = kTimeoutSeconds, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  // A refused connection shows as an answer with status 0.
  (void)!connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  return fd;
}

}  // namespace

HttpConnection::HttpConnection(int port) : fd_(Connect(port)) {}

HttpConnection::~HttpConnection() {
  close(fd_);
}

void HttpConnection::Send(const std::string& bytes) {
  size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t count = send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (count <= 0) return;  // the answer, or its absence, says why
    sent += static_cast<size_t>(count);
  }
}

bool HttpConnection::Fill() {
  char buffer[4096];
  const ssize_t count = recv(fd_, buffer, sizeof(buffer), 0);
  if (count > 0) received_.append(buffer, static_cast<size_t>(count));
  return count > 0;
}

std::optional<std::string> HttpConnection::ReadUntil(const std::string& end) {
  size_t at;
  while ((at = received_.find(end)) == std::string::npos) {
    if (!Fill()) return std::nullopt;
  }
  std::string text = received_.substr(0, at);
  received_.erase(0, at + end.size());
  return text;
}

std::string HttpConnection::ReadBytes(size_t count) {
  while (received_.size() < count && Fill()) {
  }
  std::string bytes = received_.substr(0, count);
  received_.erase(0, bytes.size());
  return bytes;
}

std::string HttpConnection::ReadChunk() {
  const std::optional<std::string> size = ReadUntil("\r\n");
  if (!size.has_value()) return "";
  std::string chunk = ReadBytes(std::strtoul(size->c_str(), nullptr, 16));
  ReadUntil("\r\n");
  return chunk;
}

std::string HttpConnection::ReadRest() {
  while (Fill()) {
  }
  return std::exchange(received_, "");
}

HttpProbeResult HttpConnection::ReadHead() {
  HttpProbeResult result;
  const std::optional<std::string> line = ReadUntil("\r\n");
  if (!line.has_value() || line->rfind("HTTP/1.1 ", 0) != 0) return result;
  result.status = std::atoi(line->c_str() + 9);
  while (true) {
    const std::optional<std::string> header = ReadUntil("\r\n");
    if (!header.has_value() || header->empty()) return result;
    const size_t colon = std::min(header->find(": "), header->size() - 1);
    result.headers[absl::AsciiStrToLower(header->substr(0, colon))] =
        header->substr(std::min(colon + 2, header->size()));
  }
}

HttpProbeResult HttpConnection::ReadAnswer() {
  HttpProbeResult result = ReadHead();
  if (result.headers["transfer-encoding"] == "chunked") {
    for (std::string chunk = ReadChunk(); !chunk.empty(); chunk = ReadChunk()) result.body += chunk;
  } else if (const auto length = result.headers.find("content-length"); length != result.headers.end()) {
    result.body = ReadBytes(std::strtoul(length->second.c_str(), nullptr, 10));
  } else {
    result.body = ReadRest();
  }
  return result;
}

std::optional<std::string> HttpConnection::ReadEvent() {
  size_t end;
  while ((end = events_.find("\n\n")) == std::string::npos) {
    const std::string chunk = ReadChunk();
    if (chunk.empty()) return std::nullopt;
    events_ += chunk;
  }
  std::string event = events_.substr(0, end);
  events_.erase(0, end + 2);
  return event;
}

std::string HttpRequestText(const std::string& method, const std::string& path, const std::string& body) {
  return absl::StrCat(method, " ", path, " HTTP/1.1\r\nHost: localhost\r\nContent-Length: ", body.size(), "\r\n\r\n",
                      body);
}

HttpProbeResult Fetch(int port, const std::string& method, const std::string& path, const std::string& body) {
  HttpConnection connection(port);
  connection.Send(HttpRequestText(method, path, body));
  return connection.ReadAnswer();
}

}  // namespace fleet
