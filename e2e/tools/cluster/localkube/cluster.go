package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

//go:embed manifests
var manifests embed.FS

// Order matters: started first to last, stopped last to first.
func components() []component {
	bin := func(name string) string { return toolDir("bin", name) }
	pki := func(name string) string { return stateDir("pki", name) }
	inside := func(name string) string { return stateDir(name + "-inside.kubeconfig") }
	return []component{
		{name: "etcd", args: []string{bin("etcd"), "--data-dir", stateDir("etcd"), "--unsafe-no-fsync",
			"--listen-client-urls", "http://127.0.0.1:2379", "--advertise-client-urls", "http://127.0.0.1:2379",
			"--listen-peer-urls", "http://127.0.0.1:2380", "--log-level", "warn"}},
		{name: "kube-apiserver", args: []string{stateDir("bin", "kube-apiserver"),
			"--etcd-servers=http://127.0.0.1:2379", "--secure-port=6443", "--advertise-address=" + nodeAddress,
			"--service-cluster-ip-range=" + serviceCIDR, "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
			"--client-ca-file=" + pki("ca.crt"), "--tls-cert-file=" + pki("apiserver.crt"), "--tls-private-key-file=" + pki("apiserver.key"),
			"--kubelet-client-certificate=" + pki("apiserver-kubelet.crt"), "--kubelet-client-key=" + pki("apiserver-kubelet.key"),
			"--kubelet-certificate-authority=" + pki("ca.crt"), "--kubelet-preferred-address-types=InternalIP",
			"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file=" + pki("service-account.crt"),
			"--service-account-signing-key-file=" + pki("service-account.key"), "--allow-privileged=true", "--profiling=false",
			"--audit-policy-file=" + stateDir("audit.yaml"), "--audit-log-path=" + stateDir("log", "operator-audit.log"),
			"--audit-log-maxsize=100", "--audit-log-maxbackup=5"}},
		{name: "kube-controller-manager", args: []string{stateDir("bin", "kube-controller-manager"),
			"--kubeconfig=" + inside("controller-manager"), "--leader-elect=false", "--use-service-account-credentials=true",
			"--service-account-private-key-file=" + pki("service-account.key"), "--root-ca-file=" + pki("ca.crt"),
			"--node-monitor-grace-period=40s", "--bind-address=127.0.0.1", "--kube-api-qps=100", "--kube-api-burst=200"}},
		{name: "kube-scheduler", args: []string{stateDir("bin", "kube-scheduler"),
			"--kubeconfig=" + inside("scheduler"), "--leader-elect=false", "--bind-address=127.0.0.1"}},
		firstNode.containerd(),
		firstNode.kubelet(),
		{name: "kube-proxy", args: []string{stateDir("bin", "kube-proxy"), "--kubeconfig=" + inside("kube-proxy"),
			"--proxy-mode=iptables", "--cluster-cidr=" + podCIDR, "--hostname-override=" + nodeName, "--conntrack-max-per-core=0",
			"--conntrack-tcp-timeout-established=0s", "--conntrack-tcp-timeout-close-wait=0s", "--metrics-bind-address=127.0.0.1:10249"}},
		{name: "forward", outside: true, args: []string{os.Args[0], "forward"}},
	}
}

func writeConfigs() error {
	for _, dir := range []string{"bin", "volumes"} {
		if err := os.MkdirAll(stateDir(dir), 0o755); err != nil {
			return err
		}
	}
	for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"} {
		link := stateDir("bin", name)
		if _, err := os.Lstat(link); err == nil {
			continue
		}
		if err := os.Symlink(toolDir("bin", "kubernetes"), link); err != nil {
			return err
		}
	}
	if err := os.WriteFile(stateDir("resolv.conf"), []byte("options ndots:5\n"), 0o644); err != nil {
		return err
	}
	if err := firstNode.writeConfigs(); err != nil {
		return err
	}
	// What the operator asks for is compared with what it may.
	audit := `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, users: ["system:serviceaccount:openim-system:openim-operator"]}
- {level: None}
`
	return os.WriteFile(stateDir("audit.yaml"), []byte(audit), 0o644)
}

