#!/usr/bin/env bash
# Numbered messages while a pod of every service, and Redis, is killed in turn: nothing acknowledged may be lost, doubled, reordered.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
mkdir -p "$root/e2e/out"
target=$OPENIM_CACHE/target
RUSTFLAGS="-C target-feature=+crt-static" CARGO_TARGET_DIR=$target cargo build -q --locked --release --target x86_64-unknown-linux-gnu -p checker --manifest-path "$root/Cargo.toml"
parts=${CHECKER_KILL:-transfer,gateway,msg,push,redis,conversation,auth,user,group,relation,third,api,cron,transfer,gateway}
"$target/x86_64-unknown-linux-gnu/release/checker" --conversations 8 --seconds "${CHECKER_SECONDS:-75}" --pause-ms 40 --kill "$parts" \
  --name "$cluster_name" --namespace "$cluster_namespace" | tee "$root/e2e/out/checker.json"
