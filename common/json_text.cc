#include "common/json_text.h"

#include <cstddef>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/status_macros.h"

namespace fleet {
namespace {

constexpr size_t kMaxForeignBytes = 200;

// Why nothing may be parsed that the library would take: a NUL ends its input, and its work on deep nesting recurses.
absl::Status CheckText(absl::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\0') return absl::InvalidArgumentError(absl::StrCat("byte ", i + 1, " is NUL"));
    if (c == '"') in_string = !in_string;
    if (in_string) {
      if (c == '\\') ++i;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxJsonDepth)
        return absl::InvalidArgumentError(absl::StrCat("byte ", i + 1, ": nested too deeply"));
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<nlohmann::json> ParseJson(absl::string_view text) {
  RETURN_IF_ERROR(CheckText(text));
  try {
    return nlohmann::json::parse(text.begin(), text.end());
  } catch (const nlohmann::json::exception& e) {
    absl::string_view what = e.what();
    if (const size_t end = what.find("] "); end != what.npos) what.remove_prefix(end + 2);
    absl::ConsumePrefix(&what, "parse error at ");
    return absl::InvalidArgumentError(ForeignWords(what));
  }
}

const nlohmann::json* FindField(const nlohmann::json& object, const char* name) {
  const auto field = object.find(name);
  return field == object.end() || field->is_null() ? nullptr : &*field;
}

std::string DumpJson(const nlohmann::json& value) {
  return value.dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace);
}

std::string JsonString(absl::string_view text) {
  return DumpJson(nlohmann::json(std::string(text)));
}

std::string ForeignWords(absl::string_view text) {
  const std::string cut(absl::StripAsciiWhitespace(text).substr(0, kMaxForeignBytes));
  return nlohmann::json::parse(JsonString(cut)).get<std::string>();
}

}  // namespace fleet
