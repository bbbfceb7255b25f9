#!/usr/bin/env bash
# tools/build.sh [PRESET [TARGET...]]: builds a preset of CMakePresets.json, release when none is named, into
# build/PRESET. Installs the packages that are missing.
. "$(dirname "$0")/lib.sh"

case ${1:-} in
  -h | --help) sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"; exit 0 ;;
  -*) fail "unknown option $1; tools/build.sh --help says what there is" ;;
esac

preset=${1:-release}
check_preset "$preset"
install_packages build
trap end_step EXIT
build "$preset" "${@:2}"
say "Built into build/$preset/bin"
