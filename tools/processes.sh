# Processes that are started, watched and ended by name. A file var/run/NAME.pid says which process a name is: its pid
# and when it began, because a pid alone may belong to somebody else by the time that we look.
var=$root/var
run=$var/run
logs=$var/log

# The state and the start of a process, in ticks since boot: "S 12345". Nothing when there is none.
state_and_start() { sed -n 's/.*) //p' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 1,20; }

# remember NAME PID
remember() { say "$2 $(state_and_start "$2" | cut -d ' ' -f 2)" >"$run/$1.pid"; }

# pid_of NAME: nothing unless that very process still runs.
pid_of() {
  local pid began state now
  [ -e "$run/$1.pid" ] || return 0
  read -r pid began <"$run/$1.pid" || true
  read -r state now < <(state_and_start "$pid") || true
  [ -n "${now:-}" ] && [ "$now" = "$began" ] && [ "$state" != Z ] && say "$pid" || true
}

runs() { [ -n "$(pid_of "$1")" ]; }

# start NAME COMMAND...: in a session of its own, so that Ctrl-C reaches it only through us. The log of the time before
# is kept as NAME.log.1.
start() {
  local name=$1 log=$logs/$1.log
  shift
  [ ! -e "$log" ] || mv "$log" "$log.1"
  setsid "$@" </dev/null >"$log" 2>&1 9>&- &
  disown
  remember "$name" $!
}

# end_and_wait NAME SECONDS: asks it to end, and makes it when that takes too long.
end_and_wait() {
  local pid tries=$(($2 * 20))
  pid=$(pid_of "$1")
  [ -n "$pid" ] || return 0
  kill -TERM "$pid" 2>/dev/null || true
  while runs "$1" && [ "$tries" -gt 0 ]; do
    sleep 0.05
    tries=$((tries - 1))
  done
  runs "$1" || return 0
  say "$1 did not end within $2 s; killing it" >&2
  kill -KILL "$pid" 2>/dev/null || true
}

stop_one() {
  end_and_wait "$1" 5
  rm -f "$run/$1.pid"
}

# wait_for SECONDS NAME COMMAND...: tries the command until it succeeds. Fails at once when NAME was started by us and
# no longer runs.
wait_for() {
  local end=$((SECONDS + $1)) name=$2
  shift 2
  until "$@" >"$run/wait.log" 2>&1; do
    [ ! -e "$run/$name.pid" ] || runs "$name" || return 1
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.1
  done
}

# last_words NAME: the last line of its log that tells of an error, else the last line.
last_words() {
  local log=$logs/$1.log line
  line=$(grep -i -E 'error|fatal|cannot|refused|failed' "$log" 2>/dev/null | tail -n 1)
  [ -n "$line" ] || line=$(tail -n 1 "$log" 2>/dev/null)
  say "${line:-it said nothing} (all of it: ${log#"$root"/})"
}
