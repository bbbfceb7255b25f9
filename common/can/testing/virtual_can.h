// A CAN interface of the kernel for a test: only root can make it, and only where the kernel has CAN.
#pragma once

#include <cstdlib>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace fleet {

class VirtualCan {
 public:
  static constexpr int kClassicMtu = 16;
  static constexpr int kFdMtu = 72;

  // The only one of a machine at a time. It is up.
  static absl::StatusOr<std::unique_ptr<VirtualCan>> Make(int mtu) {
    auto can = std::unique_ptr<VirtualCan>(new VirtualCan(mtu));
    can->Remove();  // that of a test that was killed
    if (!can->Remake()) return absl::UnavailableError("no SocketCAN here: `ip link add type vcan` fails");
    return can;
  }
  ~VirtualCan() { Remove(); }
  VirtualCan(const VirtualCan&) = delete;
  VirtualCan& operator=(const VirtualCan&) = delete;

  const std::string& name() const { return name_; }
  bool Down() const { return Ip(absl::StrCat("set ", name_, " down")); }
  bool Up() const { return Ip(absl::StrCat("set ", name_, " up")); }
  bool Remove() const { return Ip(absl::StrCat("delete ", name_)); }
  bool Remake() const {
    return Ip(absl::StrCat("add ", name_, " type vcan")) && Ip(absl::StrCat("set ", name_, " mtu ", mtu_)) && Up();
  }

 private:
  explicit VirtualCan(int mtu) : mtu_(mtu) {}
  static bool Ip(const std::string& words) {
    return std::system(absl::StrCat("ip link ", words, " > /dev/null 2>&1").c_str()) == 0;
  }

  const std::string name_ = "fleetcan0";
  const int mtu_;
};

}  // namespace fleet
