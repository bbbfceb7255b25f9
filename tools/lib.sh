# What the scripts share. They source it first:  . "$(dirname "$0")/lib.sh"
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=$(basename "$0")

# What one clone has compiled another need not.
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1

say() { printf '%s\n' "$*"; }

# Every failure is one line that says what is wrong and how to mend it.
fail() {
  printf '%s: %s\n' "$program" "$*" >&2
  exit 1
}

# step LABEL LOG COMMAND...: runs the command with its output in LOG and shows that it is alive: on a terminal the last
# line of the log, elsewhere a line every ten seconds. Returns what the command returns. The command has a process group
# of its own, so that Ctrl-C reaches this script only; end_step in a trap ends it.
step_pid=
end_step() { [ -z "$step_pid" ] || kill -TERM -- "-$step_pid" 2>/dev/null || true; }
step() {
  local label=$1 log=$2 began=$SECONDS told=0 seconds status=0
  shift 2
  mkdir -p "$(dirname "$log")"
  set -m
  "$@" </dev/null >"$log" 2>&1 &
  step_pid=$!
  set +m
  while kill -0 "$step_pid" 2>/dev/null; do
    sleep 0.2
    seconds=$((SECONDS - began))
    if [ -t 1 ]; then
      printf '\r\033[K%s, %d s  %.70s' "$label" "$seconds" "$(tail -n 1 "$log" | tr -d '\r\033')"
    elif [ $((seconds / 10)) -gt "$told" ]; then
      told=$((seconds / 10))
      say "$label, $seconds s  $(tail -n 1 "$log" | cut -c 1-100)"
    fi
  done
  wait "$step_pid" || status=$?
  step_pid=
  [ ! -t 1 ] || printf '\r\033[K'
  [ $((SECONDS - began)) -lt 2 ] || say "$label: $((SECONDS - began)) s"
  return "$status"
}

# packages SECTION...: their names from packages.txt.
packages() {
  local section
  for section in "$@"; do
    sed -n "/^\[$section\]/,/^\[/{/^[a-z]/p}" "$root/tools/packages.txt"
  done | sort -u
}

# missing_packages SECTION...: those that are not installed.
missing_packages() {
  comm -23 <(packages "$@") <(installed_packages $(packages "$@"))
}

# installed_packages NAME...: those that are.
installed_packages() {
  dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p' | sort -u
}

apt_install() {
  local apt="$1 apt-get -o DPkg::Lock::Timeout=300"
  shift
  export DEBIAN_FRONTEND=noninteractive
  # Package lists that are old or not there are fetched only when they turn out to be the trouble.
  $apt install -y --no-install-recommends "$@" || { $apt update && $apt install -y --no-install-recommends "$@"; }
}

# install_packages SECTION...: installs what is missing, and says what.
install_packages() {
  local missing as_root= log=$root/var/log/install.log
  command -v dpkg-query >/dev/null ||
    fail "this is not Debian: install what tools/packages.txt lists by hand, then build with cmake --preset release"
  missing=$(missing_packages "$@" | tr '\n' ' ')
  [ -n "$missing" ] || return 0
  say "Installing $missing"
  if [ "$(id -u)" != 0 ]; then
    { command -v sudo >/dev/null && sudo -v; } ||
      fail "packages are missing and sudo does not work; as root: apt-get install --no-install-recommends $missing"
    as_root="sudo --preserve-env=DEBIAN_FRONTEND"
  fi
  step "Installing packages" "$log" apt_install "$as_root" $missing ||
    fail "cannot install packages: $(grep -m 1 '^E: ' "$log" || tail -n 1 "$log") (all of it: ${log#"$root"/})"
  # The package starts a broker of its own on port 1883. It came with us, so nobody needs it.
  if [[ " $missing" == *" mosquitto "* && -d /run/systemd/system ]]; then
    say "Disabling the system's mosquitto service, which the package has just started"
    ${as_root:+sudo} systemctl disable --now mosquitto >>"$log" 2>&1 || true
  fi
}

# One compiler for each core, but not more than memory has room for: a large file takes 700 MB.
build_jobs() {
  local cores room
  cores=$(nproc)
  room=$(awk '/^MemAvailable:/ {print int($2 / 700000)}' /proc/meminfo)
  [ "$room" -ge 1 ] || room=1
  say $((cores < room ? cores : room))
}

check_preset() {
  grep -q "{\"name\": \"$1\", \"configurePreset\"" "$root/CMakePresets.json" ||
    fail "no preset '$1'; cmake --list-presets says which there are"
}

# build PRESET [TARGET...]: configures and builds, all targets when none is named. Two builds of one preset wait for
# each other.
build() {
  local preset=$1 log=$root/build/$1.log
  shift
  mkdir -p "$root/build"
  step "Building $preset" "$log" flock "$root/build/$preset.lock" bash -c \
    'cd "$1" && cmake --preset "$2" && cmake --build "build/$2" -j "$3" ${4:+--target $4}' \
    build "$root" "$preset" "$(build_jobs)" "$*" ||
    fail "$preset does not build: $(first_error "$log") (all of it: ${log#"$root"/})"
}

first_error() {
  local error
  error=$(grep -m 1 -A 3 -E 'error:|CMake Error' "$1" | tr -s '[:space:]' ' ')
  say "${error:-$(tail -n 1 "$1")}" | cut -c 1-240
}
