#include "device/signals/signal_text.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace fleet::device {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Gear position of SAE J1939 SPN 523, raw - 125; 126 (raw 251) is park.
constexpr char kGears[] = "-125..-1=R,0=N,1..124=D,126=P";

std::vector<SignalLabel> Labels(absl::string_view text) {
  absl::StatusOr<std::vector<SignalLabel>> labels = ParseLabels(text);
  EXPECT_TRUE(labels.ok()) << labels.status();
  return labels.value_or(std::vector<SignalLabel>());
}

std::string Error(absl::string_view text) {
  return std::string(ParseLabels(text).status().message());
}

TEST(SignalText, RoundsToTheDecimalsAndDropsEmptyDigits) {
  EXPECT_EQ(SignalText(3500, 3, {}), "3500");
  EXPECT_EQ(SignalText(1500.125, 3, {}), "1500.125");
  EXPECT_EQ(SignalText(50.00390625, 3, {}), "50.004");
  EXPECT_EQ(SignalText(50.196078431, 1, {}), "50.2");
  EXPECT_EQ(SignalText(100, 0, {}), "100");
  EXPECT_EQ(SignalText(0.1 + 0.2, 1, {}), "0.3");
}

TEST(SignalText, NothingIsNeverNegative) {
  EXPECT_EQ(SignalText(-0.0, 0, {}), "0");
  EXPECT_EQ(SignalText(-0.04, 1, {}), "0");
  EXPECT_EQ(SignalText(-0.5, 1, {}), "-0.5");
}

TEST(SignalText, WithoutDecimalsReadsBackAsTheSameNumber) {
  EXPECT_EQ(SignalText(0.1, -1, {}), "0.1");
  EXPECT_EQ(SignalText(static_cast<double>(0.1F), -1, {}), "0.1");  // a 32-bit float signal
  EXPECT_EQ(SignalText(1.0 / 3, -1, {}), "0.3333333333333333");
  EXPECT_EQ(SignalText(-40, -1, {}), "-40");
}

TEST(SignalText, HugeAndTinyNumbersHaveAnExponent) {
  EXPECT_EQ(SignalText(1e300, 3, {}), "1e+300");
  EXPECT_EQ(SignalText(-999999999999999.0, 3, {}), "-999999999999999");
  EXPECT_EQ(SignalText(1e-300, -1, {}), "1e-300");
}

TEST(SignalText, WhatIsNoNumberIsInvalid) {
  const std::vector<SignalLabel> labels = Labels(kGears);
  EXPECT_EQ(SignalText(std::numeric_limits<double>::quiet_NaN(), 0, labels), "invalid");
  EXPECT_EQ(SignalText(kInfinity, 0, {}), "invalid");
  EXPECT_EQ(SignalText(-kInfinity, -1, {}), "invalid");
}

TEST(SignalText, TakesTheWordOfItsLabel) {
  const std::vector<SignalLabel> labels = Labels(kGears);
  EXPECT_EQ(SignalText(-125, 0, labels), "R");
  EXPECT_EQ(SignalText(-1, 0, labels), "R");
  EXPECT_EQ(SignalText(0, 0, labels), "N");
  EXPECT_EQ(SignalText(1, 0, labels), "D");
  EXPECT_EQ(SignalText(124, 0, labels), "D");
  EXPECT_EQ(SignalText(126, 0, labels), "P");
  EXPECT_EQ(SignalText(125, 0, labels), "125");
  EXPECT_EQ(SignalText(-126, 0, labels), "-126");
}

TEST(ParseLabels, SortsAndTrims) {
  const std::vector<SignalLabel> labels = Labels("2=two, 1=one,-1.5..0.5=none");
  ASSERT_EQ(labels.size(), 3u);
  EXPECT_EQ(labels[0].word, "none");
  EXPECT_EQ(labels[0].low, -1.5);
  EXPECT_EQ(labels[0].high, 0.5);
  EXPECT_EQ(labels[1].word, "one");
  EXPECT_EQ(labels[2].word, "two");
}

TEST(ParseLabels, AWordMayHoldSpacesAndEqualSigns) {
  EXPECT_EQ(Labels("0=not ready,1=a=b").at(0).word, "not ready");
  EXPECT_EQ(Labels("0=not ready,1=a=b").at(1).word, "a=b");
}

