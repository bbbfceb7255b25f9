#include "common/name_lookup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>

#include <future>
#include <thread>
#include <vector>

#include "common/clock.h"

namespace fleet {
namespace {

using Woken = Interruption::Woken;

constexpr absl::Duration kPatience = absl::Seconds(30);

TEST(NameLookup, AddressIsFoundWithoutAsking) {
  const Interruption interruption;
  const auto v4 = NameLookup("10.0.0.7", 502).Find(absl::ZeroDuration(), interruption);
  ASSERT_TRUE(v4.ok()) << v4.status();
  EXPECT_EQ(v4->at(0).host(), "10.0.0.7");
  EXPECT_EQ(ntohs(reinterpret_cast<const sockaddr_in*>(v4->at(0).get())->sin_port), 502);
  const auto v6 = NameLookup("fd00::1", 502).Find(absl::ZeroDuration(), interruption);
  ASSERT_TRUE(v6.ok()) << v6.status();
  EXPECT_EQ(v6->at(0).host(), "fd00::1");
}

TEST(NameLookup, NameIsFoundAgainAndAgain) {
  const Interruption interruption;
  NameLookup lookup("localhost", 80);
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(lookup.Find(kPatience, interruption).ok());
}

TEST(NameLookup, SaysThatThereIsNoSuchName) {
  const Interruption interruption;
  NameLookup lookup("no-such-host.invalid", 80);
  EXPECT_EQ(lookup.Find(kPatience, interruption).status().code(), absl::StatusCode::kNotFound);
}

TEST(NameLookup, LongerThanTheTimeLimitIsFoundByTheNextCall) {
  const Interruption interruption;
  std::promise<void> name_server_answers;
  NameLookup lookup("van-7.example", 80,
                    [answers = name_server_answers.get_future().share()](const auto&, const auto&) {
                      answers.wait();
                      return std::vector<SocketAddress>(1);
                    });
  EXPECT_EQ(lookup.Find(absl::Milliseconds(1), interruption).status().code(), absl::StatusCode::kDeadlineExceeded);
  name_server_answers.set_value();
  EXPECT_TRUE(lookup.Find(kPatience, interruption).ok());
}

TEST(NameLookup, InterruptionEndsIt) {
  Interruption interruption;
  interruption.Raise();
  EXPECT_EQ(NameLookup("localhost", 80).Find(kPatience, interruption).status().code(), absl::StatusCode::kCancelled);
}

TEST(Interruption, EndsWhatWaitsAndAllThatFollows) {
  Interruption interruption;
  EXPECT_EQ(interruption.Wait(-1, 0, absl::Milliseconds(1)), Woken::kTimeout);
  std::thread other([&] { interruption.Raise(); });
  EXPECT_EQ(interruption.Wait(-1, 0, absl::InfiniteDuration()), Woken::kRaised);
  other.join();
  EXPECT_TRUE(interruption.raised());
  EXPECT_EQ(interruption.Wait(-1, 0, absl::InfiniteDuration()), Woken::kRaised);
}

TEST(Interruption, WaitsForAFileDescriptorToo) {
  Interruption interruption, other;
  EXPECT_EQ(interruption.Wait(other.fd(), POLLIN, absl::ZeroDuration()), Woken::kTimeout);
  other.Raise();
  EXPECT_EQ(interruption.Wait(other.fd(), POLLIN, absl::InfiniteDuration()), Woken::kReady);
}

}  // namespace
}  // namespace fleet
