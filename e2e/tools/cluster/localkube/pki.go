package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func writePEM(path, kind string, der []byte, mode os.FileMode) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}

func serial() *big.Int {
	number, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err)
	}
	return number
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(path, "EC PRIVATE KEY", der, 0o600)
}

func newAuthority(dir string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "openim-local-ca"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if err := writePEM(filepath.Join(dir, "ca.crt"), "CERTIFICATE", der, 0o644); err != nil {
		return nil, err
	}
	return &authority{cert, key}, writeKey(filepath.Join(dir, "ca.key"), key)
}

// issue writes name.crt and name.key.
func (a *authority) issue(dir, name, user string, groups []string, hosts []string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: user, Organization: groups},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(dir, name+".crt"), "CERTIFICATE", der, 0o644); err != nil {
		return err
	}
	return writeKey(filepath.Join(dir, name+".key"), key)
}

func writeKubeconfig(path, server, pki, name string) error {
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: openim-local
clusters: [{name: openim-local, cluster: {server: "%s", certificate-authority: "%s/ca.crt"}}]
users: [{name: %s, user: {client-certificate: "%s/%s.crt", client-key: "%s/%s.key"}}]
contexts: [{name: openim-local, context: {cluster: openim-local, user: %s}}]
`, server, pki, name, pki, name, pki, name, name)
	return os.WriteFile(path, []byte(text), 0o600)
}

// ensurePKI writes all certificates and kubeconfigs once.
func ensurePKI() error {
	pki := stateDir("pki")
	if _, err := os.Stat(adminKubeconfig()); err == nil {
		return nil
	}
	if err := os.MkdirAll(pki, 0o700); err != nil {
		return err
	}
	ca, err := newAuthority(pki)
	if err != nil {
		return err
	}
	inside := "https://" + nodeAddress + ":6443"
	users := []struct {
		name, user string
		groups     []string
	}{
		{"admin", "admin", []string{"system:masters"}},
		{"controller-manager", "system:kube-controller-manager", nil},
		{"scheduler", "system:kube-scheduler", nil},
		{"kube-proxy", "system:kube-proxy", nil},
		{"kubelet", "system:node:" + firstNode.name, []string{"system:nodes"}},
		{"kubelet" + secondNode.suffix, "system:node:" + secondNode.name, []string{"system:nodes"}},
		{"apiserver-kubelet", "apiserver-kubelet", []string{"system:masters"}},
	}
	for _, user := range users {
		hosts := []string(nil)
		for _, n := range []node{firstNode, secondNode} {
			if user.name == "kubelet"+n.suffix {
				hosts = []string{n.name, n.address, "127.0.0.1"}
			}
		}
		if err := ca.issue(pki, user.name, user.user, user.groups, hosts); err != nil {
			return err
		}
		if err := writeKubeconfig(stateDir(user.name+"-inside.kubeconfig"), inside, pki, user.name); err != nil {
			return err
		}
	}
	apiHosts := []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		"localhost", "127.0.0.1", nodeAddress, apiServiceIP}
	if err := ca.issue(pki, "apiserver", "kube-apiserver", nil, apiHosts); err != nil {
		return err
	}
	if err := ca.issue(pki, "service-account", "service-account", nil, nil); err != nil {
		return err
	}
	return writeKubeconfig(adminKubeconfig(), "https://127.0.0.1:"+outerAPIServerPort(), pki, "admin")
}
