// Package nettest gives tests networks of their own, so that they may bind port
// 53, load a firewall or pull a cable without touching the machine.
//
// [Main], called from TestMain, runs the test binary again in new user, network
// and mount namespaces. The tests are root there: loopback is up, all ports are
// free, /run is empty and private, and nothing they do to interfaces, routes,
// nftables or /proc/sys/net reaches the machine. The machine's clock cannot be
// set from there. It works for root and, where the kernel allows user
// namespaces, for everybody else; /dev/net/tun must be writable for TUN.
//
//	func TestMain(m *testing.M) { os.Exit(nettest.Main(m)) }
//
// A [Lab] adds hosts with namespaces of their own and cables between them:
//
//	lab := nettest.New(t)
//	cell, client := lab.Self(), lab.Host("client")
//	lab.Link(cell, "lan0", "192.0.2.1/24", client, "eth0", "192.0.2.2/24")
//	client.Run(t, "ping", "-c1", "192.0.2.1")
//
// Code under test belongs on [Lab.Self], the namespace of the test process, for
// there all of its goroutines and sockets are. Other hosts are for real clients
// ([Host.Run], [Host.Start]) and for sockets that a test opens ([Host.Do]).
// What a test has not got is never skipped in silence: see [Skip].
//
// The package is for Linux. It needs the programs nsenter (util-linux) and, for
// Lab.Self, nothing else. Hosts share the file system, the process table and
// /run with each other; only their network is their own.
package nettest

import (
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	inside = "PIC_NETTEST_INSIDE" // set within the namespaces
	made   = "made"               // namespaces are new and bare
	ready  = "ready"              // and furnished; children of tests find it so
	noSkip = "PIC_NO_SKIP"        // 1: what would be skipped fails
)

// Main runs the tests in new namespaces and returns their exit code. Where the
// kernel refuses namespaces it says so and runs the tests in place; those that
// call [NeedNamespace] or [New] are then skipped, or fail, by [Skip].
func Main(m *testing.M) int {
	switch os.Getenv(inside) {
	case ready:
		return m.Run()
	case made:
		if err := furnish(); err != nil {
			log.Printf("nettest: %v", err)
			return 1
		}
		os.Setenv(inside, ready)
		return m.Run()
	}
	runtime.LockOSThread() // Pdeathsig is about the thread that forks
	err := again(65536)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		err = again(1)
	}
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		if exit.ExitCode() < 0 { // ended by a signal
			return 1
		}
		return exit.ExitCode()
	default:
		log.Printf("nettest: no namespaces here: %v", err)
		runtime.UnlockOSThread()
		return m.Run()
	}
}

// again runs this binary in new namespaces that know so many user ids. Programs
// that drop privileges need more than one, which only root may hand out.
func again(ids int) error {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"="+made)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:                 syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		UidMappings:                []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings:                []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:                  syscall.SIGKILL,
		GidMappingsEnableSetgroups: false,
	}
	if ids > 1 {
		if os.Geteuid() != 0 {
			return errors.New("only root may map many ids")
		}
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: ids}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: ids}}
		cmd.SysProcAttr.GidMappingsEnableSetgroups = true
	}
	return cmd.Run()
}

// furnish makes bare namespaces fit to test in.
func furnish() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("finding lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("setting lo up: %w", err)
	}
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mounting an empty /run: %w", err)
	}
	// /sys/class/net should show our interfaces; some containers forbid it and
	// few programs care.
	_ = unix.Mount("sysfs", "/sys", "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	return nil
}

// NeedNamespace skips a test that would touch the real machine.
func NeedNamespace(t testing.TB) {
	t.Helper()
	if os.Getenv(inside) == "" {
		Skip(t, "needs a network namespace: call nettest.Main from TestMain, on a kernel that allows them")
	}
}

// Skip skips the test for want of something. With PIC_NO_SKIP=1, as in CI, it
// fails the test instead.
func Skip(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv(noSkip) == "1" {
		t.Fatalf("may not skip (%s=1): %s", noSkip, reason)
	}
	t.Skip(reason)
}

// Tool returns the path of a program, by [Skip] if it is not installed.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := find(name)
	if err != nil {
		Skip(t, fmt.Sprintf("needs the program %s: %v", name, err))
	}
	return path
}

// find looks in PATH and where system programs are.
func find(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil || strings.Contains(name, "/") {
		return path, err
	}
	for _, dir := range []string{"/usr/local/sbin/", "/usr/sbin/", "/sbin/"} {
		if p, err := exec.LookPath(dir + name); err == nil {
			return p, nil
		}
	}
	return "", err
}

// NeedTUN skips a test where /dev/net/tun cannot be used.
func NeedTUN(t testing.TB) {
	t.Helper()
	NeedNamespace(t)
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		Skip(t, fmt.Sprintf("needs a TUN device: %v", err))
	}
	f.Close()
}

// WaitFor polls cond until it holds, and fails the test if it does not within
// limit.
func WaitFor(t testing.TB, limit time.Duration, cond func() bool) {
	t.Helper()
	end := time.Now().Add(limit)
	for pause := 2 * time.Millisecond; !cond(); pause = min(2*pause, 50*time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not so after %v", limit)
		}
		time.Sleep(pause)
	}
}

// FreePort returns a port of loopback that nobody uses, over UDP and TCP.
func FreePort(t testing.TB) uint16 {
	t.Helper()
	for range 50 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		if pc, err := net.ListenPacket("udp", l.Addr().String()); err == nil {
			pc.Close()
			return uint16(l.Addr().(*net.TCPAddr).Port)
		}
	}
	t.Fatal("no port is free")
	return 0
}
