#include "common/signing.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace fleet {

absl::StatusOr<CommandKey> CommandKey::FromHex(absl::string_view hex) {
  hex = absl::StripAsciiWhitespace(hex);
  const bool digits = std::all_of(hex.begin(), hex.end(), [](unsigned char c) { return absl::ascii_isxdigit(c); });
  if (hex.size() != 2 * kKeyBytes || !digits) {
    return absl::InvalidArgumentError(absl::StrCat("a command key is ", 2 * kKeyBytes, " hex digits"));
  }
  const std::string bytes = absl::HexStringToBytes(hex);
  CommandKey key;
  std::copy(bytes.begin(), bytes.end(), key.bytes_.begin());
  return key;
}

absl::StatusOr<CommandKey> CommandKey::Load(const std::string& path) {
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(absl::StrCat(path, ": cannot be read"));
  std::stringstream text;
  text << file.rdbuf();
  absl::StatusOr<CommandKey> key = FromHex(text.str());
  if (!key.ok()) return absl::InvalidArgumentError(absl::StrCat(path, ": ", key.status().message()));
  return key;
}

std::string CommandKey::Sign(absl::string_view bytes) const {
  std::array<uint8_t, EVP_MAX_MD_SIZE> digest;
  unsigned int digest_bytes = 0;
  HMAC(EVP_sha256(), bytes_.data(), static_cast<int>(bytes_.size()), reinterpret_cast<const uint8_t*>(bytes.data()),
       bytes.size(), digest.data(), &digest_bytes);
  return std::string(reinterpret_cast<const char*>(digest.data()), kTagBytes);
}

bool CommandKey::Verify(absl::string_view bytes, absl::string_view tag) const {
  const std::string expected = Sign(bytes);
  return tag.size() == expected.size() && CRYPTO_memcmp(tag.data(), expected.data(), expected.size()) == 0;
}

bool IsSameSecret(absl::string_view a, absl::string_view b) {
  std::array<uint8_t, SHA256_DIGEST_LENGTH> digest_of_a;
  std::array<uint8_t, SHA256_DIGEST_LENGTH> digest_of_b;
  SHA256(reinterpret_cast<const uint8_t*>(a.data()), a.size(), digest_of_a.data());
  SHA256(reinterpret_cast<const uint8_t*>(b.data()), b.size(), digest_of_b.data());
  return CRYPTO_memcmp(digest_of_a.data(), digest_of_b.data(), digest_of_a.size()) == 0;
}

}  // namespace fleet
