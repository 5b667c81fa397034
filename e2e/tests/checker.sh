#!/usr/bin/env bash
# Numbered messages while a pod of every service, Redis, Kafka and MongoDB is killed in turn: nothing acknowledged may be lost, doubled, reordered.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
mkdir -p "$root/e2e/out"
build_checker
parts=${CHECKER_KILL:-transfer,gateway,msg,push,redis,conversation,auth,kafka,user,group,relation,mongodb,third,api,cron,transfer,gateway}
"$built/checker" --conversations 8 --seconds "${CHECKER_SECONDS:-90}" --pause-ms 40 --kill "$parts" \
  --name "$cluster_name" --namespace "$cluster_namespace" | tee "$root/e2e/out/checker.json"
