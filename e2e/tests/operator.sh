#!/usr/bin/env bash
# On the real cluster: a spec edit rolls out, a killed server recovers, delete removes everything. What the operator and the API server say to each other about
# edits, repairs, removals, windows, approval and who leads is in operator-api.sh.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
ns=$cluster_namespace
get() { kube -n "$ns" get openimcluster "$1" -o "jsonpath=$2"; }
echo "a spec edit rolls out and scales"
kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p '{"spec":{"services":{"gateway":{"replicas":2},"transfer":{"replicas":2}},"config":{"gatewayDrainSeconds":2}}}'
wait_ready "$cluster_name"
[ "$(kube -n "$ns" get deployment "$cluster_name-gateway" -o jsonpath='{.status.readyReplicas}')" = 2 ]
[ "$(kube -n "$ns" get deployment "$cluster_name-gateway" -o 'jsonpath={.spec.template.spec.containers[0].env[?(@.name=="IMENV_GATEWAY_DRAINSECONDS")].value}')" = 2 ]

echo "live settings reach running pods without a restart, and a wrong one is refused"
unchanged() { # BEFORE NOW: the uids of pods
  [ "$1" = "$2" ] || { echo "pods were replaced:"; diff <(echo "$1") <(echo "$2"); exit 1; }
}
all_uids() { pods_that_stay "" -l "openim.io/cluster=$cluster_name" --field-selector=status.phase=Running; }
of_pod() { # COMPONENT PATH: what its first pod's admin port says
  local pod; pod=$(pod_of "$ns" "openim.io/cluster=$cluster_name,app.kubernetes.io/component=$1")
  kube get --raw "/api/v1/namespaces/$ns/pods/$pod:12000/proxy/$2"
}
pods_before=$(all_uids)
kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p '{"spec":{"config":{"logLevel":"info,openim_transfer=debug","retainDays":30}}}'
wait_ready "$cluster_name"
[ "$(of_pod transfer loglevel)" = "openim_transfer=debug,info" ] || { echo "transfer logs at $(of_pod transfer loglevel)"; exit 1; }
of_pod cron config | has "\"$(get "$cluster_name" '{.status.liveConfig}')\""
kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p '{"spec":{"config":{"logLevel":"verbose"}}}'
eventually InvalidSpec get "$cluster_name" '{.status.conditions[?(@.type=="Stalled")].reason}'
kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p '{"spec":{"config":{"logLevel":null,"retainDays":null}}}'
wait_ready "$cluster_name"
[ "$(of_pod transfer loglevel)" = info ]
unchanged "$pods_before" "$(all_uids)"

echo "a transfer that starts anew goes on counting where removed messages left off"
OPENIM_ENDPOINTS=${OPENIM_ENDPOINTS:-$("$root/e2e/endpoints.sh")} CLUSTER_NAMESPACE=$ns CLUSTER_NAME=$cluster_name \
  node --no-warnings --test --test-reporter=spec "$root/e2e/tests/retention.test.mjs"

