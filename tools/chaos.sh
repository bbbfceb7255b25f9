#!/usr/bin/env bash
# tools/chaos.sh [--minutes N] [--seed S] [--seeds K] [--report FILE] [--keep DIR] [--list] [--preset NAME]
#
# Broker, server and five agents for real, under faults drawn from the seed: killed, frozen, restarted, cut off,
# delayed, doubled, wall clocks an hour off, full disks. Afterwards a checker that shares no code with them says whether
# a command ran twice or late, whether anything that was acknowledged is missing, whether the ledger balances, and
# whether a device was declared dead for nothing. docs/reliability.md explains it. Builds first. Exit code 0 when every
# promise was kept.
. "$(dirname "$0")/lib.sh"

preset=release
arguments=()
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    --preset) preset=${2:-}; shift ;;
    *) arguments+=("$1") ;;
  esac
  shift $(($# > 0))
done
check_preset "$preset"
install_packages build run test
trap end_step EXIT
build "$preset" fleet-server fleet-device wall_offset
trap - EXIT
FLEET_BUILD_DIR=$root/build/$preset PYTHONDONTWRITEBYTECODE=1 \
  exec /usr/bin/python3 "$root/tests/chaos/chaos.py" ${arguments[@]+"${arguments[@]}"}
