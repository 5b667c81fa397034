#!/usr/bin/env bash
# Builds image archives into the cache, without an engine. Each is rebuilt only when its inputs changed.
#   e2e/tools/images/build.sh dependencies | tests | services FOLDER
set -euo pipefail
. "$(dirname "$0")/../../lib.sh"
here=$root/e2e/tools/images
cache=$OPENIM_CACHE
version=$(workspace_version)
images=$cache/images
mkdir -p "$images" "$cache/bin"
# One at a time, whoever asks.
exec 9> "$images/.lock"
flock 9
localkube=$cache/bin/localkube

# fresh ARCHIVE KEY: whether the archive was made from inputs with this key; otherwise remembers the key for when it is made.
fresh() { [ -f "$1" ] && [ "$(cat "$1.key" 2>/dev/null)" = "$2" ]; }
made() { printf '%s' "$2" > "$1.key"; }
sum() { cat "$@" | sha256sum | cut -d' ' -f1; }

dependencies() {
  (cd "$here/entrypoints" && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$cache/bin/" ./...)
  local key
  key=$(sum "$cache/bin/pause")
  fresh "$images/pause.tar" "$key" || {
    "$localkube" image -name openim.local/pause:1 -out "$images/pause.tar" -entrypoint /pause "$cache/bin/pause:/pause"; made "$images/pause.tar" "$key"; }
  key=$(sum "$cache/bin/coredns")
  fresh "$images/coredns.tar" "$key" || {
    "$localkube" image -name openim.local/coredns:1.15.0 -out "$images/coredns.tar" -entrypoint /coredns "$cache/bin/coredns:/coredns"; made "$images/coredns.tar" "$key"; }
  key=$(sum "$cache/bin/mongod" "$cache/secantus/bin/secantusd-rs")
  fresh "$images/mongo.tar" "$key" || {
    "$localkube" image -name docker.io/library/mongo:8 -out "$images/mongo.tar" -libs -user 999:999 -dir /data/db:777 -dir /tmp:1777 \
      -entrypoint /usr/local/bin/docker-entrypoint "$cache/bin/mongod:/usr/local/bin/docker-entrypoint" \
      "$cache/secantus/bin/secantusd-rs:/usr/local/bin/secantusd-rs"; made "$images/mongo.tar" "$key"; }
  key=$(sum /usr/bin/redis-server)
  fresh "$images/redis.tar" "$key" || {
    "$localkube" image -name docker.io/library/redis:8 -out "$images/redis.tar" -libs -user 999:999 -dir /data:777 -dir /tmp:1777 \
      -entrypoint /usr/bin/env /usr/bin/redis-server:/usr/local/bin/redis-server /usr/bin/redis-cli:/usr/local/bin/redis-cli \
      /usr/bin/env:/usr/bin/env; made "$images/redis.tar" "$key"; }
  local jvm
  jvm=$(dirname "$(dirname "$(readlink -f "$(command -v java)")")")
  key=$(sum "$cache/bin/kafka" "$jvm/release" "$here/kafka/pom.xml")
  fresh "$images/kafka.tar" "$key" || {
    "$localkube" image -name docker.io/apache/kafka:4.1.1 -out "$images/kafka.tar" -libs -user 1000:1000 -dir /tmp:1777 -dir /var/lib/kafka/data:777 \
      -env LD_LIBRARY_PATH=/usr/lib/jvm/java/lib:/usr/lib/jvm/java/lib/server -entrypoint /usr/local/bin/kafka \
      "$cache/bin/kafka:/usr/local/bin/kafka" "$jvm/bin/java:/usr/lib/jvm/java/bin/java" "$jvm/lib:/usr/lib/jvm/java/lib" \
      "$jvm/conf:/usr/lib/jvm/java/conf" "$cache/kafka/libs:/opt/kafka/libs"; made "$images/kafka.tar" "$key"; }
  key=$(sum "$cache/bin/contour" "$cache/bin/envoy")
  fresh "$images/contour.tar" "$key" || {
    local contour_tag envoy_tag
    contour_tag=$(grep -m1 -o 'ghcr.io/projectcontour/contour:[^ ]*' "$cache/contour.yaml")
    envoy_tag=$(grep -m1 -o 'docker.io/envoyproxy/envoy:[^ ]*' "$cache/contour.yaml")
    "$localkube" image -name "$contour_tag" -out "$images/contour.tar" -dir /tmp:1777 -entrypoint /bin/contour "$cache/bin/contour:/bin/contour"
    "$localkube" image -name "$envoy_tag" -out "$images/envoy.tar" -libs -dir /tmp:1777 -entrypoint /usr/local/bin/envoy \
      "$cache/bin/envoy:/usr/local/bin/envoy" "$cache/bin/contour:/bin/contour"; made "$images/contour.tar" "$key"; }
}

tests() {
  local key
  key=$(sum "$cache/bin/versitygw")
  fresh "$cache/test-images/s3.tar" "$key" || {
    mkdir -p "$cache/test-images"
    "$localkube" image -name openim.local/versitygw:1.8.0 -out "$cache/test-images/s3.tar" -dir /tmp:1777 -entrypoint /versitygw "$cache/bin/versitygw:/versitygw"
    made "$cache/test-images/s3.tar" "$key"; }
  key=$(sum "$cache/bin/hooks")
  fresh "$cache/test-images/hooks.tar" "$key" || {
    "$localkube" image -name openim.local/hooks:1 -out "$cache/test-images/hooks.tar" -entrypoint /hooks "$cache/bin/hooks:/hooks"
    made "$cache/test-images/hooks.tar" "$key"; }
}

# As the Dockerfile: whom the servers of others are trusted by.
authorities=/etc/ssl/certs/ca-certificates.crt
services() {
  local built=$1 key
  key=$(sum "$built/openim-server" $authorities)
  fresh "$images/openim-server.tar" "$key" || {
    "$localkube" image -name "ghcr.io/openim-cluster/openim-server:$version" -out "$images/openim-server.tar" \
      -env SSL_CERT_FILE=$authorities -entrypoint /openim-server "$built/openim-server:/openim-server" $authorities:$authorities; made "$images/openim-server.tar" "$key"; }
  key=$(sum "$built/openim-operator" $authorities)
  fresh "$images/openim-operator.tar" "$key" || {
    "$localkube" image -name "ghcr.io/openim-cluster/openim-operator:$version" -out "$images/openim-operator.tar" \
      -env SSL_CERT_FILE=$authorities -entrypoint /openim-operator "$built/openim-operator:/openim-operator" $authorities:$authorities; made "$images/openim-operator.tar" "$key"; }
}

case ${1:-} in
  dependencies) dependencies ;;
  tests) tests ;;
  services) services "${2:?the folder with the programs}" ;;
  *) echo "usage: $0 dependencies | tests | services FOLDER" >&2; exit 2 ;;
esac
