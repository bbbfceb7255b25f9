#include "server/stream_views.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace fleet::server {
namespace {

// EVENT_KIND_STARTED -> started
std::string Word(absl::string_view name, absl::string_view prefix, int number) {
  if (name.empty()) return absl::StrCat(number);
  return absl::AsciiStrToLower(name.substr(prefix.size()));
}

v1::StreamLedgerView StreamLedgerOf(v1::Stream stream, const DeviceStreams& streams) {
  const StreamTotals totals = streams.Totals(stream);
  v1::StreamLedgerView view;
  view.set_stream(WordOf(stream));
  view.set_sent(static_cast<double>(totals.sent));
  view.set_stored(static_cast<double>(totals.stored));
  view.set_dropped(static_cast<double>(totals.dropped_count()));
  view.set_in_flight(static_cast<double>(totals.in_flight()));
  view.set_duplicate(static_cast<double>(totals.duplicate));
  view.set_waiting(static_cast<double>(streams.waiting(stream)));
  for (const auto& [reason, count] : totals.dropped) {
    v1::DropView& drop = *view.add_drops();
    drop.set_reason(WordOf(reason));
    drop.set_count(static_cast<double>(count));
  }
  view.set_complaint(streams.Complaint(stream));
  view.set_balanced(view.complaint().empty());
  view.set_reported_unix_ms(static_cast<double>(streams.reported_unix_ms(stream)));
  return view;
}

}  // namespace

std::string WordOf(v1::EventKind kind) {
  return Word(v1::EventKind_Name(kind), "EVENT_KIND_", kind);
}
std::string WordOf(v1::DropReason reason) {
  return Word(v1::DropReason_Name(reason), "DROP_REASON_", reason);
}
std::string WordOf(v1::Stream stream) {
  return Word(v1::Stream_Name(stream), "STREAM_", stream);
}

v1::LedgerView LedgerOf(absl::string_view device_id, const DeviceStreams* streams) {
  v1::LedgerView view;
  view.set_device_id(std::string(device_id));
  view.set_balanced(streams == nullptr || streams->balanced());
  if (streams == nullptr) return view;
  for (v1::Stream stream : DeviceStreams::kStreams) *view.add_streams() = StreamLedgerOf(stream, *streams);
  return view;
}

}  // namespace fleet::server
