#!/usr/bin/env bash
# What the operator and an API server say to each other: edits, repairs, removals, monitoring, scaling, windows, approval and who leads. The API server, its controllers and the
# operator are real; pods are pretended, and become Ready at once. What needs pods that run is in operator.sh.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
prepare() { [ -x "$bin/kubernetes" ] || "$root/e2e/tools/cluster/build.sh"; build_plugin; }
. "$(dirname "$0")/lib/loopback.sh"
. "$(dirname "$0")/lib/apiserver.sh"
ns=$cluster_namespace
get() { kube -n "$ns" get openimcluster "$1" -o "jsonpath=$2"; }
config() { kube -n "$ns" get configmaps -l "openim.io/cluster=$cluster_name,app.kubernetes.io/component=config" -o "jsonpath=$1"; }
all_uids() { pods_that_stay "" -l "openim.io/cluster=$cluster_name" --field-selector=status.phase=Running; }
# When the operator last wrote each object; the controllers of Kubernetes may go on writing their statuses.
versions() {
  kube -n "$ns" get deployments,services,configmaps,ingresses -l "openim.io/cluster=$cluster_name" --show-managed-fields \
    -o 'jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.managedFields[?(@.manager=="openim-operator")].time}{"\n"}{end}'
  get "$cluster_name" '{.metadata.resourceVersion}'
}
credential() { kube -n "$ns" get secret "${2:-$cluster_name}-credentials" -o "jsonpath={.data.$1}" | base64 -d; }
# create_for NAME: the Job that creates topics and indexes is pretended, but the operator looks whether they are there.
create_for() {
  local end=$((SECONDS + deadline)) folder=$work/created-$1
  mkdir -p "$folder"
  until kube -n "$ns" get configmaps -l "openim.io/cluster=$1,app.kubernetes.io/component=config" -o 'jsonpath={.items[*].data.config\.yaml}' > "$folder/config.yaml" 2> /dev/null &&
    [ -s "$folder/config.yaml" ]; do
    [ $SECONDS -lt $end ] || { echo "$1 has no configuration"; exit 1; }
    sleep 0.3
  done
  IMENV_MONGO_URI=mongodb://127.0.0.1:23017 IMENV_SECRET=$secret IMENV_LOG_STORAGELOCATION=$work/log/migrate \
    IMENV_INTERNALTLS_CACRT=$(credential 'internal-ca\.crt' "$1") IMENV_INTERNALTLS_CRT=$(credential 'internal-tls\.crt' "$1") \
    IMENV_INTERNALTLS_KEY=$(credential 'internal-tls\.key' "$1") "$server" migrate --config "$folder" > "$folder/out" 2>&1 ||
    { tail -5 "$folder/out"; exit 1; }
}
openim() { KUBECONFIG=$work/admin.kubeconfig "$built/kubectl-openim" -n "$ns" "$@"; }
start_servers
mkdir -p "$root/e2e/out"
audit=$root/e2e/out/operator-audit-api.log
rm -f "$audit"
start_apiserver "$audit"
start_operator
kube create namespace "$ns"
kube -n "$ns" create secret generic servers --from-literal=uri=mongodb://127.0.0.1:23017
kube -n "$ns" apply -f - <<END
apiVersion: openim.io/v1alpha1
kind: OpenIMCluster
metadata: {name: $cluster_name}
spec:
  mongodb: {external: {secretName: servers}}
  redis: {external: {address: "127.0.0.1:23679"}}
  kafka: {external: {address: ["127.0.0.1:23092"], replicationFactor: 1}}
  rollout: {soakSeconds: 0}
  config: {gatewayDrainSeconds: 0}
END
create_for "$cluster_name"
wait_ready "$cluster_name"

