package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

const sysSetns = 308 // x86_64

// forward listens on 127.0.0.1 of the outer namespace, then moves this process into the cluster's and dials from there.
func forward([]string) error {
	if runtime.GOARCH != "amd64" {
		return fmt.Errorf("forwarding is only written for amd64")
	}
	targets := map[string]string{
		outerIngressPort():   nodeAddress + ":" + ingressNodePort,
		outerAPIServerPort(): nodeAddress + ":6443",
	}
	namespace, err := os.Open(filepath.Join("/run/netns", namespaceName))
	if err != nil {
		return err
	}
	for port, target := range targets {
		listener, err := net.Listen("tcp4", "127.0.0.1:"+port)
		if err != nil {
			return err
		}
		go func() {
			for {
				client, err := listener.Accept()
				if err != nil {
					// Out of file descriptors, for example: connections that end make room again.
					fmt.Fprintln(os.Stderr, "accept:", err)
					time.Sleep(100 * time.Millisecond)
					continue
				}
				go pipe(client, target, namespace.Fd())
			}
		}()
	}
	select {}
}

// dialInside connects on a thread that has entered the namespace; the thread is thrown away with its goroutine.
func dialInside(target string, namespace uintptr) (net.Conn, error) {
	type result struct {
		connection net.Conn
		err        error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime ends the thread
		if _, _, errno := syscall.RawSyscall(sysSetns, namespace, syscall.CLONE_NEWNET, 0); errno != 0 {
			done <- result{nil, errno}
			return
		}
		address, err := net.ResolveTCPAddr("tcp4", target)
		if err != nil {
			done <- result{nil, err}
			return
		}
		connection, err := net.DialTCP("tcp4", nil, address)
		done <- result{connection, err}
	}()
	answer := <-done
	return answer.connection, answer.err
}

func pipe(client net.Conn, target string, namespace uintptr) {
	defer client.Close()
	server, err := dialInside(target, namespace)
	if err != nil {
		fmt.Fprintln(os.Stderr, target, err)
		return
	}
	defer server.Close()
	done := make(chan struct{}, 2)
	copyAll := func(to, from net.Conn) {
		// Hidden types: splicing would take four more file descriptors of every connection.
		_, _ = io.Copy(struct{ io.Writer }{to}, struct{ io.Reader }{from})
		if half, ok := to.(*net.TCPConn); ok {
			_ = half.CloseWrite()
		}
		done <- struct{}{}
	}
	go copyAll(server, client)
	go copyAll(client, server)
	<-done
	<-done
}
