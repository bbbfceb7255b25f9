#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/backoff.h"
#include "common/http_server.h"
#include "common/nearest.h"
#include "common/status_macros.h"
#include "tools/fleetctl/csv.h"
#include "tools/fleetctl/paging.h"
#include "tools/fleetctl/verbs.h"

namespace fleet {
namespace {

using Column = Table::Column;
constexpr Table::Align kRight = Table::Align::kRight;
constexpr uint32_t kSamplesPerPage = 1000;  // as many as the server gives
constexpr size_t kMaxSamples = 10'000'000;
constexpr absl::Duration kRetryMin = absl::Milliseconds(100);
constexpr absl::Duration kRetryMax = absl::Seconds(4);

absl::Time TimeOf(double unix_ms) {
  return absl::FromUnixMillis(static_cast<int64_t>(unix_ms));
}

const std::vector<std::string>& CsvTitles() {
  static const std::vector<std::string> kTitles = {"time", "unix_ms", "device", "signal", "value", "backlog"};
  return kTitles;
}

// `view`: TelemetryView or SignalView.
template <typename ViewT>
std::string CsvOf(const std::string& device, const ViewT& view, const std::string& backlog) {
  return CsvLine({IsoTime(TimeOf(view.at_unix_ms())), Count(view.at_unix_ms()), device, view.signal(),
                  view.has_value() ? Decimal(view.value()) : "", backlog});
}

// ---- the newest

absl::Status KeepOnly(const TelemetryVerb& verb, v1::SignalList& list) {
  std::vector<std::string> known;
  for (const v1::SignalView& signal : list.signals()) known.push_back(signal.signal());
  for (const std::string& asked : verb.signals) {
    if (std::ranges::find(known, asked) != known.end()) continue;
    return absl::NotFoundError(absl::StrCat("device ", verb.device, " has no signal ", asked,
                                            known.empty() ? ", nor any other" : DidYouMean(asked, known)));
  }
  if (verb.signals.empty()) return absl::OkStatus();
  auto& signals = *list.mutable_signals();
  const auto others = std::remove_if(signals.begin(), signals.end(), [&verb](const v1::SignalView& signal) {
    return std::ranges::find(verb.signals, signal.signal()) == verb.signals.end();
  });
  signals.erase(others, signals.end());
  return absl::OkStatus();
}

std::string SignalTable(const v1::SignalList& list, const Session& session) {
  Table table({Column{"SIGNAL"}, Column{"VALUE", kRight}, Column{"AGE", kRight}, Column{"TIME"}});
  for (const v1::SignalView& signal : list.signals()) {
    const absl::Time at = TimeOf(signal.at_unix_ms());
    table.Add({{signal.signal()},
               {signal.has_value() ? Decimal(signal.value()) : "invalid",
                signal.has_value() ? Colour::kNone : Colour::kYellow},
               {HumanDuration(session.here().now - at)},
               {HumanTimeMillis(at, session.here())}});
  }
  return table.empty() ? "No value of any signal is stored yet\n" : table.Render(session.screen.style());
}

absl::StatusOr<ExitCode> ShowNewest(Session& session, const TelemetryVerb& verb) {
  v1::SignalList list;
  RETURN_IF_ERROR(session.client.Get(absl::StrCat("/api/v1/devices/", verb.device, "/signals"), {}, list));
  RETURN_IF_ERROR(KeepOnly(verb, list));
  std::ostream& out = session.screen.out;
  switch (session.format) {
    case OutputFormat::kJson:
      out << ToJson(list);
      break;
    case OutputFormat::kTable:
      out << SignalTable(list, session);
      break;
    case OutputFormat::kCsv:
      out << CsvLine(CsvTitles());
      for (const v1::SignalView& signal : list.signals()) out << CsvOf(verb.device, signal, "");
      break;
  }
  return kDone;
}

// ---- what they were

// Many samples in little room: a day of a vehicle may be millions.
class Samples {
 public:
  bool empty() const { return samples_.empty(); }
  size_t longest_name() const {
    size_t longest = 0;
    for (const std::string& name : names_) longest = std::max(longest, name.size());
    return longest;
  }

