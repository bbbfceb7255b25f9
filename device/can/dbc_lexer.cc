#include "device/can/dbc_lexer.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace fleet::device {
namespace {

// Sorted.
constexpr absl::string_view kKeywords[] = {
    "BA_",
    "BA_DEF_",
    "BA_DEF_DEF_",
    "BA_DEF_DEF_REL_",
    "BA_DEF_REL_",
    "BA_DEF_SGTYPE_",
    "BA_REL_",
    "BA_SGTYPE_",
    "BO_",
    "BO_TX_BU_",
    "BS_",
    "BU_",
    "BU_BO_REL_",
    "BU_EV_REL_",
    "BU_SG_REL_",
    "CAT_",
    "CAT_DEF_",
    "CM_",
    "ENVVAR_DATA_",
    "EV_",
    "EV_DATA_",

    "NS_",
    "NS_DESC_",
    "SGTYPE_",
    "SGTYPE_VAL_",
    "SG_",
    "SG_MUL_VAL_",
    "SIGTYPE_VALTYPE_",
    "SIG_GROUP_",
    "SIG_TYPE_REF_",
    "SIG_VALTYPE_",
    "VAL_",
    "VAL_TABLE_",
    "VERSION",
};

static_assert(std::ranges::is_sorted(kKeywords));

bool IsWordCharacter(char c) {
  return absl::ascii_isalnum(c) || c == '_';
}

// The characters 80 to 9F of Windows-1252; from A0 on it is Latin-1. Source: Unicode's CP1252.TXT. The five that are
// not defined become U+FFFD.
constexpr std::array<char16_t, 32> kWindows1252 = {
    0x20AC, 0xFFFD, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
    0x2039, 0x0152, 0xFFFD, 0x017D, 0xFFFD, 0xFFFD, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
    0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0xFFFD, 0x017E, 0x0178,
};

// Bytes of the UTF-8 character at the front of `text`; 0: there is none.
size_t Utf8Bytes(absl::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const unsigned first = byte(0);
  const size_t bytes = first < 0x80 ? 1 : first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  // Longer than need be, a half of UTF-16, beyond 10FFFF.
  if (first == 0xE0 && byte(1) < 0xA0) return 0;
  if (first == 0xED && byte(1) >= 0xA0) return 0;
  if (first == 0xF0 && byte(1) < 0x90) return 0;
  if (first == 0xF4 && byte(1) >= 0x90) return 0;
  return bytes;
}

bool IsUtf8(absl::string_view text) {
  while (!text.empty()) {
    const size_t bytes = Utf8Bytes(text);
    if (bytes == 0) return false;
    text.remove_prefix(bytes);
  }
  return true;
}

std::string FromWindows1252(absl::string_view text) {
  std::string utf8;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const char16_t code = byte >= 0x80 && byte < 0xA0 ? kWindows1252[byte - 0x80] : byte;
    if (code < 0x80) {
      utf8.push_back(c);
      continue;
    }
    if (code < 0x800) {
      utf8.push_back(static_cast<char>(0xC0 | code >> 6));
    } else {
      utf8.push_back(static_cast<char>(0xE0 | code >> 12));
      utf8.push_back(static_cast<char>(0x80 | (code >> 6 & 0x3F)));
    }
    utf8.push_back(static_cast<char>(0x80 | (code & 0x3F)));
  }
  return utf8;
}

}  // namespace

bool IsDbcKeyword(absl::string_view word) {
  return std::ranges::binary_search(kKeywords, word);
}

DbcLexer::DbcLexer(absl::string_view text, absl::string_view file_name) : text_(text), file_name_(file_name) {
  constexpr absl::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text.substr(0, kByteOrderMark.size()) == kByteOrderMark) at_ = kByteOrderMark.size();
}

void DbcLexer::Advance(size_t bytes) {
  line_ += static_cast<int>(std::ranges::count(text_.substr(at_, bytes), '\n'));
  at_ += bytes;
}

void DbcLexer::SkipSpace() {
  size_t end = at_;
  while (end < text_.size()) {
    if (text_.substr(end, 2) == "//") {
      end = std::min(text_.find('\n', end), text_.size());
    } else if (absl::ascii_isspace(text_[end])) {
      ++end;
    } else {
      break;
    }
  }
  Advance(end - at_);
}

absl::string_view DbcLexer::Consume(size_t bytes) {
  if (bytes == 0) return {};
  const absl::string_view token = text_.substr(at_, bytes);
  first_line_ = line_;
  Advance(bytes);
  last_line_ = line_;
  return token;
}

char DbcLexer::Peek() {
  SkipSpace();
  return at_ < text_.size() ? text_[at_] : '\0';
}

bool DbcLexer::AtEnd() {
  SkipSpace();
  return at_ == text_.size();
}

absl::string_view DbcLexer::PeekWord() {
  SkipSpace();
  size_t end = at_;
  while (end < text_.size() && IsWordCharacter(text_[end])) ++end;
  return text_.substr(at_, end - at_);
}

