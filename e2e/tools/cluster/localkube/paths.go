package main

import (
	"os"
	"path/filepath"
)

const (
	namespaceName = "openim-kube"
	nodeAddress   = "192.0.2.10"
	nodeName      = "openim-node"
	podCIDR       = "10.244.0.0/16"
	serviceCIDR   = "10.96.0.0/16"
	apiServiceIP  = "10.96.0.1"
	dnsServiceIP  = "10.96.0.10"
	// ingressNodePort is where the ingress controller's Service listens on the node.
	ingressNodePort = "30080"
)

func fromEnv(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}

// stateDir holds certificates, data, logs and pids of the running cluster.
func stateDir(parts ...string) string {
	root := fromEnv("OPENIM_CLUSTER_STATE", "/var/lib/openim-cluster")
	return filepath.Join(append([]string{root}, parts...)...)
}

// toolDir holds the binaries that e2e/tools/cluster/build.sh made.
func toolDir(parts ...string) string {
	home, _ := os.UserHomeDir()
	root := fromEnv("OPENIM_CACHE", filepath.Join(home, ".cache", "openim"))
	return filepath.Join(append([]string{root}, parts...)...)
}

func adminKubeconfig() string { return stateDir("admin.kubeconfig") }

// Outer addresses, on 127.0.0.1 of the machine's own network namespace.
func outerIngressPort() string   { return fromEnv("OPENIM_INGRESS_PORT", "18080") }
func outerAPIServerPort() string { return fromEnv("OPENIM_APISERVER_PORT", "16443") }