echo "a volume grows with the spec and restarts nothing; one that cannot grow or would shrink says so"
claim() { kube -n "$ns" get persistentvolumeclaim "data-$cluster_name-redis-0" -o 'jsonpath={.spec.resources.requests.storage}'; }
expand() { kube patch storageclass standard -p "{\"allowVolumeExpansion\":$1}" > /dev/null; }
redis_size() { kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p "{\"spec\":{\"redis\":{\"managed\":{\"storage\":\"$1\"}}}}"; }
blocked() { get "$cluster_name" '{.status.blockers[*].message}' | grep -c 'cannot grow' || true; }
# Two crons were asked for and then one again: what leaves has to be on its way before the others are counted.
crons() { pods_that_stay "" -l "openim.io/cluster=$cluster_name,app.kubernetes.io/component=cron" | wc -l; }
wait_ready "$cluster_name"
eventually 1 crons
pods_before=$(all_uids)
size=$(claim); size=${size%Gi}
redis_size $((size + 1))Gi
eventually $((size + 1))Gi claim
wait_ready "$cluster_name"
expand false
undo() { expand true; kube uncordon "${nodes[@]}" > /dev/null; kube delete namespace second --ignore-not-found --wait=false; }
mapfile -t nodes < <(kube get nodes -o 'jsonpath={range .items[*]}{.metadata.name}{"\n"}{end}')
trap undo EXIT
redis_size $((size + 2))Gi
eventually 1 blocked
redis_size $((size + 1))Gi
eventually 0 blocked
wait_ready "$cluster_name"
redis_size $((size + 2))Gi
eventually 1 blocked
expand true
eventually $((size + 2))Gi claim
eventually 0 blocked
shrinks() { get "$cluster_name" '{.status.blockers[*].message}' | grep -c 'cannot shrink' || true; }
redis_size 1Gi
eventually 1 shrinks
redis_size $((size + 2))Gi
eventually 0 shrinks
wait_ready "$cluster_name"
unchanged "$pods_before" "$(all_uids)"

