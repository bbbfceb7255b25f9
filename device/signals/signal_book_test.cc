#include "device/signals/signal_book.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>

#include "absl/strings/str_cat.h"

namespace fleet::device {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr int64_t kUnixMs = 1'700'000'000'000;  // of millisecond 0

Now At(int64_t ms) {
  return {.mono = MonoTime::FromNanos(ms * 1'000'000), .wall = absl::FromUnixMillis(kUnixMs + ms)};
}

// One signal, and what it published as "plain text=sample @ms of the sample".
class OneSignal {
 public:
  explicit OneSignal(SignalOptions options, int64_t first_tick_ms = 0)
      : book_(*DeviceId::Parse("rpi-1"), {std::move(options)}) {
    Tick(first_tick_ms);
  }

  void Value(int64_t ms, double value) { book_.Update(0, value, kUnixMs + ms, At(ms).mono, effects_); }
  void Invalidate(int64_t ms) { book_.Invalidate(0, kUnixMs + ms, At(ms).mono, effects_); }
  void Tick(int64_t ms) { book_.Tick(At(ms), effects_); }
  SignalBook& book() { return book_; }

  std::vector<std::string> Told() {
    std::vector<std::string> told;
    EXPECT_EQ(effects_.publish.size(), effects_.samples.size());
    for (size_t i = 0; i < effects_.samples.size(); ++i) {
      const Sample& sample = effects_.samples[i];
      told.push_back(absl::StrCat(effects_.publish[i].payload, "=", sample.value, " @", sample.at_unix_ms - kUnixMs));
    }
    effects_.Clear();
    return told;
  }

