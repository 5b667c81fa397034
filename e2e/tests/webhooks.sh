#!/usr/bin/env bash
# Webhooks and offline push against a recording receiver: every hook is switched on in the object, its body is looked at, vetoes and changes take effect,
# a receiver that is away loses nothing. Afterwards they are off again.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
"$root/e2e/tools/images/build.sh" tests
"$bin/localkube" load "$OPENIM_CACHE/test-images/hooks.tar"
kube apply --server-side -f "$root/e2e/tests/manifests/webhook-receiver.yaml"
# Nothing of an earlier run: neither records nor answers.
kube -n openim-hooks rollout restart deployment/hooks
kube -n openim-hooks rollout status deployment/hooks --timeout="${deadline}s"
kube -n "$cluster_namespace" create secret generic "$cluster_name-hooks" --dry-run=client -o yaml \
  --from-literal=secret=a-signing-secret | kube apply --server-side -f -
hooks=$(sed -n 's/^\([a-zA-Z]*\): {enable.*/"\1":{"failedContinue":false,"timeout":2}/p' "$root/config/webhooks.yaml" | paste -sd,)
# A push vendor is a receiver too: JPush's requests go to the recorder.
kube -n "$cluster_namespace" create secret generic "$cluster_name-push" --dry-run=client -o yaml --from-literal=push.yaml='
enable: [jpush]
jpush: {appKey: app, masterSecret: master, pushURL: "http://hooks.openim-hooks.svc:8080/hook-recorder/hooks/jpush"}
' | kube apply --server-side -f -
kube -n "$cluster_namespace" patch openimcluster "$cluster_name" --type merge -p "{\"spec\":{\"webhooks\":{
  \"url\":\"http://hooks.openim-hooks.svc:8080/hook-recorder/hooks\",\"signingSecretName\":\"$cluster_name-hooks\",\"hooks\":{$hooks}},\"offlinePush\":{\"secretName\":\"$cluster_name-push\"}}}"
wait_ready "$cluster_name"
off() {
  kube -n "$cluster_namespace" patch openimcluster "$cluster_name" --type merge -p '{"spec":{"webhooks":null,"offlinePush":null}}'
  wait_ready "$cluster_name"
}
trap off EXIT
export OPENIM_PUSH_POD="kubectl --kubeconfig $state/admin.kubeconfig -n $cluster_namespace delete pod --grace-period=0 --force -l openim.io/cluster=$cluster_name,app.kubernetes.io/component=push"
node_modules
cd "$root/e2e/tests"
node --experimental-websocket --no-warnings --test --test-force-exit --test-timeout=${deadline}000 --test-reporter=spec webhooks.test.mjs
