#include "common/can/slcan_adapter.h"

#include "absl/strings/str_cat.h"
#include "common/can/hex.h"
#include "common/can/slcan_text.h"

namespace fleet {
std::optional<CanFrame> SlcanAdapter::Hear(absl::string_view line, std::string& answer) {
  if (!line.empty() && absl::string_view("tTrR").find(line[0]) != absl::string_view::npos)
    return HearFrame(line, answer);
  const Verdict verdict = HearCommand(line, answer);
  if (verdict == Verdict::kNonsense) ++malformed_;
  answer.push_back(verdict == Verdict::kYes ? kSlcanOk : kSlcanError);
  return std::nullopt;
}

std::optional<CanFrame> SlcanAdapter::HearFrame(absl::string_view line, std::string& answer) {
  const std::optional<CanFrame> frame = ParseSlcanFrame(line);
  if (!frame.has_value()) ++malformed_;
  if (!frame.has_value() || !may_send_) {
    answer.push_back(kSlcanError);
    return std::nullopt;
  }
  answer.push_back(frame->is(kCanExtended) ? 'Z' : 'z');
  answer.push_back(kSlcanOk);
  return frame;
}

SlcanAdapter::Verdict SlcanAdapter::HearCommand(absl::string_view line, std::string& answer) {
  if (line.empty()) return Verdict::kYes;  // programs begin with CR, to end what may have been there
  const absl::string_view rest = line.substr(1);
  if (line[0] == 'S') return WhileClosed(rest.size() == 1 && rest[0] >= '0' && rest[0] <= '8');
  if (line[0] == 's')
    return WhileClosed(rest.size() == 4 && ReadHex(rest).has_value());  // the two bit timing registers of an SJA1000
  if (line == "Z0" || line == "Z1") {
    if (!open_) stamps_ = rest == "1";
    return WhileClosed(true);
  }
  if (line == "O") return Open(true);
  if (line == "L") return Open(false);
  if (line == "C") return Close();
  if (line == "V") absl::StrAppend(&answer, "V1013");  // hardware 1.0, software 1.3
  if (line == "N") absl::StrAppend(&answer, "NFLT1");
  if (line == "F") absl::StrAppend(&answer, "F00");  // nothing is wrong with a bus that is none
  return line == "V" || line == "N" || line == "F" ? Verdict::kYes : Verdict::kNonsense;
}

SlcanAdapter::Verdict SlcanAdapter::Open(bool to_send) {
  if (open_) return Verdict::kNo;
  open_ = true;
  may_send_ = to_send;
  return Verdict::kYes;
}

SlcanAdapter::Verdict SlcanAdapter::Close() {
  const bool was_open = open_;
  open_ = may_send_ = false;
  return was_open ? Verdict::kYes : Verdict::kNo;
}

SlcanAdapter::Verdict SlcanAdapter::WhileClosed(bool valid) {
  if (!valid) return Verdict::kNonsense;
  return open_ ? Verdict::kNo : Verdict::kYes;
}

void SlcanAdapter::Reset() {
  open_ = may_send_ = stamps_ = false;
}

void SlcanAdapter::AppendFrame(const CanFrame& frame, std::string& out) const {
  AppendSlcanFrame(frame, out);
  if (stamps_) AppendSlcanStamp(frame.at_unix_us, out);
  out.push_back(kSlcanOk);
}

}  // namespace fleet
