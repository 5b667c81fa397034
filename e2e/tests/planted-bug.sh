#!/usr/bin/env bash
# The checker must be able to go red: services built with a bug on purpose run in the cluster for a while (offsets are committed before the messages are
# written, and transfer dies after every twentieth of such commits), and the checker has to find lost messages. The real version comes back afterwards.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
planted=$OPENIM_CACHE/planted
version=$(workspace_version)
mkdir -p "$planted"
build_services --features openim-server/planted-commit-first
cp "$built/openim-server" "$planted/openim-server"
build_services
"$bin/localkube" image -name "ghcr.io/openim-cluster/openim-server:$version-planted" -out "$planted/openim-server.tar" \
  -entrypoint /openim-server "$planted/openim-server:/openim-server"
"$bin/localkube" load "$planted/openim-server.tar"
build_checker

use_version() { kube -n "$cluster_namespace" patch openimcluster "$cluster_name" --type merge -p "{\"spec\":{\"version\":\"$1\"}}"; }
use_version "$version-planted"
wait_ready "$cluster_name"
found=0
"$built/checker" --stored-only --conversations 8 --seconds 60 --pause-ms 10 --settle-seconds 5 \
  --name "$cluster_name" --namespace "$cluster_namespace" > "$planted/checker.json" 2> "$planted/checker.log" || found=1
use_version "$version"
cat "$planted/checker.json"; tail -3 "$planted/checker.log"
[ "$found" = 1 ] || { echo "the checker saw nothing wrong with services that lose messages"; exit 1; }
grep -q '"first":\[".*Lost' "$planted/checker.json" || { echo "the checker failed for another reason than lost messages"; exit 1; }
