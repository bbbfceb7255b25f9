#include "device/config_page.h"

#include "common/http_server.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

namespace fleet::device {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

void HideUsers(Message& message);

void HideUsers(const FieldDescriptor& field, Message& message) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
    if (!field.is_repeated()) return HideUsers(*reflection.MutableMessage(&message, &field));
    for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
      HideUsers(*reflection.MutableRepeatedMessage(&message, &field, i));
    }
  } else if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING && !field.is_repeated()) {
    reflection.SetString(&message, &field, WithoutUser(reflection.GetString(message, &field)));
  }
}

void HideUsers(Message& message) {
  std::vector<const FieldDescriptor*> fields;  // that have a value
  message.GetReflection()->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) HideUsers(*field, message);
}

}  // namespace

std::string ConfigPage(v1::DeviceConfig config) {
  HideUsers(config);
  return ToJson(config);
}

// Up to the last @: rather too much is left out than a password that has a / in it.
std::string WithoutUser(const std::string& text) {
  const size_t scheme = text.find("://");
  const size_t at = text.rfind('@');
  if (scheme == std::string::npos || at == std::string::npos || at < scheme) return text;
  return text.substr(0, scheme + 3) + text.substr(at + 1);
}

}  // namespace fleet::device
