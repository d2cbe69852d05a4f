package router

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
)

// madeFile is the list of what we set on the host, in the router's folder.
const madeFile = "made.json"

// made is what we set on the host and must take away again. Routes are not in it:
// they carry a mark. An entry is written before its change is made, so there may
// be one of a change that never was.
type made struct {
	Bridge    string    `json:"bridge,omitempty"`
	Ports     []string  `json:"ports,omitempty"` // cards that are in it by us
	Up        []string  `json:"up,omitempty"`    // cards that were down
	Addresses []address `json:"addresses,omitempty"`
	Settings  []setting `json:"settings,omitempty"` // as they were
	MTUs      []mtu     `json:"mtus,omitempty"`     // as they were
	// Boot is the kernel in which all that was set. Another one knows nothing of it,
	// and what it has is not ours to change.
	Boot string `json:"boot,omitempty"`
}

func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}

// A record keeps made on disk.
type record struct {
	path   string
	loaded bool
	made   made
}

func (r *record) load() error {
	if r.loaded {
		return nil
	}
	b, err := os.ReadFile(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		r.loaded = true
		return nil
	}
	if err == nil {
		err = json.Unmarshal(b, &r.made)
	}
	if err != nil {
		return fmt.Errorf("reading what the router set on the host, %s: %w; move the file away to go on without", r.path, err)
	}
	if r.made.Boot != "" && r.made.Boot != bootID() {
		r.made = made{}
	}
	r.loaded = true
	return nil
}

// change alters the record and makes it durable.
func (r *record) change(f func(*made)) error {
	f(&r.made)
	r.made.Boot = ""
	b, err := json.MarshalIndent(r.made, "", "\t")
	if err == nil && string(b) != "{}" {
		r.made.Boot = bootID()
		b, err = json.MarshalIndent(r.made, "", "\t")
	}
	if err == nil {
		err = os.MkdirAll(filepath.Dir(r.path), 0o700)
	}
	if err == nil {
		err = atomicfile.WriteFile(r.path, append(b, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("writing down what is set on the host: %w", err)
	}
	return nil
}

func (r *record) has(a address) bool {
	return slices.ContainsFunc(r.made.Addresses, func(o address) bool { return o.Card == a.Card && o.Net == a.Net })
}

// exists reports whether a router ever set anything on this host.
func (r *record) exists() bool {
	_, err := os.Stat(r.path)
	return err == nil
}
