// Telemetry by signal, and trouble codes: docs/protocol.md section 8.
#include <string>

#include "absl/strings/str_split.h"
#include "server/api.h"
#include "server/api_support.h"

namespace fleet::server {
namespace {

absl::StatusOr<v1::TelemetryList> Telemetry(StoreReader& reader, const HttpRequest& request) {
  StoreReader::TelemetryQuestion question{
      .device_id = request.captures[0],
      .signals = absl::StrSplit(TextOf(request, "signal"), ',', absl::SkipEmpty()),
      .cursor = TextOf(request, "cursor"),
  };
  ASSIGN_OR_RETURN(question.limit, LimitOf(request));
  RETURN_IF_ERROR(ReadNumber(request, "since_unix_ms", question.since_unix_ms));
  RETURN_IF_ERROR(ReadNumber(request, "until_unix_ms", question.until_unix_ms));
  return reader.Telemetry(question);
}

absl::StatusOr<v1::DtcList> Dtcs(StoreReader& reader, const HttpRequest& request) {
  StoreReader::DtcQuestion question{.device_id = TextOf(request, "device")};
  const std::string active = TextOf(request, "active");
  question.active_only = active == "true";
  if (!active.empty() && active != "true" && active != "false") {
    return absl::InvalidArgumentError(absl::StrCat("?active=", active, " is neither true nor false"));
  }
  ASSIGN_OR_RETURN(question.limit, LimitOf(request));
  RETURN_IF_ERROR(ReadNumber(request, "cursor", question.before));
  return reader.Dtcs(question);
}

}  // namespace

void AddTelemetryRoutes(HttpServer& http, const ApiParts& p) {
  StoreReader& reader = p.reader;
  const std::string device = "/api/v1/devices/([^/]+)";
  http.Get(device + "/telemetry", [&reader](const HttpRequest& r) { return Respond(Telemetry(reader, r)); });
  http.Get(device + "/signals", [&reader](const HttpRequest& r) { return Respond(reader.Signals(r.captures[0])); });
  http.Get("/api/v1/dtcs", [&reader](const HttpRequest& r) { return Respond(Dtcs(reader, r)); });
}

}  // namespace fleet::server