 private:
  SignalBook book_;
  SignalEffects effects_;
};

SignalOptions Options(SignalOptions options) {
  options.topic = "engine/rpm";
  return options;
}

TEST(SignalBook, PublishesPlainTextAndSample) {
  SignalBook book(*DeviceId::Parse("rpi-1"),
                  {{.topic = "engine/rpm", .qos = 1, .retain = true, .decimals = 2},
                   {.topic = "vehicle/gear_status", .labels = {{0, 0, "N"}, {1, 124, "D"}}}});
  SignalEffects effects;
  book.Update(0, 1500.25, kUnixMs, At(0).mono, effects);
  book.Update(1, 3, kUnixMs + 1, At(1).mono, effects);
  ASSERT_EQ(effects.publish.size(), 2u);
  EXPECT_EQ(effects.publish[0].topic, "rpi/rpi-1/engine/rpm");
  EXPECT_EQ(effects.publish[0].payload, "1500.25");
  EXPECT_EQ(effects.publish[0].qos, 1);
  EXPECT_TRUE(effects.publish[0].retain);
  EXPECT_EQ(effects.publish[1].topic, "rpi/rpi-1/vehicle/gear_status");
  EXPECT_EQ(effects.publish[1].payload, "D");
  EXPECT_EQ(effects.publish[1].qos, 0);
  EXPECT_FALSE(effects.publish[1].retain);
  ASSERT_EQ(effects.samples.size(), 2u);
  EXPECT_EQ(effects.samples[0].signal, "engine/rpm");
  EXPECT_EQ(effects.samples[0].at_unix_ms, kUnixMs);
  EXPECT_EQ(effects.samples[1].signal, "vehicle/gear_status");
  EXPECT_EQ(effects.samples[1].value, 3);
}

TEST(SignalBook, WithoutAPeriodEveryValueIsPublished) {
  OneSignal signal(Options({}));
  signal.Value(1, 5);
  signal.Value(1, 5);
  signal.Value(2, 6);
  EXPECT_THAT(signal.Told(), ElementsAre("5=5 @1", "5=5 @1", "6=6 @2"));
  EXPECT_EQ(signal.book().NextDue(), MonoTime::Max());
}

TEST(SignalBook, WithAPeriodTheNewestValueComesOncePerPeriod) {
  OneSignal signal(Options({.period = absl::Milliseconds(100)}));
  signal.Value(10, 1);
  signal.Value(20, 2);
  signal.Value(90, 3);
  EXPECT_THAT(signal.Told(), ElementsAre("1=1 @10"));
  EXPECT_EQ(signal.book().NextDue(), At(110).mono);
  signal.Tick(109);
  EXPECT_THAT(signal.Told(), IsEmpty());
  signal.Tick(110);
  EXPECT_THAT(signal.Told(), ElementsAre("3=3 @90"));
  signal.Tick(1000);
  EXPECT_THAT(signal.Told(), IsEmpty()) << "nothing new came";
  signal.Value(1001, 3);
  EXPECT_THAT(signal.Told(), ElementsAre("3=3 @1001"));
}

TEST(SignalBook, ASourceOfTheSamePeriodLosesNothingToJitter) {
  OneSignal signal(Options({.period = absl::Milliseconds(100)}));
  std::mt19937 random(7);
  std::vector<int64_t> came;
  for (int i = 1; i <= 1000; ++i) came.push_back(100 * i + std::uniform_int_distribution<int>(-10, 10)(random));
  size_t next = 0;
  for (int64_t ms = 0; next < came.size() || ms < 100'200; ++ms) {
    signal.Tick(ms);
    if (next < came.size() && came[next] == ms) signal.Value(ms, static_cast<double>(next++));
  }
  EXPECT_EQ(signal.Told().size(), 1000u);
}

TEST(SignalBook, ATickThatComesLateDoesNotDelayTheNextPeriod) {
  OneSignal signal(Options({.period = absl::Milliseconds(100)}));
  for (int64_t ms = 0; ms <= 1000; ms += 10) {
    signal.Value(ms, static_cast<double>(ms));
    if (ms % 100 == 20) signal.Tick(ms);
  }
  EXPECT_EQ(signal.Told().size(), 11u);
}

TEST(SignalBook, OnChangeComparesWithWhatWasPublishedLast) {
  OneSignal signal(Options({.on_change = true, .dead_band = 1}));
  signal.Value(0, 10);
  signal.Value(1, 10.6);
  signal.Value(2, 11);
  signal.Value(3, 11.2);
  signal.Value(4, 11.9);
  signal.Value(5, 10);
  EXPECT_THAT(signal.Told(), ElementsAre("10=10 @0", "11.2=11.2 @3", "10=10 @5"));
}

TEST(SignalBook, OnChangeWithoutDeadBandTellsEveryChange) {
  OneSignal signal(Options({.on_change = true}));
  signal.Value(0, 1);
  signal.Value(1, 1);
  signal.Value(2, 1.0000001);
  EXPECT_THAT(signal.Told(), ElementsAre("1=1 @0", "1.0000001=1 @2"));
}

TEST(SignalBook, AChangeWithinThePeriodComesWhenItIsOver) {
  OneSignal signal(Options({.period = absl::Milliseconds(100), .on_change = true}));
  signal.Value(0, 1);
  signal.Value(30, 2);
  signal.Value(60, 3);
  signal.Tick(100);
  EXPECT_THAT(signal.Told(), ElementsAre("1=1 @0", "3=3 @60"));
}

TEST(SignalBook, AChangeThatIsTakenBackWithinThePeriodIsNotTold) {
  OneSignal signal(Options({.period = absl::Milliseconds(100), .on_change = true}));
  signal.Value(0, 1);
  signal.Value(30, 2);
  signal.Value(60, 1);
  signal.Tick(100);
  EXPECT_THAT(signal.Told(), ElementsAre("1=1 @0"));
  signal.Value(170, 2);
  EXPECT_THAT(signal.Told(), ElementsAre("2=2 @170")) << "the period has been over for long";
}

TEST(SignalBook, SilenceIsToldOnceAndTheNextValueAtOnce) {
  OneSignal signal(Options({.period = absl::Seconds(10), .silent_after = absl::Seconds(1)}));
  signal.Value(500, 1);
  signal.Value(900, 2);
  signal.Tick(1899);
  EXPECT_THAT(signal.Told(), ElementsAre("1=1 @500"));
  EXPECT_LE(signal.book().NextDue(), At(1900).mono);
  signal.Tick(1900);
  signal.Tick(5000);
  EXPECT_THAT(signal.Told(), ElementsAre("invalid=nan @1900"));
  signal.Value(5001, 3);
  EXPECT_THAT(signal.Told(), ElementsAre("3=3 @5001"));
}

TEST(SignalBook, WhatIsNeverHeardIsInvalidFromTheFirstTickOn) {
  OneSignal signal(Options({.silent_after = absl::Seconds(1)}), 5000);
  signal.Tick(5999);
  EXPECT_THAT(signal.Told(), IsEmpty());
  signal.Tick(6000);
  signal.Tick(9000);
  EXPECT_THAT(signal.Told(), ElementsAre("invalid=nan @6000"));
}

TEST(SignalBook, NotAvailableIsInvalidAtOnceAndOnce) {
  OneSignal signal(Options({.period = absl::Milliseconds(100), .on_change = true}));
  signal.Value(0, 1);
  signal.Value(10, 2);
  signal.Value(20, kNan);
  signal.Value(30, std::numeric_limits<double>::infinity());
  signal.Invalidate(40);
  signal.Tick(100);
  EXPECT_THAT(signal.Told(), ElementsAre("1=1 @0", "invalid=nan @20"));
  signal.Value(150, 1);
  EXPECT_THAT(signal.Told(), ElementsAre("1=1 @150")) << "unchanged, but it was invalid";
}

TEST(SignalBook, AnUnknownSignalCanBecomeInvalid) {
  OneSignal signal(Options({}));
  signal.Invalidate(10);
  EXPECT_THAT(signal.Told(), ElementsAre("invalid=nan @10"));
}

TEST(SignalBook, AFlappingSourceStaysBounded) {
  OneSignal signal(Options({.period = absl::Milliseconds(100)}));
  for (int64_t ms = 0; ms < 10'000; ++ms) {
    signal.Tick(ms);
    signal.Value(ms, ms % 2 == 0 ? 1 : kNan);
  }
  EXPECT_LE(signal.Told().size(), 2u * 100);
}

TEST(SignalBook, TheCurrentValuesAreTheNewestOnesPublishedOrNot) {
  SignalBook book(*DeviceId::Parse("rpi-1"), {{.topic = "a/slow", .period = absl::Seconds(10)},
                                              {.topic = "a/gear", .labels = {{.low = 1, .high = 9, .word = "D"}}},
                                              {.topic = "a/invalid"},
                                              {.topic = "a/unknown"}});
  SignalEffects effects;
  for (const size_t i : {0, 1, 2}) book.Update(i, 7, kUnixMs, At(0).mono, effects);
  book.Update(0, 8, kUnixMs, At(1).mono, effects);
  book.Invalidate(2, kUnixMs, At(2).mono, effects);
  std::vector<CurrentSignal> current;
  book.AppendCurrent(current);
  ASSERT_EQ(current.size(), 3u);
  EXPECT_EQ(current[0].name, "a/slow");
  EXPECT_EQ(current[0].value, 8);
  EXPECT_EQ(current[0].text, "8");
  EXPECT_FALSE(current[0].is_word);
  EXPECT_EQ(current[0].heard_at, At(1).mono);
  EXPECT_EQ(current[1].text, "D");
  EXPECT_TRUE(current[1].is_word);
  EXPECT_EQ(current[1].value, 7);
  EXPECT_EQ(current[2].text, "invalid");
  EXPECT_FALSE(current[2].is_word);
  EXPECT_TRUE(std::isnan(current[2].value));
}

TEST(SignalBook, ResumeTellsAgainWhatMayBeLongWithoutAnother) {
  SignalBook book(*DeviceId::Parse("rpi-1"), {{.topic = "a/periodic"},
                                              {.topic = "a/on_change", .on_change = true},
                                              {.topic = "a/invalid"},
                                              {.topic = "a/unknown", .on_change = true}});
  SignalEffects effects;
  for (const size_t i : {0, 1, 2}) book.Update(i, 7, kUnixMs, At(0).mono, effects);
  book.Invalidate(2, kUnixMs, At(0).mono, effects);
  effects.Clear();
  book.Resume(effects);
  ASSERT_EQ(effects.publish.size(), 2u);
  EXPECT_EQ(effects.publish[0].topic, "rpi/rpi-1/a/on_change");
  EXPECT_EQ(effects.publish[0].payload, "7");
  EXPECT_EQ(effects.publish[1].topic, "rpi/rpi-1/a/invalid");
  EXPECT_EQ(effects.publish[1].payload, "invalid");
  EXPECT_THAT(effects.samples, IsEmpty());
}

// ---- against a model that looks at every rule in every millisecond

struct Model {
  SignalOptions options;
  std::optional<double> newest, published;
  bool invalid = false, waiting = false;
  int64_t heard = 0, newest_at = 0;
  std::optional<int64_t> free_at;  // none: at once
  std::vector<std::string> told;

