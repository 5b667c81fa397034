package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// ensureNetwork makes the sealed namespace: loopback and a bridge called eth0 with the node's address; no way out.
func ensureNetwork() error {
	if _, err := os.Stat(filepath.Join("/run/netns", namespaceName)); err == nil {
		return nil
	}
	if _, err := runCommand("ip", "netns", "add", namespaceName); err != nil {
		return err
	}
	steps := [][]string{
		{"ip", "link", "set", "lo", "up"},
		{"ip", "link", "add", "eth0", "type", "bridge"},
		{"ip", "addr", "add", nodeAddress + "/24", "dev", "eth0"},
		{"ip", "link", "set", "eth0", "up"},
		{"ip", "route", "add", "default", "dev", "eth0"},
		{"sysctl", "-qw", "net.ipv4.ip_forward=1"},
		{"sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1"},
		{"sysctl", "-qw", "net.ipv4.ip_local_port_range=20000 29999"},
	}
	for _, step := range steps {
		if _, err := runCommand(insideArgs(step)...); err != nil {
			return err
		}
	}
	// Replies between pods on one bridge must pass the NAT table, where the kernel offers that.
	if _, err := os.Stat("/proc/sys/net/bridge/bridge-nf-call-iptables"); err == nil {
		if _, err := runCommand(insideArgs([]string{"sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1"})...); err != nil {
			return err
		}
	}
	return nil
}

func removeNetwork() error {
	if _, err := os.Stat(filepath.Join("/run/netns", namespaceName)); os.IsNotExist(err) {
		return nil
	}
	_, err := runCommand("ip", "netns", "del", namespaceName)
	return err
}

func writeCNI() error {
	dir := stateDir("cni")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text := fmt.Sprintf(`{"cniVersion": "0.4.0", "name": "openim", "plugins": [
  {"type": "ptp", "ipMasq": false, "ipam": {"type": "host-local", "dataDir": "%s", "ranges": [[{"subnet": "%s"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}, "snat": true}
]}
`, stateDir("cni-data"), podCIDR)
	return os.WriteFile(filepath.Join(dir, "10-openim.conflist"), []byte(text), 0o644)
}
