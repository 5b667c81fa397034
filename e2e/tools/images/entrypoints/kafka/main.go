// Takes the environment of the image apache/kafka:4.1: KAFKA_A_B becomes a.b of the broker's properties, CLUSTER_ID names the
// cluster; formats the log directories once, then becomes the broker.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
)

const java = "/usr/lib/jvm/java/bin/java"

var notProperties = map[string]bool{"KAFKA_HEAP_OPTS": true, "KAFKA_OPTS": true, "KAFKA_LOG4J_OPTS": true, "KAFKA_JVM_PERFORMANCE_OPTS": true}

// property follows the image's rule: ___ is a dash, __ an underscore, _ a dot.
func property(name string) string {
	name = strings.ToLower(strings.TrimPrefix(name, "KAFKA_"))
	return strings.NewReplacer("___", "-", "__", "_", "_", ".").Replace(name)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "kafka:", err)
	os.Exit(1)
}

func main() {
	var lines []string
	logDirs := "/var/lib/kafka/data"
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		// Kubernetes adds KAFKA_PORT and the like for a Service called kafka.
		if !strings.HasPrefix(name, "KAFKA_") || notProperties[name] || strings.HasPrefix(value, "tcp://") || strings.Contains(name, "_SERVICE_") {
			continue
		}
		key := property(name)
		if key == "log.dirs" {
			logDirs = value
		}
		lines = append(lines, key+"="+value)
	}
	sort.Strings(lines)
	path := "/tmp/server.properties"
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		fail(err)
	}
	heap := strings.Fields(os.Getenv("KAFKA_HEAP_OPTS"))
	if len(heap) == 0 {
		heap = []string{"-Xmx512m", "-Xms256m"}
	}
	base := append([]string{java}, heap...)
	base = append(base, strings.Fields(os.Getenv("KAFKA_OPTS"))...)
	base = append(base, "-XX:+UseG1GC", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-Dlog4j2.level=WARN", "-Djava.io.tmpdir=/tmp", "-cp", "/opt/kafka/libs/*")
	if _, err := os.Stat(filepath.Join(strings.Split(logDirs, ",")[0], "meta.properties")); os.IsNotExist(err) {
		format := exec.Command(base[0], append(append([]string{}, base[1:]...), "kafka.tools.StorageTool", "format", "-t", os.Getenv("CLUSTER_ID"), "-c", path)...)
		format.Stdout, format.Stderr = os.Stdout, os.Stderr
		if err := format.Run(); err != nil {
			fail(fmt.Errorf("format: %w", err))
		}
	}
	if err := syscall.Exec(java, append(base, "kafka.Kafka", path), os.Environ()); err != nil {
		fail(err)
	}
}