// step runs one named part of the start and says how long it took.
func step(name string, work func() error) error {
	fmt.Printf("  %-34s", name)
	started := time.Now()
	if err := work(); err != nil {
		fmt.Println("failed")
		return fmt.Errorf("%s: %w", name, err)
	}
	fmt.Printf("%6.1f s\n", time.Since(started).Seconds())
	return nil
}

func waitFor(what, logOf string, patience time.Duration, ready func() error) error {
	deadline := time.Now().Add(patience)
	var last error
	for time.Now().Before(deadline) {
		if last = ready(); last == nil {
			return nil
		}
		if logOf != "" {
			if _, alive := running(logOf); !alive {
				return fmt.Errorf("%s has stopped; the end of %s:\n%s", logOf, logFile(logOf), tail(logOf))
			}
		}
		time.Sleep(200 * time.Millisecond)
	}
	if logOf == "" {
		return fmt.Errorf("%s not ready within %s: %w", what, patience, last)
	}
	return fmt.Errorf("%s not ready within %s: %w; the end of %s:\n%s", what, patience, last, logFile(logOf), tail(logOf))
}

func apiserverReady() error {
	ca, err := os.ReadFile(stateDir("pki", "ca.crt"))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	cert, err := tls.LoadX509KeyPair(stateDir("pki", "admin.crt"), stateDir("pki", "admin.key"))
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}},
	}}
	answer, err := client.Get("https://127.0.0.1:" + outerAPIServerPort() + "/readyz")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", answer.Status, bytes.TrimSpace(body))
	}
	return nil
}

func kubectl(input string, args ...string) (string, error) {
	command := exec.Command("kubectl", append([]string{"--kubeconfig", adminKubeconfig()}, args...)...)
	if _, err := exec.LookPath("kubectl"); err != nil {
		command = exec.Command(toolDir("bin", "kubectl"), append([]string{"--kubeconfig", adminKubeconfig()}, args...)...)
	}
	command.Stdin = strings.NewReader(input)
	output, err := command.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(output))
	}
	return string(output), nil
}

// volumesYAML: static volumes that any user may write; claims bind to them.
func volumesYAML() (string, error) {
	var text strings.Builder
	text.WriteString(`apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: standard, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
allowVolumeExpansion: true
`)
	for i := range 60 {
		name := fmt.Sprintf("volume-%02d", i)
		dir := stateDir("volumes", name)
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return "", err
		}
		if err := os.Chmod(dir, 0o777); err != nil {
			return "", err
		}
		fmt.Fprintf(&text, `---
apiVersion: v1
kind: PersistentVolume
metadata: {name: %s}
spec: {capacity: {storage: 100Gi}, accessModes: [ReadWriteOnce], persistentVolumeReclaimPolicy: Retain, storageClassName: standard, hostPath: {path: %s, type: Directory}}
`, name, dir)
	}
	return text.String(), nil
}

func up([]string) error {
	if os.Getuid() != 0 {
		return errors.New("must run as root: it makes a network namespace and runs a kubelet")
	}
	started := time.Now()
	byName := map[string]component{}
	for _, part := range components() {
		byName[part.name] = part
	}
	begin := func(names ...string) error {
		for _, name := range names {
			if err := byName[name].start(); err != nil {
				return err
			}
		}
		return nil
	}
	if err := step("certificates, network, settings", func() error {
		return errors.Join(ensurePKI(), ensureNetwork(), writeCNI(), writeConfigs())
	}); err != nil {
		return err
	}
	if err := step("etcd, API server", func() error {
		if err := begin("etcd", "kube-apiserver", "forward", "containerd"); err != nil {
			return err
		}
		return waitFor("the API server", "kube-apiserver", 90*time.Second, apiserverReady)
	}); err != nil {
		return err
	}
	if err := step("controllers, scheduler, images", func() error {
		if err := begin("kube-controller-manager", "kube-scheduler"); err != nil {
			return err
		}
		return firstNode.loadImages()
	}); err != nil {
		return err
	}
	if err := step("node", func() error {
		if err := begin("kubelet", "kube-proxy"); err != nil {
			return err
		}
		return firstNode.waitReady()
	}); err != nil {
		return err
	}
	if err := step("volumes, cluster DNS", func() error {
		volumes, err := volumesYAML()
		if err != nil {
			return err
		}
		dns, err := manifests.ReadFile("manifests/coredns.yaml")
		if err != nil {
			return err
		}
		if _, err := kubectl(volumes+"---\n"+string(dns), "apply", "--server-side", "--force-conflicts", "-f", "-"); err != nil {
			return err
		}
		return rolledOut("kube-system", "deployment/coredns")
	}); err != nil {
		return err
	}
	if err := step("ingress controller (Contour)", ingress); err != nil {
		return err
	}
	fmt.Printf("  Kubernetes is ready after %.0f s\n", time.Since(started).Seconds())
	return nil
}

