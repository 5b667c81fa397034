#!/usr/bin/env bash
# What a message costs: CPU time per durable message of each service and of MongoDB, Redis and Kafka, on loopback without Kubernetes.
#   e2e/cost.sh                           this build; prints JSON, with the medians of all rounds
#   BEFORE=PATH/openim-server e2e/cost.sh another build by turns with this one on the same servers, and the ratio in each round
#   ALL=1 ROUNDS=5 RATE=500 SECONDS_OF_LOAD=10 CONNECTIONS=100 e2e/cost.sh [OPTION OF THE BENCH…]    ALL=1: the services in one process
# What is shipped is measured: a release, unless OPENIM_PROFILE says otherwise.
set -euo pipefail
export OPENIM_PROFILE=${OPENIM_PROFILE:-release}
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tests/lib/loopback.sh"

load=(--connections "${CONNECTIONS:-100}" --rate "${RATE:-500}" --seconds "${SECONDS_OF_LOAD:-10}" --payload 100 "$@")
services=(auth user relation conversation group third msg transfer push api gateway)
[ -z "${ALL:-}" ] || services=(all)
started() { # the services of $server
  admin=()
  start_each "${services[@]}"
}
ended() {
  local service
  for service in "${services[@]}"; do kill "${running[$service]}"; done
  for service in "${services[@]}"; do wait "${running[$service]}" || true; unset "running[$service]"; done
}
measured() { # FILE: one round
  local name groups=
  for name in "${services[@]}" mongodb redis kafka; do groups+=,$name=${running[$name]}; done
  "$built/bench" --processes "${groups#,}" "${load[@]}" > "$1"
}
round() { # NAME PROGRAM NUMBER
  server=$2
  started
  measured "$work/$1.$3.json"
  ended
}
start_servers
write_config 'discovery: {enable: static}' "${plain[@]}"
now=$server
for ((number = 1; number <= ${ROUNDS:-5}; number++)); do
  # The first of a round alternates too: what the servers have stored grows.
  order=(after)
  [ -z "${BEFORE:-}" ] || order=(before after)
  [ $((number % 2)) = 1 ] || [ -z "${BEFORE:-}" ] || order=(after before)
  for name in "${order[@]}"; do
    if [ "$name" = before ]; then round before "$BEFORE" $number; else round after "$now" $number; fi
  done
done
node --no-warnings "$root/e2e/cost.mjs" "$work" "${ROUNDS:-5}" "$(git -C "$root" describe --always --dirty 2> /dev/null || true)"
