#include "device/can/dbc_reader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/can/can_frame.h"

namespace fleet::device {
namespace {

constexpr uint32_t kExtendedBit = 0x80000000;
// VECTOR__INDEPENDENT_SIG_MSG, for signals that no message has; with kExtendedBit or without.
constexpr uint32_t kNowhereId = 0x40000000;

// An id as in the file, with kExtendedBit where it belongs: some tools leave it out, but over 11 bits there is no
// doubt.
std::optional<uint32_t> WholeId(uint64_t file_id) {
  if (file_id <= kMaxStandardCanId) return static_cast<uint32_t>(file_id);
  const uint64_t id = file_id & ~uint64_t{kExtendedBit};
  if (id > kMaxExtendedCanId && id != kNowhereId) return std::nullopt;
  return static_cast<uint32_t>(id) | kExtendedBit;
}

bool IsNowhere(const DbcMessage& message) {
  return message.id == kNowhereId;
}

}  // namespace

const DbcReader::Rule DbcReader::kRules[] = {
    {"VERSION", &DbcReader::ReadVersion},
    {"NS_", &DbcReader::ReadNewSymbols},
    {"BS_", &DbcReader::ReadBitTiming},
    {"BU_", &DbcReader::ReadNodes},
    {"BO_", &DbcReader::ReadMessage},
    {"SG_", &DbcReader::ReadSignal},
    {"CM_", &DbcReader::ReadComment},
    {"VAL_", &DbcReader::ReadLabels},
    {"SIG_VALTYPE_", &DbcReader::ReadValueType},
    {"SG_MUL_VAL_", &DbcReader::ReadMuxRanges},
    {"BA_", &DbcReader::ReadAttribute},
    {"BA_DEF_", &DbcReader::ReadAttributeDefinition},
    {"BA_DEF_DEF_", &DbcReader::ReadAttributeDefault},
};

absl::StatusOr<DbcFile> DbcReader::Read() {
  while (!in_.AtEnd()) ReadStatement();
  if (in_.ok()) Finish();
  if (!in_.ok()) return in_.status();
  std::erase_if(file_.messages, IsNowhere);
  return std::move(file_);
}

void DbcReader::ReadStatement() {
  keyword_ = std::string(in_.Word("a keyword"));
  if (keyword_ != "SG_") in_message_ = keyword_ == "BO_";
  const auto* rule = std::ranges::find(kRules, absl::string_view(keyword_), &Rule::keyword);
  if (rule != std::end(kRules)) {
    (this->*rule->read)();
  } else if (IsDbcKeyword(keyword_)) {
    in_.SkipStatement(keyword_);
  } else {
    in_.Fail(absl::StrCat("no statement begins with ", keyword_));
  }
}

// Keywords of the format itself, one on each line.
void DbcReader::ReadNewSymbols() {
  in_.Expect(':');
  while (!in_.WordAloneOnLine().empty()) continue;
}

// BS_: [BAUDRATE [: BTR1, BTR2]]
void DbcReader::ReadBitTiming() {
  in_.Expect(':');
  if (in_.ListWord().empty() || !in_.Take(':')) return;
  in_.Unsigned("BTR1");
  in_.Expect(',');
  in_.Unsigned("BTR2");
}

// BU_: Engine Gearbox
void DbcReader::ReadNodes() {
  in_.Expect(':');
  while (!in_.ListWord().empty()) in_.Take(',');
}

// BO_ 2364540158 EEC1: 8 Engine
void DbcReader::ReadMessage() {
  const uint64_t file_id = in_.Unsigned("a message id");
  const absl::string_view name = in_.Word("a message name");
  in_.Expect(':');
  const uint64_t size = in_.Unsigned("a size in bytes");
  in_.ListWord();  // who sends it
  if (!in_.ok()) return;

  const auto fail = [&](const auto&... problem) { in_.Fail(absl::StrCat("message ", name, " ", problem...)); };
  const std::optional<uint32_t> id = WholeId(file_id);
  if (!id) return fail("has an id of more than 29 bits: ", file_id);
  if (size > kMaxDbcMessageBytes) return fail("has ", size, " bytes, over ", kMaxDbcMessageBytes);
  const auto [same_id, is_new] = by_id_.try_emplace(*id, file_.messages.size());
  if (!is_new) return fail("has the id of ", file_.messages[same_id->second].name);
  if (!message_names_.insert(name).second) return fail("is there already");
  if (file_.messages.size() == kMaxDbcMessages) return fail("is one too many, after ", kMaxDbcMessages);

  notes_.emplace_back();
  DbcMessage& message = file_.messages.emplace_back();
  message.name = std::string(name);
  message.extended = (*id & kExtendedBit) != 0;
  message.id = *id & ~kExtendedBit;
  message.size = static_cast<uint16_t>(size);
}

// SG_ Speed m1 : 8|16@1+ (0.125,0) [0|8031.875] "rpm" Dashboard,Logger
void DbcReader::ReadSignal() {
  if (!in_message_) return in_.Fail("SG_ that belongs to no BO_");
  DbcMessage& message = file_.messages.back();
  const absl::string_view name = in_.Word("a signal name");
  SignalNotes notes{.line = in_.line()};
  DbcSignal signal;
  signal.name = std::string(name);
  if (in_.Peek() != ':') ReadMux(signal, notes);
  in_.Expect(':');
  ReadLayout(signal);
  while (!in_.ListWord().empty()) in_.Take(',');  // who receives it
  if (!in_.ok()) return;

  const auto fail = [&](const auto&... problem) { in_.Fail(absl::StrCat("signal ", name, " ", problem...)); };
  if (!notes_.back().by_name.try_emplace(name, message.signals.size()).second) return fail("is in its message already");
  if (++signal_count_ > kMaxDbcSignals) return fail("is one too many, after ", kMaxDbcSignals);
  message.signals.push_back(std::move(signal));
  notes_.back().signals.push_back(notes);
}

// M: a multiplexer; m12: there when it is 12; m12M: both.
void DbcReader::ReadMux(DbcSignal& signal, SignalNotes& notes) {
  const absl::string_view word = in_.Word("':'");
  absl::string_view value = word;
  notes.is_multiplexer = absl::ConsumeSuffix(&value, "M");
  if (notes.is_multiplexer && value.empty()) return;
  DbcMux::Range range;
  if (!absl::ConsumePrefix(&value, "m") || !absl::SimpleAtoi(value, &range.first)) {
    return in_.Fail(absl::StrCat("signal ", signal.name, ": M, m12 or m12M is expected, with any number, not ", word));
  }
  range.last = range.first;
  signal.mux = DbcMux{.multiplexer = 0, .ranges = {range}};
}

// 8|16@1+ (0.125,0) [0|8031.875] "rpm"
void DbcReader::ReadLayout(DbcSignal& signal) {
  const uint64_t start_bit = in_.Unsigned("a start bit");
  in_.Expect('|');
  const uint64_t size_bits = in_.Unsigned("a size in bits");
  in_.Expect('@');
  const uint64_t byte_order = in_.Unsigned("a byte order");
  signal.is_signed = in_.Take('-');
  if (!signal.is_signed) in_.Expect('+');
  in_.Expect('(');
  signal.factor = in_.Number("a factor");
  in_.Expect(',');
  signal.offset = in_.Number("an offset");
  in_.Expect(')');
  in_.Expect('[');
  in_.Number("a minimum");
  in_.Expect('|');
  in_.Number("a maximum");
  in_.Expect(']');
  signal.unit = in_.String("a unit");
  if (!in_.ok()) return;

  const auto fail = [&](const auto&... problem) { in_.Fail(absl::StrCat("signal ", signal.name, " ", problem...)); };
  if (size_bits == 0 || size_bits > 64) return fail("has ", size_bits, " bits, not 1 to 64");
  if (byte_order > 1) return fail("has byte order ", byte_order, ", not 0 (big-endian) or 1 (little-endian)");
  const DbcMessage& message = file_.messages.back();
  const uint64_t message_bits = uint64_t{message.size} * 8;
  // A big-endian signal goes down from its start bit, and on at the highest bit of the next byte.
  const uint64_t bits_before = byte_order == 1 ? start_bit : start_bit ^ 7;
  if (!IsNowhere(message) && (start_bit >= message_bits || bits_before + size_bits > message_bits)) {
    return fail("is longer than its message");
  }
  signal.start_bit = static_cast<uint16_t>(start_bit);
  signal.size_bits = static_cast<uint8_t>(size_bits);
  signal.little_endian = byte_order == 1;
}

std::optional<size_t> DbcReader::FindMessage(uint64_t file_id) const {
  const std::optional<uint32_t> id = WholeId(file_id);
  const auto found = id ? by_id_.find(*id) : by_id_.end();
  if (found == by_id_.end()) return std::nullopt;
  return found->second;
}

std::optional<size_t> DbcReader::FindSignal(size_t message, absl::string_view name) const {
  const auto found = notes_[message].by_name.find(name);
  if (found == notes_[message].by_name.end()) return std::nullopt;
  return found->second;
}

}  // namespace fleet::device
