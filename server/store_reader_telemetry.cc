// Telemetry by signal, and trouble codes.
#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "common/nearest.h"
#include "common/status_macros.h"
#include "server/store_reader.h"
#include "server/telemetry_block.h"

namespace fleet::server {
namespace {

constexpr int kBlocksPerPage = 1000;  // some 10 ms of reading; others wait meanwhile

using Names = absl::flat_hash_map<int64_t, std::string>;  // by number

// The sample to begin with.
struct TelemetryCursor {
  int64_t block = 0;
  int sample = 0;
};

absl::StatusOr<TelemetryCursor> ParseTelemetryCursor(absl::string_view text) {
  TelemetryCursor cursor;
  if (text.empty()) return cursor;
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits('.', 1));
  const bool good = absl::SimpleAtoi(parts.first, &cursor.block) && absl::SimpleAtoi(parts.second, &cursor.sample) &&
                    cursor.block >= 0 && cursor.sample >= 0;
  if (!good) return absl::InvalidArgumentError("cursor is not one that an earlier page gave");
  return cursor;
}

std::string TextOf(const TelemetryCursor& cursor) {
  return absl::StrCat(cursor.block, ".", cursor.sample);
}

absl::StatusOr<Names> NamesOf(Database& database, int64_t device) {
  ASSIGN_OR_RETURN(Statement query, database.Prepare("SELECT number, name FROM signal WHERE device = ?"));
  query.BindInt(1, device);
  Names names;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) return names;
    names[query.Int(0)] = std::string(query.Text(1));
  }
}

// Keeps those of the names that are asked for.
absl::Status Choose(const StoreReader::TelemetryQuestion& question, Names& names) {
  if (question.signals.empty()) return absl::OkStatus();
  absl::flat_hash_set<std::string> missing(question.signals.begin(), question.signals.end());
  Names chosen;
  for (const auto& [number, name] : names) {
    if (missing.erase(name) > 0) chosen[number] = name;
  }
  if (missing.empty()) {
    names = std::move(chosen);
    return absl::OkStatus();
  }
  std::vector<std::string> known;
  for (const auto& [number, name] : names) known.push_back(name);
  std::ranges::sort(known);
  const std::string& unknown = *std::ranges::min_element(missing);
  return absl::NotFoundError(absl::StrCat("device ", question.device_id, " has no signal ", unknown,
                                          known.empty() ? ", nor any other" : DidYouMean(unknown, known)));
}

// One page as it is filled.
class TelemetryPage {
 public:
  TelemetryPage(const StoreReader::TelemetryQuestion& question, const Names& names, v1::TelemetryList& out)
      : question_(question), names_(names), out_(out) {}

  // Adds what fits of a block, from sample `first` on. Returns the sample to go on with when the page is full.
  absl::StatusOr<std::optional<int>> Add(const Statement& row, int first) {
    const absl::Status status = ParseBlock(row.Blob(3), block_);
    if (!status.ok()) {
      return absl::DataLossError(absl::StrCat("telemetry block ", row.Int(0), " ", status.message()));
    }
    const bool backlog = row.Int(2) != 0;
    std::optional<int> next;
    ForEachSample(block_, row.Int(1), [&](int i, int64_t signal, int64_t at_unix_ms, double value) {
      if (i < first || next || at_unix_ms < question_.since_unix_ms || at_unix_ms >= question_.until_unix_ms) return;
      const auto name = names_.find(signal);
      if (name == names_.end()) return;
      if (out_.samples_size() >= question_.limit) {
        next = i;
        return;
      }
      v1::TelemetryView& sample = *out_.add_samples();
      sample.set_signal(name->second);
      if (std::isfinite(value)) sample.set_value(value);
      sample.set_at_unix_ms(static_cast<double>(at_unix_ms));
      sample.set_backlog(backlog);
    });
    return next;
  }

  void Close(const TelemetryCursor& next, bool at_end) {
    std::ranges::stable_sort(*out_.mutable_samples(), {}, &v1::TelemetryView::at_unix_ms);
    out_.set_next_cursor(TextOf(next));
    out_.set_at_end(at_end);
  }

 private:
  const StoreReader::TelemetryQuestion& question_;
  const Names& names_;
  v1::TelemetryList& out_;
  v1::TelemetryBlock block_;
};

// An id as the standard writes it.
std::string EcuText(absl::string_view protocol, uint32_t ecu) {
  return protocol == "j1939" ? absl::StrFormat("%02X", ecu) : absl::StrFormat("%03X", ecu);
}

}  // namespace

