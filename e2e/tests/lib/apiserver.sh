# A real API server and the controllers of Kubernetes on loopback, without a scheduler or a node (kubelet.mjs stands in for both), and the operator as a process
# with the rights of its chart: sourced after loopback.sh. `kube` and what lib.sh builds on it talk to this API server.
# shellcheck disable=SC2034 # for those who source this
: "${work:?source loopback.sh first}" "${bin:?}" "${root:?}" "${built:?}" "${deadline:?}"
[ "$OPENIM_APART" = own ] || { echo "the addresses of pods need a network namespace: run it as root, or where user namespaces are allowed"; exit 1; }
# Of the pods that are pretended: Kubernetes takes none of 127.0.0.0/8.
ip route add local 198.18.0.0/16 dev lo
start_etcd() {
  start etcd "$bin/etcd" --data-dir "$work/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls http://127.0.0.1:23790 --advertise-client-urls http://127.0.0.1:23790 \
    --listen-peer-urls http://127.0.0.1:23800 --initial-advertise-peer-urls http://127.0.0.1:23800 --initial-cluster default=http://127.0.0.1:23800
  until_listens etcd 23790
}
# kubeconfig FILE TOKEN
kubeconfig() {
  cat > "$1" <<END_OF_FILE
apiVersion: v1
kind: Config
clusters: [{name: here, cluster: {server: "https://127.0.0.1:23443", certificate-authority: "$work/pki/apiserver.crt"}}]
users: [{name: here, user: {token: "$2"}}]
contexts: [{name: here, context: {cluster: here, user: here}}]
current-context: here
END_OF_FILE
}
start_apiserver() { # AUDIT_LOG: where the operator's requests are noted
  local name token=of-this-test end=$((SECONDS + deadline))
  start_etcd
  mkdir -p "$work/bin" "$work/pki"
  for name in kube-apiserver kube-controller-manager; do ln -s "$bin/kubernetes" "$work/bin/$name"; done
  openssl genrsa -out "$work/pki/accounts.key" 2048 2> /dev/null
  echo "$token,admin,admin,system:masters" > "$work/pki/tokens"
  cat > "$work/pki/audit.yaml" <<'END_OF_FILE'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, users: ["system:serviceaccount:openim-system:openim-operator"]}
- {level: None}
END_OF_FILE
  start kube-apiserver "$work/bin/kube-apiserver" --etcd-servers=http://127.0.0.1:23790 --bind-address=127.0.0.1 --secure-port=23443 --cert-dir="$work/pki" \
    --advertise-address=192.0.2.1 --endpoint-reconciler-type=none --service-cluster-ip-range=10.96.0.0/16 --authorization-mode=RBAC --token-auth-file="$work/pki/tokens" \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$work/pki/accounts.key" --service-account-signing-key-file="$work/pki/accounts.key" \
    --allow-privileged=true --profiling=false --audit-policy-file="$work/pki/audit.yaml" --audit-log-path="$1"
  kubeconfig "$work/admin.kubeconfig" "$token"
  kubectl=("$bin/kubectl" --kubeconfig "$work/admin.kubeconfig")
  until kube get --raw /readyz > /dev/null 2>&1; do
    kill -0 "${running[kube-apiserver]:?}" || { tail -5 "$work/kube-apiserver.out"; exit 1; }
    [ $SECONDS -lt $end ] || { echo "the API server is not ready"; tail -5 "$work/kube-apiserver.out"; exit 1; }
    sleep 0.2
  done
  # Those that look after nodes would miss some.
  start kube-controller-manager "$work/bin/kube-controller-manager" --kubeconfig="$work/admin.kubeconfig" --leader-elect=false --bind-address=127.0.0.1 \
    --service-account-private-key-file="$work/pki/accounts.key" --root-ca-file="$work/pki/apiserver.crt" --kube-api-qps=100 --kube-api-burst=200 \
    --controllers='*,-node-lifecycle-controller,-taint-eviction-controller,-pod-garbage-collector-controller,-node-ipam-controller,-persistentvolume-attach-detach-controller'
  start kubelet env NODE_EXTRA_CA_CERTS="$work/pki/apiserver.crt" node "$root/e2e/tests/lib/kubelet.mjs" https://127.0.0.1:23443 "$token"
}
# The chart, without its Deployment: the operator is a process here.
start_operator() {
  kube create namespace openim-system
  helm template openim-operator "$root/charts/openim-operator" -n openim-system > "$work/chart.yaml"
  kube apply --server-side -f "$work/chart.yaml" > /dev/null
  kube -n openim-system delete deployment openim-operator
  kube wait --for=condition=Established --timeout="${deadline}s" customresourcedefinition/openimclusters.openim.io customresourcedefinition/openimservices.openim.io
  kubeconfig "$work/operator.kubeconfig" "$(kube -n openim-system create token openim-operator --duration=24h)"
  start_replica operator 23900
}
start_replica() { # NAME ADMIN_PORT: one more operator process
  start "$1" env KUBECONFIG="$work/operator.kubeconfig" POD_NAMESPACE=openim-system POD_NAME="$1" "$built/openim-operator" --admin-port "$2"
}
operator_metrics() { curl -sf http://127.0.0.1:23900/metrics; }