  absl::Status Add(const v1::TelemetryList& page) {
    if (samples_.size() + static_cast<size_t>(page.samples_size()) > kMaxSamples) {
      return absl::OutOfRangeError(
          absl::StrCat("more than ", kMaxSamples, " values; name fewer signals, or a shorter --since"));
    }
    for (const v1::TelemetryView& view : page.samples()) {
      const auto [name, is_new] = numbers_.try_emplace(view.signal(), static_cast<uint32_t>(names_.size()));
      if (is_new) names_.push_back(view.signal());
      samples_.push_back({.at_unix_ms = view.at_unix_ms(),
                          .value = view.has_value() ? view.value() : std::numeric_limits<double>::quiet_NaN(),
                          .signal = name->second,
                          .backlog = view.backlog()});
    }
    return absl::OkStatus();
  }

  // By time, each as it came.
  void ForEach(const std::function<void(const v1::TelemetryView&)>& visit) {
    std::ranges::stable_sort(samples_, {}, &Sample::at_unix_ms);
    v1::TelemetryView view;
    for (const Sample& sample : samples_) {
      view.set_signal(names_[sample.signal]);
      view.set_at_unix_ms(sample.at_unix_ms);
      view.set_backlog(sample.backlog);
      if (std::isnan(sample.value)) {
        view.clear_value();
      } else {
        view.set_value(sample.value);
      }
      visit(view);
    }
  }

 private:
  struct Sample {
    double at_unix_ms = 0;
    double value = 0;  // NaN: invalid
    uint32_t signal = 0;
    bool backlog = false;
  };
  std::vector<Sample> samples_;
  std::vector<std::string> names_;
  absl::flat_hash_map<std::string, uint32_t> numbers_;
};

// Writes samples one by one: what is there may be much, and what follows has no end.
class SampleLines {
 public:
  SampleLines(Session& session, const TelemetryVerb& verb, size_t longest_name)
      : session_(session), verb_(verb), signal_width_(longest_name) {
    if (session.format == OutputFormat::kCsv) session.screen.out << CsvLine(CsvTitles());
  }

  void Write(const v1::TelemetryView& view) {
    std::ostream& out = session_.screen.out;
    switch (session_.format) {
      case OutputFormat::kJson:
        out << ToJson(view);
        return;
      case OutputFormat::kTable:
        out << LineOf(view);
        return;
      case OutputFormat::kCsv:
        out << CsvOf(verb_.device, view, view.backlog() ? "true" : "false");
        return;
    }
  }

 private:
  std::string LineOf(const v1::TelemetryView& view) {
    const TextStyle style = session_.screen.style();
    const std::string time = HumanTimeMillis(TimeOf(view.at_unix_ms()), session_.here());
    const std::string signal = Printable(view.signal());
    time_width_ = std::max(time_width_, time.size());
    signal_width_ = std::max(signal_width_, signal.size());
    const std::string value = view.has_value() ? Decimal(view.value()) : Paint("invalid", Colour::kYellow, style);
    return absl::StrCat(std::string(time_width_ - time.size(), ' '), time, "  ", signal,
                        std::string(signal_width_ - signal.size(), ' '), "  ", value,
                        view.backlog() ? Paint("  late", Colour::kGrey, style) : "", "\n");
  }

  Session& session_;
  const TelemetryVerb& verb_;
  size_t time_width_ = 0;  // so far
  size_t signal_width_;
};

// Reads on from a cursor, as the server stores.
class TelemetryReader {
 public:
  TelemetryReader(Session& session, const TelemetryVerb& verb)
      : session_(session), path_(absl::StrCat("/api/v1/devices/", verb.device, "/telemetry")) {
    const absl::Time since = session.clock.Read().wall - verb.since;
    query_["signal"] = absl::StrJoin(verb.signals, ",");
    query_["since_unix_ms"] = absl::StrCat(std::max<int64_t>(absl::ToUnixMillis(since), 0));
    query_["limit"] = absl::StrCat(kSamplesPerPage);
  }

