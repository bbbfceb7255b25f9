#include "tools/fleetctl/asker.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace fleet {

std::string AskerOf(absl::string_view user, absl::string_view host) {
  constexpr size_t kMaxBytes = 64;
  std::string asker = absl::StrCat(user.substr(0, kMaxBytes / 2), "@", host);
  asker.resize(std::min(asker.size(), kMaxBytes));
  for (char& c : asker) {
    if (!absl::ascii_isgraph(static_cast<unsigned char>(c))) c = '?';
  }
  return asker;
}

std::string Asker() {
  std::array<char, 4096> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  getpwuid_r(getuid(), &entry, buffer.data(), buffer.size(), &found);
  const std::string user = found == nullptr ? absl::StrCat(getuid()) : std::string(found->pw_name);
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  return AskerOf(user, host.data());
}

}  // namespace fleet
