#include "server/rows.h"

#include <iterator>
#include <utility>

namespace fleet::server {
namespace {

template <typename T>
void Move(std::vector<T>& from, std::vector<T>& to) {
  if (to.empty()) {
    to.swap(from);
    return;
  }
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  from.clear();
}

}  // namespace

size_t RowBatch::size() const {
  return devices.size() + liveness.size() + commands.size() + steps.size() + given_up.size() + events.size() +
         telemetry.size() + stream_accounts.size() + stream_totals.size() + quarantine.size();
}

void RowBatch::Append(RowBatch& other) {
  Move(other.devices, devices);
  Move(other.liveness, liveness);
  Move(other.commands, commands);
  Move(other.steps, steps);
  Move(other.given_up, given_up);
  Move(other.events, events);
  Move(other.telemetry, telemetry);
  Move(other.stream_accounts, stream_accounts);
  Move(other.stream_totals, stream_totals);
  Move(other.quarantine, quarantine);
}

}  // namespace fleet::server
