#include "tools/fleetctl/table.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "tools/fleetctl/human.h"

namespace fleet {
namespace {

constexpr int kGap = 2;  // spaces between columns

bool StartsCharacter(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0) != 0x80;
}

// The first `count` characters of `text`.
absl::string_view FirstCharacters(absl::string_view text, int count) {
  size_t end = 0;
  while (end < text.size()) {
    if (StartsCharacter(text[end]) && count-- == 0) break;
    ++end;
  }
  return text.substr(0, end);
}

absl::string_view Escape(Colour colour) {
  switch (colour) {
    case Colour::kNone:
      return "";
    case Colour::kGreen:
      return "\x1b[32m";
    case Colour::kYellow:
      return "\x1b[33m";
    case Colour::kRed:
      return "\x1b[31m";
    case Colour::kGrey:
      return "\x1b[90m";
    case Colour::kBold:
      return "\x1b[1m";
  }
  return "";
}

}  // namespace

int DisplayWidth(absl::string_view text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), StartsCharacter));
}

std::string CutTo(absl::string_view text, int width) {
  if (width < 0) return "";
  if (DisplayWidth(text) <= width) return std::string(text);
  const absl::string_view mark = width > 3 ? ".." : "";
  return absl::StrCat(FirstCharacters(text, width - static_cast<int>(mark.size())), mark);
}

std::string Paint(absl::string_view text, Colour colour, const TextStyle& style) {
  if (!style.colour || colour == Colour::kNone || text.empty()) return std::string(text);
  return absl::StrCat(Escape(colour), text, "\x1b[0m");
}

void Table::Add(std::vector<Cell> row) {
  FLEET_CHECK(row.size() == columns_.size()) << row.size() << " cells for " << columns_.size() << " columns";
  for (Cell& cell : row) cell.text = Printable(cell.text);
  rows_.push_back(std::move(row));
}

std::string Table::Render(const TextStyle& style) const {
  const std::vector<int> widths = Widths();
  std::vector<Cell> titles;
  for (const Column& column : columns_) titles.push_back({column.title, Colour::kBold});
  std::string out = RenderRow(titles, widths, style);
  for (const std::vector<Cell>& row : rows_) out += RenderRow(row, widths, style);
  return out;
}

std::vector<int> Table::Widths() const {
  std::vector<int> widths;
  for (size_t i = 0; i < columns_.size(); ++i) {
    int width = DisplayWidth(columns_[i].title);
    for (const std::vector<Cell>& row : rows_) width = std::max(width, DisplayWidth(row[i].text));
    widths.push_back(width);
  }
  return widths;
}

std::string Table::RenderRow(const std::vector<Cell>& row, const std::vector<int>& widths,
                             const TextStyle& style) const {
  std::string line;
  int start = 0;  // where the column begins
  int owed = 0;   // spaces that are due before the next text; never written at the end of a line
  for (size_t i = 0; i < row.size(); ++i) {
    const int room = style.width > 0 ? style.width - start : std::numeric_limits<int>::max();
    if (room <= 0) break;
    const std::string padding(static_cast<size_t>(widths[i] - DisplayWidth(row[i].text)), ' ');
    const std::string text = columns_[i].align == Align::kRight ? padding + row[i].text : row[i].text;
    if (!row[i].text.empty()) {
      line.append(static_cast<size_t>(owed), ' ');
      line += Paint(CutTo(text, room), row[i].colour, style);
      owed = 0;
    }
    owed += kGap + widths[i] - (row[i].text.empty() ? 0 : DisplayWidth(text));
    start += kGap + widths[i];
  }
  return line + "\n";
}

}  // namespace fleet
