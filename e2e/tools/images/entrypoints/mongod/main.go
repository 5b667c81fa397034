// Takes the flags and environment of the image mongo:8 and runs a server that speaks MongoDB's protocol:
// mongod [--dbpath D] [--port P] [--bind_ip_all] [--replSet N] [--keyFile F] [--tlsMode requireTLS --tlsCertificateKeyFile F --tlsCAFile F
// --tlsAllowConnectionsWithoutCertificates], MONGO_INITDB_ROOT_USERNAME and _PASSWORD or _PASSWORD_FILE.
package main

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	dbpath, port, certificate := "/data/db", "27017", ""
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "mongod" {
		args = args[1:]
	}
	for i := 0; i < len(args); i++ {
		name, value, inline := strings.Cut(args[i], "=")
		next := func() string {
			if !inline && i+1 < len(args) {
				i++
				value = args[i]
			}
			return value
		}
		switch name {
		case "--dbpath":
			dbpath = next()
		case "--port":
			port = next()
		case "--tlsMode":
			if mode := next(); mode != "requireTLS" {
				fmt.Fprintln(os.Stderr, "mongod: not done here: --tlsMode", mode)
				os.Exit(2)
			}
		case "--tlsCertificateKeyFile":
			certificate = next()
		case "--tlsCAFile":
			next() // clients need no certificate
		case "--tlsAllowConnectionsWithoutCertificates":
		case "--replSet", "--keyFile", "--wiredTigerCacheSizeGB", "--bind_ip":
			next() // a set of one with no peers to know it
		case "--bind_ip_all", "--auth", "--ipv6": // it listens on IPv4 alone
		default:
			fmt.Fprintln(os.Stderr, "mongod: unknown flag", name)
			os.Exit(2)
		}
	}
	// Without the sync it loses, when it is killed, what it has confirmed.
	flags := []string{"--sync-on-commit", "--host", "0.0.0.0", "--port", port, "--storage-path", dbpath, "--auth", "--cache-size", "256M", "--log-file-max", "64MB"}
	if certificate != "" {
		flags = append(flags, "--tls-cert-file", certificate, "--tls-key-file", certificate)
	}
	server := exec.Command("/usr/local/bin/secantusd-rs", flags...)
	server.Stdout, server.Stderr = os.Stdout, os.Stderr
	if err := server.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "mongod:", err)
		os.Exit(1)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() { _ = server.Process.Signal(<-signals) }()
	if user := os.Getenv("MONGO_INITDB_ROOT_USERNAME"); user != "" {
		if err := createRoot("127.0.0.1:"+port, certificate != "", user, rootPassword()); err != nil {
			fmt.Fprintln(os.Stderr, "mongod: root user:", err)
		}
	}
	if err := server.Wait(); err != nil {
		fmt.Fprintln(os.Stderr, "mongod:", err)
		os.Exit(1)
	}
}

func rootPassword() string {
	if file := os.Getenv("MONGO_INITDB_ROOT_PASSWORD_FILE"); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			fmt.Fprintln(os.Stderr, "mongod: MONGO_INITDB_ROOT_PASSWORD_FILE:", err)
			os.Exit(1)
		}
		return strings.TrimSpace(string(text))
	}
	return os.Getenv("MONGO_INITDB_ROOT_PASSWORD")
}

// createRoot uses the localhost exception: it only works while there is no user.
func createRoot(address string, encrypted bool, user, password string) error {
	var connection net.Conn
	var err error
	for range 150 {
		if connection, err = net.Dial("tcp", address); err == nil {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	if err != nil {
		return err
	}
	defer connection.Close()
	if encrypted {
		// This very machine: there is nobody between.
		connection = tls.Client(connection, &tls.Config{InsecureSkipVerify: true})
	}
	roles := document(text("0", "root"))
	command := document(text("createUser", user), text("pwd", password), element(4, "roles", roles), text("$db", "admin"))
	body := append([]byte{0, 0, 0, 0, 0}, command...) // flags, then one section of kind 0
	header := make([]byte, 16)
	binary.LittleEndian.PutUint32(header[0:], uint32(16+len(body)))
	binary.LittleEndian.PutUint32(header[4:], 1)
	binary.LittleEndian.PutUint32(header[12:], 2013) // OP_MSG
	if _, err := connection.Write(append(header, body...)); err != nil {
		return err
	}
	if _, err := io.ReadFull(connection, header); err != nil {
		return err
	}
	answer := make([]byte, binary.LittleEndian.Uint32(header)-16)
	if _, err := io.ReadFull(connection, answer); err != nil {
		return err
	}
	if bytes.Contains(answer, []byte("errmsg")) && !bytes.Contains(answer, []byte("requires authentication")) && !bytes.Contains(answer, []byte("already exists")) {
		return fmt.Errorf("the server refused: %q", answer)
	}
	return nil
}

func element(kind byte, name string, value []byte) []byte {
	return append(append(append([]byte{kind}, name...), 0), value...)
}

func text(name, value string) []byte {
	bytes := binary.LittleEndian.AppendUint32(nil, uint32(len(value)+1))
	return element(2, name, append(append(bytes, value...), 0))
}

func document(elements ...[]byte) []byte {
	body := bytes.Join(elements, nil)
	out := binary.LittleEndian.AppendUint32(nil, uint32(len(body)+5))
	return append(append(out, body...), 0)
}