  // All that is stored now. `take` gets page by page.
  absl::Status ReadAll(const std::function<absl::Status(const v1::TelemetryList&)>& take) {
    while (true) {
      v1::TelemetryList page;
      RETURN_IF_ERROR(session_.client.Get(path_, query_, page));
      if (!page.at_end() && page.next_cursor() == query_["cursor"]) {
        return absl::InternalError("the server's list does not go on; this is its mistake");
      }
      query_["cursor"] = page.next_cursor();
      RETURN_IF_ERROR(take(page));
      if (page.at_end()) return absl::OkStatus();
    }
  }

  // From here on whatever is stored counts, also what a device was late to send.
  void ForgetSince() { query_.erase("since_unix_ms"); }
  const std::string& cursor() { return query_["cursor"]; }

 private:
  Session& session_;
  const std::string path_;
  Query query_;
};

// A TelemetryList as ToJson writes it, in pieces.
void WriteList(Session& session, const TelemetryVerb& verb, TelemetryReader& reader, Samples& samples) {
  v1::TelemetryList frame;
  frame.set_device_id(verb.device);
  frame.set_next_cursor(reader.cursor());
  frame.set_at_end(true);
  const std::string json = ToJson(frame);
  const std::string samples_begin = "\"samples\":[";
  const size_t begin = json.find(samples_begin) + samples_begin.size();
  absl::string_view separator;
  session.screen.out << json.substr(0, begin);
  samples.ForEach([&](const v1::TelemetryView& view) {
    session.screen.out << separator << absl::StripSuffix(ToJson(view), "\n");
    separator = ",";
  });
  session.screen.out << json.substr(begin);
}

absl::StatusOr<ExitCode> FollowOn(Session& session, TelemetryReader& reader, SampleLines& lines) {
  Backoff backoff(kRetryMin, kRetryMax, static_cast<uint64_t>(absl::ToUnixNanos(session.clock.Read().wall)));
  bool away = false;
  reader.ForgetSince();
  while (true) {
    session.screen.out.flush();
    // A reader of our pipe that left ends us, as Ctrl-C does.
    if (!session.screen.out || !session.interrupt.Pause(away ? backoff.Next() : session.follow_period)) return kDone;
    const absl::Status status = reader.ReadAll([&lines](const v1::TelemetryList& page) {
      for (const v1::TelemetryView& view : page.samples()) lines.Write(view);
      return absl::OkStatus();
    });
    if (session.interrupt.triggered()) return kDone;
    if (!status.ok() && !IsUnreachable(status)) return status;
    if (!status.ok() && !away) {
      session.screen.err << "fleetctl: " << status.message() << "; trying again until Ctrl-C" << std::endl;
    }
    away = !status.ok();
    if (!away) backoff.Reset();
  }
}

}  // namespace

absl::StatusOr<ExitCode> Run(Session& session, const TelemetryVerb& verb) {
  const bool from_the_past = verb.since > absl::ZeroDuration();
  if (!from_the_past && !verb.follow) return ShowNewest(session, verb);
  TelemetryReader reader(session, verb);
  Samples samples;
  RETURN_IF_ERROR(reader.ReadAll([&samples](const v1::TelemetryList& page) { return samples.Add(page); }));
  if (session.json() && !verb.follow) {
    WriteList(session, verb, reader, samples);
    return kDone;
  }
  if (samples.empty() && !verb.follow && session.format == OutputFormat::kTable) {
    session.screen.out << "Nothing in the last " << absl::FormatDuration(verb.since) << "; ask for more with --since\n";
    return kDone;
  }
  SampleLines lines(session, verb, samples.longest_name());
  samples.ForEach([&lines](const v1::TelemetryView& view) { lines.Write(view); });
  if (!verb.follow) return kDone;
  samples = Samples();  // they may be many
  return FollowOn(session, reader, lines);
}

}  // namespace fleet