echo "hand edits are repaired, others' fields stay"
kube -n "$ns" scale deployment "$cluster_name-user" --replicas=2
eventually 1 kube -n "$ns" get deployment "$cluster_name-user" -o 'jsonpath={.spec.replicas}'
told() { kube -n "$ns" get events.events.k8s.io --field-selector reason=EditRepaired -o 'jsonpath={.items[*].note}'; }
eventually "reverted Deployment/$cluster_name-user: spec.replicas was changed by kubectl; edit the OpenIMCluster instead" told
operator_metrics | has 'openim_operator_edits_repaired_total{kind="Deployment"} [1-9]'
kube -n "$ns" annotate deployment "$cluster_name-user" example.org/note=mine --overwrite
kept=$(config '{.items[*].metadata.name}')
kube -n "$ns" delete "service/$cluster_name-api-http" "configmap/$kept"
eventually 10002 kube -n "$ns" get service "$cluster_name-api-http" -o 'jsonpath={.spec.ports[0].port}'
eventually "$kept" config '{.items[*].metadata.name}'
[ "$(kube -n "$ns" get deployment "$cluster_name-user" -o 'jsonpath={.metadata.annotations.example\.org/note}')" = mine ]
wait_ready "$cluster_name"

echo "a console is created with a right to read its own object, and goes with it"
kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p '{"spec":{"console":{"host":"console.example.test"}}}'
eventually console.example.test kube -n "$ns" get ingress "$cluster_name-console" -o 'jsonpath={.spec.rules[0].host}'
eventually 1 kube -n "$ns" get deployment "$cluster_name-console" -o 'jsonpath={.status.readyReplicas}'
console_can() { kube auth can-i "$@" -n "$ns" --as="system:serviceaccount:$ns:$cluster_name-console" || true; }
eventually yes console_can get "openimclusters.openim.io/$cluster_name"
[ "$(console_can list openimclusters.openim.io)" = no ]
[ "$(console_can get "secrets/$cluster_name-credentials")" = no ]
wait_ready "$cluster_name"
kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p '{"spec":{"console":null}}'
console_objects() { kube -n "$ns" get deployments,services,serviceaccounts,roles,rolebindings,ingresses,networkpolicies -l "openim.io/cluster=$cluster_name,app.kubernetes.io/component=console" -o name; }
eventually "" console_objects
wait_ready "$cluster_name"

echo "what the spec does not name any more is taken away, others' fields stay"
ingress() { kube -n "$ns" get ingress "$cluster_name" -o "jsonpath={$1}"; }
kube -n "$ns" annotate ingress "$cluster_name" example.org/note=mine --overwrite
kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p '{"spec":{"ingress":{"host":"im.example.test","annotations":{"example.org/ours":"1"}}}}'
eventually im.example.test ingress '.spec.rules[0].host'
kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p '{"spec":{"ingress":{"host":null,"annotations":null}}}'
eventually "" ingress '.spec.rules[0].host'
eventually "" ingress '.metadata.annotations.example\.org/ours'
[ "$(ingress '.metadata.annotations.example\.org/note')" = mine ]

echo "a PodMonitor is made where the Prometheus operator is known, changed and removed with the spec"
monitoring() { kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p "{\"spec\":{\"monitoring\":$1}}" > /dev/null; }
pod_monitor() { kube -n "$ns" get podmonitor "$cluster_name" -o "jsonpath={$1}"; }
messages() { get "$cluster_name" '{.status.blockers[*].message}'; }
monitoring '{"labels":{"release":"-"}}'
eventually InvalidSpec get "$cluster_name" '{.status.conditions[?(@.type=="Stalled")].reason}'
get "$cluster_name" '{.status.message}' | has 'spec.monitoring.labels.release: "-" is not a label value'
monitoring '{"labels":{"release":"prometheus"}}'
if ! kube get customresourcedefinition podmonitors.monitoring.coreos.com > /dev/null 2>&1; then
  eventually "spec.monitoring: PodMonitor CRD not found: install the Prometheus operator, or remove the field" messages
  kube apply --server-side -f "$OPENIM_CACHE/podmonitors.yaml"
fi
eventually "prometheus 30s" pod_monitor '.metadata.labels.release} {.spec.podMetricsEndpoints[0].interval'
wait_ready "$cluster_name"
monitoring '{"intervalSeconds":15}'
eventually 15s pod_monitor '.spec.podMetricsEndpoints[0].interval'
monitoring null
eventually "" kube -n "$ns" get podmonitors -o name
wait_ready "$cluster_name"

