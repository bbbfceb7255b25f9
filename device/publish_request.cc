#include "device/publish_request.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/topics.h"
#include "device/signals/signal_text.h"
#include "device/utf8.h"

namespace fleet::device {
namespace {

constexpr absl::string_view kTimestamp = "timestamp";
constexpr absl::string_view kGroupOfOthers = "app/";
constexpr double kLeastMilliseconds = 1e11;         // 1973; in seconds: the year 5138
constexpr double kMaxUnixMs = 253'402'300'799'999;  // year 9999
constexpr size_t kMaxQuotedBytes = 100;
constexpr size_t kMaxReasonBytes = 200;
constexpr double kNotAvailable = std::numeric_limits<double>::quiet_NaN();

// A name as it was sent may be anything.
std::string Quoted(absl::string_view name) {
  return absl::StrCat("'", absl::CHexEscape(CutUtf8(name, kMaxQuotedBytes)), "'");
}

absl::StatusOr<int64_t> CheckTime(double unix_ms) {
  // 0 is what a program says that has no clock; to us it would mean now.
  if (!(unix_ms >= 1 && unix_ms <= kMaxUnixMs)) {
    return absl::InvalidArgumentError("field 'timestamp' is no time from 1970 to 9999; leave it out for now");
  }
  return static_cast<int64_t>(std::round(unix_ms));
}

absl::StatusOr<int64_t> ToUnixMs(double timestamp) {
  return CheckTime(timestamp < kLeastMilliseconds ? timestamp * 1000 : timestamp);
}

absl::StatusOr<int64_t> ToUnixMs(const std::string& timestamp) {
  absl::Time time;
  std::string ignored;
  if (!absl::ParseTime(absl::RFC3339_full, timestamp, &time, &ignored) &&
      !absl::ParseTime("%Y-%m-%d%ET%H:%M:%E*S", timestamp, &time, &ignored)) {
    return absl::InvalidArgumentError("field 'timestamp' is no ISO 8601 text such as 2026-01-31T12:00:00.5Z");
  }
  return CheckTime(absl::ToDoubleMilliseconds(time - absl::UnixEpoch()));
}

// What the library says, without its own names and its position.
std::string ReasonOf(const nlohmann::json::exception& error) {
  absl::string_view what = error.what();
  const size_t column = what.find("column ");
  const size_t colon = what.find(": ", column == absl::string_view::npos ? 0 : column);
  if (colon != absl::string_view::npos) what.remove_prefix(colon + 2);
  return CutUtf8(what, kMaxReasonBytes);
}

// Takes the fields as they are read, so that nothing is built of what is refused.
class FieldReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit FieldReader(absl::string_view json) : json_(json) {}

  absl::StatusOr<PublishRequest> Take() && {
    if (!status_.ok()) return status_;
    return std::move(request_);
  }

  bool null() override { return Add(kInvalidText, kNotAvailable); }
  bool boolean(bool value) override { return Add(value ? "1" : "0", value ? 1 : 0); }
  bool number_integer(number_integer_t value) override { return AddWhole(value); }
  bool number_unsigned(number_unsigned_t value) override { return AddWhole(value); }
  bool number_float(number_float_t value, const string_t&) override {
    if (IsTimestamp()) return SetTime(ToUnixMs(value));
    return Add(SignalText(value, -1, {}), value);
  }
  bool string(string_t& text) override {
    if (IsTimestamp()) return SetTime(ToUnixMs(text));
    const auto is_control = [](unsigned char c) { return absl::ascii_iscntrl(c); };
    if (text.size() > PublishRequest::kMaxTextBytes) {
      return Refuse(absl::StrCat("is longer than ", PublishRequest::kMaxTextBytes, " bytes"));
    }
    if (std::any_of(text.begin(), text.end(), is_control)) return Refuse("has control characters");
    return Add(text, std::nullopt);
  }
  bool binary(binary_t&) override { return Refuse("is binary"); }

