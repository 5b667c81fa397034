#!/usr/bin/env bash
# What reads the sources and takes seconds: scripts, spelling, and the rules of the tests (docs/TESTING.md).
#   e2e/lint.sh [scripts | spelling | workflows | rules | formatted | dependencies | floors | compose]     all if omitted
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$root"
mapfile -t all_scripts < <(git ls-files '*.sh' .ci/run)
found=0

scripts() {
  command -v shellcheck > /dev/null || { echo "shellcheck is missing: e2e/tools/cluster/build.sh packages"; exit 1; }
  shellcheck -S warning -f gcc "${all_scripts[@]}"
}
spelling() {
  [ -x "$bin/typos" ] || { echo "typos is missing: e2e/tools/cluster/build.sh checks"; exit 1; }
  "$bin/typos" --format brief || { echo "fix it, or say in typos.toml why it is meant"; exit 1; }
}
# Syntax, runners that exist, and the scripts inside.
workflows() {
  [ -x "$bin/actionlint" ] || { echo "actionlint is missing: e2e/tools/cluster/build.sh checks"; exit 1; }
  "$bin/actionlint" -oneline
}
formatted() { python3 e2e/formatted.py; }
dependencies() { python3 e2e/dependencies.py; }
floors() { python3 e2e/floors.py; }

# refuse PATTERN REMEDY FILE…: no line of the files may match, but for comments.
refuse() {
  local pattern=$1 remedy=$2 lines; shift 2
  lines=$(grep -nHP -- "$pattern" "$@" | grep -vP '^[^:]+:\d+:\s*#' | cut -c1-160) || return 0
  printf '%s\n  → %s\n' "$lines" "$remedy"
  found=1
}
rules() {
  local scripts parts sources methods
  # This one has the patterns; findings/ is independent.
  mapfile -t scripts < <(printf '%s\n' "${all_scripts[@]}" | grep -vE '^(findings/|e2e/lint.sh$)')
  mapfile -t parts < <(printf '%s\n' "${scripts[@]}" | grep -vx e2e/lib.sh)
  refuse '\.items\[0\]' 'the first pod may be on its way out: pod_of, or pods_that_stay' "${scripts[@]}"
  refuse '\bRANDOM\b' 'what fails has to fail again: use a seed that is printed' "${scripts[@]}"
  refuse 'npm (ci|install|i)\b|\bnpx\b(?! --no-install)' 'node_modules of e2e/lib.sh installs once for each lock file' "${parts[@]}"
  refuse 'pip3? (install|download)(?!.*--require-hashes)' 'name versions and hashes: --require-hashes -r FILE' "${scripts[@]}"
  refuse 'cargo install (?!.*(--version|@))|cargo install (?!.*--locked)' 'cargo install NAME --version V --locked' "${scripts[@]}"
  refuse '\bgo (install|run) (?!.*(@v\d|"\$1"))|\bgo_tool [a-z](?!.*@v\d)' 'name a version: @v1.2.3' "${scripts[@]}"
  refuse 'SECONDS \+ \d|--(test-)?timeout=\d|(?<!-)\btimeout \d|\bwait_ready \S+ \d|\buntil_is\b|curl .*-m \d' \
    'a deadline is $deadline, or $slow (e2e/lib.sh); eventually EXPECTED COMMAND… waits' "${scripts[@]}"
  refuse '\bget pods?\b.*jsonpath.*\.items\[\*\]|\blogs "?deployment/(?!.*--all-pods)' \
    'a pod on its way out may be among them, or be the one that is asked: pods_that_stay, pod_of' "${scripts[@]}"
  refuse '\b(inside|command|exec) curl (?!.*(-m|--max-time) "\$deadline")' 'curl of e2e/lib.sh has a limit, this one needs -m "$deadline"' "${scripts[@]}"
  local javascript
  mapfile -t javascript < <(git ls-files 'e2e/tests/*.mjs')
  refuse '\b(exec|execFile|spawn)Sync\((?!.*LIMITED)' 'a program that hangs would stop every timer of the test: { ...LIMITED } of sdk/lib/wait.mjs' "${javascript[@]}"
  # "push" and "resync" are methods and ordinary words.
  methods=$(sed -n 's/^  rpc \([A-Za-z]*\)(.*/\1/p' crates/protocol/proto/services.proto | grep '[A-Z]' | paste -sd '|')
  # The test of the names themselves has some.
  mapfile -t sources < <(git ls-files 'crates/*.rs' 'services/*.rs' 'e2e/*.rs' | grep -vx crates/protocol/src/request.rs)
  refuse "(?<!rename = )\"($methods)\"(?!:)" 'a request knows its method: peers.call(&context, &request), or Request::METHOD (docs/adr/0038)' "${sources[@]}"
  refuse 'tracing::(error|warn|info|debug|trace)!\(.*\b(operation_id|caller)\b' 'the span has it: a line with a field twice is read differently by every reader' \
    "${sources[@]}"
  refuse 'let _\w*: [\w:]*Resp\b' 'the request has the type of its response: leave the annotation out' "${sources[@]}"
  return $found
}
# compose.yaml names the images that the operator does, and this version of the services.
compose() {
  local image
  for image in $(sed -n 's/.*"\(docker\.io\/[^"]*\)", \[.*/\1/p' operator/planner/src/servers.rs); do
    grep -q " image: $image\$" compose.yaml || { echo "compose.yaml has another image than $image of operator/planner/src/servers.rs"; found=1; }
  done
  grep -q "openim-server:$(workspace_version)}\$" compose.yaml || { echo "compose.yaml does not name version $(workspace_version)"; found=1; }
  return $found
}

checks=("$@"); [ $# -gt 0 ] || checks=(scripts spelling workflows rules formatted dependencies floors compose)
failed=()
for check in "${checks[@]}"; do
  case $check in
    scripts | spelling | workflows | rules | formatted | dependencies | floors | compose) ("$check") || failed+=("$check") ;;
    *) echo "there is no check '$check'" >&2; exit 2 ;;
  esac
done
[ ${#failed[@]} = 0 ] || { echo "not in order: ${failed[*]}"; exit 1; }
