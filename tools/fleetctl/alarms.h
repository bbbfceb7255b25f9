// What must not be overlooked, as lines of their own.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "fleet/v1/api.pb.h"
#include "tools/fleetctl/session.h"

namespace fleet {

// A line for each kind of alarm that any device has, naming up to five of them. Empty when all is well.
absl::StatusOr<std::string> AlarmLines(Session& session, const v1::FleetSummary& summary,
                                       const std::vector<v1::DeviceView>& devices);
// The same of one device. A server that keeps no ledger yet has no complaint about it.
std::string AlarmLinesOf(Session& session, const v1::DeviceView& device);

// Whether the server says so and the sum agrees.
bool Balances(const v1::StreamLedgerView& stream);
bool Balances(const v1::LedgerView& ledger);
// Why it does not: the server's word, or else the sum.
std::string ComplaintOf(const v1::StreamLedgerView& stream);

}  // namespace fleet
