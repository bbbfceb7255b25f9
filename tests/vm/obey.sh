#!/bin/bash
# Runs inside vm.py: does what machine.py says, a line of shell at a time, and answers with the exit code of each. What
# a line printed is in $FLEET_VM_OUT/said by then.

# until_true COMMAND...: for what should be so at once.
until_true() {
  local tries
  for tries in $(seq 100); do
    ! "$@" || return 0
    sleep 0.05
  done
  return 1
}

# listeners: how many filters sockets have.
listeners() { cat /proc/net/can/rcvlist_* | grep -c "^ *v*can[0-9] "; }
more_listeners() { [ "$(listeners)" -gt "$1" ]; }

# record COUNT BUS...: what candump hears from now on, until it has heard so much or nothing for a while.
record() {
  local count=$1 before
  shift
  before=$(listeners)
  candump -L -r 4194304 -n "$count" -T 5000 "$@" >"$FLEET_VM_OUT/recorded" &
  recorder=$!
  until_true more_listeners "$((before + $# - 1))"
}

recorded() { wait "$recorder"; }

# together COMMAND...: all of them, each one word here, at once.
together() {
  local command pid pids=()
  for command in "$@"; do
    $command &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || return; done
}

exec 3<>"/dev/tcp/$FLEET_VM_HOST/$FLEET_VM_PORT"
while read -r line <&3; do
  eval "$line" >"$FLEET_VM_OUT/said" 2>&1 3>&- </dev/null
  echo $? >&3
done
