#!/usr/bin/env bash
# The bench against the running cluster, or against any server by OPENIM_ENDPOINTS.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
export OPENIM_ENDPOINTS=${OPENIM_ENDPOINTS:-$("$root/e2e/endpoints.sh")}
RUSTFLAGS="-C target-feature=+crt-static" CARGO_TARGET_DIR=$OPENIM_CACHE/target cargo build -q --locked --release --target x86_64-unknown-linux-gnu -p checker --manifest-path "$root/Cargo.toml"
exec "$OPENIM_CACHE/target/x86_64-unknown-linux-gnu/release/bench" "$@"
