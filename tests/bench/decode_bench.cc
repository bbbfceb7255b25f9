// Signals per second that the decoder of CAN frames makes on one core: no bus, no threads. 50 signals of 14 messages,
// of each kind (little- and big-endian, signed, across bytes, multiplexed, floating point, J1939), on a bus where every
// second frame is one that nobody wants. Prints one JSON line.
//
//   decode_bench [FRAMES_PER_REPEAT [REPEATS]]
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "device/can/frame_decoder.h"

namespace fleet::device {
namespace {

constexpr size_t kSignals = 50;
constexpr size_t kFramesInLog = 4096;  // decoded over and over

// Of this thread, so that other programs on the machine do not count.
double CpuSeconds() {
  rusage used{};
  getrusage(RUSAGE_THREAD, &used);
  return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
}

// Four of each of three kinds of message, one of J1939, and one of overlapping signals.
std::string Dbc() {
  std::string text;
  for (int i = 0; i < 4; ++i) {
    absl::StrAppend(&text, "BO_ ", 256 + i, " Small", i, ": 8 X\n SG_ A : 0|16@1+ (0.25,0) [0|0] \"rpm\" X\n",
                    " SG_ B : 23|12@0- (0.1,-40) [0|0] \"degC\" X\n SG_ C : 29|11@1- (0.5,0) [0|0] \"Nm\" X\n",
                    " SG_ D : 40|1@1+ (1,0) [0|0] \"\" X\n SG_ E : 55|16@0+ (0.01,0) [0|0] \"km/h\" X\n");
    absl::StrAppend(&text, "BO_ ", 512 + i, " Chosen", i, ": 8 X\n SG_ M M : 0|2@1+ (1,0) [0|0] \"\" X\n",
                    " SG_ A m0 : 8|16@1+ (0.001,0) [0|0] \"V\" X\n SG_ B m1 : 8|16@1+ (0.001,0) [0|0] \"V\" X\n",
                    " SG_ C m2 : 15|32@0- (0.001,0) [0|0] \"A\" X\n");
    absl::StrAppend(&text, "BO_ ", 0x80000000 + 0x1A000000 + i, " Position", i, ": 24 X\n",
                    " SG_ A : 0|64@1- (1,0) [0|0] \"deg\" X\n SG_ B : 71|32@0- (1,0) [0|0] \"m\" X\n");
    absl::StrAppend(&text, "SIG_VALTYPE_ ", 0x80000000 + 0x1A000000 + i, " A : 2;\n", "SIG_VALTYPE_ ",
                    0x80000000 + 0x1A000000 + i, " B : 1;\n");
  }
  return text +
         "BO_ 2364540158 EEC1: 8 X\n SG_ Torque : 16|8@1+ (1,-125) [0|0] \"%\" X\n"
         " SG_ Speed : 24|16@1+ (0.125,0) [0|0] \"rpm\" X\nBA_ \"VFrameFormat\" BO_ 2364540158 3;\n" +
         "BO_ 2364540159 Wide: 8 X\n SG_ A : 4|60@1+ (1,0) [0|0] \"\" X\n SG_ B : 0|4@1+ (1,0) [0|0] \"\" X\n"
         " SG_ C : 7|64@0- (1,0) [0|0] \"\" X\n SG_ D : 8|8@1+ (1,0) [0|0] \"\" X\n";
}

std::vector<CanFrame> Log(const DbcFile& file) {
  std::mt19937_64 random(1);
  std::vector<CanFrame> log(kFramesInLog);
  for (size_t i = 0; i < log.size(); ++i) {
    CanFrame& frame = log[i];
    const DbcMessage& message = file.messages[random() % file.messages.size()];
    const bool wanted = i % 2 == 0;
    frame.id = wanted ? message.id : message.id + 0x40;
    frame.flags = message.extended ? kCanExtended : 0;
    frame.size = static_cast<uint8_t>(message.size);
    for (uint8_t& byte : frame.data) byte = static_cast<uint8_t>(random());
  }
  return log;
}

class Run {
 public:
  Run() : file_(*ParseDbc(Dbc(), "bench.dbc")), log_(Log(file_)), decoder_(ChooseAll(file_)) {}

  struct Rates {
    double signals_per_s = 0;
    double frames_per_s = 0;
  };
  Rates Measure(size_t frames) {
    const size_t rounds = std::max<size_t>(1, frames / log_.size());
    uint64_t signals = 0;
    const double before = CpuSeconds();
    for (size_t round = 0; round < rounds; ++round) {
      for (const CanFrame& frame : log_) {
        decoder_.Decode(frame, [&](size_t index, double value) {
          newest_[index] = value;
          ++signals;
        });
      }
    }
    const double seconds = CpuSeconds() - before;
    FLEET_CHECK(signals >= rounds * log_.size() / 2) << "not all were decoded";
    return {.signals_per_s = static_cast<double>(signals) / seconds,
            .frames_per_s = static_cast<double>(rounds * log_.size()) / seconds};
  }

 private:
  static std::vector<FrameDecoder::Choice> ChooseAll(const DbcFile& file) {
    std::vector<FrameDecoder::Choice> choices;
    for (const DbcMessage& message : file.messages) {
      for (const DbcSignal& signal : message.signals) {
        choices.push_back(*FrameDecoder::Choose(message, signal, choices.size()));
      }
    }
    FLEET_CHECK(choices.size() == kSignals) << choices.size();
    return choices;
  }

  const DbcFile file_;
  const std::vector<CanFrame> log_;
  FrameDecoder decoder_;
  std::vector<double> newest_ = std::vector<double>(kSignals);
};

}  // namespace
}  // namespace fleet::device

int main(int argc, char** argv) {
  const int frames = argc > 1 ? std::atoi(argv[1]) : 10'000'000;
  const int repeats = argc > 2 ? std::atoi(argv[2]) : 7;
  fleet::device::Run run;
  run.Measure(100'000);  // memory in use
  std::vector<fleet::device::Run::Rates> rates;
  for (int i = 0; i < std::max(1, repeats); ++i) rates.push_back(run.Measure(static_cast<size_t>(std::max(1, frames))));
  std::ranges::sort(rates, {}, &fleet::device::Run::Rates::signals_per_s);
  const auto& median = rates[rates.size() / 2];
  std::cout << absl::StrFormat(
                   R"({"signals":%d,"min_signals_per_s":%.0f,"median_signals_per_s":%.0f,"median_frames_per_s":%.0f})",
                   fleet::device::kSignals, rates.front().signals_per_s, median.signals_per_s, median.frames_per_s)
            << std::endl;
}
