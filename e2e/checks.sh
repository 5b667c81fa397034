# The parts of the tests that are no script of their own; parts.sh runs them, each in a shell that has read this.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"
compiled_tests=$OPENIM_CACHE/tests.tsv

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
# Where the compiled tests are: folder and program, one a line, in the order of `cargo test`.
list_tests() {
  cargo_static test -q --no-run --lib --bins --tests --message-format=json-render-diagnostics | python3 -c '
import json, os, sys
for line in sys.stdin:
    made = json.loads(line)
    if made.get("executable") and made["profile"]["test"]:
        print(os.path.dirname(made["manifest_path"]), made["executable"], sep="\t")' > "$compiled_tests"
}
# All of them as `cargo test` starts them; cargo itself would ask each time what is stale.
tests() {
  local folder program failed=()
  while IFS=$'\t' read -r folder program; do
    (cd "$folder" && "$program" -q < /dev/null) || failed+=("$(basename "$program")")
  done < "$compiled_tests"
  [ ${#failed[@]} = 0 ] || { printf 'failed: %s\n' "${failed[@]}"; return 1; }
}
earlier_version() {
  if git cat-file -e "$previous^{commit}"; then build_previous; else echo "a clone without the history of the project"; fi
}
simulation() { SIMULATION_RUNS=${SIMULATION_RUNS:-2000} cargo_static test --test simulation; }
# Only our own modules: in those that only name what to build, vet would read everything they name.
vet() {
  local module
  export CGO_ENABLED=0 GOFLAGS=-trimpath
  for module in e2e/tools/cluster/localkube e2e/tools/images/entrypoints; do (cd "$module" && go vet ./...); done
  cd e2e/tools && go vet ./chart ./gitops
}
# Flux, Helm and Argo CD read the status as it is meant, and the Operator Framework takes the bundle. With the flags of e2e/tools/cluster/build.sh, or
# everything would be compiled again.
gitops() { (cd e2e/tools && CGO_ENABLED=0 go test -trimpath -vet=off -count=1 ./chart ./gitops); }
chart() { e2e/tests/chart.sh && helm_here test openim-operator -n openim-system --logs; }
# The alerts are right, and each has its section in the runbook.
alerts() {
  (cd config/monitoring && promtool check rules alerts.yaml && promtool test rules alerts.test.yaml)
  local alert
  for alert in $(sed -n 's/^  - alert: //p' config/monitoring/alerts.yaml); do
    grep -q "^## $alert\$" docs/RUNBOOK.md && grep -q "RUNBOOK.md#${alert,,}\$" config/monitoring/alerts.yaml ||
      { echo "$alert has no section in docs/RUNBOOK.md"; return 1; }
  done
}
