#include "device/can/can_hub.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/nearest.h"
#include "common/topics.h"
#include "device/can/can_hub_bus.h"

namespace fleet::device {
namespace {

constexpr size_t kMaxByBytes = 64;

absl::string_view BusOf(const v1::Command& command) {
  if (command.has_can_send()) return command.can_send().bus();
  if (command.has_can_tap()) return command.can_tap().bus();
  return command.clear_dtcs().bus();
}

absl::string_view ByOf(const v1::Command& command) {
  if (command.has_can_send()) return command.can_send().by();
  if (command.has_can_tap()) return command.can_tap().by();
  return command.clear_dtcs().by();
}

}  // namespace

CanHub::CanHub(const DeviceId& device, uint32_t epoch, CanPlan plan, MonoTime now)
    : signals_(device, std::move(plan.signals)), dtcs_(device) {
  for (size_t i = 0; i < plan.buses.size(); ++i) {
    buses_.push_back(std::make_unique<CanHubBus>(device, epoch, i, plan.buses[i], CanHubBooks{signals_, dtcs_}, now));
  }
}

CanHub::~CanHub() = default;

std::vector<Subscription> CanHub::Subscriptions() const {
  std::vector<Subscription> subscriptions;
  for (const auto& bus : buses_) {
    if (bus->compat() != nullptr) subscriptions.push_back(bus->compat()->subscription());
  }
  return subscriptions;
}

bool CanHub::Owns(absl::string_view topic) const {
  return std::ranges::any_of(
      buses_, [topic](const auto& bus) { return bus->compat() != nullptr && bus->compat()->Owns(topic); });
}

void CanHub::Hear(size_t bus, const CanNews& news, Now now, CanEffects& effects) {
  buses_[bus]->Hear(news, now, effects);
}

void CanHub::Arrive(const Arrived& arrived, Now now, CanEffects& effects) {
  for (const auto& bus : buses_) {
    if (bus->compat() != nullptr && bus->compat()->Owns(arrived.topic)) bus->Arrive(arrived, now, effects);
  }
}

void CanHub::SetLinkUp(bool up) {
  for (const auto& bus : buses_) bus->SetLinkUp(up);
}

void CanHub::Stop(CanEffects& effects) {
  for (const auto& bus : buses_) bus->Stop(effects);
}

void CanHub::Resume(CanEffects& effects) {
  signals_.Resume(effects);
  dtcs_.Resume(effects);
}

void CanHub::Tick(Now now, CanEffects& effects) {
  for (const auto& bus : buses_) bus->Tick(now, effects);
  signals_.Tick(now, effects);
}

MonoTime CanHub::NextDue() const {
  MonoTime due = signals_.NextDue();
  for (const auto& bus : buses_) due = std::min(due, bus->NextDue());
  return due;
}

absl::Status CanHub::Judge(const v1::Command& command, MonoTime now) {
  // Neither is repeated in an answer: it would be kept, and travel.
  if (!IsBusName(BusOf(command))) return absl::InvalidArgumentError("this cannot be the name of a bus");
  if (ByOf(command).size() > kMaxByBytes) return absl::InvalidArgumentError("who asks has too long a name");
  CanHubBus* bus = Find(BusOf(command));
  if (bus == nullptr) {
    std::vector<std::string> names;
    for (const auto& known : buses_) names.push_back(known->name());
    return absl::NotFoundError(absl::StrCat("no bus ", BusOf(command), DidYouMean(BusOf(command), names)));
  }
  if (command.has_can_send()) return bus->Judge(command.can_send(), now);
  if (command.has_can_tap()) return bus->Judge(command.can_tap(), now);
  return bus->Judge(command.clear_dtcs(), now);
}

void CanHub::Run(const CanCommand& command, MonoTime now, CanEffects& effects) {
  std::visit([&](const auto& body) { Find(body.bus())->Run(command, body, now, effects); }, command.body);
}

bool CanHub::Cancel(CommandId command, CanEffects& effects) {
  return std::ranges::any_of(buses_, [&](const auto& bus) { return bus->Cancel(command, effects); });
}

uint64_t CanHub::policy_violations() const {
  uint64_t count = 0;
  for (const auto& bus : buses_) count += bus->policy_violations();
  return count;
}

uint64_t CanHub::refused_messages() const {
  uint64_t count = 0;
  for (const auto& bus : buses_) count += bus->refused_messages();
  return count;
}

CanHubBus* CanHub::Find(absl::string_view bus) const {
  const auto found = std::ranges::find_if(buses_, [bus](const auto& known) { return known->name() == bus; });
  return found == buses_.end() ? nullptr : found->get();
}

}  // namespace fleet::device
