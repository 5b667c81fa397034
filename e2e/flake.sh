#!/usr/bin/env bash
# Repeats one part of the tests, on the cluster that `make up` started if it needs one, and prints in one line: how many runs passed, the
# seconds of half of them and of the longest, how long somebody waited for a processor meanwhile, and below which rate failures are.
#   e2e/flake.sh PART [RUNS] [LOAD]     PART: a script of e2e/tests or a function of e2e/checks.sh, `tests` for example: the unit and property tests and the
#                                       testkit; 20 runs; LOAD: none, or cpu: a busy loop for each processor
# The seeds are those of the gate: what is looked for is luck, not other cases. What is in PROPTEST_CASES or TESTKIT_RUNS makes more runs of fewer cases.
set -uo pipefail
. "$(dirname "$0")/lib.sh"
cd "$root" || exit
part=${1:?the part, upgrade for example} runs=${2:-20} load=${3:-none}
export OPENIM_PROFILE=${OPENIM_PROFILE:-gate}
export PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED:-1} FUZZ_SEED=${FUZZ_SEED:-1} OPENAPI_SEED=${OPENAPI_SEED:-1}
export OPENIM_TEST_DEADLINE=${OPENIM_TEST_DEADLINE:-$(($(date +%s) + 24 * 3600))}
. e2e/parts.sh
# Parts that bring what they need: those on loopback, and these.
alone=" claims compose fuzz release runner words "
if [ -f "e2e/tests/$part.sh" ]; then
  command=("e2e/tests/$part.sh")
  if [[ $alone != *" $part "* ]] && ! grep -q "^ *\. .*lib/loopback.sh" "e2e/tests/$part.sh"; then
    export OPENIM_ENDPOINTS; OPENIM_ENDPOINTS=$(e2e/endpoints.sh) || { echo "no cluster is running: make up" >&2; exit 2; }
  fi
else
  command=("$part")
fi
if [ "$part" = tests ]; then
  limit=3600 build "tests compiled" list_tests || exit
  times=()
  # Nobody compiles another version over them.
  exec 6> "$mirror.lock" && flock 6
fi
busy=()
case $load in
  none) ;;
  # Each in a session of its own: the kernel shares the processors among sessions, so it takes as much as a service may.
  cpu) for _ in $(seq "$(nproc)"); do setsid bash -c 'while :; do :; done' & busy+=($!); done ;;
  *) echo "LOAD must be none or cpu" >&2; exit 2 ;;
esac
trap 'for id in "${busy[@]}" "${process[@]}"; do kill -KILL -- "-$id" "$id" 2> /dev/null; done' EXIT
# Microseconds since the start of the machine in which somebody waited for a processor, and all of them.
waited() { sed -n 's/^some .*total=//p' /proc/pressure/cpu; }
now() { awk '{printf "%.0f", $1 * 1e6}' /proc/uptime; }
begun_at=$(now) waited_before=$(waited)
for run in $(seq "$runs"); do limit=3600 part "$part, run $run" "${command[@]}" && rm -f "$(log_of "$part, run $run")"; done
pressure=$((($(waited) - waited_before) * 100 / ($(now) - begun_at + 1)))
ran=${#times[@]}
seconds=$(printf '%s\n' "${times[@]%% *}" | sort -n)
median=$(sed -n "$(((ran + 1) / 2))p" <<< "$seconds")
# No failure in n runs shows no more than that fewer than 3 in n fail, 95 times of 100.
bound=$([ ${#failures[@]} != 0 ] || awk -v runs="$ran" 'BEGIN { printf ", failure rate below %.1f %%", 300 / runs }')
echo "$part: $((ran - ${#failures[@]})) of $ran passed (load $load), seconds p50 $median max $(tail -1 <<< "$seconds"), CPU pressure $pressure %$bound"
[ ${#failures[@]} = 0 ]
