#!/usr/bin/env bash
# On kind, or any cluster of a context: the operator, the services and the servers' own images, where the local cluster has stand-ins. A cluster becomes Ready,
# a second `make up` changes nothing, and the checker finds nothing while a pod of transfer, Redis, Kafka and MongoDB is killed. Needs Docker.
#   e2e/tests/kind.sh images     builds the images, as archives in dist/kind
#   e2e/tests/kind.sh run        on kind's cluster KIND_CLUSTER, openim if omitted
set -euo pipefail
kind_cluster=${KIND_CLUSTER:-openim}
export CONTEXT=kind-$kind_cluster
. "$(dirname "$0")/../lib.sh"
archives=$root/dist/kind

images() {
  local name
  mkdir -p "$archives"
  for name in server operator; do
    docker buildx build --target "$name" --tag "ghcr.io/openim-cluster/openim-$name:$(workspace_version)" --output "type=docker,dest=$archives/openim-$name.tar" "$root"
  done
}
forwarded=()
finish() {
  local code=$?
  kill "${forwarded[@]}" 2> /dev/null || true
  [ $code = 0 ] || { kube -n "$cluster_namespace" get openimcluster,pods; kube get events -A --field-selector type=Warning | tail -20; }
  exit $code
}
forward() { # SERVICE PORT
  kube -n "$cluster_namespace" port-forward "service/$cluster_name-$1" "$2:$2" > /dev/null & forwarded+=($!)
  local end=$((SECONDS + deadline))
  until (exec 3<> "/dev/tcp/127.0.0.1/$2") 2> /dev/null; do
    [ $SECONDS -lt $end ] || { echo "nothing is forwarded to port $2"; exit 1; }
    sleep 0.3
  done
}
run() {
  local name
  trap finish EXIT
  for name in server operator; do kind load image-archive "$archives/openim-$name.tar" --name "$kind_cluster"; done
  "$root/e2e/up.sh"
  pods_that_stay ' {{range .spec.containers}}{{.image}} {{end}}' | has ' docker.io/library/mongo:8 '
  "$root/e2e/tests/up-twice.sh"
  build_checker
  forward api-http 10002
  forward gateway-ws 10001
  local secret; secret=$(kube -n "$cluster_namespace" get secret "$cluster_name-credentials" -o 'jsonpath={.data.api-secret}' | base64 -d)
  OPENIM_ENDPOINTS=$(printf '{"api":"http://127.0.0.1:10002","ws":"ws://127.0.0.1:10001/","adminUserID":"imAdmin","secret":"%s","kubeconfig":"%s"}' "$secret" "$HOME/.kube/config")
  export OPENIM_ENDPOINTS
  "$built/checker" --conversations 6 --seconds 90 --pause-ms 40 --name "$cluster_name" --namespace "$cluster_namespace" --kill transfer,redis,kafka,mongodb
}
case ${1:-} in
  images) images ;;
  run) run ;;
  *) echo "usage: $0 images | run" >&2; exit 2 ;;
esac
