#include "common/config_rules.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "common/nearest.h"
#include "common/status_macros.h"

namespace fleet {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// All keys and lists.
void AppendKeys(const Descriptor& message, const std::vector<const FieldDescriptor*>& sections,
                const std::string& prefix, std::vector<ConfigKey>& keys) {
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor& field = *message.field(i);
    const std::string name = prefix + field.name();
    if (!IsConfigSection(field)) {
      keys.push_back({.name = name, .sections = sections, .field = &field});
      continue;
    }
    std::vector<const FieldDescriptor*> deeper = sections;
    deeper.push_back(&field);
    AppendKeys(*field.message_type(), deeper, name + ".", keys);
  }
}

Message& SectionOf(const ConfigKey& key, Message& config) {
  Message* message = &config;
  for (const FieldDescriptor* section : key.sections) {
    message = message->GetReflection()->MutableMessage(message, section);
  }
  return *message;
}

std::vector<ConfigKey> KeysOrLists(const Descriptor& config, bool lists) {
  std::vector<ConfigKey> keys;
  AppendKeys(config, {}, "", keys);
  std::erase_if(keys, [lists](const ConfigKey& key) { return IsConfigList(*key.field) != lists; });
  return keys;
}

// A number or a duration as a number that can be compared with the bounds of its rule; nullopt: not of its type.
std::optional<double> Measure(const FieldDescriptor& field, absl::string_view text) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64: {
      uint64_t value = 0;
      if (!absl::SimpleAtoi(text, &value)) return std::nullopt;
      return static_cast<double>(value);
    }
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      double value = 0;
      if (!absl::SimpleAtod(text, &value) || !std::isfinite(value)) return std::nullopt;
      return value;
    }
    case FieldDescriptor::CPPTYPE_MESSAGE: {
      absl::Duration value;
      if (!absl::ParseDuration(text, &value) || value < absl::ZeroDuration() || value == absl::InfiniteDuration()) {
        return std::nullopt;
      }
      return absl::ToDoubleSeconds(value);
    }
    default:
      return std::nullopt;
  }
}

// The bound as people read it.
std::string Bound(const v1::FieldRule& rule, const std::string& bound) {
  return rule.unit().empty() ? bound : absl::StrCat(bound, " ", rule.unit());
}

absl::Status CheckRange(const FieldDescriptor& field, absl::string_view text) {
  const v1::FieldRule& rule = field.options().GetExtension(v1::rule);
  const std::optional<double> value = Measure(field, text);
  if (!value.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not ", ConfigTypeText(field)));
  }
  if (!rule.min().empty() && *value < Measure(field, rule.min())) {
    return absl::InvalidArgumentError(absl::StrCat(text, " is below the minimum ", Bound(rule, rule.min())));
  }
  std::string max = rule.max();
  if (max.empty() && field.cpp_type() == FieldDescriptor::CPPTYPE_UINT32) {
    max = absl::StrCat(std::numeric_limits<uint32_t>::max());
  }
  if (!max.empty() && *value > Measure(field, max)) {
    return absl::InvalidArgumentError(absl::StrCat(text, " is above the maximum ", Bound(rule, max)));
  }
  return absl::OkStatus();
}

void SetDuration(absl::Duration duration, Message& out) {
  auto& proto = static_cast<google::protobuf::Duration&>(out);
  proto.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &duration));
  proto.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration)));
}

// `text` has been checked.
void SetNumber(const FieldDescriptor& field, absl::string_view text, Message& out) {
  const auto& reflection = *out.GetReflection();
  uint64_t whole = 0;
  double real = 0;
  absl::Duration duration;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_UINT32:
      FLEET_CHECK(absl::SimpleAtoi(text, &whole));
      if (field.is_repeated()) return reflection.AddUInt32(&out, &field, static_cast<uint32_t>(whole));
      return reflection.SetUInt32(&out, &field, static_cast<uint32_t>(whole));
    case FieldDescriptor::CPPTYPE_UINT64:
      FLEET_CHECK(absl::SimpleAtoi(text, &whole));
      return reflection.SetUInt64(&out, &field, whole);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      FLEET_CHECK(absl::SimpleAtod(text, &real));
      return reflection.SetDouble(&out, &field, real);
    default:
      FLEET_CHECK(absl::ParseDuration(text, &duration));
      return SetDuration(duration, *reflection.MutableMessage(&out, &field));
  }
}

absl::Status SetBool(const FieldDescriptor& field, absl::string_view text, Message& out) {
  if (text != "true" && text != "false") {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not ", ConfigTypeText(field)));
  }
  out.GetReflection()->SetBool(&out, &field, text == "true");
  return absl::OkStatus();
}

absl::Status SetList(const FieldDescriptor& field, absl::string_view text, Message& out) {
  const std::vector<absl::string_view> items = absl::StrSplit(text, ',', absl::SkipWhitespace());
  for (absl::string_view item : items) RETURN_IF_ERROR(CheckRange(field, absl::StripAsciiWhitespace(item)));
  out.GetReflection()->ClearField(&out, &field);
  for (absl::string_view item : items) SetNumber(field, absl::StripAsciiWhitespace(item), out);
  return absl::OkStatus();
}

