// Thousands of random hours of a hub: whatever is asked, answered, silent, late or taken back, the promises hold.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "device/modbus/modbus_hub.h"
#include "device/modbus/testing/hub_bed.h"

namespace fleet::device {
namespace {

ModbusPlan ModelPlan() {
  ModbusPlan plan = BedPlan();
  plan.polls = {PollOf(0, 10, 0, absl::Milliseconds(200)), PollOf(1, 5, 1, absl::Milliseconds(300)),
                PollOf(2, 5, 2, absl::Milliseconds(500)), PollOf(3, 5, 3, absl::Milliseconds(100))};
  for (const char* topic : {"meter/a", "pump/a", "fan/a", "plc/a"}) plan.signals.push_back({.topic = topic});
  plan.writes[0].rate_hz = 1000;
  plan.state_period = absl::Seconds(5);
  return plan;
}

class Model {
 public:
  explicit Model(uint32_t seed) : random_(seed) {}

  void Run(int steps) {
    for (int i = 0; i < steps; ++i) {
      Step();
      CheckBuses();
    }
    Drain();
    CheckAnswers();
    CheckCommands();
  }

 private:
  int Below(int end) { return std::uniform_int_distribution<int>(0, end - 1)(random_); }

  void Step() {
    switch (Below(8)) {
      case 0:
        return AskToRead();
      case 1:
        return AskToWrite();
      case 2:
        return GiveCommand();
      case 3:
        return TakeBack();
      case 4:
      case 5:
      case 6:
        return Reply();
      default:
        return bed_.Pass(absl::Milliseconds(Below(400)));
    }
  }

  std::string Unit() {
    constexpr const char* kUnits[] = {"meter", "pump", "fan", "plc", "inverter"};
    return kUnits[Below(5)];
  }
  void AskToRead() {
    ++asked_;
    bed_.AskToRead(Unit(), Below(100), absl::StrCat(R"(,"ttl_ms":)", 1 + Below(3000)));
  }
  void AskToWrite() {
    ++asked_;
    const int id = Below(20);  // doubled now and then; the value tells which it is
    bed_.AskToWrite("meter", 100, id, absl::StrCat(R"(,"id":)", id));
  }
  void GiveCommand() {
    const uint64_t id = ++commands_;
    const bool is_write = Below(2) == 0;
    const std::string json = is_write
                                 ? R"({"function_code":6,"device_id":"pump","address":200,"values":7})"
                                 : absl::StrCat(R"({"function_code":3,"device_id":")", Unit(), R"(","address":1})");
    if (!bed_.Command(id, json, absl::Milliseconds(1 + Below(2000)))) given_.insert(id);
  }
  void TakeBack() {
    if (commands_ == 0) return;
    bed_.Cancel(1 + static_cast<uint64_t>(Below(static_cast<int>(commands_))));
  }

  void Reply() {
    if (bed_.on_bus.empty()) return;
    const size_t which = static_cast<size_t>(Below(static_cast<int>(bed_.on_bus.size())));
    const ModbusJob& job = bed_.on_bus[which].job;
    if (std::holds_alternative<WebCall>(job.call)) return ReplyWeb(which);
    const auto& transaction = std::get<ModbusTransaction>(job.call);
    const bool is_silent = transaction.unit == 2 && Below(3) > 0;  // pump is a bad one
    if (is_silent) return bed_.Reply(bed_.Silence(), which);
    if (Below(10) == 0) return bed_.Reply(bed_.Refusal(static_cast<uint8_t>(1 + Below(5))), which);
    const bool is_read = !IsWrite(transaction.function);
    bed_.ReplyWords(is_read ? std::vector<uint16_t>(transaction.count, 7) : std::vector<uint16_t>(), which);
  }
  void ReplyWeb(size_t which) {
    if (Below(4) == 0) return bed_.Reply(WebReply{.timed_out = true}, which);
    if (Below(4) == 0) return bed_.ReplyWeb(500, "oops", which);
    bed_.ReplyWeb(200, R"({"raw_value":"0007","value":7})", which);
  }

  void CheckBuses() {
    std::map<size_t, int> on_bus;
    for (const ModbusStart& start : bed_.on_bus) {
      const auto* web = std::get_if<WebCall>(&start.job.call);
      if (web == nullptr || web->target != "/api/state") ++on_bus[start.bus];
    }
    ASSERT_LE(on_bus[0], 1) << "a collision";
    ASSERT_LE(on_bus[1], 2);
    ASSERT_LE(on_bus[2], 4);
  }

  // Until nothing is open any more, which takes no longer than what lives longest.
  void Drain() {
    for (int i = 0; i < 400; ++i) {
      while (!bed_.on_bus.empty()) Reply();
      bed_.Pass(absl::Milliseconds(50));
    }
  }

  void CheckAnswers() { ASSERT_EQ(bed_.responses.size(), asked_) << "each request has one answer"; }

  void CheckCommands() {
    std::map<uint64_t, int> ends;
    for (const v1::CommandUpdate& update : bed_.updates) {
      if (update.state() == v1::COMMAND_STATE_RUNNING) {
        ASSERT_EQ(ends[update.command_id()], 0) << "command " << update.command_id() << " runs after its end";
      } else {
        ++ends[update.command_id()];
      }
    }
    for (const uint64_t id : given_) ASSERT_EQ(ends[id], 1) << "command " << id;
  }

  std::mt19937 random_;
  HubBed bed_{ModelPlan()};
  size_t asked_ = 0;
  uint64_t commands_ = 0;
  std::set<uint64_t> given_;
};

TEST(ModbusHubModel, NoCollisionOneAnswerForEachRequestOneEndForEachCommand) {
  for (uint32_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Model(seed).Run(300);
    if (testing::Test::HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace fleet::device
