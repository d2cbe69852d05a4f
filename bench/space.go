package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const mark = "PIC_BENCH_INSIDE" // set within the namespaces

func inside() bool { return os.Getenv(mark) != "" }

// enter runs this program again as the first process of new namespaces. When it
// ends, the kernel ends all others there.
func enter(ctx context.Context, limit time.Duration) error {
	runtime.LockOSThread() // Pdeathsig is about the thread that forks
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", os.Args[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = append(os.Environ(), mark+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	attr := &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	if os.Geteuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	cmd.SysProcAttr = attr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return errors.New("the run did not end well")
	}
	if err != nil {
		return fmt.Errorf("making namespaces (root may, others where the kernel allows it): %w", err)
	}
	return nil
}

// furnish makes the new namespaces fit for servers.
func furnish() error {
	if err := raise("lo"); err != nil {
		return err
	}
	for _, m := range []struct {
		source, at, kind string
		flags            uintptr
	}{
		{"none", "/", "", unix.MS_REC | unix.MS_PRIVATE},
		{"proc", "/proc", "proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
		{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV},
	} {
		if err := unix.Mount(m.source, m.at, m.kind, m.flags, ""); err != nil {
			return fmt.Errorf("mounting %s: %w", m.at, err)
		}
	}
	return nil
}

// A host is a network namespace beside the first one.
type host struct{ ns netns.NsHandle }

// newHost makes a host with nothing but loopback, until the contest ends.
func (l *lab) newHost() (*host, error) {
	h := &host{ns: netns.None()}
	err := onThread(func() (err error) {
		if h.ns, err = netns.New(); err != nil {
			return fmt.Errorf("making a network namespace: %w", err)
		}
		return raise("lo")
	})
	if err != nil {
		return nil, err
	}
	l.atEnd(func() { h.ns.Close() })
	return h, nil
}

// do runs f on a thread in the host's namespace. Sockets that f opens and
// programs that it starts stay there; goroutines do not. A nil host is the first
// namespace.
func (h *host) do(f func() error) error {
	if h == nil {
		return f()
	}
	return onThread(func() error {
		if err := netns.Set(h.ns); err != nil {
			return err
		}
		return f()
	})
}

// onThread runs f on a thread whose network namespace f may change.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			done <- err
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

// cable joins two hosts by a pair of virtual cards, both named eth0.
func cable(a *host, addrA string, b *host, addrB string) error {
	err := a.do(func() error {
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(b.ns),
		})
	})
	if err != nil {
		return fmt.Errorf("joining two hosts: %w", err)
	}
	if err := a.do(func() error { return address("eth0", addrA) }); err != nil {
		return err
	}
	return b.do(func() error { return address("eth0", addrB) })
}

// address gives a card an address such as 192.0.2.1/24 and sets it up.
func address(card, addr string) error {
	link, err := netlink.LinkByName(card)
	if err != nil {
		return fmt.Errorf("card %s: %w", card, err)
	}
	a, err := netlink.ParseAddr(addr)
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(link, a); err != nil {
		return fmt.Errorf("address %s on %s: %w", addr, card, err)
	}
	return netlink.LinkSetUp(link)
}

func raise(card string) error {
	link, err := netlink.LinkByName(card)
	if err != nil {
		return fmt.Errorf("card %s: %w", card, err)
	}
	return netlink.LinkSetUp(link)
}
