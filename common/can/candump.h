// CAN frames as text, as can-utils writes and reads them; candump_test.cc says what that was compared with.
//
//   frame   123#1122  12345678#  123#R  123#R8  123##31122     as cansend takes it and candump -L writes it
//   line    (1436509052.249713) can0 123#1122                  of candump -L, -l and python-can; " T", " R" may follow
//   view      can0  123   [2]  11 22                           of candump without options
//
// An id of 3 digits is standard, of 8 extended, and with bit 20000000 the class of an error frame. The digit after ##
// is 1 BRS, 2 ESI, 4 FD; what is written never has the 4, which only newer can-utils write.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/can/can_filter.h"
#include "common/can/can_frame.h"

namespace fleet {

struct CandumpLine {
  CanFrame frame;
  absl::string_view bus;  // part of the line
};

// All errors are kInvalidArgument and say what is wrong. About 100 ns for 8 bytes.
absl::StatusOr<CandumpLine> ParseCandumpLine(absl::string_view line);
// Single dots may stand before bytes. A raw DLC behind 8 bytes (_9 to _F) is understood and not kept.
absl::StatusOr<CanFrame> ParseCanFrameText(absl::string_view text);

// `frame` is valid (CheckCanFrame). No newline at the end. A frame that was sent by ourselves gets " T" in a line; a
// time before 1970 is written as 0.
void AppendCanFrameText(const CanFrame& frame, std::string& out);
void AppendCandumpLine(const CanFrame& frame, absl::string_view bus, std::string& out);
// candump moves standard ids to the right from the first extended frame on: `indent_standard`.
void AppendCandumpView(const CanFrame& frame, absl::string_view bus, std::string& out, bool indent_standard = false);

}  // namespace fleet
