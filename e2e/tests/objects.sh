#!/usr/bin/env bash
# Uploads and downloads against a real S3 server: the operator is given the storage, the services create the bucket, clients upload in
# parts and by form, through the ingress.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
"$root/e2e/tools/cluster/build.sh" tests
"$root/e2e/tools/images/build.sh" tests
"$bin/localkube" load "$OPENIM_CACHE/test-images/s3.tar"
kube apply --server-side -f "$root/e2e/tests/manifests/object-storage.yaml"
kube -n openim-s3 rollout status deployment/s3 --timeout="${deadline}s"
kube -n "$cluster_namespace" create secret generic "$cluster_name-s3" --dry-run=client -o yaml \
  --from-literal=accessKeyID=openim --from-literal=secretAccessKey=a-secret-of-the-local-cluster | kube apply --server-side -f -
api=$(sed -n 's/.*"api":"\([^"]*\)".*/\1/p' <<< "$OPENIM_ENDPOINTS")
kube -n "$cluster_namespace" patch openimcluster "$cluster_name" --type merge -p "{\"spec\":{\"objectStorage\":{
  \"endpoint\":\"http://s3.openim-s3.svc:7070\",\"externalEndpoint\":\"$api\",\"bucket\":\"openim-uploads\",\"secretName\":\"$cluster_name-s3\",\"expireDays\":1}}}"
wait_ready "$cluster_name"
node_modules
export CLUSTER_NAMESPACE=$cluster_namespace CLUSTER_NAME=$cluster_name LOCALKUBE=$bin/localkube
cd "$(dirname "$0")"
node --no-warnings --test --test-force-exit --test-timeout=${deadline}000 --test-reporter=spec objects.test.mjs
