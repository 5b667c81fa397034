# Shared by the scripts behind the Makefile.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export OPENIM_CACHE=${OPENIM_CACHE:-$HOME/.cache/openim}
state=${OPENIM_CLUSTER_STATE:-/var/lib/openim-cluster}
bin=$OPENIM_CACHE/bin
cluster_name=${OPENIM_NAME:-chat}
cluster_namespace=${OPENIM_NAMESPACE:-openim}
# cargo and go as the usual installers leave them
export PATH=$PATH:$HOME/.cargo/bin:/usr/local/go/bin:$bin

if [ -n "${CONTEXT:-}" ]; then kubectl=(kubectl --context "$CONTEXT"); else kubectl=(kubectl --kubeconfig "$state/admin.kubeconfig"); fi
kube() { "${kubectl[@]}" "$@"; }
helm_here() {
  if [ -n "${CONTEXT:-}" ]; then helm --kube-context "$CONTEXT" "$@"; else "$bin/helm" --kubeconfig "$state/admin.kubeconfig" "$@"; fi
}

# Seconds that anything may take which is waited for, and what replaces all pods of a large cluster one by one. A deadline only turns a hang into a
# failure: a short one makes slow machines fail.
# shellcheck disable=SC2034 # for those that source this
deadline=300 slow=900
# A request that is never answered ends with the deadline too.
curl() { command curl --max-time "$deadline" "$@"; }
# What is downloaded is asked for again when the network stumbles.
export CARGO_NET_RETRY=5 PIP_RETRIES=5 npm_config_fetch_retries=5

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

