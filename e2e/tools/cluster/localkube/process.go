package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// component is one long-running process of the cluster.
type component struct {
	name string
	// outside: runs in the machine's own network namespace.
	outside bool
	args    []string
	env     []string
}

func pidFile(name string) string { return stateDir("run", name+".pid") }
func logFile(name string) string { return stateDir("log", name+".log") }

func startTime(pid int) (string, bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", false
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 20 || fields[0] == "Z" {
		return "", false
	}
	return fields[19], true
}

// running tells whether the very process that was started still runs; a reused pid does not count.
func running(name string) (int, bool) {
	data, err := os.ReadFile(pidFile(name))
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(data))
	if len(fields) != 2 {
		return 0, false
	}
	pid, err := strconv.Atoi(fields[0])
	if err != nil {
		return 0, false
	}
	started, alive := startTime(pid)
	return pid, alive && started == fields[1]
}

func (c component) start() error {
	if _, alive := running(c.name); alive {
		return nil
	}
	for _, dir := range []string{"run", "log"} {
		if err := os.MkdirAll(stateDir(dir), 0o755); err != nil {
			return err
		}
	}
	log, err := os.OpenFile(logFile(c.name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	args := c.args
	if !c.outside {
		args = insideArgs(args)
	}
	command := exec.Command(args[0], args[1:]...)
	command.Stdout, command.Stderr = log, log
	command.Env = append(os.Environ(), c.env...)
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	started, _ := startTime(command.Process.Pid)
	text := fmt.Sprintf("%d %s\n", command.Process.Pid, started)
	if err := os.WriteFile(pidFile(c.name), []byte(text), 0o644); err != nil {
		return err
	}
	return command.Process.Release()
}

func stopComponent(name string, patience time.Duration) {
	pid, alive := running(name)
	if alive {
		_ = syscall.Kill(pid, syscall.SIGTERM)
		deadline := time.Now().Add(patience)
		for time.Now().Before(deadline) {
			if _, alive = running(name); !alive {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		if alive {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			time.Sleep(100 * time.Millisecond)
		}
	}
	_ = os.Remove(pidFile(name))
}

// insideArgs runs a command in the cluster's network namespace. nsenter, not `ip netns exec`: that remounts /sys and hides cgroups.
func insideArgs(args []string) []string {
	return append([]string{"nsenter", "--net=" + filepath.Join("/run/netns", namespaceName), "--"}, args...)
}

func execInside(args []string) error {
	if len(args) == 0 {
		return errors.New("which command?")
	}
	all := insideArgs(args)
	path, err := exec.LookPath(all[0])
	if err != nil {
		return err
	}
	return syscall.Exec(path, all, os.Environ())
}

func runCommand(args ...string) (string, error) {
	output, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return string(output), fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(output)))
	}
	return string(output), nil
}

// tail is the end of a component's log, for error messages.
func tail(name string) string {
	data, err := os.ReadFile(logFile(name))
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if len(lines) > 8 {
		lines = lines[len(lines)-8:]
	}
	return strings.Join(lines, "\n")
}