func rolledOut(namespace, what string) error {
	_, err := kubectl("", "-n", namespace, "rollout", "status", what, "--timeout=120s")
	return err
}

// ingress installs Contour as its authors publish it; only the image pull policy and the kind of Service differ.
func ingress() error {
	published, err := os.ReadFile(toolDir("contour.yaml"))
	if err != nil {
		return err
	}
	text := strings.NewReplacer(
		"imagePullPolicy: Always", "imagePullPolicy: IfNotPresent",
		"type: LoadBalancer", "type: NodePort",
		"externalTrafficPolicy: Local", "externalTrafficPolicy: Cluster",
		"- port: 80\n    name: http\n    protocol: TCP\n    targetPort: 8080", "- port: 80\n    name: http\n    protocol: TCP\n    targetPort: 8080\n    nodePort: "+ingressNodePort,
		"replicas: 2", "replicas: 1",
	).Replace(string(published))
	// The certificate job is immutable once it ran.
	documents := strings.Split(text, "\n---")
	if _, err := kubectl("", "-n", "projectcontour", "get", "secret", "contourcert"); err == nil {
		kept := documents[:0]
		for _, document := range documents {
			if !strings.Contains(document, "kind: Job\n") {
				kept = append(kept, document)
			}
		}
		documents = kept
	}
	if _, err := kubectl(strings.Join(documents, "\n---"), "apply", "--server-side", "--force-conflicts", "-f", "-"); err != nil {
		return err
	}
	class := "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: contour, annotations: {ingressclass.kubernetes.io/is-default-class: \"true\"}}\nspec: {controller: projectcontour.io/ingress-controller}\n"
	if _, err := kubectl(class, "apply", "--server-side", "--force-conflicts", "-f", "-"); err != nil {
		return err
	}
	if err := rolledOut("projectcontour", "deployment/contour"); err != nil {
		return err
	}
	return rolledOut("projectcontour", "daemonset/envoy")
}

func status([]string) error {
	all := true
	for _, part := range components() {
		pid, alive := running(part.name)
		all = all && alive
		if alive {
			fmt.Printf("%-26s running, pid %d\n", part.name, pid)
		} else {
			fmt.Printf("%-26s stopped (log: %s)\n", part.name, logFile(part.name))
		}
	}
	if !all {
		return errors.New("not everything runs; `make up` starts it")
	}
	return nil
}

func down([]string) error {
	secondNode.stop()
	firstNode.stop()
	parts := components()
	for i := len(parts) - 1; i >= 0; i-- {
		stopComponent(parts[i].name, 10*time.Second)
	}
	removePodNetworks()
	if err := removeNetwork(); err != nil {
		return err
	}
	return os.RemoveAll(stateDir())
}

// removePodNetworks removes the namespaces of our pods, which CNI recorded under the name of our network.
func removePodNetworks() {
	records, _ := filepath.Glob("/var/lib/cni/results/openim-*")
	for _, record := range records {
		data, err := os.ReadFile(record)
		if err != nil {
			continue
		}
		for _, part := range strings.Split(string(data), "\"") {
			if name := filepath.Base(part); strings.Contains(part, "/netns/cni-") && strings.HasPrefix(name, "cni-") {
				_, _ = runCommand("ip", "netns", "del", name)
			}
		}
		_ = os.Remove(record)
	}
}
