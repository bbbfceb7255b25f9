// Orders to Modbus units, for tests.
#pragma once

#include <string>

#include "fleet/v1/to_device.pb.h"

namespace fleet::server {

inline constexpr char kModbusRead[] = R"({"function_code":3,"device_id":"meter","address":10056,"type":"F32"})";
inline constexpr char kModbusWrite[] = R"({"function_code":6,"device_id":"meter","address":33207,"values":170})";

inline v1::ModbusCall CallOf(const std::string& request, const std::string& by = "") {
  v1::ModbusCall call;
  call.set_request(request);
  call.set_by(by);
  return call;
}

}  // namespace fleet::server
