// Anything may be posted to /publish: it is refused, or every field of it may be published.
#include <cstddef>
#include <cstdint>

#include "common/status_macros.h"
#include "common/topics.h"
#include "device/publish_request.h"
#include "device/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fleet;
  const auto request = device::ParsePublishRequest({reinterpret_cast<const char*>(data), size});
  if (!request.ok()) return 0;
  FLEET_CHECK(request->at_unix_ms >= 0);
  for (const device::PublishedField& field : request->fields) {
    FLEET_CHECK(IsSignalName(field.signal) && !IsReservedSignal(field.signal)) << field.signal;
    FLEET_CHECK(field.text.size() <= device::PublishRequest::kMaxTextBytes);
    FLEET_CHECK(device::CutUtf8(field.text, field.text.size()) == field.text) << "not UTF-8";
  }
  return 0;
}
