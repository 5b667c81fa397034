#!/usr/bin/env bash
# Runs one part of the tests again and again, on the cluster that `make up` started, and says how often it failed and how long it took.
#   e2e/flake.sh PART [RUNS] [LOAD]     PART: a script of e2e/tests or a function of e2e/checks.sh; 20 runs; LOAD: none, or cpu: a busy loop for each processor
set -uo pipefail
. "$(dirname "$0")/lib.sh"
cd "$root"
part=${1:?the part, upgrade for example} runs=${2:-20} load=${3:-none}
export OPENIM_PROFILE=${OPENIM_PROFILE:-gate}
export OPENIM_TEST_DEADLINE=${OPENIM_TEST_DEADLINE:-$(($(date +%s) + 24 * 3600))}
. e2e/parts.sh
if [ -f "e2e/tests/$part.sh" ]; then
  command=("e2e/tests/$part.sh")
  export OPENIM_ENDPOINTS; OPENIM_ENDPOINTS=$(e2e/endpoints.sh) || { echo "no cluster is running: make up" >&2; exit 2; }
else
  command=("$part")
fi
busy=()
case $load in
  none) ;;
  # Each in a session of its own: the kernel shares the processors among sessions, so it takes as much as a service may.
  cpu) for _ in $(seq "$(nproc)"); do setsid bash -c 'while :; do :; done' & busy+=($!); done ;;
  *) echo "LOAD must be none or cpu" >&2; exit 2 ;;
esac
trap 'for id in "${busy[@]}" "${process[@]}"; do kill -KILL -- "-$id" "$id" 2> /dev/null; done' EXIT
for run in $(seq "$runs"); do limit=3600 part "$part, run $run" "${command[@]}"; done
seconds=$(printf '%s\n' "${times[@]%% *}" | sort -n)
median=$(sed -n "$(((${#times[@]} + 1) / 2))p" <<< "$seconds")
echo "$part: ${#failures[@]} of ${#times[@]} runs failed (load $load); seconds: median $median, most $(tail -1 <<< "$seconds")"
# No failure in n runs shows no more than that fewer than 3 in n fail, 95 times of 100.
[ ${#failures[@]} != 0 ] || awk -v runs="${#times[@]}" 'BEGIN { printf "the failure rate is below %.1f %%\n", 300 / runs }'
[ ${#failures[@]} = 0 ]
