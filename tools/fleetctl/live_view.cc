#include "tools/fleetctl/live_view.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace fleet {
namespace {

constexpr char kEnter[] = "\x1b[?1049h\x1b[?25l";  // alternate screen, no cursor
constexpr char kLeave[] = "\x1b[?25h\x1b[?1049l";
constexpr char kHome[] = "\x1b[H";
constexpr char kClearLine[] = "\x1b[K";   // from here to the end of the line
constexpr char kClearBelow[] = "\x1b[J";  // from here to the end of the screen

// A line more than the screen has would scroll it.
std::vector<std::string> LinesThatFit(absl::string_view text, int rows) {
  std::vector<std::string> lines = absl::StrSplit(absl::StripSuffix(text, "\n"), '\n');
  if (rows < 2 || lines.size() <= static_cast<size_t>(rows)) return lines;
  const size_t shown = static_cast<size_t>(rows) - 1;
  const size_t hidden = lines.size() - shown;
  lines.resize(shown);
  lines.push_back(absl::StrCat("... ", hidden, " more lines"));
  return lines;
}

}  // namespace

LiveView::LiveView(const Screen& screen) : screen_(screen) {
  if (screen_.is_terminal) screen_.out << kEnter << std::flush;
}

LiveView::~LiveView() {
  if (screen_.is_terminal) screen_.out << kLeave << last_ << std::flush;
}

void LiveView::Draw(std::string text) {
  if (!screen_.is_terminal) {
    screen_.out << (last_.empty() ? "" : "\n") << text << std::flush;
  } else {
    std::string frame = kHome;
    const char* between = "";
    for (const std::string& line : LinesThatFit(text, screen_.size().rows)) {
      absl::StrAppend(&frame, between, line, kClearLine);
      between = "\r\n";
    }
    screen_.out << frame << kClearBelow << std::flush;
  }
  last_ = std::move(text);
}

}  // namespace fleet
