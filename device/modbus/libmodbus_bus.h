// A serial line or a TCP server through libmodbus: it opens the line, frames what is sent and reads what comes; when to
// do so, how long, and what follows from a failure is decided here. libmodbus_bus.cc is the only file that knows of it.
#pragma once

#include <memory>

#include "device/modbus/modbus_bus.h"
#include "device/modbus/modbus_plan.h"

namespace fleet::device {

// Connects at the first transaction, and anew after a failure: a TCP connection after everything that is neither an
// answer nor an exception, a serial line when it is gone. A connection that a server has closed while it was idle costs
// no failure, but what may have arrived is not sent a second time if it is a write.
//   TCP: `timeout` is for the whole answer. Its unit, number and length have to be right.
//   Serial: `timeout` is how long the unit may think: the time that the bytes take on the wire comes on top. Before it
//   is asked the line is silent as SerialTiming says. Frames of other units are passed over. Writes to unit 0 are done
//   when they have gone out.
// `plan`: of kind kRtu or kTcp.
std::unique_ptr<ModbusBus> MakeLibmodbusBus(const ModbusBusPlan& plan);

}  // namespace fleet::device
