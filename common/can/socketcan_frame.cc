#include "common/can/socketcan_frame.h"

#include <linux/can.h>
#include <linux/can/error.h>

#include <algorithm>

namespace fleet {

std::optional<CanFrame> FromSocketCan(const canfd_frame& raw, size_t raw_bytes) {
  const bool fd = raw_bytes == CANFD_MTU;
  if (!fd && raw_bytes != CAN_MTU) return std::nullopt;
  if (!IsCanSize(raw.len, fd)) return std::nullopt;
  CanFrame frame;
  frame.size = raw.len;
  if (raw.can_id & CAN_ERR_FLAG) {
    frame.flags = kCanError;
    frame.id = raw.can_id & CAN_ERR_MASK;
  } else {
    if (raw.can_id & CAN_EFF_FLAG) frame.flags |= kCanExtended;
    if (raw.can_id & CAN_RTR_FLAG) frame.flags |= kCanRemote;
    if (fd) frame.flags |= kCanFd;
    if (fd && raw.flags & CANFD_BRS) frame.flags |= kCanBrs;
    if (fd && raw.flags & CANFD_ESI) frame.flags |= kCanEsi;
    frame.id = raw.can_id & CAN_EFF_MASK;
  }
  std::copy_n(raw.data, frame.data_size(), frame.data.begin());
  if (!CheckCanFrame(frame).ok()) return std::nullopt;
  return frame;
}

size_t ToSocketCan(const CanFrame& frame, canfd_frame& raw) {
  raw = {};
  raw.can_id = frame.id;
  if (frame.is(kCanExtended)) raw.can_id |= CAN_EFF_FLAG;
  if (frame.is(kCanRemote)) raw.can_id |= CAN_RTR_FLAG;
  raw.len = frame.size;
  if (frame.is(kCanBrs)) raw.flags |= CANFD_BRS;
  if (frame.is(kCanEsi)) raw.flags |= CANFD_ESI;
  std::copy_n(frame.data.begin(), frame.data_size(), raw.data);
  return frame.is(kCanFd) ? CANFD_MTU : CAN_MTU;
}

CanControllerNews ReadSocketCanError(const CanFrame& frame) {
  return {.bus_off = (frame.id & CAN_ERR_BUSOFF) != 0,
          .restarted = (frame.id & CAN_ERR_RESTARTED) != 0,
          .lost = (frame.id & CAN_ERR_CRTL) != 0 && (frame.data[1] & CAN_ERR_CRTL_RX_OVERFLOW) != 0};
}

}  // namespace fleet