absl::StatusOr<v1::TelemetryList> StoreReader::Telemetry(const TelemetryQuestion& question) {
  MutexLock lock(mu_);
  v1::TelemetryList list;
  list.set_device_id(question.device_id);
  ASSIGN_OR_RETURN(const int64_t device, DeviceRowOf(*database_, question.device_id));
  ASSIGN_OR_RETURN(const TelemetryCursor cursor, ParseTelemetryCursor(question.cursor));
  ASSIGN_OR_RETURN(Names names, NamesOf(*database_, device));
  RETURN_IF_ERROR(Choose(question, names));
  // What comes meanwhile is behind this, and behind the cursor.
  ASSIGN_OR_RETURN(Statement newest, database_->Prepare("SELECT coalesce(max(block), 0) FROM telemetry"));
  RETURN_IF_ERROR(newest.Step().status());
  const int64_t end = newest.Int(0);
  newest.Reset();
  // By another index it would read the blocks of all devices.
  ASSIGN_OR_RETURN(Statement query,
                   database_->Prepare("SELECT block, first_unix_ms, backlog, data FROM telemetry INDEXED BY "
                                      "telemetry_of_device WHERE device = ? AND block BETWEEN ? AND ? AND "
                                      "last_unix_ms >= ? AND first_unix_ms < ? ORDER BY block"));
  query.BindInt(1, device);
  query.BindInt(2, cursor.block);
  query.BindInt(3, end);
  query.BindInt(4, question.since_unix_ms);
  query.BindInt(5, question.until_unix_ms);
  TelemetryPage page(question, names, list);
  for (int blocks = 0;; ++blocks) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) break;
    const int64_t block = query.Int(0);
    const int first = block == cursor.block ? cursor.sample : 0;
    std::optional<int> next = first;
    if (blocks < kBlocksPerPage) {
      ASSIGN_OR_RETURN(next, page.Add(query, first));
    }
    if (next) {
      page.Close({.block = block, .sample = *next}, /*at_end=*/false);
      return list;
    }
  }
  page.Close(cursor.block > end ? cursor : TelemetryCursor{.block = end + 1}, /*at_end=*/true);
  return list;
}

absl::StatusOr<v1::SignalList> StoreReader::Signals(absl::string_view device_id) {
  MutexLock lock(mu_);
  v1::SignalList list;
  list.set_device_id(std::string(device_id));
  ASSIGN_OR_RETURN(const int64_t device, DeviceRowOf(*database_, device_id));
  ASSIGN_OR_RETURN(Statement query, database_->Prepare("SELECT name, last_value, last_unix_ms FROM signal "
                                                       "WHERE device = ? ORDER BY name"));
  query.BindInt(1, device);
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) return list;
    v1::SignalView& signal = *list.add_signals();
    signal.set_signal(std::string(query.Text(0)));
    if (!query.IsNull(1)) signal.set_value(query.Real(1));
    signal.set_at_unix_ms(static_cast<double>(query.Int(2)));
  }
}

absl::StatusOr<v1::DtcList> StoreReader::Dtcs(const DtcQuestion& question) {
  MutexLock lock(mu_);
  int64_t device = 0;
  if (!question.device_id.empty()) {
    ASSIGN_OR_RETURN(device, DeviceRowOf(*database_, question.device_id));
  }
  ASSIGN_OR_RETURN(
      Statement query,
      database_->Prepare(absl::StrCat(
          "SELECT change, device.id, bus, protocol, ecu, code, status, active, first_unix_ms, last_unix_ms, count "
          "FROM dtc JOIN device ON device.device = dtc.device WHERE change < ?1 ",
          device == 0 ? "" : "AND dtc.device = ?3 ", question.active_only ? "AND active = 1 " : "AND active < 2 ",
          "ORDER BY change DESC LIMIT ?2")));
  query.BindInt(1, question.before);
  query.BindInt(2, question.limit);
  if (device != 0) query.BindInt(3, device);
  v1::DtcList list;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) return list;
    v1::DtcView& dtc = *list.add_dtcs();
    dtc.set_device_id(std::string(query.Text(1)));
    dtc.set_bus(std::string(query.Text(2)));
    dtc.set_protocol(std::string(query.Text(3)));
    dtc.set_ecu(EcuText(dtc.protocol(), static_cast<uint32_t>(query.Int(4))));
    dtc.set_code(std::string(query.Text(5)));
    dtc.set_status(std::string(query.Text(6)));
    dtc.set_active(query.Int(7) != 0);
    dtc.set_first_unix_ms(static_cast<double>(query.Int(8)));
    dtc.set_last_unix_ms(static_cast<double>(query.Int(9)));
    dtc.set_count(static_cast<double>(query.Int(10)));
    if (list.dtcs_size() == question.limit) list.set_next_cursor(absl::StrCat(query.Int(0)));
  }
}

}  // namespace fleet::server
