#!/usr/bin/env bash
# What takes too long for every run of the tests, whole or by part. A part that passes is remembered in e2e/soak.json, to be committed, with a hash of what it
# depends on (e2e/soak.mjs); `make test` names those whose sources have changed since.
#   e2e/soak.sh [PART…]     all if omitted, `stale` for those whose sources have changed; shortest first; calls `make up`, and needs root like it
#   e2e/soak.sh --stale     the names of those that should run again
#   e2e/soak.sh --list      of each: whether it is stale, when it passed, how long it takes
set -uo pipefail
. "$(dirname "$0")/lib.sh"
cd "$root" || exit
case ${1:-} in --stale | --list) exec node e2e/soak.mjs "${1#--}" ;; esac
ordered=$(node e2e/soak.mjs order "$@") || exit 2
mapfile -t parts <<< "$ordered"
[ -n "$ordered" ] || { echo "no part is stale"; exit; }
wants() { [[ " ${parts[*]} " =~ " "($1)" " ]]; }

export OPENIM_PROFILE=${OPENIM_PROFILE:-gate}
export OPENIM_TEST_DEADLINE=${OPENIM_TEST_DEADLINE:-$(($(date +%s) + 12 * 3600))}
# Other cases each time; SEED repeats some.
seed=${SEED:-$(date +%s)}
export PROPTEST_RNG_SEED=$seed FUZZ_SEED=$seed
. e2e/parts.sh
echo "commit $commit, profile $OPENIM_PROFILE, seed $seed, $(nproc) processors, load $(cut -d' ' -f1-3 /proc/loadavg)"

if wants "api-server|delete|drain|gateway-api|large-group|upgrade|sets|planted|fleet"; then
  limit=3600 build "tools of the cluster and tests" tools || blocked="the tools are not built"
  limit=3600 build "programs compiled" compiled programs || blocked="the programs do not compile"
  if wants upgrade; then limit=1800 build "an earlier version compiled" earlier_version; fi
  build "make up" e2e/up.sh || blocked="the cluster is not up"
  if [ -z "$blocked$stopped" ]; then export OPENIM_ENDPOINTS; OPENIM_ENDPOINTS=$(e2e/endpoints.sh); fi
fi
for name in "${parts[@]}"; do
  case $name in
    # About three hours on two processors.
    simulation) SIMULATION_RUNS=100000 limit=28800 part simulation simulation ;;
    properties) PROPTEST_CASES=20000 limit=7200 part properties cargo_static test --lib ;;
    nemeses) SEED=$seed limit=1800 part nemeses e2e/tests/nemeses.sh ;;
    memory) CHAT=1000 GROUP=1000 limit=3600 part memory e2e/tests/memory.sh ;;
    sdk-builds) limit=3600 part sdk-builds e2e/tests/sdk-builds.sh ;;
    compose) limit=3600 part compose e2e/tests/compose.sh ;;
    fuzz) FUZZ_SECONDS=600 limit=3600 part fuzz e2e/tests/fuzz.sh ;;
    upgrade) OPENIM_KILLS=all limit=1800 part upgrade e2e/tests/upgrade.sh ;;
    sets) limit=4200 part sets e2e/tests/sets.sh ;;
    planted) limit=2400 part planted e2e/tests/planted-bug.sh ;;
    fleet) limit=3600 part fleet e2e/fleet.sh 100 ;;
    *) part "$name" "e2e/tests/$name.sh" ;;
  esac && node e2e/soak.mjs record "$name" "${times[-1]%% *}" "$seed"
done
summary
