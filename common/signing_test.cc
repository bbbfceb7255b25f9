#include "common/signing.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace fleet {
namespace {

// HMAC pads keys shorter than a block with zeros (RFC 2104, section 2), so a shorter key of RFC 4231 is the same key as
// it and zeros up to our 32 bytes.
CommandKey PaddedKey(absl::string_view hex) {
  return *CommandKey::FromHex(absl::StrCat(hex, std::string(2 * CommandKey::kKeyBytes - hex.size(), '0')));
}

std::string Repeat(absl::string_view hex, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) absl::StrAppend(&text, hex);
  return text;
}

TEST(CommandKey, SignsAsRfc4231) {
  struct Case {
    std::string key_hex;
    std::string data;
    std::string tag_hex;  // the first 16 bytes
  };
  for (const Case& c : {
           Case{Repeat("0b", 20), "Hi There", "b0344c61d8db38535ca8afceaf0bf12b"},                // 4.2
           Case{"4a656665", "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c7"},  // 4.3
           Case{Repeat("aa", 20), std::string(50, '\xdd'), "773ea91e36800e46854db8ebd09181a7"},   // 4.4
           Case{"0102030405060708090a0b0c0d0e0f10111213141516171819", std::string(50, '\xcd'),    // 4.5
                "82558a389a443c0ea4cc819899f2083a"},
           Case{Repeat("0c", 20), "Test With Truncation", "a3b6167473100ee06e0c796c2955552b"},  // 4.6
       }) {
    EXPECT_EQ(absl::BytesToHexString(PaddedKey(c.key_hex).Sign(c.data)), c.tag_hex) << c.data;
  }
}

// printf 'what do ya want for nothing?' | openssl dgst -sha256 -mac HMAC -macopt hexkey:000102...1f
TEST(CommandKey, UsesAllBytesOfItsKey) {
  const CommandKey key = *CommandKey::FromHex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
  EXPECT_EQ(absl::BytesToHexString(key.Sign("what do ya want for nothing?")), "099805f4ac310786968565c098db515c");
}

TEST(CommandKey, VerifiesItsOwnTagAndNoOther) {
  const CommandKey key = PaddedKey("01"), other = PaddedKey("02");
  const std::string tag = key.Sign("go");
  EXPECT_EQ(tag.size(), CommandKey::kTagBytes);
  EXPECT_TRUE(key.Verify("go", tag));
  EXPECT_FALSE(key.Verify("gO", tag));
  EXPECT_FALSE(other.Verify("go", tag));
  EXPECT_FALSE(key.Verify("go", ""));
  EXPECT_FALSE(key.Verify("go", tag.substr(0, 15)));
  EXPECT_FALSE(key.Verify("go", tag + "x"));
  for (size_t i = 0; i < tag.size(); ++i) {
    std::string wrong = tag;
    wrong[i] = static_cast<char>(wrong[i] ^ 1);
    EXPECT_FALSE(key.Verify("go", wrong)) << i;
  }
}

TEST(CommandKey, HexOfTheWrongLengthOrAlphabetIsRefused) {
  EXPECT_TRUE(CommandKey::FromHex(absl::StrCat("  ", Repeat("aB", 32), "\n")).ok());
  for (const std::string& hex : {std::string(), Repeat("ab", 31), Repeat("ab", 33), Repeat("xy", 32)}) {
    EXPECT_EQ(CommandKey::FromHex(hex).status().code(), absl::StatusCode::kInvalidArgument) << hex;
  }
}

TEST(CommandKey, LoadSaysWhichFileIsWrongAndHow) {
  const std::string path = absl::StrCat(testing::TempDir(), "/signing_test_", getpid());
  EXPECT_EQ(CommandKey::Load(path).status().code(), absl::StatusCode::kNotFound);
  std::ofstream(path) << "nonsense";
  const absl::Status nonsense = CommandKey::Load(path).status();
  EXPECT_EQ(nonsense.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(nonsense.message().find(path), absl::string_view::npos);
  std::ofstream(path) << Repeat("01", 32) << "\n";
  const absl::StatusOr<CommandKey> key = CommandKey::Load(path);
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ(key->Sign("x"), CommandKey::FromHex(Repeat("01", 32))->Sign("x"));
  std::remove(path.c_str());
}

TEST(Secret, IsTheSameOnlyWhenEveryByteIs) {
  EXPECT_TRUE(IsSameSecret("", ""));
  EXPECT_TRUE(IsSameSecret("0123456789abcdef", "0123456789abcdef"));
  for (const char* other : {"", "0123456789abcde", "0123456789abcdefg", "1123456789abcdef", "0123456789abcdeF"}) {
    EXPECT_FALSE(IsSameSecret("0123456789abcdef", other)) << other;
  }
}

}  // namespace
}  // namespace fleet
