#!/bin/bash
# Runs inside vm.py: the buses that later jobs stand on carry frames, and real controllers report real states.
set -euo pipefail

fail() {
  echo "can_job: $*"
  exit 1
}

for tool in ip candump cansend cangen; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed; apt-get install iproute2 can-utils"; exit 77; }
done

# expect FILE TEXT: waits until the file has a line with the text.
expect() {
  for _ in $(seq 100); do
    ! grep -q -- "$2" "$1" || return 0
    sleep 0.05
  done
  fail "$1 has no \"$2\" but: $(cat "$1")"
}

# listen BUS: candump of it into $FLEET_VM_OUT/BUS, once it listens.
listen() {
  stdbuf -oL candump -L "$1" >"$FLEET_VM_OUT/$1" &
  for _ in $(seq 100); do
    ! grep -q " $1 " /proc/net/can/rcvlist_all || return 0
    sleep 0.05
  done
  fail "candump does not listen on $1"
}

ip link add vcan0 type vcan
ip link set vcan0 mtu 72 up
for bus in can0 can1; do ip link set "$bus" up type can bitrate 500000 restart-ms 100; done
for bus in vcan0 can0 can1; do listen "$bus"; done

cansend vcan0 123#1122
cansend vcan0 18FEF100#FFFF
cansend vcan0 123##1112233
expect "$FLEET_VM_OUT/vcan0" "vcan0 123#1122"
expect "$FLEET_VM_OUT/vcan0" "vcan0 18FEF100#FFFF"
expect "$FLEET_VM_OUT/vcan0" "vcan0 123##[15]112233"  # 4: this kernel marks FD frames as such

cansend can0 7DF#02010C0000000000
expect "$FLEET_VM_OUT/can1" "can1 7DF#02010C0000000000"
cansend can1 7E8#04410C1770000000
expect "$FLEET_VM_OUT/can0" "can0 7E8#04410C1770000000"

cangen can0 -g 1 -n 200 -I 100 -L 8 -D 00000000000000FF
expect "$FLEET_VM_OUT/can1" "can1 100#00000000000000FF"
for _ in $(seq 100); do
  [ "$(grep -c ' 100#' "$FLEET_VM_OUT/can1")" -lt 200 ] || break
  sleep 0.05
done
[ "$(grep -c ' 100#' "$FLEET_VM_OUT/can1")" = 200 ] || fail "of 200 frames $(grep -c ' 100#' "$FLEET_VM_OUT/can1")"
ip -details link show can0 | grep -q "can state ERROR-ACTIVE.*restart-ms 100" || fail "can0 has no state"
ip -details link show can0 | grep -q "bitrate 500000" || fail "can0 has no bit rate"
echo "vcan0, can0 and can1 carry frames"
