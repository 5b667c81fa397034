#!/usr/bin/env bash
# Everything: formatting, clippy, unit and property tests, drift, chart, then e2e on the real cluster. One closing summary line.
#   e2e/test.sh [fast | cluster]      fast: what needs no cluster; cluster: only what needs one
set -uo pipefail
export OPENIM_PROFILE=${OPENIM_PROFILE:-gate}
. "$(dirname "$0")/lib.sh"
cd "$root"
mode=${1:-all}
rm -f e2e/out/shown-*.json
passed=0 failed=0 failures=()
mkdir -p "$OPENIM_CACHE/log" e2e/out
log_of() { echo "$OPENIM_CACHE/log/test-${1// /-}.log"; }
what_failed='^(error|test .* FAILED|thread .* panicked)|✖'
# excerpt LOG: what failed in it, and its end.
excerpt() { echo "--- the end of $1"; grep -nE "$what_failed" -A4 "$1" | head -60; tail -40 "$1"; echo "---"; }
# gist LOG: the same in a few lines, for who sees only the end of a long output.
gist() { { grep -E "$what_failed|AssertionError|errDlt|internal error|^- |expected|is not " "$1" | tail -5; tail -3 "$1"; } | cut -c1-300 | grep -v '^ *$' | uniq; }
# What the cluster was like when a part failed.
circumstances() {
  uptime
  kube -n "$cluster_namespace" get openimcluster,pods
  kube get events -A --field-selector type=Warning --sort-by=.lastTimestamp | tail -20
} 2>&1

# part NAME COUNT_PATTERN COMMAND…: runs a part; its output is kept, and shown when it fails.
part() {
  local name=$1 started=$SECONDS log; log=$(log_of "$1")
  shift
  printf '%-36s' "$name"
  if "$@" > "$log" 2>&1; then
    local count; count=$(tests_in "$log")
    passed=$((passed + count)); printf 'ok     %4d s  %d tests\n' $((SECONDS - started)) "$count"
  else
    failed=$((failed + 1)); failures+=("$name"); printf 'FAILED %4d s\n' $((SECONDS - started))
    excerpt "$log"
    [ "$mode" = fast ] || circumstances
  fi
}
# begin NAME COMMAND…: runs it beside the parts that follow, in the time that these leave the processors; `part NAME ended NAME` waits for it.
declare -A beside=()
log_beside() { echo "$OPENIM_CACHE/log/beside-${1// /-}.log"; }
begin() {
  local name=$1; shift
  (renice -n 19 "$BASHPID" > /dev/null; "$@") > "$(log_beside "$name")" 2>&1 & beside[$name]=$!
}
ended() {
  local code=0
  wait "${beside[$1]}" || code=$?
  cat "$(log_beside "$1")"
  unset "beside[$1]"
  return $code
}
stop_beside() { local id; for id in "${beside[@]}"; do pkill -P "$id"; kill "$id"; done 2> /dev/null; }
trap stop_beside EXIT
# How many tests a log reports (cargo test, node --test); 1 for a check without a count.
tests_in() {
  local cargo node
  cargo=$(sed -n 's/^test result: ok\. \([0-9]*\) passed.*/\1/p' "$1" | awk '{n += $1} END {print n + 0}')
  node=$(sed -n 's/^ℹ pass \([0-9]*\)$/\1/p; s/^# pass \([0-9]*\)$/\1/p' "$1" | awk '{n += $1} END {print n + 0}')
  local sum=$((cargo + node)); echo $((sum > 0 ? sum : 1))
}

