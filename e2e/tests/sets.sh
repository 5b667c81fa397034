#!/usr/bin/env bash
# A cluster with TLS between its services, on three brokers and three Redis servers with sentinels: each broker and the master of Redis are killed under load, then all passwords
# change, then the certificate authority, and with them every member; a member is changed only while no copy is missing, and the master of Redis only after another one has taken over.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
build_checker
mkdir -p "$root/e2e/out"
ns=$cluster_namespace name=trio
get() { kube -n "$ns" get "$@"; }
background=() seen=$(mktemp)
finish() {
  local failed=$? id
  if [ "$failed" != 0 ]; then
    get pods -l "openim.io/cluster=$name"
    for id in gateway msg; do echo "the end of what $id said:"; kube -n "$ns" logs -l "openim.io/cluster=$name,app.kubernetes.io/component=$id" --tail=15 | cut -c1-400; done
  fi
  for id in "${background[@]}"; do kill "$id" $(pgrep -P "$id") 2> /dev/null || true; done
  kube -n "$ns" delete openimcluster "$name" --ignore-not-found --wait=false > /dev/null
  rm -f "$seen"
}
trap finish EXIT

kube -n "$ns" apply -f - <<END
apiVersion: openim.io/v1alpha1
kind: OpenIMCluster
metadata: {name: $name}
spec: {volumes: Delete, ingress: {enabled: false}, internalTLS: Required, kafka: {managed: {brokers: 3}}, config: {kafkaPartitions: 3}}
END
wait_ready "$name"

refused() { # SPEC WORDS
  local answer
  answer=$(kube -n "$ns" patch openimcluster "$name" --type merge -p "{\"spec\":$1}" 2>&1) && { echo "it was accepted: $1"; exit 1; }
  grep -q "$2" <<< "$answer" || { echo "$answer"; exit 1; }
}
echo "what is decided when a cluster is created cannot be changed"
refused '{"kafka":{"managed":{"brokers":1}}}' "the number of brokers is immutable"
refused '{"internalTLS":"Disabled"}' "internalTLS is immutable"

credential() { get secret "$name-credentials" -o "jsonpath={.data.$1}" | base64 -d; }
redis_password=$(credential redis-password)
redis() { # MEMBER WORDS…
  local member=$1; shift
  kube -n "$ns" exec "$name-redis-$member" -c redis -- redis-cli --tls --cacert /tls/ca.crt --no-auth-warning -a "$redis_password" "$@"
}
master() { # the member of Redis that says it is the master and has both others behind it
  local member
  for member in 0 1 2; do
    redis "$member" INFO replication 2> /dev/null | tr -d '\r' | grep -cxE 'role:master|connected_slaves:2' | has -x 2 && { echo "$member"; return; }
  done
  return 1
}

echo "Redis grows to a set with sentinels"
kube -n "$ns" patch openimcluster "$name" --type merge -p '{"spec":{"redis":{"managed":{"replicas":3}}}}'
wait_ready "$name"
refused '{"redis":{"managed":{"replicas":1}}}' "replicas cannot be removed"

# This cluster has no ingress: it is reached from where pods are.
inside() { "$bin/localkube" exec "$@"; }
address() { # SERVICE: that of its Service, or of its first pod
  local ip; ip=$(get service "$name-$1" -o jsonpath='{.spec.clusterIP}')
  [ "$ip" != None ] || ip=$(pod_of "$ns" "openim.io/cluster=$name,app.kubernetes.io/component=$1" .status.podIP)
  echo "$ip"
}
echo "services show each other certificates of the cluster's own authority"
shown=$(inside openssl s_client -connect "$(address auth):10102" -alpn h2 < /dev/null 2>&1) || true
grep -q "issuer=.*OpenIM cluster $name" <<< "$shown" || { echo "auth shows no certificate: $shown"; exit 1; }
secret=$(credential api-secret)
OPENIM_ENDPOINTS=$(printf '{"api":"http://%s:10002","ws":"ws://%s:10001/","adminUserID":"imAdmin","secret":"%s","kubeconfig":"%s"}' \
  "$(address api-http)" "$(address gateway-ws)" "$secret" "$state/admin-inside.kubeconfig")
export OPENIM_ENDPOINTS
check() { # OUTPUT SECONDS [KILL]
  inside "$built/checker" --conversations 6 --seconds "$2" --pause-ms 40 --name "$name" --namespace "$ns" ${3:+--kill "$3"} | tee "$root/e2e/out/$1.json"
}

echo "each broker is killed in turn, and the master of Redis hangs until another one has taken over"
first=$(master)
taken_over() { # whether another member than the first one says that it is the master
  local member
  for member in 0 1 2; do
    [ "$member" != "$first" ] || continue
    if redis "$member" INFO replication 2> /dev/null | tr -d '\r' | has -x role:master; then return 0; fi
  done
  return 1
}
hang() { # POD COMMAND: its redis-server, not the sentinel, until the command succeeds
  local uid process end=$((SECONDS + deadline)); uid=$(get pod "$1" -o jsonpath='{.metadata.uid}')
  for process in $(pgrep -x redis-server); do
    if grep -q "${uid//-/[-_]}" "/proc/$process/cgroup" && ! tr '\0' ' ' < "/proc/$process/cmdline" | has sentinel; then
      kill -STOP "$process"
      until "$2" || [ $SECONDS -ge $end ]; do sleep 0.5; done
      kill -CONT "$process"
    fi
  done
}
(sleep 15; hang "$name-redis-$first" taken_over) & background+=($!)
check set-kills 80 kafka,kafka,kafka
wait_ready "$name"
moved() { local now; now=$(master) && [ "$now" != "$first" ] && echo moved; }
# The old one follows the new one: whoever was true to it is not left behind.
eventually moved moved

