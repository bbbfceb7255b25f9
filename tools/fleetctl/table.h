// Text in aligned columns, for a terminal or a pipe.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace fleet {

enum class Colour { kNone, kGreen, kYellow, kRed, kGrey, kBold };

struct TextStyle {
  int width = 0;        // lines are cut to this many characters; 0: not cut
  bool colour = false;  // ANSI colours
};

struct Cell {
  std::string text;  // made printable when it is added
  Colour colour = Colour::kNone;
};

// Characters, not bytes, of UTF-8.
int DisplayWidth(absl::string_view text);
// `text` cut to `width` characters, ending in ".." when something was cut off.
std::string CutTo(absl::string_view text, int width);
std::string Paint(absl::string_view text, Colour colour, const TextStyle& style);

// Columns are as wide as their widest cell, two spaces apart; no space is left at the end of a line. What does not fit
// the width is cut at the right, so the least important column comes last.
class Table {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  void Add(std::vector<Cell> row);  // as many cells as there are columns
  bool empty() const { return rows_.empty(); }
  // The titles and then the rows, each line with its newline.
  std::string Render(const TextStyle& style) const;

 private:
  std::vector<int> Widths() const;
  std::string RenderRow(const std::vector<Cell>& row, const std::vector<int>& widths, const TextStyle& style) const;

  const std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace fleet
