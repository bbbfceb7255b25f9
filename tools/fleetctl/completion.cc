#include "tools/fleetctl/verbs.h"

namespace fleet {
namespace {

// Needs bash only, not the bash-completion package. Bash splits http://HOST:PORT at its colons, so the server is taken
// from the line and not from the words.
constexpr char kBash[] = R"script(# Completion of fleetctl's words in bash: source <(fleetctl completion bash)
_fleetctl() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
  local verbs="status devices device segment commands command cancel stop watch history events ledger quarantine"
  verbs="$verbs telemetry dtc can modbus completion"
  local verb= sub= word words= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if [[ $word != -* && " $verbs " == *" $word "* ]]; then verb=$word; sub=${COMP_WORDS[i+1]}; break; fi
  done
  # A word that is still being typed is none yet.
  ((i + 1 < COMP_CWORD)) && [[ "$verb $sub" =~ ^(can (dump|send|bridge)|modbus (read|write)|dtc clear)$ ]] && verb="$verb $sub"

  case $prev in
    --output) words="table json csv" ;;
    --type) words="line arc_left arc_right hold"
      [[ $verb == modbus* ]] && words="U16 I16 U32 I32 U64 I64 F32 STR" ;;
    --order) words="big little" ;;
    --fc) words="1 2 3 4"; [[ $verb == "modbus write" ]] && words="5 6 15 16" ;;
    --mode) words="replace append" ;;
    --since) words="1m 10m 1h 24h" ;;
    --for) words="1m 10m 1h" ;;
    --to) [[ $verb == "can bridge" ]] || return; words="vcan0 slcan-pty" ;;
    --config) COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --server|--filter|--from|--v0|--v1|--ttl|--limit|--entity|--at-once|--size|--scale) return ;;
    --devices) words=$(_fleetctl_devices)
      # A list: what stands before the last comma stays.
      if [[ $cur == *,* ]]; then COMPREPLY=($(compgen -P "${cur%,*}," -W "$words" -- "${cur##*,}")); return; fi ;;
    dtc) [[ $cur != -* ]] && words="clear $(_fleetctl_devices)" ;;
    can) words="dump send bridge" ;;
    modbus) words="read write" ;;
    --device|device|segment|watch|history|stop|events|ledger|telemetry|dump|send|bridge|read|write|clear)
      [[ $cur != -* ]] && words=$(_fleetctl_devices) ;;
    completion) words="bash" ;;
  esac
  if [[ -z $words ]]; then
    case $verb in
      "") words="$verbs --version" ;;
      status) words="--watch" ;;
      segment) words="--from --to --v0 --v1 --type --ttl --mode --queue --wait --all --online --devices --at-once" ;;
      commands) words="--device --limit" ;;
      command) words="reconcile --wait" ;;
      cancel) words="--device --entity --wait" ;;
      stop) words="--all" ;;
      history) words="--since --liveness --limit" ;;
      events) words="--limit" ;;
      quarantine) words="--limit --raw" ;;
      telemetry) words="--since --follow" ;;
      dtc) words="--all" ;;
      "can dump") words="--filter --for --log" ;;
      "can bridge") words="--to --filter --for" ;;
      "modbus read") words="--fc --type --size --order --scale --ttl" ;;
      "modbus write") words="--fc --type --order --scale --ttl" ;;
    esac
    words="$words --server --output --config --help"
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}

_fleetctl_devices() {
  local server=()
  [[ $COMP_LINE =~ --server[=\ ]+([^ ]+) ]] && server=(--server "${BASH_REMATCH[1]}")
  "${COMP_WORDS[0]}" "${server[@]}" __devices 2>/dev/null
}

complete -F _fleetctl fleetctl
)script";

}  // namespace

absl::StatusOr<ExitCode> Run(Session& session, const CompletionVerb&) {
  session.screen.out << kBash;
  return kDone;
}

}  // namespace fleet
