#include "device/health.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/testing/fake_clock.h"

namespace fleet::device {
namespace {

using ::testing::SizeIs;

class HealthTest : public testing::Test {
 protected:
  HealthTest() {
    AgentOptions options{.device = DeviceId::Parse("pi-1").value(), .epoch = 3, .spool = SpoolContents()};
    BusPlan car;
    car.name = "car";
    options.can.buses = {car};
    agent_.emplace(std::move(options), clock_);
  }
  void Hear(const Input& input) {
    agent_->Handle(input, clock_, effects_);
    health_.Hear(input, *agent_, clock_);
  }
  void HearBus(const CanBusReport& report, std::vector<CanFrame> frames = {}) {
    CanNews news;
    news.report = report;
    news.frames = std::move(frames);
    Hear(CanHeard{.bus = 0, .news = &news});
  }
  v1::DeviceHealth Page() const { return health_.Page(*agent_, {.waiting = 4, .dropped = 5}, clock_); }

  FakeClock clock_;
  std::optional<Agent> agent_;
  Health health_{{.epoch = 3, .version = "1.2", .broker_url = "tcp://u:p@b:1883", .has_spool = true}, clock_};
  Effects effects_;
};

TEST_F(HealthTest, IsWellWhileTheBrokerIsConnected) {
  EXPECT_FALSE(Page().ok());
  EXPECT_EQ(Page().connection().state(), "never_connected");
  Hear(LinkUp{});
  clock_.Advance(absl::Milliseconds(2500));
  const v1::DeviceHealth page = Page();
  EXPECT_TRUE(page.ok());
  EXPECT_EQ(page.device_id(), "pi-1");
  EXPECT_EQ(page.epoch(), 3u);
  EXPECT_EQ(page.version(), "1.2");
  EXPECT_EQ(page.broker(), "connected");
  EXPECT_EQ(page.broker_url(), "tcp://b:1883");
  EXPECT_EQ(page.uptime_s(), 2.5);
  EXPECT_EQ(page.queues().inbox_waiting(), 4);
  EXPECT_EQ(page.queues().inbox_dropped(), 5);
}

TEST_F(HealthTest, SaysSinceWhenAndWhyItIsNotConnected) {
  const auto start_ms = static_cast<double>(clock_.Read().unix_ms());
  Hear(LinkDown{.reason = "refused"});
  EXPECT_EQ(Page().connection().state(), "never_connected");
  Hear(LinkUp{});
  clock_.Advance(absl::Seconds(1));
  Hear(LinkDown{.reason = "closed"});
  clock_.Advance(absl::Seconds(1));
  Hear(LinkDown{.reason = "refused"});
  const v1::DeviceHealth page = Page();
  EXPECT_FALSE(page.ok());
  EXPECT_EQ(page.connection().state(), "lost");
  EXPECT_EQ(page.connection().since_unix_ms(), start_ms + 1000);
  EXPECT_EQ(page.connection().losses(), 1);
  EXPECT_EQ(page.connection().last_reason(), "refused");
  ASSERT_THAT(page.problems(), SizeIs(2));
  EXPECT_EQ(page.problems(0).what(), "broker: closed");
  EXPECT_EQ(page.problems(1).what(), "broker: refused");
  EXPECT_EQ(page.problems(1).count(), 2);
  EXPECT_EQ(page.problems(1).first_unix_ms(), start_ms);
  EXPECT_EQ(page.problems(1).last_unix_ms(), start_ms + 2000);
}

TEST_F(HealthTest, ADiskThatFailsIsNotWell) {
  Hear(LinkUp{});
  Hear(SpoolDone{.status = absl::UnavailableError("disk full")});
  EXPECT_FALSE(Page().ok());
  EXPECT_EQ(Page().spool().state(), "failing");
  EXPECT_EQ(Page().spool().problem(), "disk full");
  EXPECT_FALSE(health_.spool_works());
  Hear(SpoolDone{});
  EXPECT_TRUE(Page().ok());
  EXPECT_EQ(Page().spool().state(), "works");
}

TEST_F(HealthTest, ASpoolThatCannotBeOpenedIsNotWell) {
  Hear(LinkUp{});
  const Health health({.spool_problem = "read-only"}, clock_);
  const v1::DeviceHealth page = health.Page(*agent_, {}, clock_);
  EXPECT_FALSE(page.ok());
  EXPECT_EQ(page.spool().state(), "missing");
  EXPECT_EQ(page.problems(0).what(), "spool: read-only");
}

TEST_F(HealthTest, ABusThatIsDownIsShownAndNoReasonToBeUnwell) {
  Hear(LinkUp{});
  HearBus({.up = false, .problem = kNotOpenedYet});
  HearBus({.up = true}, {CanFrame(), CanFrame()});
  HearBus({.up = false, .problem = "no such device", .lost = 3});
  HearBus({.up = false, .problem = "no such device", .lost = 3});
  const v1::DeviceHealth page = Page();
  EXPECT_TRUE(page.ok());
  ASSERT_THAT(page.buses(), SizeIs(1));
  EXPECT_EQ(page.buses(0).name(), "car");
  EXPECT_EQ(page.buses(0).kind(), "can");
  EXPECT_FALSE(page.buses(0).up());
  EXPECT_EQ(page.buses(0).problem(), "no such device");
  EXPECT_EQ(page.buses(0).frames(), 2);
  EXPECT_EQ(page.buses(0).lost(), 3);
  ASSERT_THAT(page.problems(), SizeIs(1));
  EXPECT_EQ(page.problems(0).what(), "can car: no such device");
  EXPECT_EQ(page.problems(0).count(), 1);
}

TEST_F(HealthTest, ModbusBusesAndTheirUnitsAreShown) {
  AgentOptions options{.device = DeviceId::Parse("pi-1").value()};
  options.modbus.emplace();
  options.modbus->buses = {{.name = "rs485"}, {.name = "plc"}};
  options.modbus->units = {{.id = "meter", .bus = 1}};
  const Agent agent(std::move(options), clock_);
  const v1::DeviceHealth page = health_.Page(agent, {}, clock_);
  ASSERT_THAT(page.buses(), SizeIs(2));
  EXPECT_EQ(page.buses(1).name(), "plc");
  EXPECT_EQ(page.buses(1).kind(), "modbus");
  EXPECT_TRUE(page.buses(1).up());
  ASSERT_THAT(page.buses(1).units(), SizeIs(1));
  EXPECT_EQ(page.buses(1).units(0).id(), "meter");
  EXPECT_EQ(page.buses(1).units(0).state(), "unknown");
}

TEST(ProblemList, KeepsTheNewestDistinctOnes) {
  ProblemList list;
  for (int i = 0; i < 20; ++i) {
    list.Note("again", i);
    list.Note(absl::StrCat("problem ", i), i);
  }
  ASSERT_THAT(list.problems(), SizeIs(ProblemList::kMaxProblems));
  EXPECT_EQ(list.problems().back().what, "problem 19");
  EXPECT_EQ(list.problems()[14].what, "again");
  EXPECT_EQ(list.problems()[14].count, 20u);
  EXPECT_EQ(list.problems()[0].what, "problem 5");
  list.Note(std::string(1000, 'x'), 21);
  EXPECT_EQ(list.problems().back().what.size(), ProblemList::kMaxTextBytes);
}

}  // namespace
}  // namespace fleet::device