absl::string_view DbcLexer::Word(absl::string_view what) {
  const absl::string_view word = PeekWord();
  if (word.empty()) FailExpected(what);
  return Consume(word.size());
}

absl::string_view DbcLexer::WordAloneOnLine() {
  const absl::string_view word = PeekWord();
  const absl::string_view behind = text_.substr(at_ + word.size());
  const absl::string_view rest = behind.substr(0, std::min(behind.find('\n'), behind.size()));
  return std::ranges::all_of(rest, absl::ascii_isspace) ? Consume(word.size()) : absl::string_view();
}

absl::string_view DbcLexer::ListWord() {
  const absl::string_view word = PeekWord();
  return LineBegins() || IsDbcKeyword(word) ? absl::string_view() : Consume(word.size());
}

uint64_t DbcLexer::Unsigned(absl::string_view what) {
  const absl::string_view word = PeekWord();
  uint64_t number = 0;
  if (word.empty() || !std::ranges::all_of(word, absl::ascii_isdigit)) {
    FailExpected(what);
  } else if (!absl::SimpleAtoi(Consume(word.size()), &number)) {
    Fail(absl::StrCat(word, " is too large for ", what));
  }
  return number;
}

double DbcLexer::Number(absl::string_view what) {
  SkipSpace();
  size_t end = at_;
  const auto here = [&] { return end < text_.size() ? text_[end] : '\0'; };
  const auto take = [&](absl::string_view characters) { end += characters.find(here()) != characters.npos; };
  const auto take_digits = [&] {
    while (absl::ascii_isdigit(here())) ++end;
  };
  take("+-");
  take_digits();
  take(".");
  take_digits();
  if (end > at_ && (here() == 'e' || here() == 'E')) {
    ++end;
    take("+-");
  }
  if (end > at_) {
    while (IsWordCharacter(here()) || here() == '.') ++end;  // what people would take for a part of it, too
  }
  const absl::string_view token = Consume(end - at_);
  double number = 0;
  if (token.empty()) {
    FailExpected(what);
  } else if (token.find_first_of("xX") != token.npos || !absl::SimpleAtod(token, &number)) {
    Fail(absl::StrCat(what, " is expected, not ", token));
  } else if (!std::isfinite(number)) {
    Fail(absl::StrCat(token, " is too large for ", what));
  }
  return number;
}

// \" is a quotation mark inside.
absl::string_view DbcLexer::RawString(absl::string_view what) {
  if (Peek() != '"') {
    FailExpected(what);
    return {};
  }
  size_t end = at_ + 1;
  while (end < text_.size() && !(text_[end] == '"' && text_[end - 1] != '\\')) ++end;
  if (end == text_.size()) {
    FailAt(line_, "the string that begins here does not end");
    return {};
  }
  const absl::string_view quoted = Consume(end + 1 - at_);
  return quoted.substr(1, quoted.size() - 2);
}

std::string DbcLexer::String(absl::string_view what) {
  const std::string text = absl::StrReplaceAll(RawString(what), {{"\\\"", "\""}});
  return IsUtf8(text) ? text : FromWindows1252(text);
}

bool DbcLexer::Take(char c) {
  const bool taken = !AtEnd() && text_[at_] == c;
  if (taken) Consume(1);
  return taken;
}

void DbcLexer::Expect(char c) {
  if (!Take(c)) FailExpected(absl::StrCat("'", absl::string_view(&c, 1), "'"));
}

void DbcLexer::SkipStatement(absl::string_view keyword) {
  const int line = last_line_;
  while (!Take(';')) {
    const absl::string_view word = PeekWord();
    if (AtEnd() || (LineBegins() && IsDbcKeyword(word))) {
      return FailAt(line, absl::StrCat("no ';' at the end of this ", keyword));
    }
    if (Peek() == '"') {
      RawString("a string");
    } else {
      Consume(std::max<size_t>(1, word.size()));
    }
  }
}

void DbcLexer::Fail(absl::string_view problem) {
  FailAt(first_line_, problem);
}

void DbcLexer::FailAt(int line, absl::string_view problem) {
  if (ok()) status_ = absl::InvalidArgumentError(absl::StrCat(file_name_, ":", line, ": ", problem));
  at_ = text_.size();
}

void DbcLexer::FailExpected(absl::string_view what) {
  if (!ok()) return;
  if (AtEnd()) return FailAt(last_line_, absl::StrCat("the file ends where ", what, " should be"));
  if (line_ != last_line_) return FailAt(last_line_, absl::StrCat(what, " is missing at the end of the line"));
  const absl::string_view word = PeekWord().substr(0, 40);
  const absl::string_view next = word.empty() ? text_.substr(at_, 1) : word;
  const std::string found = absl::ascii_isprint(next[0]) ? std::string(next) : absl::CHexEscape(next);
  FailAt(line_, absl::StrCat(what, " is expected, not ", found));
}

}  // namespace fleet::device