  bool start_object(std::size_t) override {
    if (is_open_ && IsTimestamp()) return Refuse("is neither a number nor a text");
    if (std::exchange(is_open_, true)) prefixes_.push_back(name_.size());
    if (name_.size() > kMaxSignalBytes) return Refuse("is longer than any signal's name");
    return true;
  }
  bool key(string_t& key) override {
    name_.resize(prefixes_.empty() ? 0 : prefixes_.back());
    absl::StrAppend(&name_, prefixes_.empty() ? "" : "/", key);
    return true;
  }
  bool end_object() override {
    if (!prefixes_.empty()) prefixes_.pop_back();
    return true;
  }
  bool start_array(std::size_t) override { return Refuse("is a list"); }
  bool end_array() override { return true; }

  // Also for what is JSON and too large for any number.
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception& error) override {
    const size_t byte = std::clamp<size_t>(position, 1, json_.size() + 1);
    const absl::string_view before = json_.substr(0, byte - 1);
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const size_t last_line = before.rfind('\n');
    const size_t column = last_line == absl::string_view::npos ? byte : byte - 1 - last_line;
    status_ = absl::InvalidArgumentError(
        absl::StrCat("not JSON at byte ", byte, ", line ", line, ", column ", column, ": ", ReasonOf(error)));
    return false;
  }

 private:
  bool IsTimestamp() const { return prefixes_.empty() && name_ == kTimestamp; }

  bool SetTime(absl::StatusOr<int64_t> unix_ms) {
    if (!seen_.insert(name_).second) return Refuse("is there twice");
    if (!unix_ms.ok()) return Fail(unix_ms.status());
    request_.at_unix_ms = *unix_ms;
    return true;
  }

  // Its text has all digits, also where a double has not.
  template <typename Number>
  bool AddWhole(Number value) {
    if (IsTimestamp()) return SetTime(ToUnixMs(static_cast<double>(value)));
    return Add(absl::StrCat(value), static_cast<double>(value));
  }

  bool Add(std::string text, std::optional<double> value) {
    if (!is_open_) return Fail(absl::InvalidArgumentError("the body is not a JSON object"));
    if (IsTimestamp()) return Refuse("is neither a number nor a text");
    const bool has_group = name_.find('/') != std::string::npos;
    std::string signal = has_group ? name_ : absl::StrCat(kGroupOfOthers, name_);
    if (!IsSignalName(signal)) {
      return Refuse(absl::StrCat("is no name: parts of A-Z a-z 0-9 . _ - with / between them, at most ",
                                 kMaxSignalBytes, " bytes"));
    }
    if (IsReservedSignal(signal)) return Refuse("is in a group of the agent's own");
    if (!seen_.insert(signal).second) return Refuse("is there twice");
    if (request_.fields.size() == PublishRequest::kMaxFields) {
      return Fail(absl::OutOfRangeError(absl::StrCat("more than ", PublishRequest::kMaxFields, " fields")));
    }
    request_.fields.push_back({.signal = std::move(signal), .text = std::move(text), .value = value});
    return true;
  }

  bool Refuse(absl::string_view why) {
    if (!is_open_) return Fail(absl::InvalidArgumentError("the body is not a JSON object"));
    return Fail(absl::InvalidArgumentError(absl::StrCat("field ", Quoted(name_), " ", why)));
  }
  bool Fail(absl::Status status) {
    status_ = std::move(status);
    return false;
  }

  const absl::string_view json_;
  absl::Status status_;
  PublishRequest request_;
  std::set<std::string> seen_;
  std::string name_;              // of the field that is being read
  std::vector<size_t> prefixes_;  // how much of it are the objects that it is in
  bool is_open_ = false;          // the outermost object
};

}  // namespace

absl::StatusOr<PublishRequest> ParsePublishRequest(absl::string_view json) {
  if (json.size() > PublishRequest::kMaxBytes) {
    return absl::OutOfRangeError(absl::StrCat("the body is larger than ", PublishRequest::kMaxBytes, " bytes"));
  }
  FieldReader reader(json);
  nlohmann::json::sax_parse(json.begin(), json.end(), &reader);
  return std::move(reader).Take();
}

}  // namespace fleet::device
