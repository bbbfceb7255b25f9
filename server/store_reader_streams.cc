#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "server/store_reader.h"
#include "server/stream_views.h"

namespace fleet::server {

absl::StatusOr<v1::EventList> StoreReader::Events(absl::string_view device_id, int64_t before, int limit) {
  MutexLock lock(mu_);
  int64_t device = 0;
  if (!device_id.empty()) {
    ASSIGN_OR_RETURN(device, DeviceRowOf(*database_, device_id));
  }
  ASSIGN_OR_RETURN(
      Statement query,
      database_->Prepare(absl::StrCat(
          "SELECT number, device.id, event.epoch, seq, kind, entity_id, name, detail, at_unix_ms, received_unix_ms, "
          "backlog FROM event JOIN device ON device.device = event.device WHERE number < ?1 ",
          device == 0 ? "" : "AND event.device = ?3 ", "ORDER BY number DESC LIMIT ?2")));
  query.BindInt(1, before);
  query.BindInt(2, limit);
  if (device != 0) query.BindInt(3, device);
  v1::EventList list;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) return list;
    v1::EventView& event = *list.add_events();
    event.set_device_id(std::string(query.Text(1)));
    event.set_epoch(static_cast<uint32_t>(query.Int(2)));
    event.set_seq(static_cast<double>(query.Int(3)));
    event.set_kind(WordOf(static_cast<v1::EventKind>(query.Int(4))));
    event.set_entity_id(static_cast<uint32_t>(query.Int(5)));
    event.set_name(std::string(query.Text(6)));
    event.set_detail(std::string(query.Text(7)));
    event.set_at_unix_ms(static_cast<double>(query.Int(8)));
    event.set_received_unix_ms(static_cast<double>(query.Int(9)));
    event.set_backlog(query.Int(10) != 0);
    if (list.events_size() == limit) list.set_next_cursor(absl::StrCat(query.Int(0)));
  }
}

absl::StatusOr<v1::QuarantineList> StoreReader::Quarantine(int64_t before, int limit) {
  MutexLock lock(mu_);
  ASSIGN_OR_RETURN(Statement query,
                   database_->Prepare("SELECT number, received_unix_ms, topic, reason, detail, payload, payload_bytes "
                                      "FROM quarantine WHERE number < ? ORDER BY number DESC LIMIT ?"));
  query.BindInt(1, before);
  query.BindInt(2, limit);
  v1::QuarantineList list;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) return list;
    v1::QuarantineView& message = *list.add_messages();
    message.set_number(static_cast<double>(query.Int(0)));
    message.set_received_unix_ms(static_cast<double>(query.Int(1)));
    message.set_topic(absl::CHexEscape(query.Blob(2)));
    message.set_reason(std::string(query.Text(3)));
    message.set_detail(std::string(query.Text(4)));
    message.set_payload(std::string(query.Blob(5)));
    message.set_payload_bytes(static_cast<double>(query.Int(6)));
    if (list.messages_size() == limit) list.set_next_cursor(absl::StrCat(query.Int(0)));
  }
}

}  // namespace fleet::server
