#!/usr/bin/env bash
# Upgrades on the real cluster, under the checker's load: one service after the other, nothing lost whatever is killed; a version whose pods fail is rolled
# back and stops; a refused version touches nothing; a pause holds everything but scaling. A pod of each service and server is killed once, with
# OPENIM_KILLS=all some twice.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
ns=$cluster_namespace
version=$(workspace_version)
next=${version%.*}.$((${version##*.} + 1)) broken=${version%.*}.$((${version##*.} + 2))
repository=ghcr.io/openim-cluster/openim-server
server=$built/openim-server
image() { # TAG ENTRYPOINT FILE…
  local tag=$1 entry=$2; shift 2
  "$bin/localkube" image -name "$repository:$tag" -out "$OPENIM_CACHE/test-images/upgrade.tar" -entrypoint "$entry" "$@"
  "$bin/localkube" load "$OPENIM_CACHE/test-images/upgrade.tar"
  rm "$OPENIM_CACHE/test-images/upgrade.tar"
}
mkdir -p "$OPENIM_CACHE/test-images"
# What is tested is the way to another version and back; which of the two is newer does not matter to it.
another=$previous_server
if [ -x "$another" ] || git -C "$root" cat-file -e "$previous^{commit}"; then
  build_previous
else
  echo "a clone without the history of the project: the other version is the same program"; another=$server
fi
image "$next" /openim-server "$another:/openim-server"
image "$broken" /broken "$server:/openim-server" "$bin/broken:/broken"
build_checker

get() { kube -n "$ns" get openimcluster "$cluster_name" -o "jsonpath=$1"; }
patch() { kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p "$1"; }
expect() { # WHAT EXPECTED ACTUAL
  [ "$2" = "$3" ] || { echo "$1: expected '$2', got '$3'"; exit 1; }
}
until_says() { # WORDS…: until the status does
  local end=$((SECONDS + deadline))
  until get '{.status.message}' | has "$*"; do
    [ $SECONDS -lt $end ] || { echo "the status never said '$*': $(get '{.status.message}')"; exit 1; }
    sleep 0.3
  done
}
images() { kube -n "$ns" get deployments -l "openim.io/cluster=$cluster_name" -o 'jsonpath={range .items[*]}{.spec.template.spec.containers[0].image}{"\n"}{end}' | sort | uniq -c | sed 's/^ *//'; }
uids() { pods_that_stay "" -l "openim.io/cluster=$cluster_name" --field-selector=status.phase=Running; }
order() { # services that were changed since a time, in order
  kube -n "$ns" get events.events.k8s.io -o json |
    node -e '
      const since = process.argv[1];
      const events = JSON.parse(require("fs").readFileSync(0)).items.filter((event) => event.reason === "Changing" && event.eventTime > since);
      events.sort((a, b) => (a.eventTime < b.eventTime ? -1 : 1));
      console.log(events.map((event) => event.related.name.split("-").at(-1)).join(" "));' "$1"
}
# A failing test leaves the cluster as it was.
restore() {
  kill ${checker:-} ${dying:-} 2> /dev/null || true
  patch "{\"spec\":{\"version\":\"$version\",\"rollout\":null,\"config\":{\"retainDays\":null,\"kafkaPartitions\":null},\"services\":{\"user\":null}}}" > /dev/null
}
trap restore EXIT
patch "{\"spec\":{\"version\":\"$version\"}}"
sleep 2
wait_ready "$cluster_name" $slow
OPENIM_ENDPOINTS=$("$root/e2e/endpoints.sh"); export OPENIM_ENDPOINTS

echo "a version that skips others is refused before anything is touched"
before=$(uids)
patch '{"spec":{"version":"9.0.0"}}'
until_says "changes the major version"
expect "the condition" "True/UpgradeRefused" "$(get '{.status.conditions[?(@.type=="Stalled")].status}/{.status.conditions[?(@.type=="Stalled")].reason}')"
expect "what serves" True "$(get '{.status.conditions[?(@.type=="Available")].status}')"
sleep 5
expect "the pods" "$before" "$(uids)"

echo "while paused nothing restarts, the plan is told, and scaling goes on"
patch "{\"spec\":{\"version\":\"$next\",\"rollout\":{\"paused\":true},\"services\":{\"user\":{\"replicas\":2}}}}"
until_says "paused"
expect "the plan" "auth: version $version to $next" "$(get '{.status.plan[0].component}: {.status.plan[0].reason}')"
eventually 2 kube -n "$ns" get deployment "$cluster_name-user" -o 'jsonpath={.status.readyReplicas}'
expect "the images" "12 $repository:$version" "$(images)"

echo "an upgrade under load, while a pod of every service and server is killed, and the operator again and again: nothing lost"
operator_dies() {
  for _ in 1 2 3; do
    sleep 20
    kube -n openim-system delete pod -l app.kubernetes.io/name=openim-operator --grace-period=0 --force
  done
}
victims=kafka,auth,redis,user,mongodb,relation,conversation,group,third,msg,transfer,push,gateway,api,cron
[ "${OPENIM_KILLS:-}" != all ] || victims=$victims,transfer,gateway
kills=$(tr , '\n' <<< "$victims" | wc -l)
checking upgrade-checker 8 --kill "$victims" --kill-every 4
patch '{"spec":{"rollout":{"paused":false}}}'
operator_dies & dying=$!
# However fast it is: what is left is held until all were killed, so that none is killed in vain.
while_checking() { # WHAT COMMAND…: until the command succeeds, while the checker goes on
  local what=$1 end=$((SECONDS + deadline)); shift
  until "$@"; do
    kill -0 "$checker" 2> /dev/null || { echo "the checker has ended:"; tail -5 "$root/e2e/out/upgrade-checker.log"; exit 1; }
    [ $SECONDS -lt $end ] || { echo "$what did not come true: $(get '{.status.message}')"; exit 1; }
    sleep 0.3
  done
}
on_next() { images | sed -n "s|^\([0-9]*\) $repository:$next\$|\1|p"; }
most_are_changed() { local now; now=$(on_next); [ "${now:-0}" -ge 9 ]; }
all_are_killed() { [ "$(grep -c '^killed pod/' "$root/e2e/out/upgrade-checker.log")" = "$kills" ]; }
while_checking "a service that is changed, nine times" most_are_changed
patch '{"spec":{"rollout":{"paused":true}}}'
while_checking "the last kill" all_are_killed
wait "$dying"
[ "$(on_next)" != 12 ] || { echo "the upgrade had ended before all were killed"; exit 1; }
patch '{"spec":{"rollout":{"paused":false}}}'
wait_ready "$cluster_name"
expect "the version" "$next" "$(get '{.status.version}')"
expect "the images" "12 $repository:$next" "$(images)"
checked upgrade-checker

echo "a version whose pods fail is rolled back, told, and stops there"
before=$(uids)
patch "{\"spec\":{\"version\":\"$broken\",\"rollout\":{\"deadlineSeconds\":15}}}"
until_says "auth: the new pods did not become ready.*this version is broken on purpose"
expect "the condition" "True/RolloutFailed" "$(get '{.status.conditions[?(@.type=="Stalled")].status}/{.status.conditions[?(@.type=="Stalled")].reason}')"
expect "what serves" True "$(get '{.status.conditions[?(@.type=="Available")].status}')"
sleep 10
expect "the images" "12 $repository:$next" "$(images)"
expect "the pods" "$before" "$(uids)"
expect "the version" "$next" "$(get '{.status.version}')"

echo "set back, all is well without a single restart"
patch "{\"spec\":{\"version\":\"$next\",\"rollout\":null}}"
wait_ready "$cluster_name"
expect "the pods" "$before" "$(uids)"

echo "without a version the one that runs stays"
patch '{"spec":{"version":""}}'
wait_ready "$cluster_name"
expect "the pods" "$before" "$(uids)"
expect "the images" "12 $repository:$next" "$(images)"

echo "back to the version before, and conversations spread over more partitions, under load: one service after the other, nothing overtakes what was sent before"
before=$(get '{.spec.config.kafkaPartitions}'); before=${before:-8}
partitions=$((before + 4))
checking partitions-checker 24
started=$(date -u +%Y-%m-%dT%H:%M:%S.%6NZ)
patch "{\"spec\":{\"version\":\"$version\",\"config\":{\"kafkaPartitions\":$partitions}}}"
told() { get '{.status.plan[?(@.component=="msg")].reason}' | grep -c "$before to $partitions partitions (all pods at once)" || true; }
eventually 1 told
wait_ready "$cluster_name"
expect "the order" "auth user relation conversation group third transfer push msg gateway api cron" "$(order "$started")"
expect "the images" "12 $repository:$version" "$(images)"
checked partitions-checker
kube -n "$ns" logs "deployment/$cluster_name-msg" --all-pods --tail=-1 | has '"partitions.changed"'
# Records lie in what was added.
added() { find "$state" -path '*/toTransfer-*/*.log' -size +0 | sed -n 's|.*/toTransfer-\([0-9]*\)/.*|\1|p' | sort -un | tail -1; }
[ "$(added)" -ge "$before" ] || { echo "the last partition with records is $(added)"; exit 1; }

echo "back to fewer"
restore
wait_ready "$cluster_name"
expect "the partitions" 8 "$(get '{.spec.config.kafkaPartitions}')"
config_maps() { kube -n "$ns" get configmaps -l "openim.io/cluster=$cluster_name,app.kubernetes.io/component=config" -o name | wc -l; }
eventually 1 config_maps
# What leaves still answers for some seconds, and knows the secret of before: what is tested next meets those that stay.
leaving() { kube -n "$ns" get pods -l "openim.io/cluster=$cluster_name" -o 'go-template={{range .items}}{{if .metadata.deletionTimestamp}}{{.metadata.name}} {{end}}{{end}}'; }
eventually "" leaving
