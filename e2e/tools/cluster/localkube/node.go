package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// node is a kubelet with a containerd of its own. All nodes share the network namespace, its kube-proxy and the directories of the volumes, so a pod
// finds its volume on any of them.
type node struct {
	name, address string
	// suffix tells its processes from those of the other nodes, dir its files.
	suffix string
	dir    func(...string) string
	// port and health are those of the kubelet; cgroup is where its pods are, empty for the top.
	port, health int
	cgroup       string
}

var (
	firstNode  = node{name: nodeName, address: nodeAddress, dir: stateDir, port: 10250, health: 10248}
	secondNode = node{name: nodeName + "-2", address: "192.0.2.11", suffix: "-2", port: 10260, health: 10258, cgroup: "/openim-node-2",
		dir: func(parts ...string) string { return stateDir(append([]string{"node-2"}, parts...)...) }}
)

func (n node) containerd() component {
	return component{name: "containerd" + n.suffix, args: []string{"containerd", "--config", n.dir("containerd.toml")}}
}

func (n node) kubelet() component {
	return component{name: "kubelet" + n.suffix, args: []string{stateDir("bin", "kubelet"), "--config=" + n.dir("kubelet.yaml"),
		"--kubeconfig=" + stateDir("kubelet"+n.suffix+"-inside.kubeconfig"), "--hostname-override=" + n.name, "--node-ip=" + n.address,
		"--root-dir=" + n.dir("kubelet")}}
}

