#include "server/history_block.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "google/protobuf/io/coded_stream.h"

namespace fleet::server {
namespace {

using google::protobuf::io::CodedOutputStream;

// Tags of storage.proto: field number and wire type, one byte each.
constexpr uint8_t kSamplesTag = (1 << 3) | 2;  // StateBlock.samples, length-delimited
constexpr uint8_t kDeltaTag = (1 << 3) | 0;    // StateSample.received_delta_ms, varint
constexpr uint8_t kReportTag = (2 << 3) | 2;   // StateSample.report, length-delimited
constexpr size_t kMaxHeaderBytes = 3 + 3 * 5;  // three tags, three varints of 32 bits

}  // namespace

void HistoryBlock::Append(int64_t received_unix_ms, absl::string_view report_bytes) {
  if (count_ == 0) first_unix_ms_ = last_unix_ms_ = received_unix_ms;
  last_unix_ms_ = std::max(last_unix_ms_, received_unix_ms);
  ++count_;
  // The wall clock may have been set within the block: back, then the sample keeps the block's first time; far forward,
  // then as much as fits.
  const auto delta = static_cast<uint32_t>(
      std::clamp<int64_t>(received_unix_ms - first_unix_ms_, 0, std::numeric_limits<uint32_t>::max()));
  const auto report_size = static_cast<uint32_t>(report_bytes.size());
  const size_t sample_size = 1 + CodedOutputStream::VarintSize32(delta) + 1 +
                             CodedOutputStream::VarintSize32(report_size) + report_bytes.size();
  uint8_t header[kMaxHeaderBytes];
  uint8_t* end = header;
  *end++ = kSamplesTag;
  end = CodedOutputStream::WriteVarint32ToArray(static_cast<uint32_t>(sample_size), end);
  *end++ = kDeltaTag;
  end = CodedOutputStream::WriteVarint32ToArray(delta, end);
  *end++ = kReportTag;
  end = CodedOutputStream::WriteVarint32ToArray(report_size, end);
  samples_.append(reinterpret_cast<const char*>(header), end - header);
  samples_.append(report_bytes.data(), report_bytes.size());
}

HistoryBlock::Row HistoryBlock::Take() {
  Row row{first_unix_ms_, last_unix_ms_, count_, samples_};  // a copy of the exact size; the buffer stays for the next
  count_ = 0;
  samples_.clear();
  return row;
}

}  // namespace fleet::server
