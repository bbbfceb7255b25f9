// The verbs that list and clear trouble codes.
#include "tools/fleetctl/asker.h"
#include "tools/fleetctl/fleetctl_fixture.h"

namespace fleet {
namespace {

class DtcVerbTest : public FleetctlTest {
 protected:
  v1::DtcView Dtc(const std::string& code, bool active) const {
    v1::DtcView dtc;
    dtc.set_device_id("van-7");
    dtc.set_bus("can0");
    dtc.set_protocol("obd");
    dtc.set_ecu("7E8");
    dtc.set_code(code);
    dtc.set_status("stored");
    dtc.set_active(active);
    dtc.set_first_unix_ms(NowMs() - 60'000);
    dtc.set_last_unix_ms(NowMs());
    return dtc;
  }
};

TEST_F(DtcVerbTest, ListsThoseThatAreSetOverAllPages) {
  server_.On("/api/v1/dtcs", [&](const HttpRequest& request) {
    EXPECT_EQ(request.query.at("device"), "van-7");
    EXPECT_EQ(request.query.at("active"), "true");
    v1::DtcList page;
    const bool first = !request.query.contains("cursor");
    *page.add_dtcs() = Dtc(first ? "P0133" : "U0100", true);
    if (first) page.set_next_cursor("7");
    return JsonResponse(page);
  });
  ASSERT_EQ(Run("dtc van-7"), kDone) << err();
  EXPECT_EQ(out(),
            "DEVICE  BUS   ECU      CODE   STATUS  FIRST     LAST      COUNT\n"
            "van-7   can0  obd 7E8  P0133  stored  08:52:20  08:53:20\n"
            "van-7   can0  obd 7E8  U0100  stored  08:52:20  08:53:20\n");
}

TEST_F(DtcVerbTest, AllHasThoseThatWereClearedToo) {
  server_.On("/api/v1/dtcs", [&](const HttpRequest& request) {
    EXPECT_FALSE(request.query.contains("active"));
    EXPECT_FALSE(request.query.contains("device"));
    v1::DtcList page;
    *page.add_dtcs() = Dtc("P0133", false);
    return JsonResponse(page);
  });
  ASSERT_EQ(Run("dtc --all"), kDone) << err();
  EXPECT_THAT(out(), HasSubstr("P0133  cleared"));
}

TEST_F(DtcVerbTest, NoneIsSaidAndIsAnEmptyListInJson) {
  server_.On("/api/v1/dtcs", v1::DtcList());
  ASSERT_EQ(Run("dtc van-7"), kDone);
  EXPECT_EQ(out(), "No trouble code is set; --all shows those that were\n");
  ASSERT_EQ(Run("dtc van-7 --output json"), kDone);
  EXPECT_THAT(out(), HasSubstr("{\"dtcs\":[]"));
}

TEST_F(DtcVerbTest, CsvHasALinePerCode) {
  v1::DtcList list;
  *list.add_dtcs() = Dtc("SPN 110 FMI 0", true);
  server_.On("/api/v1/dtcs", list);
  ASSERT_EQ(Run("dtc --output csv"), kDone);
  EXPECT_EQ(out(),
            "device,bus,protocol,ecu,code,status,active,first,first_unix_ms,last,last_unix_ms,count\n"
            "van-7,can0,obd,7E8,SPN 110 FMI 0,stored,true,2025-10-09T08:52:20.000Z,1759999940000,"
            "2025-10-09T08:53:20.000Z,1760000000000,0\n");
}

TEST_F(DtcVerbTest, ClearWaitsForTheEndAndSaysWhoAsks) {
  server_.On("/api/v1/devices/van-7/can/can0/clear-dtcs", [&](const HttpRequest& request) {
    v1::ClearDtcsRequest body;
    EXPECT_TRUE(FromJson(request.body, body).ok());
    EXPECT_EQ(body.by(), Asker());
    return JsonResponse(Command(2));
  });
  server_.On("/api/v1/commands/17", Command(6));
  ASSERT_EQ(Run("dtc clear van-7 can0"), kDone) << err();
  EXPECT_THAT(out(), HasSubstr("7.5 ms  done\n"));
  server_.On("/api/v1/commands/17", Command(6, "failed"));
  EXPECT_EQ(Run("dtc clear van-7 can0"), kFailed);
}

}  // namespace
}  // namespace fleet
