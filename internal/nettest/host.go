package nettest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A Host is a network namespace of a [Lab]. Its methods may be called by
// several goroutines at once.
type Host struct {
	Name string

	t  testing.TB
	ns netns.NsHandle
}

// newHost makes an empty namespace with loopback up.
func newHost(t testing.TB, name string) *Host {
	t.Helper()
	h := &Host{Name: name, t: t, ns: netns.None()}
	err := onThread(func() (err error) {
		h.ns, err = netns.New()
		return err
	})
	if err != nil {
		t.Fatalf("making host %s: %v", name, err)
	}
	t.Cleanup(func() { h.ns.Close() })
	h.must(func() error {
		// Addresses work at once, without the second of duplicate detection.
		for _, conf := range []string{"all", "default"} {
			if err := sysctl("net.ipv6.conf."+conf+".accept_dad", "0"); err != nil {
				return err
			}
		}
		return up("lo")
	})
	return h
}

// Do runs f on a thread that is in the host's namespace and returns f's error.
// Sockets that f opens belong to the host for good; goroutines that f starts do
// not. f must not call t.Fatal.
func (h *Host) Do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(h.ns), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering host %s: %w", h.Name, err)
		}
		return f()
	})
}

func (h *Host) must(f func() error) {
	h.t.Helper()
	if err := h.Do(f); err != nil {
		h.t.Fatalf("host %s: %v", h.Name, err)
	}
}

// onThread runs f on a thread whose network namespace f may change.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			done <- fmt.Errorf("finding the own namespace: %w", err)
			return
		}
		defer home.Close()
		err = f()
		// A thread that cannot come home stays locked and ends with the goroutine.
		if netns.Set(home) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// Sysctl sets a kernel parameter below net, such as net.ipv4.ip_forward.
func (h *Host) Sysctl(name, value string) {
	h.t.Helper()
	h.must(func() error { return sysctl(name, value) })
}

// Forward makes the host a router for IPv4 and IPv6.
func (h *Host) Forward() {
	h.t.Helper()
	h.Sysctl("net.ipv4.ip_forward", "1")
	h.Sysctl("net.ipv6.conf.all.forwarding", "1")
}

func sysctl(name, value string) error {
	return os.WriteFile(filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/")), []byte(value), 0o644)
}

// Command prepares a program to run in the host's namespace. The process gets
// SIGKILL should the test process die. A program that is not installed shows
// as an error of Start.
func (h *Host) Command(name string, args ...string) *exec.Cmd {
	path, err := find(name)
	if err != nil {
		return &exec.Cmd{Path: name, Args: append([]string{name}, args...), Err: err}
	}
	ns := fmt.Sprintf("--net=/proc/%d/fd/%d", os.Getpid(), int(h.ns))
	cmd := exec.Command("nsenter", append([]string{ns, "--", path}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Limit is how long [Host.Run] and [Host.Try] let a program run.
const Limit = 30 * time.Second

// Try runs a program to its end and returns what it wrote, stdout and stderr in
// one. A program that runs longer than [Limit] is killed.
func (h *Host) Try(name string, args ...string) (string, error) {
	cmd := h.Command(name, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("%s on %s: %w", name, h.Name, err)
	}
	timer := time.AfterFunc(Limit, func() { cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Wait(); err != nil {
		return out.String(), fmt.Errorf("%s on %s: %w", name, h.Name, err)
	}
	return out.String(), nil
}

// Run is [Host.Try] and fails the test on an error, by [Skip] if the program is
// not installed.
func (h *Host) Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	Tool(t, name)
	out, err := h.Try(name, args...)
	if err != nil {
		t.Fatalf("%v\n$ %s %s\n%s", err, name, strings.Join(args, " "), out)
	}
	return out
}

// Start starts a program that runs beside the test and is stopped at its end.
// What it wrote is logged if the test failed.
func (h *Host) Start(t testing.TB, name string, args ...string) *Proc {
	t.Helper()
	Tool(t, name)
	return Start(t, h.Command(name, args...))
}

// A Proc is a program that runs beside the test.
type Proc struct {
	Cmd  *exec.Cmd
	out  *output
	done chan struct{} // closed when err is set
	err  error
}

// Start starts a command whose output nobody has claimed yet, to be stopped at
// the end of the test.
func Start(t testing.TB, cmd *exec.Cmd) *Proc {
	t.Helper()
	p := &Proc{Cmd: cmd, out: new(output), done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.out, p.out
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", strings.Join(cmd.Args, " "), err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("output of %s (%v):\n%s", strings.Join(cmd.Args, " "), p.err, p.Output())
		}
	})
	return p
}

// Output returns what the program has written so far, stdout and stderr in one.
func (p *Proc) Output() string { return p.out.String() }

// Running reports whether the program has not ended yet.
func (p *Proc) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Wait waits until the program has ended and returns the error of its exit.
func (p *Proc) Wait() error {
	<-p.done
	return p.err
}

// Signal sends a signal to the program, if it still runs.
func (p *Proc) Signal(s os.Signal) { _ = p.Cmd.Process.Signal(s) }

// Stop ends the program with SIGTERM, after 5 s with SIGKILL, and returns the
// error of its exit.
func (p *Proc) Stop() error {
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		p.Signal(syscall.SIGKILL)
		<-p.done
	}
	return p.err
}

// Kill ends the program with SIGKILL and waits for its end.
func (p *Proc) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.done
}

// output is a buffer that may be read while it is written to.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
