// What a turn of the loop wants from the world: rows to store, messages to send. Everything that happens in the domain
// leaves through here, so watchers see it by reading the rows.
#pragma once

#include <vector>

#include "common/mqtt_link.h"
#include "server/rows.h"

namespace fleet::server {

struct Changes {
  RowBatch rows;
  std::vector<Publication> first;       // live, ahead of everything: the beat without which a stop would be refused
  std::vector<CommandId> stops;         // ahead of all that follows, at QoS 0 and 1; answer with FleetState::Sent
  std::vector<Publication> publish;     // live: dropped when the link is down
  std::vector<CommandId> commands_due;  // in this order, to be signed and sent; answer with FleetState::Sent
  std::vector<CommandId> stored;        // commands that are committed now
  bool urgent = false;                  // commit now, do not wait for the batch to grow
};

}  // namespace fleet::server
