#include "device/can/dbc.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "device/can/dbc_reader.h"

namespace fleet::device {

const DbcSignal* DbcMessage::Find(absl::string_view signal) const {
  const auto found = std::ranges::find(signals, signal, &DbcSignal::name);
  return found == signals.end() ? nullptr : &*found;
}

const DbcMessage* DbcFile::Find(absl::string_view message) const {
  const auto found = std::ranges::find(messages, message, &DbcMessage::name);
  return found == messages.end() ? nullptr : &*found;
}

absl::StatusOr<DbcFile> ParseDbc(absl::string_view text, absl::string_view file_name) {
  if (text.size() > kMaxDbcBytes) {
    return absl::InvalidArgumentError(absl::StrCat(file_name, " has ", text.size(), " bytes, over ", kMaxDbcBytes));
  }
  return DbcReader(text, file_name).Read();
}

}  // namespace fleet::device
