#!/usr/bin/env bash
# Fuzzes what comes from outside: as many inputs every time, and the same for one FUZZ_SEED; or with FUZZ_SECONDS for as long, from where the last time
# ended. What breaks a promise is kept in e2e/out/fuzz.
#   e2e/tests/fuzz.sh [build]     build: only compiles
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
seconds=${FUZZ_SECONDS:-}
target=$OPENIM_CACHE/fuzz-target
# Coverage of LLVM, as cargo fuzz asks for it, without a nightly compiler.
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Ccodegen-units=1"
CARGO_TARGET_DIR=$target mirrored cargo build -q --locked --release --target x86_64-unknown-linux-gnu --manifest-path "$mirror/e2e/tests/fuzz/Cargo.toml"
[ "${1:-}" != build ] || exit 0
mkdir -p "$root/e2e/out/fuzz"
for name in frame envelope message rest_body; do
  if [ -n "$seconds" ]; then
    corpus=$OPENIM_CACHE/fuzz-corpus/$name bounds=("-max_total_time=$seconds")
    mkdir -p "$corpus"
  else
    # No limit of time: what is tried must not depend on the machine.
    corpus=$(mktemp -d) bounds=(-runs="${FUZZ_RUNS:-300000}")
  fi
  seeds=()
  [ ! -d "$root/e2e/tests/fuzz/seeds/$name" ] || seeds=("$root/e2e/tests/fuzz/seeds/$name")
  log=$root/e2e/out/fuzz/$name.log
  "$target/x86_64-unknown-linux-gnu/release/$name" "${bounds[@]}" -seed="${FUZZ_SEED:-1}" -max_len=8192 -rss_limit_mb=1024 -timeout=60 \
    -artifact_prefix="$root/e2e/out/fuzz/$name-" "$corpus" "${seeds[@]}" 2> "$log" || { tail -30 "$log"; exit 1; }
  runs=$(sed -n 's/^Done \([0-9]*\) runs.*/\1/p' "$log")
  covered=$(grep -o 'cov: [0-9]*' "$log" | tail -1)
  echo "$name: $runs runs, ${covered:-no coverage}"
  # A build without coverage would find nothing: it must have seen more than its first inputs.
  [ "${runs:-0}" -gt 1000 ] && [ "${covered#cov: }" -gt 100 ] || { echo "$name was not really fuzzed"; exit 1; }
done
