package netstack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"pic/netstack/wgdev"
)

// sysNet is where the kernel's network settings are.
const sysNet = "/proc/sys/net/"

// A routing is the kernel's leave to forward packets. It remembers what it
// changed and puts that back.
type routing struct {
	former []setting // in the order of change
}

type setting struct{ path, value string }

// enable lets the kernel forward IPv4 and, with six, IPv6.
func (r *routing) enable(six bool) error {
	if err := r.put("ipv4/ip_forward", "1"); err != nil {
		return err
	}
	if !six || !wgdev.HasIPv6() {
		return nil
	}
	// A host that forwards ignores router advertisements unless accept_ra is 2,
	// and with them its own way to the internet would go.
	cards, err := filepath.Glob(sysNet + "ipv6/conf/*/accept_ra")
	if err != nil {
		return err
	}
	for _, path := range cards {
		b, err := os.ReadFile(path)
		if err != nil || strings.TrimSpace(string(b)) != "1" {
			continue
		}
		if err := r.put(strings.TrimPrefix(path, sysNet), "2"); err != nil {
			return err
		}
	}
	return r.put("ipv6/conf/all/forwarding", "1")
}

func (r *routing) put(name, value string) error {
	b, err := os.ReadFile(sysNet + name)
	if err != nil {
		return fmt.Errorf("letting the kernel forward: %w", err)
	}
	old := strings.TrimSpace(string(b))
	if old == value {
		return nil
	}
	if err := os.WriteFile(sysNet+name, []byte(value), 0o644); err != nil {
		return fmt.Errorf("letting the kernel forward: %w", err)
	}
	r.former = append(r.former, setting{name, old})
	return nil
}

// restore puts back what enable changed.
func (r *routing) restore() error {
	var errs []error
	for i := len(r.former) - 1; i >= 0; i-- {
		s := r.former[i]
		err := os.WriteFile(sysNet+s.path, []byte(s.value), 0o644)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // an interface that is gone
			errs = append(errs, fmt.Errorf("putting %s back to %s: %w", s.path, s.value, err))
		}
	}
	r.former = nil
	return errors.Join(errs...)
}
