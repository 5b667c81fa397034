#!/usr/bin/env bash
# On the real cluster: what only an ingress, pods and an object show of REST, WebSockets, webhooks, offline push and object storage, all of which rest.sh,
# webhooks.sh, objects.sh and openapi.sh test on loopback. The operator is given a storage and the settings of every hook; requests go through Envoy. Webhooks
# are off again afterwards; the storage stays, for backups.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
"$root/e2e/tools/cluster/build.sh" tests
"$root/e2e/tools/images/build.sh" tests
node_modules
export OPENIM_ENDPOINTS=${OPENIM_ENDPOINTS:-$("$root/e2e/endpoints.sh")}
export CLUSTER_NAMESPACE=$cluster_namespace CLUSTER_NAME=$cluster_name LOCALKUBE=$bin/localkube
# What these show of the contract is kept beside what loopback shows.
export OPENIM_SHOWN=-ingress
api=$(sed -n 's/.*"api":"\([^"]*\)".*/\1/p' <<< "$OPENIM_ENDPOINTS")
work=$(mktemp -d)
declare -A running=()

patch() { kube -n "$cluster_namespace" patch openimcluster "$cluster_name" --type merge -p "{\"spec\":$1}"; wait_ready "$cluster_name"; }
secret() { kube -n "$cluster_namespace" create secret generic "$cluster_name-$1" --dry-run=client -o yaml "${@:2}" | kube apply --server-side -f -; }
finish() {
  local code=$?
  kill "${running[@]}" 2> /dev/null || true
  rm -rf "$work"
  patch '{"webhooks":null,"offlinePush":null}'
  patch '{"rollout":{"soakSeconds":null}}'
  exit "$code"
}
# only COUNT NAMES FILE: the tests of a file whose names match; so many there are.
only() {
  local said code=0
  said=$(tested --test-name-pattern="$2" "$3") || code=$?
  echo "$said"
  [ "$code" != 0 ] || has -x "ℹ pass $1" <<< "$said" || { echo "$1 tests should match '$2' in $3"; code=1; }
  return "$code"
}
begin() { # NAME COMMAND…: beside others; `ended` waits for all of them
  local name=$1; shift
  "$@" > "$work/$name.log" 2>&1 & running[$name]=$!
}
ended() {
  local name failed=()
  for name in "${!running[@]}"; do
    wait "${running[$name]}" || failed+=("$name")
    unset "running[$name]"
    cat "$work/$name.log"
  done
  [ ${#failed[@]} = 0 ] || { echo "failed: ${failed[*]}"; exit 1; }
}

"$bin/localkube" load "$OPENIM_CACHE"/test-images/{hooks,s3}.tar
kube apply --server-side -f "$root/e2e/tests/manifests/webhook-receiver.yaml" -f "$root/e2e/tests/manifests/object-storage.yaml"
# Nothing of an earlier run: neither records nor answers.
kube -n openim-hooks rollout restart deployment/hooks
kube -n openim-hooks rollout status deployment/hooks --timeout="${deadline}s"
kube -n openim-s3 rollout status deployment/s3 --timeout="${deadline}s"
trap finish EXIT

echo "REST, WebSocket and uploads, through the ingress"
secret s3 --from-literal=accessKeyID=openim --from-literal=secretAccessKey=a-secret-of-the-local-cluster
# How a change is rolled out is tested elsewhere.
patch "{\"rollout\":{\"soakSeconds\":0},\"objectStorage\":{\"endpoint\":\"http://s3.openim-s3.svc:7070\",\"externalEndpoint\":\"$api\",
  \"bucket\":\"openim-uploads\",\"secretName\":\"$cluster_name-s3\",\"expireDays\":1}}"
# A connection on which the client says nothing: the proxy has time-outs of its own.
begin silent only 1 '^6\.' compatibility.test.mjs
begin others only 3 '^25\.|^a kicked client|^a connection ends' compatibility.test.mjs
begin rest tested rest.test.mjs socket.test.mjs line.test.mjs operations.test.mjs objects.test.mjs
begin openapi env OPENAPI_PHASES=coverage "$root/e2e/tests/openapi.sh" ingress
ended

echo "the hooks and the push vendor that the object names"
secret hooks --from-literal=secret=a-signing-secret
# A push vendor is a receiver too: JPush's requests go to the recorder.
secret push --from-literal=push.yaml='
enable: [jpush]
jpush: {appKey: app, masterSecret: master, pushURL: "http://hooks.openim-hooks.svc:8080/hook-recorder/hooks/jpush"}
'
hooks=$(sed -n 's/^\([a-zA-Z]*\): {enable.*/"\1":{"failedContinue":false,"timeout":5}/p' "$root/config/webhooks.yaml" | paste -sd,)
patch "{\"webhooks\":{\"url\":\"http://hooks.openim-hooks.svc:8080/hook-recorder/hooks\",\"signingSecretName\":\"$cluster_name-hooks\",\"hooks\":{$hooks}},
  \"offlinePush\":{\"secretName\":\"$cluster_name-push\"}}"
only 6 '^every hook is on|^registration|^creation|^ordinary users|^after hooks survive|^who is on no phone' webhooks.test.mjs