  int64_t period() const { return absl::ToInt64Milliseconds(options.period); }

  void Tell(int64_t ms) {
    told.push_back(absl::StrCat(*newest, " @", newest_at));
    const bool late = !free_at.has_value() || 4 * (ms - *free_at) >= period();
    free_at = (late ? ms : *free_at) + period();
    published = newest;
    invalid = waiting = false;
  }
  void BecomeInvalid(int64_t ms) {
    if (!invalid) told.push_back(absl::StrCat("nan @", ms));
    invalid = true;
    waiting = false;
  }
  bool MayTell(int64_t ms) const { return !free_at.has_value() || ms >= *free_at; }

  void EveryMillisecond(int64_t ms) {
    if (waiting && MayTell(ms)) Tell(ms);
    if (absl::Milliseconds(ms - heard) < options.silent_after) return;
    BecomeInvalid(ms);
    free_at.reset();
  }
  void Value(int64_t ms, double value) {
    heard = ms;
    if (std::isnan(value)) return BecomeInvalid(ms);
    newest = value;
    newest_at = ms;
    waiting =
        invalid || !published.has_value() || !options.on_change || std::abs(value - *published) > options.dead_band;
    if (waiting && MayTell(ms)) Tell(ms);
  }
};

SignalOptions RandomOptions(std::mt19937& random, int number) {
  const auto pick = [&](std::vector<int> of) { return of[random() % of.size()]; };
  const int silent_ms = pick({0, 25, 60, 400});
  SignalOptions options{.topic = absl::StrCat("random/", number), .on_change = random() % 2 == 0};
  options.period = absl::Milliseconds(pick({0, 4, 20, 100}));
  options.dead_band = pick({0, 1, 3});
  if (silent_ms > 0) options.silent_after = absl::Milliseconds(silent_ms);
  return options;
}

// Values in bursts and with pauses, so that every rule meets every other.
struct RandomSource {
  int64_t next = 0;
  double Take(int64_t ms, std::mt19937& random) {
    next = ms + 1 + static_cast<int64_t>(random() % (random() % 8 == 0 ? 300 : 12));
    return random() % 16 == 0 ? kNan : static_cast<double>(random() % 6);
  }
};

TEST(SignalBookProperty, TickedOnlyWhenDueItDoesWhatTheRulesSayInEveryMillisecond) {
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    std::mt19937 random(seed);
    constexpr int kSignals = 30;
    std::vector<SignalOptions> options;
    std::vector<Model> models;
    for (int i = 0; i < kSignals; ++i) {
      options.push_back(RandomOptions(random, i));
      models.push_back({.options = options.back()});
    }
    SignalBook book(*DeviceId::Parse("rpi-1"), options);
    std::vector<RandomSource> sources(kSignals);
    SignalEffects effects;
    for (int64_t ms = 0; ms < 3000; ++ms) {
      if (book.NextDue() <= At(ms).mono) book.Tick(At(ms), effects);
      for (Model& model : models) model.EveryMillisecond(ms);
      for (size_t i = 0; i < kSignals; ++i) {
        if (sources[i].next > ms) continue;
        const double value = sources[i].Take(ms, random);
        book.Update(i, value, kUnixMs + ms, At(ms).mono, effects);
        models[i].Value(ms, value);
      }
    }
    std::vector<std::vector<std::string>> told(kSignals);
    for (const Sample& sample : effects.samples) {
      const int number = std::atoi(sample.signal.c_str() + sizeof("random/") - 1);
      told[number].push_back(absl::StrCat(sample.value, " @", sample.at_unix_ms - kUnixMs));
    }
    for (size_t i = 0; i < kSignals; ++i) {
      ASSERT_THAT(told[i], testing::ElementsAreArray(models[i].told)) << "seed " << seed << " signal " << i;
    }
  }
}

