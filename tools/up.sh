#!/usr/bin/env bash
# tools/up.sh [--detach] [--preset NAME]   everything on this machine: broker, server and three device agents
# tools/up.sh --stop                       ends what an earlier one left running
#
# Installs the packages that are missing and builds first. Stays until Ctrl-C, which stops all that it started;
# --detach leaves it running. State and logs go to var/. From the environment:
#   FLEET_BROKER_PORT     port of the broker (1883)
#   FLEET_BROKER_ADDRESS  address that the broker listens on (127.0.0.1); anybody who reaches it may command
#   FLEET_HTTP_PORT       port of the server's HTTP API, on 127.0.0.1 (8080)
#   FLEET_BROKER          docker or local; when not set, docker if an engine works here and a local mosquitto otherwise
. "$(dirname "$0")/lib.sh"
. "$root/tools/processes.sh"

broker_port=${FLEET_BROKER_PORT:-1883}
broker_address=${FLEET_BROKER_ADDRESS:-127.0.0.1}
http_port=${FLEET_HTTP_PORT:-8080}
broker_kind=${FLEET_BROKER:-auto}
# They are ours: the programs read FLEET_... as keys of their configuration.
export FLEET_BROKER_PORT=$broker_port FLEET_BROKER_ADDRESS=$broker_address
unset FLEET_HTTP_PORT FLEET_BROKER

devices="rpi-1 rpi-2 rpi-3"
started="$devices fleet-server broker"  # in the order in which they are stopped
preset=release
detach=
stop=

usage() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"; }

read_arguments() {
  while [ $# -gt 0 ]; do
    case $1 in
      --detach) detach=yes ;;
      --stop) stop=yes ;;
      --preset) preset=${2:-}; shift ;;
      -h | --help) usage; exit 0 ;;
      *) fail "unknown argument $1; tools/up.sh --help says what there is" ;;
    esac
    shift $(($# > 0))
  done
  check_preset "$preset"
  check_port FLEET_BROKER_PORT "$broker_port"
  check_port FLEET_HTTP_PORT "$http_port"
  [ "$broker_port" != "$http_port" ] || fail "FLEET_BROKER_PORT and FLEET_HTTP_PORT are both $http_port; choose two"
  case $broker_kind in
    auto | docker | local) ;;
    *) fail "FLEET_BROKER is $broker_kind; it can be docker or local" ;;
  esac
}

check_port() {
  [[ $2 =~ ^[0-9]{1,5}$ && $2 -ge 1 && $2 -le 65535 ]] || fail "$1 is $2; a port is a number from 1 to 65535"
}

