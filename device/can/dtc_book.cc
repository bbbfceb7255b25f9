#include "device/can/dtc_book.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/topics.h"

namespace fleet::device {
namespace {

void TellEvent(v1::EventKind kind, const DtcSource& source, const DtcSeen& seen, int64_t first_unix_ms,
               int64_t last_unix_ms, CanEffects& effects) {
  v1::Event& event = effects.events.emplace_back();
  event.set_kind(kind);
  event.set_name(seen.code);
  v1::Dtc& dtc = *event.mutable_dtc();
  dtc.set_bus(source.bus);
  dtc.set_protocol(source.protocol);
  dtc.set_ecu(source.ecu);
  dtc.set_code(seen.code);
  dtc.set_status(seen.status);
  dtc.set_count(seen.count);
  dtc.set_first_unix_ms(static_cast<uint64_t>(first_unix_ms));
  dtc.set_last_unix_ms(static_cast<uint64_t>(last_unix_ms));
}

}  // namespace

DtcBook::DtcBook(const DeviceId& device)
    : dtc_{.topic = SignalTopic(device, "diagnostics/dtc"), .text = ""},
      error_count_{.topic = SignalTopic(device, "diagnostics/error_count"), .text = ""},
      health_{.topic = SignalTopic(device, "diagnostics/health"), .text = ""} {}

void DtcBook::Report(const DtcSource& source, const std::vector<DtcSeen>& present, Now now, CanEffects& effects) {
  for (Code& code : codes_) code.present = !(code.source == source);
  for (const DtcSeen& seen : present) Note(source, seen, now, effects);
  for (const Code& code : codes_) {
    if (code.present) continue;
    TellEvent(v1::EVENT_KIND_DTC_CLEARED, source, code.seen, code.first_unix_ms, code.last_unix_ms, effects);
  }
  std::erase_if(codes_, [](const Code& code) { return !code.present; });
  if (std::ranges::find(scanned_, source) == scanned_.end() && scanned_.size() < kMaxLamps) {
    scanned_.push_back(source);
    TellEvent(v1::EVENT_KIND_DTC_SCANNED, source, {}, now.unix_ms(), now.unix_ms(), effects);
  }
  Publish(effects);
}

void DtcBook::ReportLamp(const DtcSource& source, DtcLamp lamp, CanEffects& effects) {
  std::erase_if(lamps_, [&](const Lamp& lit) { return lit.source == source; });
  if (lamp != DtcLamp::kNone) {
    if (lamps_.size() < kMaxLamps) {
      lamps_.push_back({.source = source, .lamp = lamp});
    } else {
      ++left_out_;
    }
  }
  Publish(effects);
}

void DtcBook::Resume(CanEffects& effects) const {
  for (const Text* text : {&dtc_, &error_count_, &health_}) {
    if (!text->text.empty()) effects.publish.push_back({.topic = text->topic, .payload = text->text, .qos = 1});
  }
}

DtcBook::Code* DtcBook::Find(const DtcSource& source, absl::string_view code) {
  const auto found = std::ranges::find_if(
      codes_, [&](const Code& known) { return known.seen.code == code && known.source == source; });
  return found == codes_.end() ? nullptr : &*found;
}

void DtcBook::Note(const DtcSource& source, const DtcSeen& seen, Now now, CanEffects& effects) {
  Code* code = Find(source, seen.code);
  if (code == nullptr) {
    if (codes_.size() >= kMaxCodes) {
      ++left_out_;
      return;
    }
    code = &codes_.emplace_back(Code{.source = source, .seen = {}, .first_unix_ms = now.unix_ms()});
  } else if (code->present) {
    return;
  }
  const bool news = code->seen.status != seen.status;
  code->present = true;
  code->seen = seen;
  code->last_unix_ms = now.unix_ms();
  if (news) {
    TellEvent(v1::EVENT_KIND_DTC_SET, source, seen, code->first_unix_ms, code->last_unix_ms, effects);
  }
}

void DtcBook::Publish(CanEffects& effects) {
  if (scanned_.empty()) return;
  std::set<absl::string_view> codes;
  for (const Code& code : codes_) codes.insert(code.seen.code);
  const auto tell = [&](Text& told, std::string text) {
    if (told.text == text) return;
    told.text = std::move(text);
    effects.publish.push_back({.topic = told.topic, .payload = told.text, .qos = 1});
  };
  tell(dtc_, codes.empty() ? "none" : absl::StrJoin(codes, ","));
  tell(error_count_, absl::StrCat(codes.size()));
  tell(health_, std::string(Health()));
}

absl::string_view DtcBook::Health() const {
  if (std::ranges::find(lamps_, DtcLamp::kError, &Lamp::lamp) != lamps_.end()) return "error";
  const bool confirmed = std::ranges::any_of(codes_, [](const Code& code) { return code.seen.status != "pending"; });
  return confirmed || !lamps_.empty() ? "warning" : "ok";
}

}  // namespace fleet::device
