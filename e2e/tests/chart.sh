#!/usr/bin/env bash
# The operator's chart: every value shows in what Helm renders, wrong ones are refused, and a copy of its files alone is enough. Needs no cluster.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
chart=$root/charts/openim-operator
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
# rendered [FILE]: what the values of a file make of it.
rendered() { helm template openim-operator "$chart" -n openim-system ${1:+-f "$1"}; }
tried=()
# shows VALUES PATTERN [COUNT]: a line is there with the values, so often, and is not there without them.
shows() {
  local count
  echo "$1" > "$work/values.yaml"; tried+=("$1")
  count=$(rendered "$work/values.yaml" | grep -cE -- "$2" || true)
  [ "$count" = "${3:-1}" ] || { echo "$1: $count lines match $2, not ${3:-1}"; exit 1; }
  ! grep -qE -- "$2" "$work/plain.yaml" || { echo "$2 is there without $1"; exit 1; }
}
# hides VALUES PATTERN: a line is there without the values, and gone with them.
hides() {
  echo "$1" > "$work/values.yaml"; tried+=("$1")
  grep -qE -- "$2" "$work/plain.yaml" || { echo "$2 is not there"; exit 1; }
  rendered "$work/values.yaml" > "$work/without.yaml"
  ! grep -qE -- "$2" "$work/without.yaml" || { echo "$1: $2 is still there"; exit 1; }
}
refused() { # VALUES
  echo "$1" > "$work/values.yaml"
  ! rendered "$work/values.yaml" > /dev/null 2>&1 || { echo "$1 is not refused"; exit 1; }
}

helm lint --strict "$chart"
rendered > "$work/plain.yaml"

echo "every value shows"
shows 'replicas: 3' '^  replicas: 3$'
shows 'image: {repository: r.example.org/op, tag: "2", digest: "sha256:'"$(printf '0%.0s' {1..64})"'"}' 'image: r.example.org/op:2@sha256:0{64}$' 2
shows 'image: {pullPolicy: Always}' 'imagePullPolicy: Always' 2
shows 'imagePullSecrets: [regcred]' '^ +- name: regcred$' 2
shows 'watchNamespaces: [a, b]' 'WATCH_NAMESPACE, value: "a,b"' 2
shows 'watchNamespaces: [a, b]' 'name: openim-operator, namespace: [ab]}$' 4
hides 'watchNamespaces: [a, b]' '^kind: ClusterRoleBinding$'
shows 'watchNamespace: c' 'WATCH_NAMESPACE, value: "c"' 2
shows '{watchNamespace: c, watchNamespaces: [a, c]}' 'WATCH_NAMESPACE, value: "a,c"' 2
shows '{watchNamespaces: [a, b], podMonitors: true}' 'matchNames: \[a,b\]'
hides 'crds: false' '^kind: CustomResourceDefinition$'
hides 'aggregatedRoles: false' 'aggregate-to-(view|edit|admin)'
shows 'serviceAccount: {annotations: {example.org/role: mine}}' '^ +example.org/role: mine$'
shows 'nodeSelector: {pool: system}' '^ +pool: system$' 2
shows 'tolerations: [{key: system, operator: Exists}]' '^ +(- )?key: system$' 2
shows 'affinity: {nodeAffinity: {}}' '^ +nodeAffinity: ' 2
shows 'priorityClassName: system-cluster-critical' 'priorityClassName: system-cluster-critical' 2
shows 'podAnnotations: {example.org/note: here}' '^ +example.org/note: here$'
shows 'podLabels: {team: im}' '^ +team: im$'
shows 'podDisruptionBudget: true' '^  maxUnavailable: 1$'
hides 'user: Assigned' 'runAsUser'
shows 'env: [{name: HTTPS_PROXY, value: "http://proxy:3128"}]' '^ +(- name: HTTPS_PROXY|value: http://proxy:3128)$' 4
shows 'logLevel: info,operator=debug' 'LOG_LEVEL, value: "info,operator=debug"'
shows 'allowedRepositories: [a/b, c/]' 'ALLOWED_REPOSITORIES, value: "a/b,c/"'
shows 'admissionPolicy: true' 'changing spec.rollout.approval from Required'
shows 'admissionPolicy: true' '^kind: ValidatingAdmissionPolicy(Binding)?$' 2
shows '{admissionPolicy: true, watchNamespaces: [a, b]}' 'operator: In, values: \[a,b\]'
shows 'monitoringNamespaces: [prom]' 'namespaceSelector: .*kubernetes.io/metadata.name: prom'
shows 'monitoringNamespaces: [prom]' 'MONITORING_NAMESPACES, value: "prom"'
hides 'networkPolicy: false' '^kind: NetworkPolicy$'
shows 'podMonitors: true' '^kind: PodMonitor$' 2
shows 'prometheusRule: true' 'alert: OpenIM' "$(grep -c 'alert: OpenIM' "$root/config/monitoring/alerts.yaml")"
shows 'grafanaDashboard: true' '"title": "OpenIM cluster"'
shows 'resources: {requests: {cpu: 77m}}' 'cpu: 77m' 2
for value in $(sed -n 's/^\([a-zA-Z]*\):.*/\1/p' "$chart/values.yaml"); do
  [[ " ${tried[*]} " =~ [^a-zA-Z]$value: ]] || { echo "no test shows the value $value"; exit 1; }
done

echo "releases that share a namespace have a Lease each, and one that watches all namespaces has the common name"
leases() { helm template team-a "$chart" -n openim-system "$@" | grep -oE 'name: LEASE, value: "[^"]*"' | sort | uniq -c | sed 's/^ *//'; }
[ "$(leases --set 'watchNamespaces={a}')" = '2 name: LEASE, value: "team-a"' ]
[ "$(leases)" = '2 name: LEASE, value: "openim-operator"' ]

echo "wrong values are refused"
refused 'nonsense: 1'
refused 'imagePullSecrets: [{name: regcred}]'
refused 'watchNamespaces: ["a,b"]'
refused 'watchNamespace: A_B'
refused 'tolerations: {key: a}'
refused 'user: Root'
refused 'env: [{name: WATCH_NAMESPACE, value: a}]'
refused 'env: [{name: LEASE, value: a}]'
refused 'env: [{value: a}]'

echo "the files of the chart are all that it needs: Flux and others leave links out"
[ -z "$(find "$chart" -type l)" ] || { find "$chart" -type l; exit 1; }
for pair in crds/openimclusters.yaml:definitions crds/openimservices.yaml:definitions config/monitoring/alerts.yaml:files config/monitoring/dashboard.json:files; do
  cmp "$root/${pair%:*}" "$chart/${pair#*:}/$(basename "${pair%:*}")" || { echo "run make generate"; exit 1; }
done
