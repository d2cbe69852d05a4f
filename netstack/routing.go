package netstack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pic/internal/atomicfile"
	"pic/netstack/wgdev"
)

// sysNet is where the kernel's network settings are.
const sysNet = "/proc/sys/net/"

// A routing is the kernel's leave to forward packets. It remembers what it
// changed and puts that back. With a path it writes down each setting before it
// changes it, so that what was there is not forgotten by kill -9; after a restart of
// the host the kernel has its own settings again, and the record is void.
type routing struct {
	path   string
	loaded bool
	former []setting // in the order of change
}

// A setting is a file below /proc/sys/net.
type setting struct {
	Path string `json:"path"`
	Was  string `json:"was"`
	Set  string `json:"set"`
}

// former is what is on disk.
type former struct {
	Boot     string    `json:"boot"` // of the kernel
	Settings []setting `json:"settings"`
}

func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}

func (r *routing) load() error {
	if r.loaded || r.path == "" {
		return nil
	}
	b, err := os.ReadFile(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		r.loaded = true
		return nil
	}
	var f former
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err != nil {
		return fmt.Errorf("reading how the kernel's settings were, %s: %w; move the file away to go on without", r.path, err)
	}
	if f.Boot == bootID() {
		r.former = f.Settings
	}
	r.loaded = true
	return nil
}

func (r *routing) save() error {
	if r.path == "" {
		return nil
	}
	if len(r.former) == 0 {
		if err := os.Remove(r.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	b, err := json.MarshalIndent(former{bootID(), r.former}, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(r.path), 0o700); err != nil {
		return err
	}
	return atomicfile.WriteFile(r.path, append(b, '\n'), 0o600)
}

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
	if err := r.load(); err != nil {
		return err
	}
	b, err := os.ReadFile(sysNet + name)
	if err != nil {
		return fmt.Errorf("letting the kernel forward: %w", err)
	}
	old := strings.TrimSpace(string(b))
	if old == value {
		return nil
	}
	if !slices.ContainsFunc(r.former, func(s setting) bool { return s.Path == name }) {
		r.former = append(r.former, setting{name, old, value})
		if err := r.save(); err != nil {
			r.former = r.former[:len(r.former)-1]
			return fmt.Errorf("writing down what the kernel's settings were: %w", err)
		}
	}
	if err := os.WriteFile(sysNet+name, []byte(value), 0o644); err != nil {
		return fmt.Errorf("letting the kernel forward: %w", err)
	}
	return nil
}

// restore puts back what enable changed.
func (r *routing) restore() error {
	_, err := r.back()
	return err
}

// back is restore, and says what it put back. What is not as we set it, somebody
// else has set since, and it stays.
func (r *routing) back() (done []string, err error) {
	if err := r.load(); err != nil || len(r.former) == 0 {
		return nil, err
	}
	var errs []error
	for _, s := range slices.Backward(r.former) {
		b, err := os.ReadFile(sysNet + s.Path)
		if err != nil || strings.TrimSpace(string(b)) != s.Set {
			continue // or the interface is gone
		}
		if err := os.WriteFile(sysNet+s.Path, []byte(s.Was), 0o644); err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, fmt.Errorf("putting %s back to %s: %w", s.Path, s.Was, err))
			}
			continue
		}
		done = append(done, fmt.Sprintf("setting net.%s, which is %s again", strings.ReplaceAll(s.Path, "/", "."), s.Was))
	}
	r.former = nil
	return done, errors.Join(append(errs, r.save())...)
}
