// The keys of a configuration message and what their rules in config.proto allow. Used by config.cc.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "fleet/v1/config.pb.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

namespace fleet {

struct ConfigKey {
  std::string name;                                                // liveness.stale_after
  std::vector<const google::protobuf::FieldDescriptor*> sections;  // liveness; empty at the top level
  const google::protobuf::FieldDescriptor* field;                  // stale_after

  const v1::FieldRule& rule() const { return field->options().GetExtension(v1::rule); }
};

// In the order of the file. A message other than Duration is a section; a repeated one is a list of [[tables]], which
// only a file can have: its keys are those of an element, and not among those of the whole.
std::vector<ConfigKey> ConfigKeysOf(const google::protobuf::Descriptor& config);
// The lists, likewise.
std::vector<ConfigKey> ConfigListsOf(const google::protobuf::Descriptor& config);
bool IsConfigSection(const google::protobuf::FieldDescriptor& field);
bool IsConfigList(const google::protobuf::FieldDescriptor& field);

// Sets one key. kInvalidArgument: `text` is not of its type or out of its range; the key is not in the message.
absl::Status SetConfigValue(const ConfigKey& key, absl::string_view text, google::protobuf::Message& config);
// A new last element of a list, empty.
google::protobuf::Message& AddConfigElement(const ConfigKey& list, google::protobuf::Message& config);
// Whether it has a value other than empty or zero.
bool HasConfigValue(const ConfigKey& key, const google::protobuf::Message& config);

// What was probably meant by `unknown`: empty when nothing is near. A key, a key without its section, or a [section].
std::string NearestConfigKey(absl::string_view unknown, const google::protobuf::Descriptor& config);
std::string NearestConfigFlag(absl::string_view unknown, const google::protobuf::Descriptor& config);  // with dashes

std::string ConfigEnvironmentName(const ConfigKey& key);         // FLEET_LIVENESS_STALE_AFTER
std::vector<std::string> ConfigFlagNames(const ConfigKey& key);  // --broker --broker.url; the one to show first
std::string ConfigTypeName(const ConfigKey& key);                // duration, text, ...: one word
std::string ConfigTypeText(const google::protobuf::FieldDescriptor& field);  // a duration such as 500ms, ...
std::string ConfigRangeText(const ConfigKey& key);  // "100ms to 1h or off"; empty when all is allowed

}  // namespace fleet
