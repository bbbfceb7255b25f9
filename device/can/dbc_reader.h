// ParseDbc at work: one file, statement by statement. Only dbc*.cc and their tests need this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "device/can/dbc.h"
#include "device/can/dbc_lexer.h"

namespace fleet::device {

// Used once. What it is given outlives it.
class DbcReader {
 public:
  DbcReader(absl::string_view text, absl::string_view file_name) : in_(text, file_name) {}

  absl::StatusOr<DbcFile> Read();

 private:
  struct Rule {
    absl::string_view keyword;
    void (DbcReader::*read)();
  };
  static const Rule kRules[];

  struct Place {
    size_t message = 0;
    size_t signal = 0;
  };
  struct Attribute {
    std::string text;
    double number = 0;  // if there is no text
  };
  // The attributes of a message that mean something here.
  struct Attributes {
    std::optional<Attribute>* Find(absl::string_view name);  // nullptr: another one
    std::optional<Attribute> cycle_time;
    std::optional<Attribute> frame_format;
  };
  // What counts until the end of the file only.
  struct SignalNotes {
    int line = 0;
    bool is_multiplexer = false;
    bool knows_multiplexer = false;  // its own, by SG_MUL_VAL_
  };
  struct MessageNotes {
    absl::flat_hash_map<absl::string_view, size_t> by_name;
    std::vector<SignalNotes> signals;
    Attributes attributes;
  };

  void ReadStatement();
  void ReadVersion() { in_.String("the version"); }
  void ReadNewSymbols();
  void ReadBitTiming();
  void ReadNodes();

  // What there is.
  void ReadMessage();
  void ReadSignal();
  void ReadMux(DbcSignal& signal, SignalNotes& notes);
  void ReadLayout(DbcSignal& signal);

  // What is said of it.
  void ReadComment();
  std::string* ReadCommented();
  void ReadLabels();
  void ReadValueType();
  void ReadMuxRanges();
  void ReadAttribute();
  void ReadAttributeDefault();
  void ReadAttributeDefinition();
  Attribute ReadAttributeValue();

  // At the end.
  void Finish();
  void ChooseMultiplexers(DbcMessage& message, const MessageNotes& notes);
  void CheckMultiplexers(const DbcMessage& message, const MessageNotes& notes);
  bool IsJ1939(const Attribute& frame_format) const;

  // As indices; Read...: with an error if there is none.
  std::optional<size_t> FindMessage(uint64_t file_id) const;
  std::optional<size_t> FindSignal(size_t message, absl::string_view name) const;
  std::optional<size_t> ReadMessageId();
  std::optional<size_t> ReadSignalOf(size_t message);
  std::optional<Place> ReadPlace();
  DbcSignal& At(Place place) { return file_.messages[place.message].signals[place.signal]; }

  DbcLexer in_;
  DbcFile file_;
  std::vector<MessageNotes> notes_;  // of file_.messages
  absl::flat_hash_map<uint32_t, size_t> by_id_;
  absl::flat_hash_set<absl::string_view> message_names_;
  Attributes defaults_;
  std::vector<std::string> frame_formats_;  // the words of VFrameFormat
  std::string keyword_;
  bool in_message_ = false;  // SG_ may come
  size_t signal_count_ = 0;
};

}  // namespace fleet::device
