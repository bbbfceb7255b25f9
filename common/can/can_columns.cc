#include "common/can/can_columns.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace fleet {
namespace {

// As protobuf writes a number: 7 bits to the byte.
size_t VarintBytes(uint64_t number) {
  return (std::bit_width(number | 1) + 6) / 7;
}
uint64_t ZigZag(int64_t number) {
  return static_cast<uint64_t>(number) << 1 ^ static_cast<uint64_t>(number >> 63);
}

// Goes through the columns, which fit each other in length as far as CheckLengths says.
class Reader {
 public:
  explicit Reader(const v1::CanFrames& frames)
      : frames_(frames), at_unix_us_(static_cast<int64_t>(frames.first_unix_us())) {}

  int size() const { return frames_.id_size(); }
  size_t data_used() const { return data_used_; }

  // Frame `i`, without its data. kInvalidArgument: it cannot be.
  absl::Status Head(int i, CanFrame& frame) {
    if (__builtin_add_overflow(at_unix_us_, frames_.after_us(i), &at_unix_us_) || at_unix_us_ < 0) {
      return absl::InvalidArgumentError("its time is out of range");
    }
    frame.at_unix_us = at_unix_us_;
    frame.id = frames_.id(i);
    frame.flags = static_cast<uint8_t>(frames_.flags()[i]);
    frame.size = static_cast<uint8_t>(frames_.size()[i]);
    return CheckCanFrame(frame);
  }
  void Skip(const CanFrame& frame) { data_used_ += frame.data_size(); }
  void Data(CanFrame& frame) {
    std::copy_n(frames_.data().data() + data_used_, frame.data_size(), frame.data.begin());
    Skip(frame);
  }

 private:
  const v1::CanFrames& frames_;
  int64_t at_unix_us_;
  size_t data_used_ = 0;
};

absl::Status CheckLengths(const v1::CanFrames& frames) {
  const size_t count = static_cast<size_t>(frames.id_size());
  const size_t times = static_cast<size_t>(frames.after_us_size());
  if (times == count && frames.flags().size() == count && frames.size().size() == count) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("CAN frames in columns of unequal length: ", count, " ids, ", times,
                                          " times, ", frames.flags().size(), " flags, ", frames.size().size(),
                                          " sizes"));
}

absl::Status CheckAll(const v1::CanFrames& frames) {
  RETURN_IF_ERROR(CheckLengths(frames));
  if (frames.first_unix_us() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return absl::InvalidArgumentError("the time of CAN frames is out of range");
  }
  Reader reader(frames);
  CanFrame frame;
  for (int i = 0; i < reader.size(); ++i) {
    if (const absl::Status head = reader.Head(i, frame); !head.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("CAN frame ", i, ": ", head.message()));
    }
    reader.Skip(frame);
  }
  if (reader.data_used() == frames.data().size()) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("CAN frames of ", reader.data_used(), " bytes together come with ", frames.data().size()));
}

}  // namespace

void CanColumns::Add(const CanFrame& frame) {
  const int64_t at = std::max<int64_t>(frame.at_unix_us, 0);
  if (empty()) {
    frames_.set_first_unix_us(static_cast<uint64_t>(at));
    last_unix_us_ = at;
  }
  const int64_t after = at - std::exchange(last_unix_us_, at);
  const auto bytes = frame.bytes();
  frames_.add_id(frame.id);
  frames_.add_after_us(after);
  frames_.mutable_flags()->push_back(static_cast<char>(frame.flags));
  frames_.mutable_size()->push_back(static_cast<char>(frame.size));
  frames_.mutable_data()->append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  bytes_ += VarintBytes(frame.id) + VarintBytes(ZigZag(after)) + 2 + bytes.size();
}

v1::CanFrames CanColumns::Take() {
  bytes_ = 0;
  return std::exchange(frames_, {});
}

absl::Status ForEachFrame(const v1::CanFrames& frames, absl::FunctionRef<void(const CanFrame&)> visit) {
  RETURN_IF_ERROR(CheckAll(frames));
  Reader reader(frames);
  for (int i = 0; i < reader.size(); ++i) {
    CanFrame frame;
    RETURN_IF_ERROR(reader.Head(i, frame));
    reader.Data(frame);
    visit(frame);
  }
  return absl::OkStatus();
}

}  // namespace fleet
