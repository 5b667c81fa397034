# Shared by the scripts behind the Makefile.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export OPENIM_CACHE=${OPENIM_CACHE:-$HOME/.cache/openim}
state=${OPENIM_CLUSTER_STATE:-/var/lib/openim-cluster}
bin=$OPENIM_CACHE/bin
cluster_name=${OPENIM_NAME:-chat}
cluster_namespace=${OPENIM_NAMESPACE:-openim}
# cargo and go as the usual installers leave them
export PATH=$PATH:$HOME/.cargo/bin:/usr/local/go/bin:$bin

kube() {
  if [ -n "${CONTEXT:-}" ]; then kubectl --context "$CONTEXT" "$@"; else kubectl --kubeconfig "$state/admin.kubeconfig" "$@"; fi
}
helm_here() {
  if [ -n "${CONTEXT:-}" ]; then helm --kube-context "$CONTEXT" "$@"; else "$bin/helm" --kubeconfig "$state/admin.kubeconfig" "$@"; fi
}

# step NAME COMMAND…: says what is done and for how long; on failure shows the end of the log.
step() {
  local name=$1 started=$SECONDS log=$OPENIM_CACHE/log/${1// /-}.log
  shift
  mkdir -p "$OPENIM_CACHE/log"
  printf '  %s …\n' "$name"
  if ! "$@" > "$log" 2>&1; then
    printf '  %-34sfailed\n' "$name"; echo "the end of $log:"; tail -25 "$log"; exit 1
  fi
  printf '  %-34s%6d s\n' "$name" $((SECONDS - started))
}

# The services as static binaries; cargo itself knows what is stale.
build_services() {
  RUSTFLAGS="-C target-feature=+crt-static" CARGO_TARGET_DIR=$OPENIM_CACHE/target \
    cargo build --locked --release --target x86_64-unknown-linux-gnu -p server -p operator --manifest-path "$root/Cargo.toml" "$@"
}
# The raw protocol clients: the checker and the bench, in $checker_bin.
checker_bin=$OPENIM_CACHE/target/x86_64-unknown-linux-gnu/release
build_checker() {
  RUSTFLAGS="-C target-feature=+crt-static" CARGO_TARGET_DIR=$OPENIM_CACHE/target \
    cargo build -q --locked --release --target x86_64-unknown-linux-gnu -p checker --manifest-path "$root/Cargo.toml"
}
service_images() { "$root/e2e/images/build.sh" services "$OPENIM_CACHE/target"; }
