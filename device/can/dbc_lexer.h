// The words, numbers and strings of a DBC file, one after the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace fleet::device {

// The reader says what it expects next, because the format needs that: `3-5` is a range in one place, `-5` a number in
// another. The first thing that is not as expected is the error and stays it; from there on the text is at its end. So
// a grammar looks for errors only where it would act on what it read.
class DbcLexer {
 public:
  // Both outlive the lexer.
  DbcLexer(absl::string_view text, absl::string_view file_name);

  bool AtEnd();
  char Peek();  // the next character that is no space, nor in a comment as of C++; 0 at the end

  absl::string_view PeekWord();  // letters, digits and _; empty: no word is next
  absl::string_view Word(absl::string_view what);
  absl::string_view WordAloneOnLine();  // empty, and nothing is taken, if the next word is not alone there
  absl::string_view ListWord();         // of a list without end mark: empty at a keyword or the beginning of a line
  uint64_t Unsigned(absl::string_view what);
  double Number(absl::string_view what);       // finite
  std::string String(absl::string_view what);  // in UTF-8; may have several lines; \" is a quotation mark
  bool Take(char c);                           // takes it if it is next
  void Expect(char c);

  // Up to the ';' that ends a statement of which nothing is needed. A line that begins with a keyword comes too early.
  void SkipStatement(absl::string_view keyword);

  bool ok() const { return status_.ok(); }
  const absl::Status& status() const { return status_; }
  int line() const { return first_line_; }  // where begins what was taken last; the first is 1

  void Fail(absl::string_view problem);  // at line()
  void FailAt(int line, absl::string_view problem);

 private:
  void SkipSpace();
  bool LineBegins() const { return at_ == 0 || text_[at_ - 1] == '\n'; }
  void Advance(size_t bytes);
  absl::string_view Consume(size_t bytes);  // a token, which begins here
  absl::string_view RawString(absl::string_view what);
  void FailExpected(absl::string_view what);

  const absl::string_view text_;
  const absl::string_view file_name_;
  size_t at_ = 0;
  int line_ = 1;        // of at_
  int first_line_ = 1;  // of the token that was taken last
  int last_line_ = 1;
  absl::Status status_;
};

// Does a statement begin with this word?
bool IsDbcKeyword(absl::string_view word);

}  // namespace fleet::device