echo "kubectl scale and an autoscaler of one's own reach a service, and the last edit counts"
service() { kube -n "$ns" get openimservice "$cluster_name-user" -o "jsonpath={.$1}"; }
replicas() { kube -n "$ns" get deployment "$cluster_name-user" -o 'jsonpath={.spec.replicas}'; }
kube -n "$ns" scale "openimservice/$cluster_name-user" --replicas 2
eventually 2 replicas
eventually 2 service status.ready
kube -n "$ns" apply -f - <<END
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: own}
spec:
  scaleTargetRef: {apiVersion: openim.io/v1alpha1, kind: OpenIMService, name: $cluster_name-user}
  minReplicas: 3
  maxReplicas: 4
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]
END
eventually 3 replicas
kube -n "$ns" delete horizontalpodautoscaler own
kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p '{"spec":{"services":{"user":{"replicas":2}}}}'
eventually 2 replicas
eventually 2 service spec.replicas
kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p '{"spec":{"services":{"user":null}}}'
eventually 1 replicas
wait_ready "$cluster_name"

echo "an ingress that is not wanted any more is removed"
kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p '{"spec":{"ingress":{"enabled":false}}}'
eventually "" kube -n "$ns" get ingress -o name
kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p '{"spec":{"ingress":{"enabled":true}}}'
eventually "ingress.networking.k8s.io/$cluster_name" kube -n "$ns" get ingress -o name

echo "a change that restarts pods waits for its window and for approval; scaling does not"
rollout() { kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p "{\"spec\":{\"rollout\":$1}}"; }
ready_reason() { get "$cluster_name" '{.status.conditions[?(@.type=="Ready")].reason}'; }
cron_uid() { pods_that_stay "" -l "openim.io/cluster=$cluster_name,app.kubernetes.io/component=cron"; }
# One that opened half a day ago for ten minutes.
rollout "{\"windows\":[{\"start\":\"$(date -u -d '12 hours ago' +%H:%M)\",\"minutes\":10}],\"approval\":\"Required\"}"
pods_before=$(all_uids) cron_before=$(cron_uid)
kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p '{"spec":{"services":{"cron":{"env":{"NOTE":"waits"}}}}}'
eventually AwaitingApproval ready_reason
said=$(openim approve "$cluster_name")
grep -q 'cron .*pod settings' <<< "$said" || { echo "$said"; exit 1; }
eventually OutsideWindow ready_reason
sleep 4
[ "$pods_before" = "$(all_uids)" ]
rollout '{"windows":[]}'
wait_ready "$cluster_name"
[ "$cron_before" != "$(cron_uid)" ]
rollout '{"approval":null,"windows":null}'
kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p '{"spec":{"services":{"cron":{"env":null}}}}'
wait_ready "$cluster_name"

echo "however amounts are spelled and whatever is empty: Ready, and then nothing is written"
kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p '{"spec":{"rollout":{"soakSeconds":0},"services":{"cron":{"env":{"EMPTY":""},"resources":{"cpuRequest":"0.05","memoryRequest":"65536Ki"}}}}}'
wait_ready "$cluster_name"
sleep 5
before=$(versions); sleep 15
diff <(echo "$before") <(echo "$(versions)")
kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p '{"spec":{"services":{"cron":{"env":null,"resources":null}}}}'
wait_ready "$cluster_name"

