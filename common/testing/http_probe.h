// A plain HTTP client over a socket, for tests: what is on the wire, with no library between.
#pragma once

#include <map>
#include <optional>
#include <string>

namespace fleet {

struct HttpProbeResult {
  int status = 0;                              // 0: no answer
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

// One connection to 127.0.0.1. Reads give up after 20 s. Blocking; one thread.
class HttpConnection {
 public:
  explicit HttpConnection(int port);
  ~HttpConnection();
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  void Send(const std::string& bytes);
  HttpProbeResult ReadHead();    // leaves the body to be read
  HttpProbeResult ReadAnswer();  // all of it
  // The next block of a stream of server-sent events, without its empty line: "event: x\ndata: y", or ": comment".
  // Call ReadHead first. nullopt: the stream has ended.
  std::optional<std::string> ReadEvent();

 private:
  bool Fill();  // false: no more
  std::optional<std::string> ReadUntil(const std::string& end);
  std::string ReadBytes(size_t count);
  std::string ReadChunk();  // empty: the last
  std::string ReadRest();

  const int fd_;
  std::string received_;  // not yet read
  std::string events_;    // of chunks, not yet read
};

std::string HttpRequestText(const std::string& method, const std::string& path, const std::string& body = "");

HttpProbeResult Fetch(int port, const std::string& method, const std::string& path, const std::string& body = "");

}  // namespace fleet