chart() {
  helm lint charts/openim-operator && helm template openim-operator charts/openim-operator -n openim-system > /dev/null &&
    helm template openim-operator charts/openim-operator -n a --set watchNamespace=b | has 'kind: Role$' &&
    [ "$(helm template openim-operator charts/openim-operator --set podMonitors=true | grep -c 'kind: PodMonitor$')" = 2 ] &&
    [ "$(helm template openim-operator charts/openim-operator --set prometheusRule=true | grep -c 'alert: OpenIM')" = "$(grep -c 'alert: OpenIM' config/monitoring/alerts.yaml)" ] &&
    helm template openim-operator charts/openim-operator --set grafanaDashboard=true | has '"title": "OpenIM cluster"' &&
    ! helm template openim-operator charts/openim-operator --set nonsense=1 2> /dev/null &&
    helm_here test openim-operator -n openim-system --logs
}
# The alerts are right, and each has its section in the runbook.
alerts() {
  (cd config/monitoring && promtool check rules alerts.yaml && promtool test rules alerts.test.yaml) || return 1
  local alert
  for alert in $(sed -n 's/^  - alert: //p' config/monitoring/alerts.yaml); do
    grep -q "^## $alert\$" docs/RUNBOOK.md && grep -q "RUNBOOK.md#${alert,,}\$" config/monitoring/alerts.yaml ||
      { echo "$alert has no section in docs/RUNBOOK.md"; return 1; }
  done
}
scripts_parse() { local script; for script in e2e/*.sh e2e/*/*.sh .ci/run; do bash -n "$script" || return 1; done; }

if [ "$mode" != cluster ]; then
  part "formatting" cargo fmt --all --check
  part "clippy" cargo_static clippy -q --all-targets -- -D warnings
  part "unit and property tests" cargo_static test --lib --bins --tests --no-fail-fast
  simulation() { SIMULATION_RUNS=10000 cargo_static test --test simulation; }
  begin "10 000 simulated rollouts" simulation
  begin "fuzzing" e2e/tests/fuzz.sh
  part "go vet" env CGO_ENABLED=0 GOFLAGS=-trimpath bash -c 'cd e2e/cluster/localkube && go vet ./... && cd ../coredns && go vet . && cd ../../images/entrypoints && go vet ./...'
  part "scripts parse" scripts_parse
fi
"$root/e2e/cluster/build.sh" tests || { failed=$((failed + 1)); failures+=("test tools"); }
[ "$mode" = cluster ] || part "licences and sources" "$bin/cargo-deny" check bans licenses sources
if [ "$mode" != fast ]; then
  "$root/e2e/up.sh" || { failed=$((failed + 1)); failures+=("make up"); }
  part "chart" chart
  part "alerts" alerts
  if [ -z "${failures[*]:-}" ]; then
    export OPENIM_ENDPOINTS; OPENIM_ENDPOINTS=$("$root/e2e/endpoints.sh")
    part "make up again changes nothing" e2e/tests/up-twice.sh
    part "bad objects are refused" e2e/tests/bad-objects.sh
    part "object storage" e2e/tests/objects.sh
    part "REST" e2e/tests/rest.sh
    part "OpenAPI" e2e/tests/openapi.sh
    part "webhooks" e2e/tests/webhooks.sh
    part "services without Kubernetes" e2e/tests/from-source.sh
    part "Sentinel, Redis Cluster, TLS" e2e/tests/servers.sh
    part "operator on the real cluster" e2e/tests/operator.sh
    part "the API server hangs" e2e/tests/api-server.sh
    part "deleted and made anew" e2e/tests/delete.sh
    part "gateways by connections" e2e/tests/scaling.sh
    part "backup and restore" e2e/tests/backup.sh
    part "nodes are drained" e2e/tests/drain.sh
    part "Gateway API" e2e/tests/gateway-api.sh
    part "upgrades under load" e2e/tests/upgrade.sh
    part "sets of three" e2e/tests/sets.sh
    part "real SDK in a real browser" e2e/tests/sdk.sh
    part "the operator's rights" e2e/tests/rights.sh
    part "no secret is told" e2e/tests/secrets.sh
    part "what the contract asks for" node e2e/contract/report.mjs
    part "a large group" e2e/tests/large-group.sh
    part "metrics are scraped" e2e/tests/metrics.sh
    part "a planted bug turns the checker red" e2e/tests/planted-bug.sh
  fi
fi
if [ "$mode" != cluster ]; then
  for name in "10 000 simulated rollouts" fuzzing; do part "$name" ended "$name"; done
fi
for name in "${failures[@]}"; do echo "failed: $name"; [ ! -e "$(log_of "$name")" ] || gist "$(log_of "$name")"; done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