TEST(SignalBookProperty, ALoopThatIsLateBreaksNoBoundAndLosesNoNewestValue) {
  for (uint32_t seed = 1; seed <= 300; ++seed) {
    std::mt19937 random(seed);
    const SignalOptions options = RandomOptions(random, 0);
    const double period_ms = absl::ToDoubleMilliseconds(options.period);
    SignalBook book(*DeviceId::Parse("rpi-1"), {options});
    RandomSource source;
    double newest = kNan;
    std::optional<double> last;  // told; NaN: invalid
    double last_value_ms = -1e9;
    bool silent = false;
    int64_t heard = 0;
    for (int64_t ms = 0; ms < 3000; ++ms) {
      SignalEffects effects;
      const bool comes = source.next <= ms;
      if (random() % 30 == 0 || ms == 2999) book.Tick(At(ms), effects);
      silent |= absl::Milliseconds(ms - heard) >= options.silent_after;
      if (comes) {
        newest = source.Take(ms, random);
        heard = ms;
        book.Update(0, newest, kUnixMs + ms, At(ms).mono, effects);
      }
      for (const Sample& sample : effects.samples) {
        if (std::isnan(sample.value)) {
          ASSERT_FALSE(last.has_value() && std::isnan(*last)) << "invalid twice, seed " << seed;
        } else {
          const double since_ms = static_cast<double>(ms) - last_value_ms;
          ASSERT_TRUE(silent || since_ms >= 0.75 * period_ms) << since_ms << " ms, seed " << seed;
          if (options.on_change && last.has_value() && !std::isnan(*last)) {
            ASSERT_GT(std::abs(sample.value - *last), options.dead_band) << "seed " << seed;
          }
          last_value_ms = static_cast<double>(ms);
          silent = false;
        }
        last = sample.value;
      }
    }
    SignalEffects effects;
    const int64_t after = heard + absl::ToInt64Milliseconds(std::min(options.silent_after, absl::Hours(1))) - 1;
    if (after < 3000 + 100) continue;  // silent by then
    book.Tick(At(3000 + 100), effects);
    if (!effects.samples.empty()) last = effects.samples.back().value;
    if (std::isnan(newest)) {
      EXPECT_TRUE(std::isnan(*last));
    } else {
      EXPECT_LE(std::abs(newest - *last), options.on_change ? options.dead_band : 0) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace fleet::device
