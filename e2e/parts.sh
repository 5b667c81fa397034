# How the parts of a run are run: each with a limit of its own and a log, all of them within the time of the run. What ended is counted, what could not
# run is named. Sourced after lib.sh; `summary` ends the run.
: "${root:?source e2e/lib.sh first}" "${state:?}" "${cluster_namespace:?}"
passed=0 failed=0 failures=() not_run=() times=()
blocked= # why the parts that follow cannot run
stopped= # why none runs any more
# Seconds that a part may take before it is stopped: a hang must not cost the whole run. `limit=60 part …` for another one.
limit=900
# When the run ends whatever happens, in seconds since 1970: the summary still has to be seen by whoever waits for the run.
OPENIM_TEST_DEADLINE=${OPENIM_TEST_DEADLINE:-$(($(date +%s) + 75 * 60))}
history=$OPENIM_CACHE/history.tsv # when, commit, part, outcome, seconds
commit=$(git -C "$root" rev-parse --short HEAD 2> /dev/null || echo unknown)
declare -A process=() begun=()
mkdir -p "$OPENIM_CACHE/log" "$root/e2e/out"

log_of() { echo "$OPENIM_CACHE/log/test-${1// /-}.log"; }
what_failed='^(error|test .* FAILED|thread .* panicked)|✖'
# excerpt LOG: what failed in it, and its end.
excerpt() { echo "--- the end of $1"; grep -nE "$what_failed" -A4 "$1" | head -60; tail -40 "$1"; echo "---"; }
# gist LOG: the same in a few lines, for who sees only the end of a long output.
gist() { { grep -E "$what_failed|AssertionError|errDlt|internal error|^- |expected|is not " "$1" | tail -5; tail -3 "$1"; } | cut -c1-300 | grep -v '^ *$' | uniq; }
# What the machine and the cluster were like when a part failed.
circumstances() {
  uptime; cat /proc/pressure/cpu
  [ -n "${CONTEXT:-}" ] || [ -e "$state/admin.kubeconfig" ] || return 0
  kube --request-timeout=10s -n "$cluster_namespace" get openimcluster,pods
  kube --request-timeout=10s get events -A --field-selector type=Warning --sort-by=.lastTimestamp | tail -20
} 2>&1
# How many tests a log reports (cargo test, node --test); 1 for a check without a count.
tests_in() {
  local cargo node
  cargo=$(sed -n 's/^test result: ok\. \([0-9]*\) passed.*/\1/p' "$1" | awk '{n += $1} END {print n + 0}')
  node=$(sed -n 's/^ℹ pass \([0-9]*\)$/\1/p; s/^# pass \([0-9]*\)$/\1/p' "$1" | awk '{n += $1} END {print n + 0}')
  local sum=$((cargo + node)); echo $((sum > 0 ? sum : 1))
}

# stop WHY: what runs is ended, and nothing that follows is begun.
stop() {
  [ -z "$stopped" ] || return 0
  stopped=$1 failed=$((failed + 1)); failures+=("the whole run: $1")
  local id
  for id in "${process[@]}"; do kill "$id" 2> /dev/null; done
}
trap 'stop "it was interrupted"' INT TERM HUP
# Whatever ends this script ends what it began.
trap 'for id in "${process[@]}"; do kill -KILL -- "-$id" "$id" 2> /dev/null; done' EXIT

