# The parts of the tests that are no script of their own; parts.sh runs them, each in a shell that has read this.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

# What the cluster and the tests need besides the project's own programs. It compiles beside these.
tools() {
  e2e/tools/cluster/build.sh
  e2e/tools/cluster/build.sh tests
  e2e/tools/images/build.sh tests
  node_modules
}
# All that the tests run, so that nothing is compiled beside a cluster that is tested.
compiled() {
  [ "${1:-}" = programs ] || cargo_static test -q --no-run --lib --bins --tests
  cargo_static build -q --bin openim-server --bin openim-operator --bin checker --bin bench --bin kubectl-openim
}
earlier_version() {
  if git cat-file -e "$previous^{commit}"; then build_previous; else echo "a clone without the history of the project"; fi
}
simulation() { SIMULATION_RUNS=${SIMULATION_RUNS:-2000} cargo_static test --test simulation; }
# Our own modules alone: of those that only name what is built, vet would read all that they name.
vet() {
  local module
  export CGO_ENABLED=0 GOFLAGS=-trimpath
  for module in e2e/tools/cluster/localkube e2e/tools/images/entrypoints; do (cd "$module" && go vet ./...); done
}
scripts_parse() { local script; for script in e2e/*.sh e2e/*/*.sh e2e/tests/lib/*.sh .ci/run; do bash -n "$script"; done; }
chart() {
  helm lint charts/openim-operator && helm template openim-operator charts/openim-operator -n openim-system > /dev/null &&
    helm template openim-operator charts/openim-operator -n a --set watchNamespace=b | has 'kind: Role$' &&
    [ "$(helm template openim-operator charts/openim-operator --set podMonitors=true | grep -c 'kind: PodMonitor$')" = 2 ] &&
    [ "$(helm template openim-operator charts/openim-operator --set prometheusRule=true | grep -c 'alert: OpenIM')" = "$(grep -c 'alert: OpenIM' config/monitoring/alerts.yaml)" ] &&
    helm template openim-operator charts/openim-operator --set grafanaDashboard=true | has '"title": "OpenIM cluster"' &&
    ! helm template openim-operator charts/openim-operator --set nonsense=1 2> /dev/null &&
    helm template openim-operator charts/openim-operator --set 'allowedRepositories={a/b,c/}' | has 'ALLOWED_REPOSITORIES, value: "a/b,c/"' &&
    helm template openim-operator charts/openim-operator --set 'monitoringNamespaces={prom}' | has 'namespaceSelector: .*kubernetes.io/metadata.name: prom' &&
    helm_here test openim-operator -n openim-system --logs
}
# The alerts are right, and each has its section in the runbook.
alerts() {
  (cd config/monitoring && promtool check rules alerts.yaml && promtool test rules alerts.test.yaml)
  local alert
  for alert in $(sed -n 's/^  - alert: //p' config/monitoring/alerts.yaml); do
    grep -q "^## $alert\$" docs/RUNBOOK.md && grep -q "RUNBOOK.md#${alert,,}\$" config/monitoring/alerts.yaml ||
      { echo "$alert has no section in docs/RUNBOOK.md"; return 1; }
  done
}