echo "scheduled backups are a CronJob that follows the spec, and its Jobs appear in the status"
storage='"objectStorage":{"endpoint":"http://127.0.0.1:1","bucket":"backups","secretName":"backups"}'
backup() { kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p "{\"spec\":{\"backup\":$1}}"; }
cronjob() { kube -n "$ns" get cronjob "$cluster_name-backup" -o "jsonpath=$1"; }
metric() { operator_metrics | sed -n "s/^$1{[^}]*,name=\"$cluster_name\"} //p"; }
refuses() { local said; said=$(backup "$1" 2>&1) && { echo "taken: $1"; exit 1; }; has "$2" <<< "$said"; }
refuses "{$storage,\"schedule\":\"@daily\"}" 'must have five fields'
refuses "{$storage,\"schedule\":\"0 0 3 * * *\"}" 'must have five fields'
refuses '{"schedule":"30 2 * * *"}' 'backup.schedule needs an object storage'
refuses "{$storage,\"keep\":0}" 'spec.backup.keep'
backup "{$storage,\"schedule\":\"30 25 * * *\"}"
eventually InvalidSpec get "$cluster_name" '{.status.conditions[?(@.type=="Stalled")].reason}'
get "$cluster_name" '{.status.message}' | has 'spec.backup.schedule: "25": the hour goes from 0 to 23'
backup '{"schedule":"30 2 * * *"}'
eventually '30 2 * * * Etc/UTC false Forbid' cronjob '{.spec.schedule} {.spec.timeZone} {.spec.suspend} {.spec.concurrencyPolicy}'
wait_ready "$cluster_name"
eventually 'spec.backup.objectStorage.secretName: the Secret backups has no key accessKeyID: create it' get "$cluster_name" '{.status.backup.message}'
kube -n "$ns" create secret generic backups --from-literal=accessKeyID=a --from-literal=secretAccessKey=b
backup '{"timeZone":"Europe/Berlin","keep":3}'
eventually '30 2 * * * Europe/Berlin' cronjob '{.spec.schedule} {.spec.timeZone}'
cronjob '{.spec.jobTemplate.spec.template.spec.containers[0].args}' | has '"--keep","3"'
eventually '' get "$cluster_name" '{.status.backup.message}'
[ -n "$(get "$cluster_name" '{.status.backup.next}')" ]
kube -n "$ns" create job backup-now "--from=cronjob/$cluster_name-backup"
eventually '3 9' get "$cluster_name" '{.status.backup.lastSuccess.documents} {.status.backup.lastSuccess.bytes}'
get "$cluster_name" '{.status.backup.lastSuccess.name}' | has '^of-backup-now'
eventually "$(date -d "$(get "$cluster_name" '{.status.backup.lastSuccess.time}')" +%s)" metric openim_cluster_backup_last_success_timestamp_seconds
eventually 0 metric openim_cluster_backup_overdue
openim status "$cluster_name" | has 'last .*3 documents'
# As long as a restore is under way: a Job that does not begin.
kube -n "$ns" apply -f - <<END
apiVersion: batch/v1
kind: Job
metadata: {name: restore, labels: {openim.io/cluster: $cluster_name, app.kubernetes.io/component: restore}}
spec:
  suspend: true
  template: {spec: {restartPolicy: Never, containers: [{name: restore, image: none}]}}
END
eventually true cronjob '{.spec.suspend}'
kube -n "$ns" delete job restore
eventually false cronjob '{.spec.suspend}'
backup '{"suspend":true}'
eventually true cronjob '{.spec.suspend}'
eventually '' get "$cluster_name" '{.status.backup.next}'
backup null
eventually '' kube -n "$ns" get cronjobs -o name
eventually '' get "$cluster_name" '{.status.backup}'
wait_ready "$cluster_name"

certificates() { get "$cluster_name" "{.status.certificates.$1}"; }
# The certificates that the pods of each service say they have read.
read_by() { kube -n "$ns" get deployments -l "openim.io/cluster=$cluster_name" -o 'jsonpath={range .items[*]}{.spec.template.metadata.annotations.openim\.io/certificate}{"\n"}{end}' | sort -u; }
authorities() { credential 'internal-ca\.crt' | grep -c BEGIN; }
leader() { kube -n openim-system get lease openim-operator -o 'jsonpath={.spec.holderIdentity}'; }
uids_of() { pods_that_stay " {{index .metadata.labels \"app.kubernetes.io/component\"}}" -l "openim.io/cluster=$cluster_name" --field-selector=status.phase=Running; }

echo "the authority is replaced with an overlap, without an approval, and nothing else with it"
rollout '{"approval":"Required"}'
kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p '{"spec":{"services":{"cron":{"env":{"NOTE":"not approved"}}}}}'
eventually AwaitingApproval ready_reason
before=$(uids_of) old=$(credential 'internal-ca\.crt')
operator_metrics | has -E "openim_cluster_certificate_expiry_seconds\{.*certificate=\"authority\"\} [0-9]{10}"
kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p '{"spec":{"certificateRotation":"of this test"}}'
eventually 2 authorities
kube -n "$ns" get secret "$cluster_name-credentials" -o json > "$work/both.json"

