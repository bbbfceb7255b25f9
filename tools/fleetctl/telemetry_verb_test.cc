// The verb that shows signals.
#include "google/protobuf/util/json_util.h"
#include "tools/fleetctl/fleetctl_fixture.h"

namespace fleet {
namespace {

class TelemetryVerbTest : public FleetctlTest {
 protected:
  static constexpr char kSignals[] = "/api/v1/devices/van-7/signals";
  static constexpr char kTelemetry[] = "/api/v1/devices/van-7/telemetry";

  // `ago_ms` before now.
  template <typename ViewT>
  ViewT& Fill(ViewT& view, const std::string& signal, std::optional<double> value, double ago_ms) const {
    view.set_signal(signal);
    if (value) view.set_value(*value);
    view.set_at_unix_ms(NowMs() - ago_ms);
    return view;
  }
  void ServeSignals() {
    v1::SignalList list;
    list.set_device_id("van-7");
    Fill(*list.add_signals(), "engine/rpm", 1500, 250);
    Fill(*list.add_signals(), "vehicle/fuel_level", std::nullopt, 60'000);
    Fill(*list.add_signals(), "vehicle/odometer", 123456.7, 3000);
    server_.On(kSignals, list);
  }
  // Pages in the order in which they are asked for by cursor, the last at the end; one more: `at_end` and an empty one.
  void ServePages(std::vector<v1::TelemetryList> pages, std::function<void()> at_end = nullptr) {
    server_.On(kTelemetry, [this, pages = std::move(pages), at_end](const HttpRequest& request) {
      asked_.push_back(request.query);
      const size_t number = request.query.contains("cursor") ? std::stoul(request.query.at("cursor")) : 0;
      if (number >= pages.size() && at_end != nullptr) at_end();
      v1::TelemetryList page = number < pages.size() ? pages[number] : v1::TelemetryList();
      page.set_device_id("van-7");
      page.set_next_cursor(absl::StrCat(std::min(number + 1, pages.size())));
      if (number >= pages.size()) page.set_at_end(true);
      return JsonResponse(page);
    });
  }
  // As after an outage: what came late is stored last.
  void ServeAnOutage() {
    v1::TelemetryList first, second;
    Fill(*first.add_samples(), "engine/rpm", 3500, 1000);
    Fill(*second.add_samples(), "engine/rpm", 1500, 5000).set_backlog(true);
    Fill(*second.add_samples(), "vehicle/speed", std::nullopt, 2500);
    second.set_at_end(true);
    ServePages({first, second});
  }

  std::vector<std::map<std::string, std::string>> asked_;
};

TEST_F(TelemetryVerbTest, ShowsTheNewestOfEachSignal) {
  ServeSignals();
  ASSERT_EQ(Run("telemetry van-7"), kDone) << err();
  EXPECT_EQ(out(),
            "SIGNAL                 VALUE   AGE  TIME\n"
            "engine/rpm              1500  0.2s  08:53:19.750\n"
            "vehicle/fuel_level   invalid    1m  08:52:20.000\n"
            "vehicle/odometer    123456.7  3.0s  08:53:17.000\n");
}

TEST_F(TelemetryVerbTest, ShowsOnlyThoseThatAreNamed) {
  ServeSignals();
  ASSERT_EQ(Run("telemetry van-7 vehicle/odometer --output csv"), kDone);
  EXPECT_EQ(out(),
            "time,unix_ms,device,signal,value,backlog\n"
            "2025-10-09T08:53:17.000Z,1759999997000,van-7,vehicle/odometer,123456.7,\n");
}

TEST_F(TelemetryVerbTest, AMisspeltSignalIsNamed) {
  ServeSignals();
  EXPECT_EQ(Run("telemetry van-7 engine/rmp"), kFailed);
  EXPECT_EQ(
      err(),
      "fleetctl: device van-7 has no signal engine/rmp; did you mean engine/rpm?; fleetctl devices lists devices, "
      "fleetctl telemetry van-7 its signals\n");
}

TEST_F(TelemetryVerbTest, ADeviceWithoutSignalsSaysSo) {
  server_.On(kSignals, v1::SignalList());
  ASSERT_EQ(Run("telemetry van-7"), kDone);
  EXPECT_EQ(out(), "No value of any signal is stored yet\n");
  EXPECT_EQ(Run("telemetry van-7 engine/rpm"), kFailed);
  EXPECT_THAT(err(), HasSubstr("has no signal engine/rpm, nor any other;"));
}

TEST_F(TelemetryVerbTest, ThePastIsSortedByTimeOverAllPages) {
  ServeAnOutage();
  ASSERT_EQ(Run("telemetry van-7 engine/rpm vehicle/speed --since 1m"), kDone) << err();
  EXPECT_EQ(out(),
            "08:53:15.000  engine/rpm     1500  late\n"
            "08:53:17.500  vehicle/speed  invalid\n"
            "08:53:19.000  engine/rpm     3500\n");
  ASSERT_EQ(asked_.size(), 2u);
  EXPECT_EQ(asked_[0].at("signal"), "engine/rpm,vehicle/speed");
  EXPECT_EQ(asked_[0].at("since_unix_ms"), absl::StrCat(clock_.Read().unix_ms() - 60'000));
  EXPECT_EQ(asked_[1].at("cursor"), "1");
}

TEST_F(TelemetryVerbTest, ThePastAsCsvHasNoValueWhereThereWasNone) {
  ServeAnOutage();
  ASSERT_EQ(Run("telemetry van-7 --since 1m --output csv"), kDone) << err();
  EXPECT_EQ(out(),
            "time,unix_ms,device,signal,value,backlog\n"
            "2025-10-09T08:53:15.000Z,1759999995000,van-7,engine/rpm,1500,true\n"
            "2025-10-09T08:53:17.500Z,1759999997500,van-7,vehicle/speed,,false\n"
            "2025-10-09T08:53:19.000Z,1759999999000,van-7,engine/rpm,3500,false\n");
}

TEST_F(TelemetryVerbTest, ThePastAsJsonIsOneList) {
  ServeAnOutage();
  ASSERT_EQ(Run("telemetry van-7 --since 1m --output json"), kDone) << err();
  EXPECT_THAT(
      out(),
      StartsWith("{\"device_id\":\"van-7\",\"samples\":[{\"signal\":\"engine/rpm\",\"at_unix_ms\":1759999995000,"));
  v1::TelemetryList list;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(out(), &list).ok()) << out();
  EXPECT_EQ(list.samples_size(), 3);
  EXPECT_FALSE(list.samples(1).has_value());
  EXPECT_EQ(list.next_cursor(), "2");
  EXPECT_TRUE(list.at_end());
}

TEST_F(TelemetryVerbTest, NothingInThePastSaysHowToAskForMore) {
  ServePages({});
  ASSERT_EQ(Run("telemetry van-7 --since 1m"), kDone);
  EXPECT_EQ(out(), "Nothing in the last 1m; ask for more with --since\n");
  ASSERT_EQ(Run("telemetry van-7 --since 1m --output json"), kDone);
  EXPECT_THAT(out(), HasSubstr("\"samples\":[],"));
}

TEST_F(TelemetryVerbTest, FollowGoesOnFromTheCursorAndTakesWhatComesLate) {
  v1::TelemetryList before, after;
  Fill(*before.add_samples(), "engine/rpm", 1500, 1000);
  before.set_at_end(true);
  Fill(*after.add_samples(), "engine/rpm", 900, 100'000).set_backlog(true);
  ServePages({before, after}, [this] { interrupt_.Trigger(); });
  EXPECT_EQ(Run("telemetry van-7 --since 10s --follow"), kDone) << err();
  EXPECT_EQ(out(),
            "08:53:19.000  engine/rpm  1500\n"
            "08:51:40.000  engine/rpm  900  late\n");
  ASSERT_EQ(asked_.size(), 3u);
  EXPECT_TRUE(asked_[0].contains("since_unix_ms"));
  EXPECT_FALSE(asked_[1].contains("since_unix_ms"));
  EXPECT_EQ(asked_[1].at("cursor"), "1");
}

TEST_F(TelemetryVerbTest, FollowAsJsonIsASamplePerLine) {
  v1::TelemetryList page;
  v1::TelemetryView& sample = Fill(*page.add_samples(), "engine/rpm", 1500, 0);
  page.set_at_end(true);
  ServePages({page}, [this] { interrupt_.Trigger(); });
  EXPECT_EQ(Run("telemetry van-7 --follow --output json"), kDone);
  EXPECT_EQ(out(), ToJson(sample));
  EXPECT_EQ(asked_[0].at("since_unix_ms"), absl::StrCat(clock_.Read().unix_ms()));
}

TEST_F(TelemetryVerbTest, FollowFailsAtOnceWithoutTheDevice) {
  EXPECT_EQ(Run("telemetry van-9 --follow"), kFailed);
  EXPECT_THAT(err(), HasSubstr("fleetctl devices lists what there is"));
}

TEST_F(TelemetryVerbTest, AListThatDoesNotGoOnIsAnErrorAndNotALoop) {
  v1::TelemetryList page;
  page.set_next_cursor("same");
  server_.On(kTelemetry, page);
  EXPECT_EQ(Run("telemetry van-7 --since 1m"), kFailed);
  EXPECT_THAT(err(), HasSubstr("does not go on"));
}

}  // namespace
}  // namespace fleet