func (n node) writeConfigs() error {
	for _, dir := range []string{"kubelet", "containerd", "containerd-run"} {
		if err := os.MkdirAll(n.dir(dir), 0o755); err != nil {
			return err
		}
	}
	containerd := fmt.Sprintf(`version = 2
root = "%s"
state = "%s"
[grpc]
  address = "%s"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "openim.local/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "%s"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
`, n.dir("containerd"), n.dir("containerd-run"), n.dir("containerd.sock"), stateDir("cni"))
	if err := os.WriteFile(n.dir("containerd.toml"), []byte(containerd), 0o644); err != nil {
		return err
	}
	kubelet := fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://%s
cgroupDriver: cgroupfs
cgroupRoot: "%s"
failCgroupV1: false
failSwapOn: false
port: %d
healthzPort: %d
clusterDNS: [%s]
clusterDomain: cluster.local
resolvConf: %s
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: %s}}
authorization: {mode: Webhook}
tlsCertFile: %s
tlsPrivateKeyFile: %s
evictionHard: {memory.available: 100Mi}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
maxPods: 200
registerWithTaints: []
serializeImagePulls: false
nodeStatusUpdateFrequency: 5s
shutdownGracePeriod: 0s
logging: {verbosity: 1}
`, n.dir("containerd.sock"), n.cgroup, n.port, n.health, dnsServiceIP, stateDir("resolv.conf"), stateDir("pki", "ca.crt"),
		stateDir("pki", "kubelet"+n.suffix+".crt"), stateDir("pki", "kubelet"+n.suffix+".key"))
	return os.WriteFile(n.dir("kubelet.yaml"), []byte(kubelet), 0o644)
}

func (n node) ctr(args ...string) (string, error) {
	return runCommand(append([]string{"ctr", "--address", n.dir("containerd.sock"), "-n", "k8s.io"}, args...)...)
}

func (n node) load(file string) error {
	_, err := n.ctr("images", "import", "--snapshotter", "overlayfs", file)
	return err
}

// load imports archives on every node that runs.
func load(files []string) error {
	for _, n := range []node{firstNode, secondNode} {
		if _, runs := running(n.containerd().name); !runs {
			continue
		}
		for _, file := range files {
			if err := n.load(file); err != nil {
				return err
			}
		}
	}
	return nil
}

// loadImages imports what was built or changed since the last time.
func (n node) loadImages() error {
	ready := func() error { _, err := n.ctr("version"); return err }
	if err := waitFor("containerd", n.containerd().name, 30*time.Second, ready); err != nil {
		return err
	}
	files, err := filepath.Glob(toolDir("images", "*.tar"))
	if err != nil {
		return err
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		mark := n.dir("loaded", filepath.Base(file))
		stamp := fmt.Sprint(info.ModTime().UnixNano())
		if known, err := os.ReadFile(mark); err == nil && string(known) == stamp {
			continue
		}
		if err := n.load(file); err != nil {
			return err
		}
		_ = os.MkdirAll(n.dir("loaded"), 0o755)
		if err := os.WriteFile(mark, []byte(stamp), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (n node) waitReady() error {
	return waitFor("the node", n.kubelet().name, 90*time.Second, func() error {
		_, err := kubectl("", "wait", "--for=condition=Ready", "node/"+n.name, "--timeout=1s")
		return err
	})
}

// join starts the second node, with the images given besides those of the cluster.
func join(images []string) error {
	n := secondNode
	return step("a second node", func() error {
		if err := n.writeConfigs(); err != nil {
			return err
		}
		if _, err := runCommand(insideArgs([]string{"ip", "addr", "replace", n.address + "/24", "dev", "eth0"})...); err != nil {
			return err
		}
		if err := n.makeCgroups(); err != nil {
			return err
		}
		if err := n.containerd().start(); err != nil {
			return err
		}
		if err := n.loadImages(); err != nil {
			return err
		}
		for _, image := range images {
			if err := n.load(image); err != nil {
				return err
			}
		}
		if err := n.kubelet().start(); err != nil {
			return err
		}
		return n.waitReady()
	})
}

// leave ends the second node; drain it first.
func leave([]string) error {
	// What stays after a drain, as the pods of DaemonSets: nobody is to be sent to them any more.
	_, err := kubectl("", "delete", "pods", "--all-namespaces", "--field-selector=spec.nodeName="+secondNode.name, "--grace-period=0", "--force")
	_, gone := kubectl("", "delete", "node", secondNode.name, "--ignore-not-found")
	secondNode.stop()
	return errors.Join(err, gone)
}

// cgroups are the directories below which the kubelet keeps those of its pods.
func (n node) cgroups() []string {
	roots, _ := filepath.Glob("/sys/fs/cgroup/*/cgroup.procs")
	var dirs []string
	for _, root := range roots {
		// The first version has a tree for each controller; what has a type is a group inside of a tree.
		if _, err := os.Stat(filepath.Join(filepath.Dir(root), "cgroup.type")); os.IsNotExist(err) {
			dirs = append(dirs, filepath.Dir(root)+n.cgroup)
		}
	}
	return append(dirs, "/sys/fs/cgroup"+n.cgroup)
}

func (n node) makeCgroups() error {
	if n.cgroup == "" {
		return nil
	}
	for _, dir := range n.cgroups() {
		if _, err := os.Stat(filepath.Dir(dir) + "/cgroup.procs"); err != nil {
			continue
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		inherit(filepath.Dir(dir), dir)
	}
	return nil
}

// inherit gives a group what the kernel does not hand down by itself: in the first version the processors and memories, in the second the controllers.
func inherit(from, to string) {
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		if value, err := os.ReadFile(filepath.Join(from, name)); err == nil {
			_ = os.WriteFile(filepath.Join(to, name), value, 0o644)
		}
	}
	if have, err := os.ReadFile(filepath.Join(to, "cgroup.controllers")); err == nil {
		for _, controller := range strings.Fields(string(have)) {
			_ = os.WriteFile(filepath.Join(to, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
		}
	}
}

// stop ends the node and everything on it, and removes what it left.
func (n node) stop() {
	stopComponent(n.kubelet().name, 10*time.Second)
	// Containers outlive containerd: stop them while it can still be asked.
	if _, alive := running(n.containerd().name); alive {
		ids, _ := n.ctr("tasks", "ls", "-q")
		for _, id := range strings.Fields(ids) {
			_, _ = n.ctr("tasks", "kill", "--signal", "SIGKILL", id)
		}
		deadline := time.Now().Add(10 * time.Second)
		for time.Now().Before(deadline) {
			ids, _ = n.ctr("tasks", "ls", "-q")
			for _, id := range strings.Fields(ids) {
				_, _ = n.ctr("tasks", "delete", "--force", id)
			}
			if strings.TrimSpace(ids) == "" {
				break
			}
			time.Sleep(200 * time.Millisecond)
		}
		ids, _ = n.ctr("containers", "ls", "-q")
		for _, id := range strings.Fields(ids) {
			_, _ = n.ctr("containers", "delete", id)
		}
	}
	stopComponent(n.containerd().name, 10*time.Second)
	n.endShims()
	unmountBelow(n.dir("kubelet"))
	unmountBelow(n.dir("containerd-run"))
	for _, dir := range n.cgroups() {
		removeGroups(dir + "/kubepods")
		if n.cgroup != "" {
			_ = syscall.Rmdir(dir)
		}
	}
	if n.suffix != "" {
		_ = os.RemoveAll(n.dir())
	}
}

// endShims ends the container shims of this containerd, known by its socket on their command line.
func (n node) endShims() {
	processes, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range processes {
		line, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(line, []byte("containerd-shim-runc")) || !bytes.Contains(line, []byte(n.dir("containerd.sock"))) {
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(path, "/proc/%d/cmdline", &pid); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

func unmountBelow(dir string) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return
	}
	lines := strings.Split(string(mounts), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		fields := strings.Fields(lines[i])
		if len(fields) > 1 && (fields[1] == dir || strings.HasPrefix(fields[1], dir+"/")) {
			_ = syscall.Unmount(fields[1], syscall.MNT_DETACH)
		}
	}
}

func removeGroups(root string) {
	var dirs []string
	_ = filepath.WalkDir(root, func(path string, item os.DirEntry, err error) error {
		if err == nil && item.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	for i := len(dirs) - 1; i >= 0; i-- {
		_ = syscall.Rmdir(dirs[i])
	}
}
