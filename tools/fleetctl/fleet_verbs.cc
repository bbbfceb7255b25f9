#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/http_server.h"
#include "common/status_macros.h"
#include "tools/fleetctl/alarms.h"
#include "tools/fleetctl/device_text.h"
#include "tools/fleetctl/verbs.h"

namespace fleet {
namespace {

using Column = Table::Column;
constexpr Table::Align kRight = Table::Align::kRight;

std::string LossLine(const v1::LossView& loss) {
  return absl::StrCat(Count(loss.missing()), " of ", Count(loss.expected()), " messages missing, ",
                      Count(loss.duplicate()), " came twice, ", Count(loss.reordered()), " out of order");
}

std::string EntityTable(const v1::DeviceView& device, const TextStyle& style) {
  Table table({Column{"ENTITY", kRight}, Column{"STATE"}, Column{"X", kRight}, Column{"Y", kRight},
               Column{"ANGLE", kRight}, Column{"SPEED", kRight}, Column{"AGE", kRight}, Column{"X,Y IN MM"}});
  for (const v1::EntityView& entity : device.entities()) {
    table.Add({{absl::StrCat(entity.entity_id())},
               {entity.state(), ColourOfDevice(entity.state())},
               {Metres(entity.x_mm())},
               {Metres(entity.y_mm())},
               {Degrees(entity.angle_mdeg())},
               {Speed(entity.vx_mm_s(), entity.vy_mm_s())},
               {HumanDuration(absl::Milliseconds(entity.age_ms()))},
               {absl::StrCat(entity.x_mm(), ",", entity.y_mm())}});
  }
  return table.Render(style);
}

}  // namespace

absl::StatusOr<ExitCode> Run(Session& session, const DevicesVerb&) {
  ASSIGN_OR_RETURN(const std::vector<v1::DeviceView> devices, FetchDevices(session.client));
  if (session.json()) {
    // Not a DeviceList, whose cursor means nothing once all pages are one.
    std::string separator;
    session.screen.out << "{\"devices\":[";
    for (const v1::DeviceView& device : devices) {
      session.screen.out << std::exchange(separator, ",") << absl::StripSuffix(ToJson(device), "\n");
    }
    session.screen.out << "]}\n";
    return kDone;
  }
  Table table({Column{"DEVICE"}, Column{"STATE"}, Column{"LAST-SEEN", kRight}, Column{"SKEW", kRight},
               Column{"ENTITIES"}, Column{"EPOCH", kRight}, Column{"STORED", kRight}, Column{"MISSING", kRight},
               Column{"TWICE", kRight}, Column{"REORDERED", kRight}, Column{"VERSION"}, Column{"ALARM"}});
  for (const v1::DeviceView& device : devices) {
    table.Add({{device.id()},
               {device.state(), ColourOfDevice(device.state())},
               {LastSeen(device, session.here())},
               {Skew(device)},
               {EntityIds(device)},
               {absl::StrCat(device.epoch())},
               {Count(device.loss().stored())},
               {Count(device.loss().missing()), device.loss().missing() > 0 ? Colour::kYellow : Colour::kNone},
               {Count(device.loss().duplicate())},
               {Count(device.loss().reordered())},
               {device.version()},
               {AlarmWords(device), Colour::kRed}});
  }
  session.screen.out << table.Render(session.screen.style());
  return kDone;
}

absl::StatusOr<ExitCode> Run(Session& session, const DeviceVerb& verb) {
  v1::DeviceView device;
  RETURN_IF_ERROR(session.client.Get(absl::StrCat("/api/v1/devices/", verb.device), {}, device));
  if (session.json()) {
    session.screen.out << ToJson(device);
    return kDone;
  }
  const TextStyle style = session.screen.style();
  session.screen.out << Printable(device.id()) << ": "
                     << Paint(Printable(device.state()), ColourOfDevice(device.state()), style) << " "
                     << Since(device, session.here()) << "\n"
                     << "last seen  " << LastSeen(device, session.here()) << "\n"
                     << "skew       " << Skew(device) << "\n"
                     << "epoch      " << device.epoch() << "\n"
                     << "version    " << Printable(device.version()) << "\n"
                     << "loss       " << LossLine(device.loss()) << "\n"
                     << AlarmLinesOf(session, device) << "\n"
                     << EntityTable(device, style);
  return kDone;
}

absl::StatusOr<ExitCode> Run(Session& session, const DeviceIdsVerb&) {
  ASSIGN_OR_RETURN(const std::vector<v1::DeviceView> devices, FetchDevices(session.client));
  for (const v1::DeviceView& device : devices) session.screen.out << Printable(device.id()) << "\n";
  return kDone;
}

}  // namespace fleet
