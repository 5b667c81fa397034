#!/usr/bin/env bash
# compose.yaml: it comes up healthy, users chat, and what they wrote is there after a crash and after all containers are new.
# By podman-compose the images are those of the local cluster, with stand-ins for the servers, and podman runs in namespaces of its own: its networks,
# containers and files are gone with it. With ENGINE=docker Docker Compose runs the real ones; the image of the services has to be there.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
engine=${ENGINE:-podman}
node_modules
if [ "$engine" = podman ] && [ "${1:-}" != apart ]; then
  "$root/e2e/tools/cluster/build.sh"
  "$root/e2e/tools/cluster/build.sh" compose
  build_services
  service_images
  exec unshare --mount --net --pid --fork --kill-child --mount-proc "$0" apart
fi

work=$(mktemp -d)
in_namespaces() {
  ip link set lo up
  mount -t tmpfs tmpfs /run
  mount -t tmpfs tmpfs /dev/shm
  mkdir -p /var/lib/containers /etc/containers/networks "$work/storage"
  mount -t tmpfs tmpfs /etc/containers/networks
  mount --bind "$work/storage" /var/lib/containers
  # What podman gives containers by itself exceeds the limits of this process on some machines.
  cat > "$work/containers.conf" <<END_OF_FILE
[containers]
default_ulimits = ["nofile=$(ulimit -Sn):$(ulimit -Hn)", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
END_OF_FILE
  export CONTAINERS_CONF=$work/containers.conf
  for image in mongo redis kafka openim-server; do podman load -q -i "$OPENIM_CACHE/images/$image.tar"; done
}
export OPENIM_IMAGE OPENIM_ENDPOINTS
OPENIM_IMAGE=ghcr.io/openim-cluster/openim-server:$(workspace_version)
compose() {
  local program=(docker compose) tool=$OPENIM_CACHE/podman-compose
  [ "$engine" = docker ] || program=(env "PYTHONPATH=$tool" "$tool/bin/podman-compose")
  "${program[@]}" -f "$root/compose.yaml" --env-file /dev/null "$@" < /dev/null
}
container() { "$engine" ps -aq --filter "label=com.docker.compose.project=openim" --filter "label=com.docker.compose.service=$1"; }
finish() {
  local code=$? name
  set +e
  [ $code = 0 ] || for name in secrets mongodb mongodb-set redis kafka openim; do
    echo "--- the end of what $name said:"; "$engine" logs --tail 8 "$(container "$name")" 2>&1 | cut -c1-400
  done
  if [ "$engine" = docker ]; then
    compose down --volumes
  else
    podman pod rm --all --force --time 0 > /dev/null 2>&1
    podman rm --all --force --time 0 > /dev/null 2>&1
    umount --lazy --recursive "$work/storage" /var/lib/containers 2> /dev/null
  fi
  rm -rf "$work"
  exit $code
}
trap finish EXIT

[ "$engine" = docker ] || in_namespaces

# healthy SERVICE: its own health check passes. Without systemd podman has nothing that runs it.
healthy() {
  if [ "$engine" = docker ]; then [ "$(docker inspect --format '{{.State.Health.Status}}' "$(container "$1")")" = healthy ]
  else podman healthcheck run "$(container "$1")"; fi > /dev/null 2>&1
}
until_healthy() {
  local name end
  for name in mongodb redis kafka openim; do
    end=$((SECONDS + deadline))
    until healthy "$name"; do
      [ $SECONDS -lt $end ] || { echo "$name is not healthy"; "$engine" ps -a; exit 1; }
      sleep 0.3
    done
  done
}
api_secret() { "$engine" exec "$(container openim)" /openim-server api-secret; }
chats() { # write | read: with the secret that the running services have
  OPENIM_ENDPOINTS=$(printf '{"api":"http://127.0.0.1:10002","ws":"ws://127.0.0.1:10001/","adminUserID":"imAdmin","secret":"%s","kubeconfig":""}' "$(api_secret)")
  NOTE=$work/note node --experimental-websocket --no-warnings "$root/e2e/tests/compose.mjs" "$1"
}

echo "it comes up, and a message arrives"
compose up -d
until_healthy
chats write
secret=$(api_secret)

echo "the secrets can be read by their own user alone"
told=$("$engine" exec --user 65000 "$(container openim)" /openim-server api-secret 2>&1) && { echo "another user read the secret"; exit 1; }
# Of a folder that it may not enter it does not know what is there.
grep -q 'config.yaml: \(no such file\|Permission denied\)' <<< "$told" || { echo "expected a refusal, got: $told"; exit 1; }

echo "a service that is killed comes back"
"$engine" kill --signal KILL "$(container openim)" > /dev/null
# The signal is sent, no more: what is still there when it is started stays dead afterwards.
timeout "$deadline" "$engine" wait "$(container openim)" > /dev/null || true
"$engine" start "$(container openim)" > /dev/null
until_healthy
chats read

echo "new containers find what the ones before wrote, and the same secrets"
compose down
[ -z "$(container openim)" ] || { echo "the containers are still there"; exit 1; }
compose up -d
until_healthy
[ "$secret" = "$(api_secret)" ] || { echo "the secrets are others"; exit 1; }
chats read