echo "kubectl openim says what is, and what an edit would do without doing it"
build_plugin
openim() {
  if [ -n "${CONTEXT:-}" ]; then "$built/kubectl-openim" --context "$CONTEXT" -n "$ns" "$@"
  else KUBECONFIG=$state/admin.kubeconfig "$built/kubectl-openim" -n "$ns" "$@"; fi
}
said=$(openim status "$cluster_name")
[[ $said == "✔ $cluster_name in $ns: All "*"pods run version"*"✔ gateway       2/2"* ]] || { echo "$said"; exit 1; }
said=$(openim doctor "$cluster_name") || { echo "$said"; exit 1; }
grep -q "^✔ $cluster_name: healthy" <<< "$said" && grep -q 'mongodb is one server' <<< "$said" || { echo "$said"; exit 1; }
openim logs "$cluster_name" --service auth --minutes 60 | has '^20[0-9T:.-]*Z INFO  .*process.started' || { openim logs "$cluster_name" --service auth | tail -3; exit 1; }
generation=$(get "$cluster_name" '{.metadata.generation}')
spec=$(kube -n "$ns" get openimcluster "$cluster_name" -o json | node -e '
  const object = JSON.parse(require("node:fs").readFileSync(0));
  object.spec.ingress.enabled = false; object.spec.config.multiLoginPolicy = 4; object.spec.redis.managed.storage = "999Gi";
  console.log(JSON.stringify({ ...object, status: undefined }));')
planned=$(openim plan -f <(echo "$spec"))
for line in 'auth .*configuration' 'gateway .*configuration' "PersistentVolumeClaim/data-$cluster_name-redis-0" "Ingress/$cluster_name"; do
  grep -q "$line" <<< "$planned" || { echo "the plan lacks '$line': $planned"; exit 1; }
done
if answer=$(openim plan -f <(echo "${spec//\"multiLoginPolicy\":4/\"multiLoginPolicy\":3}") 2>&1); then echo "planned: $answer"; exit 1; fi
grep -q 'spec.config.multiLoginPolicy: must be 0, 1, 4 or 5' <<< "$answer" || { echo "$answer"; exit 1; }
sleep 3
[ "$generation $pods_before $(claim)" = "$(get "$cluster_name" '{.metadata.generation}') $(all_uids) $((size + 2))Gi" ]
kube -n "$ns" get "ingress/$cluster_name" -o name
wait_ready "$cluster_name"

echo "kubectl openim proves a change: messages of test users go through it, and the status keeps what became of them"
mkdir -p "$root/e2e/out"
at() { OPENIM_ENDPOINTS=${OPENIM_ENDPOINTS:-$("$root/e2e/endpoints.sh")} node -p "JSON.parse(process.env.OPENIM_ENDPOINTS).$1"; }
openim prove "$cluster_name" --api "$(at api)" --ws "$(at ws)" --rate 40 > "$root/e2e/out/prove.out" 2>&1 & proving=$!
eventually 1 grep -c '^Test users' "$root/e2e/out/prove.out"
kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p '{"spec":{"config":{"multiLoginPolicy":4}}}'
wait $proving || { tail -5 "$root/e2e/out/prove.out"; exit 1; }
tail -1 "$root/e2e/out/prove.out"
proof=$(get "$cluster_name" '{.status.proof}')
node -e '
  const proof = JSON.parse(process.argv[1]);
  if (proof.lost + proof.doubled + proof.reordered + proof.other !== 0 || proof.acknowledged < 200 || !(proof.longestGapMillis > 0)) process.exit(1);' "$proof" || { echo "$proof"; exit 1; }
openim status "$cluster_name" | has 'Proved'
kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p '{"spec":{"config":{"multiLoginPolicy":null}}}'
wait_ready "$cluster_name"
[ "$proof" = "$(get "$cluster_name" '{.status.proof}')" ] || { echo "the proof did not stay: $(get "$cluster_name" '{.status.proof}')"; exit 1; }
kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p '{"spec":{"services":{"cron":{"replicas":2}}}}'
wait_ready "$cluster_name"
[ "$(openim history "$cluster_name" | wc -l)" -ge 3 ]
openim rollback "$cluster_name"
eventually 1 kube -n "$ns" get deployment "$cluster_name-cron" -o 'jsonpath={.spec.replicas}'
wait_ready "$cluster_name"

echo "a steady state writes nothing"
wait_ready "$cluster_name"
sleep 5
# When the operator last wrote each object; the controllers of Kubernetes may go on writing their statuses.
versions() {
  kube -n "$ns" get deployments,statefulsets,services,configmaps,ingresses -l "openim.io/cluster=$cluster_name" --show-managed-fields \
    -o 'jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.managedFields[?(@.manager=="openim-operator")].time}{"\n"}{end}'
  get "$cluster_name" '{.metadata.resourceVersion}'
}
before=$(versions); sleep 25
diff <(echo "$before") <(echo "$(versions)")

echo "a dependency that is away is named; healthy pods are not restarted; it recovers by itself"
uids() { pods_that_stay "" -l "openim.io/cluster=$cluster_name,app.kubernetes.io/component=msg"; }
pods_before=$(uids)
says() { get "$cluster_name" '{.status.message}' | grep -ci "$1" || true; }
for server in mongodb redis kafka; do
  # It has no place to come back to until it was missed: a quick one is back before anybody looks.
  kube cordon "${nodes[@]}"
  kube -n "$ns" delete pod "$cluster_name-$server-0" --grace-period=1 --wait=true --timeout="${deadline}s"
  eventually 1 says "$server"
  kube uncordon "${nodes[@]}"
  wait_ready "$cluster_name"
done
unchanged "$pods_before" "$(uids)"

echo "what is asked of a server's pods waits while changes are paused; a mistake is told, and mended by an edit"
redis() { kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p "{\"spec\":{\"rollout\":{\"paused\":$1},\"redis\":{\"managed\":$2}}}" > /dev/null; }
of_redis() { kube -n "$ns" get pod "$cluster_name-redis-0" -o "jsonpath={$1}"; }
redis_before=$(of_redis .metadata.uid)
redis true '{"pods":{"nodeSelector":{"example.org/disk":"none"}}}'
eventually "redis: pod scheduling" get "$cluster_name" '{.status.plan[0].component}: {.status.plan[0].reason}'
eventually Paused get "$cluster_name" '{.status.conditions[?(@.type=="Ready")].reason}'
[ "$redis_before" = "$(of_redis .metadata.uid)" ]
redis false '{"pods":{"nodeSelector":{"example.org/disk":"none"}}}'
unscheduled() { get "$cluster_name" '{.status.message}' | grep -ci "^redis: pod $cluster_name-redis-0: Unschedulable: .*selector" || true; }
eventually 1 unscheduled
redis false '{"pods":null,"resources":{"memoryRequest":"48Mi","memoryLimit":"512Mi"}}'
wait_ready "$cluster_name"
[ "$(of_redis '.spec.containers[0].resources.requests.memory') $(of_redis '.spec.containers[0].resources.limits.memory')" = "48Mi 512Mi" ]
told() { kube -n "$ns" get events.events.k8s.io --field-selector reason=Changing -o 'jsonpath={range .items[*]}{.related.kind} {.note}{"\n"}{end}' | grep -c "^StatefulSet redis: requests and limits, pod scheduling" || true; }
[ "$(told)" -ge 1 ]
unchanged "$pods_before" "$(uids)"
redis false '{"resources":null}'
wait_ready "$cluster_name"

echo "the operator may die at any time"
kube -n openim-system delete pod -l app.kubernetes.io/name=openim-operator --grace-period=0 --force
kube -n "$ns" scale deployment "$cluster_name-third" --replicas=0
eventually 1 kube -n "$ns" get deployment "$cluster_name-third" -o 'jsonpath={.spec.replicas}'

echo "every pod meets the restricted standard"
warnings=$(kube label namespace "$ns" pod-security.kubernetes.io/enforce=restricted --overwrite --dry-run=server 2>&1)
if grep -q violate <<< "$warnings"; then echo "$warnings"; exit 1; fi

echo "a second cluster that wants all hosts too is told who has them, and takes not one request; with a host of its own it is let in"
kube create namespace second
kube apply -f - <<'END'
apiVersion: openim.io/v1alpha1
kind: OpenIMCluster
metadata: {name: second, namespace: second}
spec:
  mongodb: {external: {secretName: nowhere}}
  redis: {external: {address: "192.0.2.77:6379"}}
  kafka: {external: {address: ["192.0.2.77:9092"]}}
END
held() { kube -n second get openimcluster second -o 'jsonpath={.status.blockers[?(@.gate=="HostTaken")].message}' | grep -c "OpenIMCluster $cluster_name in namespace $ns already uses all hosts" || true; }
eventually 1 held
[ -z "$(kube -n second get ingress -o name)" ] || { echo "it has an Ingress"; exit 1; }
api=$(OPENIM_ENDPOINTS=${OPENIM_ENDPOINTS:-$("$root/e2e/endpoints.sh")} node -p 'JSON.parse(process.env.OPENIM_ENDPOINTS).api')
for _ in $(seq 40); do
  code=$(curl -s -m "$deadline" -o /dev/null -w '%{http_code}' "$api/auth/get_admin_token" -d '{}')
  [ "$code" = 200 ] || { echo "the first cluster answered $code"; exit 1; }
done
kube -n second patch openimcluster second --type merge -p '{"spec":{"ingress":{"host":"second.example.test"}}}'
eventually second.example.test kube -n second get ingress second -o 'jsonpath={.spec.rules[0].host}'
eventually 0 held
kube delete namespace second --wait=false

echo "a second cluster beside it, deleted with its volumes"
kube -n "$ns" apply -f - <<'END'
apiVersion: openim.io/v1alpha1
kind: OpenIMCluster
metadata: {name: brief}
spec: {volumes: Delete, ingress: {enabled: false}}
END
wait_ready brief
kube -n "$ns" delete openimcluster brief --wait=true
left() { kube -n "$ns" get all,configmaps,secrets,ingresses,persistentvolumeclaims -l openim.io/cluster=brief -o name | wc -l; }
eventually 0 left
[ "$(get "$cluster_name" '{.status.conditions[?(@.type=="Ready")].status}')" = True ]

kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p '{"spec":{"services":{"gateway":{"replicas":2},"transfer":{"replicas":1}}}}'
wait_ready "$cluster_name"