absl::Status SetField(const FieldDescriptor& field, absl::string_view text, Message& out) {
  if (field.options().GetExtension(v1::rule).may_be_off() && text == "off") {
    out.GetReflection()->ClearField(&out, &field);
    return absl::OkStatus();
  }
  if (field.is_repeated()) return SetList(field, text, out);
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_BOOL) return SetBool(field, text, out);
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
    out.GetReflection()->SetString(&out, &field, std::string(text));
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(CheckRange(field, text));
  SetNumber(field, text, out);
  return absl::OkStatus();
}

}  // namespace

bool IsConfigSection(const FieldDescriptor& field) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !field.is_repeated() &&
         field.message_type() != google::protobuf::Duration::descriptor();
}

bool IsConfigList(const FieldDescriptor& field) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && field.is_repeated();
}

std::vector<ConfigKey> ConfigKeysOf(const Descriptor& config) {
  return KeysOrLists(config, false);
}

std::vector<ConfigKey> ConfigListsOf(const Descriptor& config) {
  return KeysOrLists(config, true);
}

absl::Status SetConfigValue(const ConfigKey& key, absl::string_view text, Message& config) {
  return SetField(*key.field, text, SectionOf(key, config));
}

Message& AddConfigElement(const ConfigKey& list, Message& config) {
  Message& section = SectionOf(list, config);
  return *section.GetReflection()->AddMessage(&section, list.field);
}

bool HasConfigValue(const ConfigKey& key, const Message& config) {
  const Message* message = &config;
  for (const FieldDescriptor* section : key.sections) {
    message = &message->GetReflection()->GetMessage(*message, section);
  }
  const auto& reflection = *message->GetReflection();
  return key.field->is_repeated() ? reflection.FieldSize(*message, key.field) > 0
                                  : reflection.HasField(*message, key.field);
}

std::string NearestConfigKey(absl::string_view unknown, const Descriptor& config) {
  std::vector<NearestCandidate> candidates;
  for (const ConfigKey& key : ConfigKeysOf(config)) {
    candidates.push_back({.spelling = key.name, .meant = key.name});
    candidates.push_back({.spelling = key.field->name(), .meant = key.name});
    if (!key.sections.empty()) {
      const std::string section = key.name.substr(0, key.name.rfind('.'));
      candidates.push_back({.spelling = section, .meant = absl::StrCat("[", section, "]")});
    }
  }
  for (const ConfigKey& list : ConfigListsOf(config)) {
    candidates.push_back({.spelling = list.name, .meant = absl::StrCat("[[", list.name, "]]")});
  }
  return Nearest(unknown, candidates);
}

std::string NearestConfigFlag(absl::string_view unknown, const Descriptor& config) {
  std::vector<NearestCandidate> candidates;
  for (const ConfigKey& key : ConfigKeysOf(config)) {
    for (const std::string& flag : ConfigFlagNames(key)) candidates.push_back({.spelling = flag, .meant = flag});
    candidates.push_back({.spelling = "--" + key.field->name(), .meant = ConfigFlagNames(key).front()});
  }
  return Nearest(unknown, candidates);
}

std::string ConfigEnvironmentName(const ConfigKey& key) {
  return absl::StrCat("FLEET_", absl::AsciiStrToUpper(absl::StrReplaceAll(key.name, {{".", "_"}})));
}

std::vector<std::string> ConfigFlagNames(const ConfigKey& key) {
  std::vector<std::string> names;
  if (!key.rule().flag().empty()) names.push_back("--" + key.rule().flag());
  const std::string own = key.sections.empty() ? absl::StrReplaceAll(key.name, {{"_", "-"}}) : key.name;
  if (own != key.rule().flag()) names.push_back("--" + own);
  return names;
}

std::string ConfigTypeName(const ConfigKey& key) {
  if (key.field->is_repeated()) return "list";
  switch (key.field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return "text";
    case FieldDescriptor::CPPTYPE_BOOL:
      return "bool";
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return "duration";
    default:
      return key.rule().unit().empty() ? "number" : key.rule().unit();
  }
}

std::string ConfigTypeText(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true or false";
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64:
      return "a whole number, 0 or more";
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return "a number";
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return "a duration such as 500ms, 3s, 10m or 24h";
    default:
      return "text";
  }
}

std::string ConfigRangeText(const ConfigKey& key) {
  const v1::FieldRule& rule = key.rule();
  std::string bounds;
  if (!rule.min().empty() && !rule.max().empty()) {
    bounds = absl::StrCat(rule.min(), " to ", rule.max());
  } else if (!rule.min().empty()) {
    bounds = absl::StrCat("at least ", rule.min());
  } else if (!rule.max().empty()) {
    bounds = absl::StrCat("at most ", rule.max());
  }
  if (!rule.may_be_off()) return bounds;
  return bounds.empty() ? "may be off" : absl::StrCat(bounds, " or off");
}

}  // namespace fleet
