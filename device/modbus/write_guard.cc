#include "device/modbus/write_guard.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/modbus/modbus_values.h"
#include "common/status_macros.h"

namespace fleet::device {
namespace {

// What a write touches, `end` not included. Not of 16 bits: a write may reach to the last register.
struct Span {
  uint32_t first;
  uint32_t end;
};

Span SpanOf(const ModbusRequest& write) {
  return {write.address, write.address + static_cast<uint32_t>(write.words.size())};
}

bool Touches(const ModbusWriteRule& rule, size_t unit, const ModbusRequest& write) {
  const Span span = SpanOf(write);
  return rule.unit == unit && rule.coils == IsOfBits(write.function) && rule.first < span.end &&
         span.first <= rule.last;
}

std::string Named(bool coils, uint32_t address) {
  return absl::StrCat(coils ? "coil " : "register ", address);
}

std::string TextOf(const ModbusNumber& number) {
  return std::visit([](auto value) { return absl::StrCat(value); }, number);
}

ModbusNumber ValueAt(const ModbusWriteRule& rule, const uint16_t* words) {
  if (rule.coils) return int64_t{*words != 0};
  return NumberOf(words, rule.type, rule.little_endian);
}

// Asked so that NaN, which is in no order, is beyond every bound.
absl::Status CheckBounds(const ModbusWriteRule& rule, uint32_t address, const ModbusNumber& value) {
  const bool too_low = rule.min && !(Compare(value, *rule.min) >= 0);
  const bool too_high = rule.max && !(Compare(value, *rule.max) <= 0);
  if (!too_low && !too_high) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat(TextOf(value), " is ", too_low ? "less" : "more", " than ",
                                                  TextOf(too_low ? *rule.min : *rule.max), ", which may be written to ",
                                                  Named(rule.coils, address)));
}

// All values of `rule` that the write touches.
absl::Status CheckValues(const ModbusWriteRule& rule, const ModbusRequest& write) {
  const Span span = SpanOf(write);
  const uint32_t step = rule.step();
  uint32_t at = rule.first;
  if (span.first > at) at += (span.first - at) / step * step;
  for (; at < span.end && at <= rule.last; at += step) {
    if (at < span.first || at + step > span.end) {
      return absl::PermissionDeniedError(absl::StrCat("the ", Name(rule.type), " at ", Named(rule.coils, at),
                                                      " has to be written whole, ", step, " registers"));
    }
    RETURN_IF_ERROR(CheckBounds(rule, at, ValueAt(rule, &write.words[at - span.first])));
  }
  return absl::OkStatus();
}

}  // namespace

WriteGuard::WriteGuard(std::vector<ModbusWriteRule> rules) {
  for (ModbusWriteRule& rule : rules) rules_.push_back({.rule = std::move(rule), .filled = MonoTime()});
}

absl::Status WriteGuard::Look(size_t unit, const ModbusRequest& write, MonoTime now) {
  absl::Status status = Check(unit, write);
  if (status.ok()) status = FindTokens(unit, write, now).status();
  if (!status.ok()) ++refused_;
  return status;
}

absl::Status WriteGuard::Judge(size_t unit, const ModbusRequest& write, MonoTime now) {
  RETURN_IF_ERROR(Look(unit, write, now));
  ASSIGN_OR_RETURN(const std::vector<Rule*> touched, FindTokens(unit, write, now));
  for (Rule* rule : touched) rule->tokens -= 1;
  return absl::OkStatus();
}

absl::Status WriteGuard::Check(size_t unit, const ModbusRequest& write) const {
  if (write.words.empty()) return absl::PermissionDeniedError("there is nothing to write");
  const Span span = SpanOf(write);
  for (uint32_t at = span.first; at < span.end;) {
    const auto covers = std::ranges::find_if(rules_, [&](const Rule& rule) {
      return Touches(rule.rule, unit, write) && rule.rule.first <= at && at <= rule.rule.last;
    });
    if (covers == rules_.end()) {
      return absl::PermissionDeniedError(
          absl::StrCat(Named(IsOfBits(write.function), at), " is not on the list of what may be written"));
    }
    at = covers->rule.last + uint32_t{1};
  }
  for (const Rule& rule : rules_) {
    if (Touches(rule.rule, unit, write)) RETURN_IF_ERROR(CheckValues(rule.rule, write));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<WriteGuard::Rule*>> WriteGuard::FindTokens(size_t unit, const ModbusRequest& write,
                                                                      MonoTime now) {
  constexpr double kAlmostOne = 1 - 1e-9;  // many small refills do not add up to a whole one
  std::vector<Rule*> touched;
  for (Rule& rule : rules_) {
    if (!Touches(rule.rule, unit, write)) continue;
    rule.tokens = std::min(1.0, rule.tokens + rule.rule.rate_hz * absl::ToDoubleSeconds(now - rule.filled));
    rule.filled = now;
    if (rule.tokens < kAlmostOne) {
      return absl::ResourceExhaustedError(absl::StrCat(Named(rule.rule.coils, write.address), " was written less than ",
                                                       1 / rule.rule.rate_hz, " s ago"));
    }
    touched.push_back(&rule);
  }
  return touched;
}

bool WriteGuard::WantsReadBack(size_t unit, const ModbusRequest& write) const {
  return std::ranges::any_of(rules_,
                             [&](const Rule& rule) { return rule.rule.read_back && Touches(rule.rule, unit, write); });
}

}  // namespace fleet::device