# The services and the operator as static binaries; cargo itself knows what is stale. OPENIM_BUILT says that it was already asked, before the first test.
build_services() { [ -n "${OPENIM_BUILT:-}" ] || cargo_static build --bin openim-server --bin openim-operator "$@"; }
# tested [OPTION…] FILE…: tests in JavaScript, in e2e/tests; each file is a process of its own.
tested() (
  cd "$root/e2e/tests" || exit
  exec node --experimental-websocket --no-warnings --test --test-force-exit --test-timeout=${deadline}000 --test-reporter=spec "$@"
)
# What tests in JavaScript need: installed once for each lock file.
node_modules() {
  local key mark=$root/e2e/tests/sdk/node_modules/.installed
  key=$(sha256sum < "$root/e2e/tests/sdk/package-lock.json")
  [ "$(cat "$mark" 2> /dev/null)" != "$key" ] || return 0
  (cd "$root/e2e/tests/sdk" && npm ci --no-audit --no-fund --silent) && printf '%s' "$key" > "$mark"
}
# The raw protocol clients: the checker and the bench, in $built.
build_checker() { [ -n "${OPENIM_BUILT:-}" ] || cargo_static build -q --bin checker --bin bench; }
# checking NAME CONVERSATIONS OPTIONS…: the checker sends from here on until it is stopped; e2e/out/NAME.json is its result.
checking() {
  local output=$root/e2e/out/$1 conversations=$2; shift 2
  mkdir -p "$root/e2e/out"
  "$built/checker" --conversations "$conversations" --pause-ms 40 --name "$cluster_name" --namespace "$cluster_namespace" "$@" \
    > "$output.json" 2> "$output.log" & checker=$!
}
# checked NAME: it has sent enough, and has to be content. One that has ended before says why.
checked() {
  sleep 5
  kill "$checker" 2> /dev/null || true
  wait "$checker" || { echo "the checker found violations:"; tail -5 "$root/e2e/out/$1.log"; cat "$root/e2e/out/$1.json"; exit 1; }
  cat "$root/e2e/out/$1.json"
}
# kubectl openim, in $built.
build_plugin() { [ -n "${OPENIM_BUILT:-}" ] || cargo_static build -q --bin kubectl-openim; }
# What work and tests build, compiled in a third of the time; with RELEASE=1 what is shipped (see Cargo.toml).
profile=${OPENIM_PROFILE:-${RELEASE:+release}}
profile=${profile:-gate}
built=$OPENIM_CACHE/target/x86_64-unknown-linux-gnu/$profile
# What is compiled is a copy whose files keep their times while their content is the same: a fresh clone compiles only what differs from what was compiled
# last. Times of a checkout say nothing, and those of commits would make an older file with other content look unchanged.
mirror=$OPENIM_CACHE/source
# mirrored COMMAND…: runs it while the copy is that of this checkout; whoever builds another one waits.
mirrored() (
  mkdir -p "$mirror"
  exec 7> "$mirror.lock"
  flock 7
  rsync --recursive --links --perms --checksum --delete --exclude=/.git --exclude=/target --exclude=/dist --exclude=/e2e/out --exclude=node_modules "$root/" "$mirror/"
  "$@" 7>&-
)
# Always the whole workspace: what its programs and tests share is then built once, with the same features.
cargo_static() { # COMMAND OPTIONS…
  local command=$1; shift
  RUSTFLAGS="-C target-feature=+crt-static" CARGO_TARGET_DIR=$OPENIM_CACHE/target mirrored \
    cargo "$command" --locked --profile "$profile" --target x86_64-unknown-linux-gnu --workspace --manifest-path "$mirror/Cargo.toml" "$@"
}
# An earlier version of the services, $previous_server: built once, with the dependencies of today.
previous=d1eda00
previous_server=$OPENIM_CACHE/versions/$previous/openim-server
build_previous() {
  local folder=$OPENIM_CACHE/versions/$previous
  [ ! -x "$previous_server" ] || return 0
  (
    rm -rf "$folder" && mkdir -p "$folder/source" && cd "$folder/source" || exit
    git -C "$root" archive "$previous" | tar -xm
    cp "$root/Cargo.lock" .
    # A name of its own for what is compiled: both have one target directory.
    sed -i "0,/^version = /s/^version = .*/version = \"0.0.1-$previous\"/" Cargo.toml
    RUSTFLAGS="-C target-feature=+crt-static" CARGO_TARGET_DIR=$OPENIM_CACHE/target \
      cargo build -q --offline --profile "$profile" --target x86_64-unknown-linux-gnu --workspace --bin openim-server
    mv "$built/openim-server" ..
    rm -rf "$folder/source"
  )
  OPENIM_BUILT='' build_services -q
}
# … | has PATTERN: grep -q, which would stop reading at the first match: pipefail then takes the death of what writes for a failure.
has() { local all; all=$(cat); grep -q "$@" <<< "$all"; }
workspace_version() { sed -n '0,/^version = /s/^version = "\(.*\)"/\1/p' "$root/Cargo.toml"; }
# pod_of NAMESPACE SELECTOR [FIELD]: the name, or another field, of the first pod that is not on its way out.
pod_of() {
  kube -n "$1" get pods -l "$2" --field-selector=status.phase=Running -o \
    "go-template={{range .items}}{{if not .metadata.deletionTimestamp}}{{${3:-.metadata.name}}}{{\"\n\"}}{{end}}{{end}}" | sed -n 1p
}
# What the operator counts.
operator_metrics() { kube get --raw "/api/v1/namespaces/openim-system/pods/$(pod_of openim-system app.kubernetes.io/name=openim-operator):12000/proxy/metrics"; }
# pods_that_stay FIELDS OPTIONS…: those that are not on their way out, a gateway that drains for a minute, say: the uid of each, and what the template FIELDS adds.
pods_that_stay() {
  local fields=$1; shift
  kube -n "$cluster_namespace" get pods "$@" -o "go-template={{range .items}}{{if not .metadata.deletionTimestamp}}{{.metadata.uid}}$fields{{\"\n\"}}{{end}}{{end}}" | sort
}
# wait_ready NAME [SECONDS]: until the cluster is Ready for its newest generation; $deadline if omitted.
wait_ready() {
  local seconds now watch watcher; seconds=${2:-$deadline}
  local end=$((SECONDS + seconds))
  while [ $SECONDS -lt $end ]; do
    # A watch is cheaper than polling; it is started again if it ends too early.
    exec {watch}< <(exec timeout $((end - SECONDS)) "${kubectl[@]}" -n "$cluster_namespace" get openimcluster "$1" --watch -o \
      'jsonpath={.metadata.generation} {.status.observedGeneration} {.status.conditions[?(@.type=="Ready")].observedGeneration} {.status.conditions[?(@.type=="Ready")].status}{"\n"}')
    watcher=$!
    while read -r now <&"$watch"; do
      if [[ "$now" =~ ^([0-9]+)\ ([0-9]+)\ ([0-9]+)\ True$ ]] && [ "${BASH_REMATCH[1]}${BASH_REMATCH[2]}" = "${BASH_REMATCH[3]}${BASH_REMATCH[1]}" ]; then
        kill "$watcher" 2> /dev/null || true
        exec {watch}<&-
        return
      fi
    done
    exec {watch}<&-
    sleep 0.3
  done
  echo "$1 is not Ready after $seconds s: $(kube -n "$cluster_namespace" get openimcluster "$1" -o 'jsonpath={.status.message}')"
  kube -n "$cluster_namespace" get pods; exit 1
}
# eventually EXPECTED COMMAND…: until the command prints it.
eventually() {
  local end=$((SECONDS + deadline)) expected=$1; shift
  while [ $SECONDS -lt $end ]; do [ "$("$@" 2>/dev/null)" = "$expected" ] && return; sleep 0.3; done
  echo "expected '$expected', got '$("$@" 2>&1)' from: $*"; exit 1
}
service_images() { "$root/e2e/tools/images/build.sh" services "$built"; }
