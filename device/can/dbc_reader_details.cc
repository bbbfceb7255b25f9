// What a DBC file says of its messages and signals after it has listed them.
#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "device/can/dbc_reader.h"

namespace fleet::device {
namespace {

constexpr absl::string_view kCycleTime = "GenMsgCycleTime";  // ms
constexpr absl::string_view kFrameFormat = "VFrameFormat";
constexpr absl::string_view kJ1939 = "J1939PG";
constexpr double kJ1939Number = 3;  // its place in VFrameFormat, for files that give numbers and do not list the words

// In rising order, with what overlaps or touches made one.
void Tidy(std::vector<DbcMux::Range>& ranges) {
  std::ranges::sort(ranges, {}, &DbcMux::Range::first);
  size_t last = 0;
  for (const DbcMux::Range& range : ranges) {
    if (range.first <= ranges[last].last || range.first - 1 == ranges[last].last) {
      ranges[last].last = std::max(ranges[last].last, range.last);
    } else {
      ranges[++last] = range;
    }
  }
  ranges.resize(last + 1);
}

}  // namespace

std::optional<size_t> DbcReader::ReadMessageId() {
  const uint64_t id = in_.Unsigned("a message id");
  const std::optional<size_t> message = FindMessage(id);
  if (!message) in_.Fail(absl::StrCat(keyword_, " for a message that does not exist: ", id));
  return in_.ok() ? message : std::nullopt;
}

std::optional<size_t> DbcReader::ReadSignalOf(size_t message) {
  const absl::string_view name = in_.Word("a signal name");
  const std::optional<size_t> signal = FindSignal(message, name);
  if (!signal) {
    in_.Fail(
        absl::StrCat(keyword_, " for a signal that does not exist: ", file_.messages[message].name, " has no ", name));
  }
  return signal;
}

std::optional<DbcReader::Place> DbcReader::ReadPlace() {
  const std::optional<size_t> message = ReadMessageId();
  const std::optional<size_t> signal = message ? ReadSignalOf(*message) : std::nullopt;
  if (!signal) return std::nullopt;
  return Place{.message = *message, .signal = *signal};
}

// CM_ [BU_ NODE | EV_ NAME | BO_ ID | SG_ ID SIGNAL] "text";
void DbcReader::ReadComment() {
  std::string* commented = ReadCommented();
  std::string text = in_.String("a comment");
  in_.Expect(';');
  if (commented != nullptr) *commented = std::move(text);
}

// Many files still comment on what they no longer have: nothing is lost with such a comment, so that is no error.
std::string* DbcReader::ReadCommented() {
  if (in_.Peek() == '"') return nullptr;
  const absl::string_view of = in_.Word("a comment");
  if (of == "BU_" || of == "EV_") {
    in_.Word("a name");
    return nullptr;
  }
  if (of != "BO_" && of != "SG_") in_.Fail(absl::StrCat("BU_, BO_, SG_ or EV_ is expected, not ", of));
  const std::optional<size_t> message = FindMessage(in_.Unsigned("a message id"));
  if (of == "BO_") return message ? &file_.messages[*message].comment : nullptr;
  const absl::string_view name = in_.Word("a signal name");
  const std::optional<size_t> signal = message ? FindSignal(*message, name) : std::nullopt;
  return signal ? &file_.messages[*message].signals[*signal].comment : nullptr;
}

// VAL_ ID SIGNAL 0 "Off" 1 "On";   VAL_ NAME ... is about an environment variable.
void DbcReader::ReadLabels() {
  if (!absl::ascii_isdigit(in_.Peek())) return in_.SkipStatement(keyword_);
  const std::optional<Place> place = ReadPlace();
  while (in_.ok() && !in_.Take(';')) {
    DbcSignal& signal = At(*place);
    const double raw = in_.Number("a value or ';'");
    signal.labels.push_back({.value = signal.Scaled(raw), .word = in_.String("a word for the value")});
  }
}

// SIG_VALTYPE_ ID SIGNAL : 1;
void DbcReader::ReadValueType() {
  const std::optional<Place> place = ReadPlace();
  in_.Take(':');
  const uint64_t type = in_.Unsigned("a value type");
  in_.Expect(';');
  if (!in_.ok()) return;
  DbcSignal& signal = At(*place);
  const auto fail = [&](const auto&... problem) { in_.Fail(absl::StrCat("signal ", signal.name, " ", problem...)); };
  if (type > 2) return fail("has value type ", type, ", not 0 (integer), 1 (32-bit float) or 2 (64-bit float)");
  if (type > 0 && signal.size_bits != 32 * type)
    return fail("has ", signal.size_bits, " bits, not ", 32 * type, " as its value type");
  signal.kind = static_cast<DbcSignal::Kind>(type);
}

// SG_MUL_VAL_ ID SIGNAL MULTIPLEXER 1-1, 5-8;   The m of SG_ counts no more; some files leave it out.
void DbcReader::ReadMuxRanges() {
  const std::optional<Place> place = ReadPlace();
  const std::optional<size_t> multiplexer = place ? ReadSignalOf(place->message) : std::nullopt;
  if (!multiplexer) return;
  DbcSignal& signal = At(*place);
  SignalNotes& notes = notes_[place->message].signals[place->signal];
  if (!notes.knows_multiplexer) signal.mux = DbcMux{.multiplexer = *multiplexer, .ranges = {}};
  notes.knows_multiplexer = true;
  if (signal.mux->multiplexer != *multiplexer) in_.Fail(absl::StrCat("signal ", signal.name, " has two multiplexers"));
  do {
    DbcMux::Range range;
    range.first = in_.Unsigned("a value");
    in_.Expect('-');
    range.last = in_.Unsigned("the last value of a range");
    if (range.last < range.first) in_.Fail(absl::StrCat("a range from ", range.first, " to ", range.last));
    signal.mux->ranges.push_back(range);
  } while (in_.Take(','));
  in_.Expect(';');
}

DbcReader::Attribute DbcReader::ReadAttributeValue() {
  Attribute value;
  if (in_.Peek() == '"') {
    value.text = in_.String("a value");
  } else {
    value.number = in_.Number("a value");
  }
  in_.Expect(';');
  return value;
}

std::optional<DbcReader::Attribute>* DbcReader::Attributes::Find(absl::string_view name) {
  if (name == kCycleTime) return &cycle_time;
  if (name == kFrameFormat) return &frame_format;
  return nullptr;
}

// BA_ "NAME" [BU_ NODE | BO_ ID | SG_ ID SIGNAL | EV_ NAME] VALUE;
void DbcReader::ReadAttribute() {
  const std::string name = in_.String("an attribute's name");
  if (defaults_.Find(name) == nullptr || in_.PeekWord() != "BO_") return in_.SkipStatement(keyword_);
  in_.Word("BO_");
  const std::optional<size_t> message = ReadMessageId();
  Attribute value = ReadAttributeValue();
  if (in_.ok()) *notes_[*message].attributes.Find(name) = std::move(value);
}

// BA_DEF_DEF_ "NAME" VALUE;
void DbcReader::ReadAttributeDefault() {
  std::optional<Attribute>* value = defaults_.Find(in_.String("an attribute's name"));
  if (value == nullptr) return in_.SkipStatement(keyword_);
  *value = ReadAttributeValue();
}

// BA_DEF_ [BU_ | BO_ | SG_ | EV_] "NAME" ENUM "A","B";   or of another type
void DbcReader::ReadAttributeDefinition() {
  if (in_.Peek() != '"') in_.Word("an attribute's name");
  const std::string name = in_.String("an attribute's name");
  if (name != kFrameFormat || in_.PeekWord() != "ENUM") return in_.SkipStatement(keyword_);
  in_.Word("ENUM");
  do {
    frame_formats_.push_back(in_.String("a word"));
  } while (in_.Take(','));
  in_.Expect(';');
}

bool DbcReader::IsJ1939(const Attribute& frame_format) const {
  if (!frame_format.text.empty()) return frame_format.text == kJ1939;
  const double number = frame_format.number;
  if (frame_formats_.empty()) return number == kJ1939Number;
  const auto word = std::ranges::find(frame_formats_, kJ1939);
  return word != frame_formats_.end() && number == static_cast<double>(word - frame_formats_.begin());
}

void DbcReader::Finish() {
  for (size_t i = 0; i < file_.messages.size(); ++i) {
    DbcMessage& message = file_.messages[i];
    const Attributes& own = notes_[i].attributes;
    const std::optional<Attribute>& cycle_time = own.cycle_time ? own.cycle_time : defaults_.cycle_time;
    const std::optional<Attribute>& frame_format = own.frame_format ? own.frame_format : defaults_.frame_format;
    if (cycle_time && cycle_time->number > 0) message.cycle_time = absl::Milliseconds(cycle_time->number);
    message.j1939 = message.extended && frame_format && IsJ1939(*frame_format);
    ChooseMultiplexers(message, notes_[i]);
    CheckMultiplexers(message, notes_[i]);
  }
}

void DbcReader::ChooseMultiplexers(DbcMessage& message, const MessageNotes& notes) {
  const auto is_multiplexer = [](const SignalNotes& signal) { return signal.is_multiplexer; };
  const auto only = std::ranges::find_if(notes.signals, is_multiplexer);
  const auto count = std::ranges::count_if(notes.signals, is_multiplexer);
  for (size_t i = 0; i < message.signals.size(); ++i) {
    DbcSignal& signal = message.signals[i];
    const auto fail = [&](absl::string_view problem) {
      in_.FailAt(notes.signals[i].line, absl::StrCat("signal ", signal.name, " is multiplexed, but ", problem));
    };
    if (!signal.mux) continue;
    Tidy(signal.mux->ranges);
    if (notes.signals[i].knows_multiplexer) continue;
    if (count == 0) return fail("no signal of its message is a multiplexer, M");
    if (count > 1) return fail("its message has several multiplexers, and no SG_MUL_VAL_ says by which");
    signal.mux->multiplexer = static_cast<size_t>(only - notes.signals.begin());
  }
}

void DbcReader::CheckMultiplexers(const DbcMessage& message, const MessageNotes& notes) {
  const auto fail = [&](size_t i, const auto&... problem) {
    in_.FailAt(notes.signals[i].line, absl::StrCat("signal ", message.signals[i].name, " ", problem...));
  };
  for (size_t i = 0; in_.ok() && i < message.signals.size(); ++i) {
    size_t depth = 0;
    for (size_t at = i; message.signals[at].mux; ++depth) {
      if (depth == kMaxDbcMuxDepth)
        return fail(i, "is below over ", depth, " multiplexers, or they go round in a circle");
      at = message.signals[at].mux->multiplexer;
      if (!notes.signals[at].is_multiplexer) return fail(at, "is used as a multiplexer, but its SG_ has no M");
      if (message.signals[at].kind != DbcSignal::Kind::kInteger) return fail(at, "is a multiplexer and a float");
    }
  }
}

}  // namespace fleet::device
