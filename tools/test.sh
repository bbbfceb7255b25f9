#!/usr/bin/env bash
# tools/test.sh [PRESET]: installs the packages that are missing, builds everything and runs every test but the two minutes
# of tools/chaos.sh and those in a virtual machine, which .ci/run adds. The preset is release when none is named. Ends with a line of counts; exit code 0
# exactly when nothing failed.
. "$(dirname "$0")/lib.sh"

case ${1:-} in
  -h | --help) sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"; exit 0 ;;
  -*) fail "unknown option $1; tools/test.sh --help says what there is" ;;
esac

preset=${1:-release}
report=$root/build/$preset/tests.xml
check_preset "$preset"
install_packages build run test
trap end_step EXIT
build "$preset"
rm -f "$report"
cd "$root/build/$preset"
ctest --parallel 2 -LE "chaos|vm" --output-on-failure --no-tests=error --output-junit "$report" </dev/null || [ -f "$report" ] ||
  fail "ctest did not run; try it by hand: ctest --test-dir build/$preset"
/usr/bin/python3 "$root/tools/test_summary.py" "$report"