echo "all passwords change: members and services are replaced, nobody is turned away, and the ones of before are refused"
uids() { pods_that_stay "" -l "openim.io/cluster=$name,app.kubernetes.io/component in (kafka,redis)"; }
before=$(uids)
old=$redis_password
"${kubectl[@]}" -n "$ns" get pods -l "openim.io/cluster=$name,app.kubernetes.io/component in (kafka,redis)" --watch -o \
  'jsonpath={.metadata.name} {.metadata.uid} {.status.conditions[?(@.type=="Ready")].status} {.metadata.deletionTimestamp}{"\n"}' > "$seen" & watcher=$!
background+=("$watcher")
"$bin/localkube" exec "$built/checker" --conversations 4 --pause-ms 150 --name "$name" --namespace "$ns" > "$root/e2e/out/set-passwords.json" & checker=$!
background+=("$checker")
listed() { [ -s "$seen" ] && echo yes; }
eventually yes listed
kube -n "$ns" patch openimcluster "$name" --type merge -p '{"spec":{"passwordRotation":"of this test"}}'
wait_ready "$name" $slow
sleep 3; kill "$checker" 2> /dev/null || true; wait "$checker" || { cat "$root/e2e/out/set-passwords.json"; exit 1; }
cat "$root/e2e/out/set-passwords.json"
settled() { get statefulset "$name-$1" -o 'jsonpath={.status.currentRevision} {.status.updateRevision} {.status.readyReplicas}' | awk '{print ($1 == $2 && $3 == 3)}'; }
eventually 1 settled kafka
eventually 1 settled redis
kill "$watcher"
# away SERVER: how many members were away at the same time at most: on their way out, or new and not ready yet. A probe that is late takes none away.
away() {
  awk -v server="^$name-$1-" '
    $1 ~ server {
      if ($2 != uid[$1]) { uid[$1] = $2; served[$1] = 0 }
      if ($3 == "True") served[$1] = 1
      gone[$1] = $4 != "" || !served[$1]
      now = 0; for (member in gone) now += gone[member]
      if (now > most) most = now
    }
    END { print most + 0 }' "$seen"
}
[ "$(away kafka) $(away redis)" = "1 1" ] || { echo "of three members were away at once: $(away kafka) of Kafka, $(away redis) of Redis; one of each is expected"; exit 1; }
[ -z "$(comm -12 <(echo "$before") <(uids))" ] || { echo "a member was not restarted"; exit 1; }
wait_ready "$name"
redis_password=$(credential redis-password-b)
master > /dev/null || { echo "Redis has no master with two replicas"; exit 1; }
said=$(redis_password=$old redis 0 PING 2>&1) || true
grep -qE 'WRONGPASS|NOAUTH' <<< "$said" || { echo "the password of before is taken still: $said"; exit 1; }
[ -z "$(credential redis-password)$(credential mongo-password)$(credential kafka-password)" ] || { echo "passwords of before are kept"; exit 1; }

echo "the certificate authority is replaced under load: everybody is restarted, no message is refused, and what the old one issued is accepted by nobody"
uids() { pods_that_stay "" -l "openim.io/cluster=$name" --field-selector=status.phase=Running; }
before=$(uids)
old_authority=$(mktemp) old_certificate=$(mktemp) old_key=$(mktemp) new_authority=$(mktemp)
credential 'internal-ca\.crt' > "$old_authority"; credential 'internal-tls\.crt' > "$old_certificate"; credential 'internal-tls\.key' > "$old_key"
"$bin/localkube" exec "$built/checker" --conversations 4 --pause-ms 150 --name "$name" --namespace "$ns" > "$root/e2e/out/set-certificates.json" & checker=$!
background+=("$checker")
kube -n "$ns" patch openimcluster "$name" --type merge -p '{"spec":{"certificateRotation":"of this test"}}'
wait_ready "$name" $((2 * slow))
sleep 3; kill "$checker" 2> /dev/null || true; wait "$checker" || { cat "$root/e2e/out/set-certificates.json"; exit 1; }
cat "$root/e2e/out/set-certificates.json"
has '"refused":0[,}]' < "$root/e2e/out/set-certificates.json" || { echo "messages were refused"; exit 1; }
[ "$(get openimcluster "$name" -o 'jsonpath={.status.certificates.rotation}')" = "done" ]
[ -z "$(comm -12 <(echo "$before") <(uids))" ] || { echo "a pod was not restarted"; exit 1; }
credential 'internal-ca\.crt' > "$new_authority"
[ "$(grep -c BEGIN "$new_authority")" = 1 ] || { echo "the old authority is trusted still"; exit 1; }
# answered_with AUTHORITY CERTIFICATE KEY: auth takes the certificate, and is taken by who trusts the authority. In TLS 1.3 a server refuses after the handshake.
answered_with() {
  local said
  said=$(sleep 2 | inside openssl s_client -connect "$(address auth):10102" -alpn h2 -verify_return_error -CAfile "$1" -cert "$2" -key "$3" 2>&1) || true
  ! grep -qE 'alert|verify error|connect:errno' <<< "$said"
}
new_certificate=$(mktemp) new_key=$(mktemp)
credential 'internal-tls\.crt' > "$new_certificate"; credential 'internal-tls\.key' > "$new_key"
answered_with "$new_authority" "$new_certificate" "$new_key" || { echo "auth refuses a certificate of the new authority"; exit 1; }
! answered_with "$new_authority" "$old_certificate" "$old_key" || { echo "auth takes a certificate of the old authority"; exit 1; }
! answered_with "$old_authority" "$new_certificate" "$new_key" || { echo "auth shows a certificate of the old authority"; exit 1; }
rm -f "$old_authority" "$old_certificate" "$old_key" "$new_authority" "$new_certificate" "$new_key"