# beside NAME COMMAND…: begins a part that goes on beside those that follow; `joined NAME` waits for it. Commands are programs or functions of checks.sh.
beside() {
  local name=$1 left seconds=$limit; shift
  left=$((OPENIM_TEST_DEADLINE - $(date +%s)))
  [ $left -gt 0 ] || stop "its time is over"
  [ -z "$stopped$blocked" ] || return 0
  [ $left -gt "$seconds" ] || seconds=$left
  begun[$name]=$SECONDS
  # In a group of processes of its own: timeout ends all of them, first with time to put things back.
  timeout -k 60 "$seconds" bash -c '. "$0"; "$@"' "$root/e2e/checks.sh" "$@" > "$(log_of "$name")" 2>&1 < /dev/null & process[$name]=$!
}
# joined NAME: waits for a part and counts it.
joined() {
  local name=$1 id=${process[$1]:-} code=0 seconds outcome count; local log; log=$(log_of "$1")
  printf '%-36s' "$name"
  if [ -z "$id" ]; then
    not_run+=("$name"); printf 'not run (%s)\n' "${stopped:-$blocked}"
    return 1
  fi
  # A signal ends the waiting, not what is waited for.
  while wait "$id"; code=$?; kill -0 "$id" 2> /dev/null; do :; done
  # Nothing that a part left behind goes on beside the next one.
  kill -KILL -- "-$id" 2> /dev/null
  unset "process[$name]"
  seconds=$((SECONDS - begun[$name])); times+=("$seconds $name")
  if [ $code = 0 ]; then
    outcome=ok count=$([ -n "${uncounted:-}" ] && echo 0 || tests_in "$log"); passed=$((passed + count))
    printf 'ok     %4d s%s\n' $seconds "$([ "$count" = 0 ] || printf '  %d tests' "$count")"
  else
    outcome=failed failed=$((failed + 1)); failures+=("$name")
    printf 'FAILED %4d s%s\n' $seconds "$([ $code != 124 ] && [ $code != 137 ] || printf ', stopped: it took too long')"
    excerpt "$log"; circumstances
  fi
  printf '%s\t%s\t%s\t%s\t%d\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$commit" "$name" $outcome $seconds >> "$history"
  return $code
}
# part NAME COMMAND…: runs a part; its output is kept, and shown when it fails.
part() { beside "$@"; joined "$1"; }
# build NAME COMMAND…: the same for what is no test: it is not among those that passed.
build() { beside "$@"; uncounted=1 joined "$1"; }

# later NAME COMMAND…: a part that waits until `together COUNT` runs all that wait, so many at a time, in this order. They must not know of each other: those that
# source e2e/tests/lib/loopback.sh have a network and a folder of their own.
declare -a waiting=()
declare -A later_command=()
later() { waiting+=("$1"); later_command[$1]="limit=$limit beside$(printf ' %q' "$@")"; }
together() {
  local count=$1 name ended ids left running=()
  while [ ${#waiting[@]} -gt 0 ] || [ ${#running[@]} -gt 0 ]; do
    while [ ${#waiting[@]} -gt 0 ] && [ ${#running[@]} -lt "$count" ]; do
      name=${waiting[0]} waiting=("${waiting[@]:1}")
      eval "${later_command[$name]}"
      if [ -n "${process[$name]:-}" ]; then running+=("$name"); else joined "$name"; fi
    done
    ended='' ids=() left=()
    for name in "${running[@]}"; do
      ids+=("${process[$name]}")
      if [ -z "$ended" ] && ! kill -0 "${process[$name]}" 2> /dev/null; then ended=$name; else left+=("$name"); fi
    done
    running=("${left[@]}")
    if [ -n "$ended" ]; then joined "$ended"; elif [ ${#ids[@]} -gt 0 ]; then wait -n "${ids[@]}"; fi
  done
}

summary() {
  local name
  for name in "${failures[@]}"; do echo "failed: $name"; [ ! -e "$(log_of "$name")" ] || gist "$(log_of "$name")"; done
  for name in "${not_run[@]}"; do echo "not run: $name"; done
  echo "slowest: $(printf '%s\n' "${times[@]}" | sort -rn | sed -n '1,3{s/\([0-9]*\) \(.*\)/\2 \1 s/;p}' | paste -sd, | sed 's/,/, /g')"
  echo "$passed passed, $failed failed"
  [ "$failed" = 0 ] && [ ${#not_run[@]} = 0 ]
}