TEST(ParseLabels, SaysWhatIsWrong) {
  EXPECT_EQ(Error(""), "'' is not VALUE=WORD or LOW..HIGH=WORD");
  EXPECT_EQ(Error("0=N,x=D"), "'x=D' is not VALUE=WORD or LOW..HIGH=WORD");
  EXPECT_EQ(Error("0=N,"), "'' is not VALUE=WORD or LOW..HIGH=WORD");
  EXPECT_EQ(Error("nan=N"), "'nan=N' is not VALUE=WORD or LOW..HIGH=WORD");
  EXPECT_EQ(Error("1..=N"), "'1..=N' is not VALUE=WORD or LOW..HIGH=WORD");
  EXPECT_EQ(Error("5..1=N"), "'5..1=N' ends before it begins");
  EXPECT_EQ(Error("0"), "'0' has no usable word: 1 to 64 printable bytes, not \"invalid\"");
  EXPECT_EQ(Error("0=invalid"), "'0=invalid' has no usable word: 1 to 64 printable bytes, not \"invalid\"");
  EXPECT_EQ(Error("1..4=D,4=P"), "'1..4=D' and '4=P' overlap");
  EXPECT_EQ(Error("0=N,0=D"), "'0=N' and '0=D' overlap");
}

TEST(ParseLabels, IsBounded) {
  std::string most = "0=x";
  for (size_t i = 1; i < kMaxLabels; ++i) most += "," + std::to_string(i) + "=x";
  EXPECT_EQ(Labels(most).size(), kMaxLabels);
  EXPECT_EQ(Error(most + ",9999=x"), "more than 256 labels");
  EXPECT_EQ(Labels("0=" + std::string(64, 'x')).size(), 1u);
  EXPECT_NE(Error("0=" + std::string(65, 'x')), "");
  EXPECT_NE(Error("0=a\nb"), "");
}

TEST(ParseLabels, AnyTextIsAnErrorOrLabelsInOrder) {
  std::mt19937 random(1);
  constexpr absl::string_view kAlphabet = "0123456789.,=-+eEinfNaRD \t\xff";
  size_t parsed = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    for (size_t n = random() % 24; n > 0; --n) text += kAlphabet[random() % kAlphabet.size()];
    const absl::StatusOr<std::vector<SignalLabel>> labels = ParseLabels(text);
    if (!labels.ok()) continue;
    ++parsed;
    for (size_t k = 0; k < labels->size(); ++k) {
      ASSERT_LE((*labels)[k].low, (*labels)[k].high) << text;
      ASSERT_TRUE(k == 0 || (*labels)[k - 1].high < (*labels)[k].low) << text;
    }
  }
  EXPECT_GT(parsed, 20u);
}

TEST(DecimalsFor, TellsNeighboursApartAndIsExactWhereThatIsShort) {
  EXPECT_EQ(DecimalsFor(1, 0), 0);
  EXPECT_EQ(DecimalsFor(5, -40), 0);
  EXPECT_EQ(DecimalsFor(0.1, 0), 1);
  EXPECT_EQ(DecimalsFor(0.125, 0), 3);  // engine speed of J1939
  EXPECT_EQ(DecimalsFor(0.25, 0), 2);   // engine speed of OBD-II
  EXPECT_EQ(DecimalsFor(0.5, 0), 1);
  EXPECT_EQ(DecimalsFor(1, 0.5), 1);
  EXPECT_EQ(DecimalsFor(1.0 / 256, 0), 3);    // vehicle speed of J1939
  EXPECT_EQ(DecimalsFor(100.0 / 255, 0), 1);  // engine load of OBD-II
  EXPECT_EQ(DecimalsFor(1e-7, 0), 7);         // degrees of latitude
  EXPECT_EQ(DecimalsFor(-0.01, 0), 2);
}

TEST(DecimalsFor, AnyNumberGivesSomethingThatCanBePrinted) {
  EXPECT_EQ(DecimalsFor(0, 3), 0);
  EXPECT_EQ(DecimalsFor(kInfinity, 0), 0);
  EXPECT_EQ(DecimalsFor(1e-300, 0), 15);
  EXPECT_EQ(DecimalsFor(1e300, 0), 0);
  EXPECT_EQ(DecimalsFor(1, kInfinity), 0);
}

}  // namespace
}  // namespace fleet::device