# refuse_busy_port VARIABLE PORT
refuse_busy_port() {
  local owner mend
  (exec 3<>"/dev/tcp/127.0.0.1/$2") 2>/dev/null || return 0
  owner=$(ss -ltnpH "sport = :$2" 2>/dev/null | sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/by \1, pid \2/p')
  mend="stop that"
  if [ "$1" = FLEET_BROKER_PORT ] && systemctl is-active --quiet mosquitto 2>/dev/null; then
    owner="probably by the system's mosquitto"
    mend="sudo systemctl disable --now mosquitto"
  fi
  fail "port $2 is in use${owner:+ ${owner%%$'\n'*}}: $mend, or choose another: $1=$(($2 + 1)) tools/up.sh"
}

# ---- broker ----

compose() {
  local command="docker-compose"
  ! docker compose version >/dev/null 2>&1 || command="docker compose"
  $command -p "fleet-$(printf %s "$root" | cksum | cut -d ' ' -f 1)" -f "$root/docker-compose.yml" "$@"
}

# Says what keeps Docker from serving the broker, or nothing.
docker_trouble() {
  if ! command -v docker >/dev/null; then
    say "docker is not installed"
  elif ! timeout 10 docker info >/dev/null 2>&1; then
    say "no Docker engine answers"
  elif ! compose version >/dev/null 2>&1; then
    say "neither docker compose nor docker-compose is installed"
  fi
}

start_broker() {
  local trouble=
  if [ "$broker_kind" != local ]; then
    trouble=$(docker_trouble)
    if [ -z "$trouble" ]; then
      : >"$run/broker.docker"
      if step "Starting the broker's container" "$logs/compose.log" compose up -d --build && broker_answers; then
        say "Broker: container on port $broker_port"
        return
      fi
      compose logs --no-color --tail 20 >"$logs/broker.log" 2>&1 || true
      trouble="its container did not come up: $(grep -m 1 '^ERROR' "$logs/compose.log" || last_words broker)"
      stop_container
    fi
    [ "$broker_kind" != docker ] ||
      fail "Docker cannot serve the broker: $trouble; for a local process: FLEET_BROKER=local tools/up.sh"
  fi
  start_local_broker
  say "Broker: local mosquitto on port $broker_port${trouble:+, because $trouble}"
}

start_local_broker() {
  mkdir -p "$var/broker/conf.d" "$var/broker/data"
  # Runs as who started it, so that everything in var/ is theirs.
  sed "s/^listener 1883$/listener $broker_port $broker_address\nuser $(id -un)/" "$root/mosquitto/listener.conf" \
    >"$var/broker/conf.d/listener.conf"
  ulimit -n "$(ulimit -Hn)"  # one for each connection
  cd "$var/broker"
  start broker "$(PATH=$PATH:/usr/sbin command -v mosquitto)" -c "$root/mosquitto/mosquitto.conf"
  cd "$root"
  broker_answers || fail "the broker does not come up: $(last_words broker)"
}

broker_answers() {
  wait_for 10 broker mosquitto_sub -h "$(reach "$broker_address")" -p "$broker_port" -t '$SYS/broker/version' -C 1 -W 2
}

# reach ADDRESS: where to connect to what listens there.
reach() { [ "$1" = 0.0.0.0 ] && say 127.0.0.1 || say "$1"; }

stop_container() {
  [ -e "$run/broker.docker" ] || return 0
  compose down >>"$logs/compose.log" 2>&1 ||
    say "cannot stop the broker's container: $(tail -n 1 "$logs/compose.log")" >&2
  rm -f "$run/broker.docker"
}

container_runs() { [ -e "$run/broker.docker" ] && [ -n "$(compose ps -q 2>/dev/null)" ]; }

# ---- programs ----

make_key() {
  [ -s "$var/keys/$1.key" ] || (umask 077 && openssl rand -hex 32 >"$var/keys/$1.key") ||
    fail "cannot write var/keys/$1.key"
}

start_programs() {
  local id broker="tcp://$(reach "$broker_address"):$broker_port"
  mkdir -p -m 700 "$var/keys"
  for id in $devices; do make_key "$id"; done
  start fleet-server "$bin/fleet-server" --broker "$broker" --http "127.0.0.1:$http_port" --data "$var/server" \
    --patrol 3s --commands.key_dir "$var/keys"
  wait_for 15 fleet-server curl -fsS -m 2 -o "$run/healthz" "$server/healthz" ||
    fail "fleet-server does not come up: $(last_words fleet-server)"
  for id in $devices; do
    start "$id" "$bin/fleet-device" --id "$id" --broker "$broker" --entities 1,2,3 --data "$var/$id" --http off \
      --command-key-file "$var/keys/$id.key"
  done
  for id in $devices; do
    wait_for 15 "$id" is_online "$id" || fail "$id does not come online: $(last_words "$id")"
  done
}

# Heard, and its last entity too.
is_online() {
  local device
  device=$("$bin/fleetctl" --server "$server" --output json device "$1" | tr -d ' \n')
  [[ $device == *'"state":"online"'* && $device == *'"entity_id":3'* ]]
}

say_next_steps() {
  local ctl="build/$preset/bin/fleetctl" how_to_stop=Ctrl-C
  [ -z "$detach" ] || how_to_stop="tools/up.sh --stop"
  [ "$http_port" = 8080 ] || ctl+=" --server $server"
  "$bin/fleetctl" --server "$server" status || fail "fleetctl status failed; the server's log: var/log/fleet-server.log"
  cat <<TEXT

Next:
  $ctl segment rpi-1 1 --from 0,0 --to 1000,0 --v0 500 --v1 300 --type line --ttl 5s --wait
  $ctl watch            what happens, live
  $ctl status --watch   who is there
Logs are in var/log, data is in var/server. $how_to_stop stops everything.
TEXT
}

# ---- the whole ----

stop_all() {
  local name
  for name in $started; do stop_one "$name"; done
  stop_container
}

running_ones() {
  local name list=
  for name in up $started; do ! runs "$name" || list+=" $name"; done
  ! container_runs || list+=" broker"
  say "${list# }"
}

# On the way out of every failure, and on Ctrl-C.
leave() {
  local status=$?
  trap - EXIT
  trap '' INT TERM HUP
  end_step
  stop_all
  rm -f "$run/up.pid"
  exit "$status"
}

# Stays as long as everything runs.
stay() {
  local name
  trap 'say; say "Stopping"; exit 0' INT TERM HUP
  while true; do
    for name in $started; do
      [ "$name" = broker ] && [ -e "$run/broker.docker" ] && continue
      runs "$name" || fail "$name ended by itself: $(last_words "$name")"
    done
    sleep 1 9>&- &
    wait $! || true
  done
}

stop_earlier() {
  local names
  names=$(running_ones)
  end_and_wait up 30
  rm -f "$run/up.pid"
  stop_all
  say "Stopped: ${names:-nothing was running}"
}

read_arguments "$@"
if [ -n "$stop" ]; then
  mkdir -p "$run" "$logs"
  stop_earlier
  exit 0
fi
{ mkdir -p "$run" "$logs" && exec 9>"$run/lock"; } 2>/dev/null ||
  fail "cannot write to var/: make it writable for $(id -un), or remove it"
flock -n 9 || fail "another tools/up.sh runs here: stop it with Ctrl-C or tools/up.sh --stop"
names=$(running_ones)
[ -z "$names" ] || fail "still running from before: $names; stop it with tools/up.sh --stop"
rm -f "$run"/*.pid "$run/broker.docker"
refuse_busy_port FLEET_BROKER_PORT "$broker_port"
refuse_busy_port FLEET_HTTP_PORT "$http_port"

trap leave EXIT
trap 'exit 130' INT TERM HUP
remember up $$
bin=$root/build/$preset/bin
server=http://127.0.0.1:$http_port
install_packages build run
build "$preset" fleet-server fleet-device fleetctl
start_broker
start_programs
say_next_steps
if [ -n "$detach" ]; then
  trap - EXIT
  rm -f "$run/up.pid"
  exit 0
fi
stay
