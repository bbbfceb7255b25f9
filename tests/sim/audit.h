// What must be true of a simulated world once everything has been well for a while.
#pragma once

#include "tests/sim/referee.h"
#include "tests/sim/world.h"

namespace fleet {

// Nothing waits and nothing is open: every command has an end that agrees with what really happened; every record is
// stored once or was given up, the ledger balances, and nothing is in flight; everybody is online.
void Audit(const World& world, const Referee::Complain& complain);

}  // namespace fleet
