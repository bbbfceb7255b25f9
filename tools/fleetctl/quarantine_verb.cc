#include <limits>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/http_server.h"
#include "common/status_macros.h"
#include "tools/fleetctl/paging.h"
#include "tools/fleetctl/payload_text.h"
#include "tools/fleetctl/verbs.h"

namespace fleet {
namespace {

constexpr size_t kShownBytes = 64;     // of a dump, without --raw
constexpr int kShownCharacters = 400;  // of a decoded message, without --raw

// "14:03:22.123  rpi/pi-1/state  parse: 5 bytes are not a StateReport, 5 bytes"
std::string HeadOf(const v1::QuarantineView& message, const Session& session) {
  const absl::Time at = absl::FromUnixMillis(static_cast<int64_t>(message.received_unix_ms()));
  const double kept = static_cast<double>(message.payload().size());
  const std::string detail = message.detail().empty() ? "" : absl::StrCat(": ", message.detail());
  const std::string cut =
      kept < message.payload_bytes() ? absl::StrCat(", ", Count(kept), " of them kept") : std::string();
  return absl::StrCat(HumanTimeMillis(at, session.here()), "  ", Printable(message.topic()), "  ",
                      Paint(Printable(message.reason()), Colour::kYellow, session.screen.style()), Printable(detail),
                      ", ", Plural(message.payload_bytes(), "byte"), cut, "\n");
}

std::string BodyOf(const v1::QuarantineView& message, bool raw) {
  const std::optional<std::string> decoded = DecodePayload(message.topic(), message.payload());
  const size_t most = raw ? std::numeric_limits<size_t>::max() : kShownBytes;
  if (!decoded) return HexDump(message.payload(), most);
  const std::string text = Printable(*decoded);
  return absl::StrCat("    ", raw ? text : CutTo(text, kShownCharacters), "\n",
                      raw ? HexDump(message.payload(), most) : "");
}

}  // namespace

absl::StatusOr<ExitCode> Run(Session& session, const QuarantineVerb& verb) {
  v1::QuarantineList list;
  RETURN_IF_ERROR(FetchUpTo(session.client, "/api/v1/quarantine", {}, verb.limit, list,
                            [](v1::QuarantineList& page) { return page.mutable_messages(); }));
  if (session.json()) {
    session.screen.out << ToJson(list);
    return kDone;
  }
  for (const v1::QuarantineView& message : list.messages()) {
    session.screen.out << HeadOf(message, session) << BodyOf(message, verb.raw);
  }
  if (list.messages().empty()) session.screen.out << "Nothing is in quarantine: all messages were understood\n";
  return kDone;
}

}  // namespace fleet
