// A text that is shown again and again in the same place.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "tools/fleetctl/session.h"

namespace fleet {

// On a terminal it takes the alternate screen, overwrites line by line, so that nothing flickers, and when it ends
// leaves the last text on the usual one. Elsewhere the texts follow each other, an empty line between.
class LiveView {
 public:
  explicit LiveView(const Screen& screen);
  ~LiveView();
  LiveView(const LiveView&) = delete;
  LiveView& operator=(const LiveView&) = delete;

  void Draw(std::string text);

 private:
  const Screen& screen_;
  std::string last_;
};

}  // namespace fleet