echo "who deletes the Secret in the middle gets it back by restoring it; an operator that dies in the middle is no matter"
kube -n "$ns" delete secret "$cluster_name-credentials"
eventually CredentialsGone ready_reason
node -e 'const secret = JSON.parse(require("fs").readFileSync(0)); delete secret.metadata.resourceVersion; delete secret.metadata.uid; console.log(JSON.stringify(secret));' < "$work/both.json" | kube apply -f - > /dev/null
start_replica standby 23901
until_ready standby 23901
stop operator KILL
eventually standby leader
# Every service is restarted three times.
(deadline=$slow; eventually "done" certificates rotation)
[ "$(authorities)" = 1 ] || { echo "the old authority is trusted still"; exit 1; }
credential 'internal-ca\.crt' > "$work/ca.crt"; credential 'internal-tls\.crt' > "$work/tls.crt"
openssl verify -CAfile "$work/ca.crt" "$work/tls.crt"
if openssl verify -CAfile <(echo "$old") "$work/tls.crt" > /dev/null 2>&1; then echo "the certificate is of the old authority"; exit 1; fi
[ "$(read_by | grep -c .)" = 1 ] || { echo "services have read: $(read_by)"; exit 1; }
[ -z "$(comm -12 <(echo "$before") <(uids_of))" ] || { echo "not restarted: $(comm -12 <(echo "$before") <(uids_of))"; exit 1; }
[ -z "$(credential 'internal-ca-next\.key')" ]
eventually AwaitingApproval ready_reason
if kube -n "$ns" get deployment "$cluster_name-cron" -o yaml | has 'not approved'; then echo "an edit was applied without an approval"; exit 1; fi
rollout '{"approval":null}'
kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p '{"spec":{"services":{"cron":{"env":null}}}}'
wait_ready "$cluster_name"
start_replica operator 23900
until_ready operator 23900
stop standby KILL
eventually operator leader

echo "TLS is switched on in a cluster that runs without it, in steps"
kube -n "$ns" apply -f - <<END
apiVersion: openim.io/v1alpha1
kind: OpenIMCluster
metadata: {name: plain}
spec:
  internalTLS: Disabled
  ingress: {enabled: false}
  mongodb: {external: {secretName: servers, database: plain}}
  redis: {external: {address: "127.0.0.1:23679"}}
  kafka: {external: {address: ["127.0.0.1:23092"], replicationFactor: 1}}
  rollout: {soakSeconds: 0}
  config: {gatewayDrainSeconds: 0}
END
create_for plain
wait_ready plain
[ -z "$(credential 'internal-ca\.crt' plain)" ]
"${kubectl[@]}" -n "$ns" get configmaps -l openim.io/cluster=plain --watch -o 'jsonpath={.data.config\.yaml}{"\n"}' > "$work/configurations" & running[watcher]=$!
kube -n "$ns" patch openimcluster plain --type merge -p '{"spec":{"internalTLS":"Required"}}'
wait_ready plain "$slow"
stop watcher TERM
steps=$(grep -oE 'transition: [a-z]+' "$work/configurations" | awk '!seen[$0]++' | paste -sd,)
[ "$steps" = "transition: accept,transition: call" ] || { echo "the steps were: $steps"; exit 1; }
[ -n "$(credential 'internal-ca\.crt' plain)" ]
[ -z "$(credential internal-tls-transition plain)" ]
of_auth=$(kube -n "$ns" get deployment plain-auth -o 'jsonpath={.spec.template.spec.volumes[*].projected.sources[*].configMap.name}')
for name in $of_auth; do kube -n "$ns" get configmap "$name" -o 'jsonpath={.data.config\.yaml}'; done > "$work/last"
grep -A2 internalTLS "$work/last" | has 'enable: true'
if grep transition "$work/last"; then echo "auth still has the settings of a step"; exit 1; fi
if said=$(kube -n "$ns" patch openimcluster plain --type merge -p '{"spec":{"internalTLS":"Disabled"}}' 2>&1); then echo "TLS was switched off again"; exit 1; fi
has "internalTLS is immutable" <<< "$said"
kube -n "$ns" delete openimcluster plain

echo "another operator takes over when the one that leads dies without a word"
start_replica standby 23901
until_ready standby 23901
[ "$(leader)" = operator ] || { echo "$(leader) leads"; exit 1; }
stop operator KILL
died=$SECONDS
eventually standby leader
echo "taken over after $((SECONDS - died)) s"
kube -n "$ns" scale deployment "$cluster_name-third" --replicas=0
eventually 1 kube -n "$ns" get deployment "$cluster_name-third" -o 'jsonpath={.spec.replicas}'

CONTEXT='' OPENIM_CLUSTER_STATE=$work "$root/e2e/tests/bad-objects.sh"
