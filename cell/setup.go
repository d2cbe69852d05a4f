package cell

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"pic/api"
	"pic/api/wire"
	"pic/core/config"
	"pic/core/service"
	"pic/core/users"
	"pic/netstack"
	"pic/ui"
)

// SetupOptions are what the first run asks.
type SetupOptions struct {
	Name     string // of the cell
	Domain   string // empty: <name>.home.arpa
	Mode     config.Mode
	Listen   []netip.Addr // nil: the default of the mode
	Admin    string       // login of the first administrator
	Display  string
	Password string
}

// Setup writes the first document of a cell into the data folder of o, and its
// first administrator. Problems of values are [config.FieldError]s.
func Setup(ctx context.Context, o Options, s SetupOptions) error {
	c, err := Open(ctx, o)
	if err != nil {
		return err
	}
	defer c.close()
	if c.wizard == nil {
		return fmt.Errorf("%s is set up already; change it with `pic set`, or choose another folder with --data", c.dir.path)
	}
	return c.first(ctx, s, "setup")
}

// first makes the cell's key, its document and its first administrator. The
// document comes last, since it is what makes the cell set up.
func (c *Cell) first(ctx context.Context, s SetupOptions, actor string) error {
	d := &config.Document{
		Schema: config.Schema, Revision: 1,
		Cell:  config.Cell{Name: s.Name, Domain: strings.ToLower(s.Domain), Mode: s.Mode, Listen: s.Listen},
		Users: []config.User{{Name: s.Admin, Display: s.Display, Role: config.Admin}},
	}
	resolved := config.Resolve(d, c.Env)
	if err := resolved.Validate(); err != nil {
		return err
	}
	if err := c.people.Apply(ctx, users.From(resolved)); err != nil {
		return err
	}
	if err := c.people.SetPassword(ctx, s.Admin, s.Password); err != nil {
		return err
	}
	private, public := netstack.NewKey()
	id, err := c.vault.Put(ctx, "wireguard", []byte(private))
	if err != nil {
		return err
	}
	d.WireGuard.Key, d.WireGuard.PublicKey = id, public
	// Devices will have addresses in the VPN's networks, so these must not follow
	// the domain when that changes.
	vpn := config.Resolve(d, c.Env).WireGuard
	d.WireGuard.Subnet, d.WireGuard.Subnet6 = vpn.Subnet, vpn.Subnet6
	return config.Create(c.dir.path, d, c.Env, actor, "the cell is set up")
}

// A wizard is the first run in a browser: the UI's port answers whoever knows the
// token that the console shows, once.
type wizard struct {
	cell  *Cell
	token string

	mu   sync.Mutex
	done chan struct{} // closed when the document is written
	runs chan struct{} // closed when the cell that follows answers, or cannot
}

func newWizard(c *Cell) *wizard {
	return &wizard{cell: c, token: rand.Text(), done: make(chan struct{}), runs: make(chan struct{})}
}

// SetupToken is the token that the wizard asks for; empty once the cell is set up.
func (c *Cell) SetupToken() string {
	if c.wizard == nil || !c.wizard.Needed() {
		return ""
	}
	return c.wizard.token
}

// draft is the document that the wizard's own port follows.
func (c *Cell) draft() *config.Document {
	return config.Resolve(&config.Document{Cell: config.Cell{Name: "cell", Mode: c.mode()}}, c.Env)
}

func (c *Cell) mode() config.Mode {
	if c.Trial || !privileged() {
		return config.Trial
	}
	return config.Appliance
}

// privileged reports whether this process may manage the host's network, as root
// or, under systemd, by capability.
func privileged() bool {
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	err := unix.Capget(&h, &caps[0])
	return err == nil && caps[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0
}

// run serves the wizard until the cell is set up or ctx ends. The port stays
// open for the cell that follows.
func (w *wizard) run(ctx context.Context) error {
	c := w.cell
	rest := api.New(api.Deps{
		Log: c.unit("api"), Version: c.Version, Started: c.started, Users: c.people, Vault: c.vault,
		Events: c.events, Lines: c.lines, Units: none{}, Setup: w,
	}).Handler()
	f := &faces{dav: http.NotFoundHandler(), ui: ui.Handler()}
	c.web.show(f.front(rest), rest)
	conf := webFrom(c.draft())
	conf.API, conf.Mail, conf.Files = nil, nil, nil
	if err := c.web.Apply(ctx, conf); err != nil {
		return err
	}
	c.log.Info("waiting for the first run", "url", c.URL())
	if c.Ready != nil {
		c.Ready()
	}
	select {
	case <-ctx.Done():
		return c.web.Run(ctx)
	case <-w.done:
		return nil
	}
}

// Needed implements [api.Setup].
func (w *wizard) Needed() bool {
	select {
	case <-w.done:
		return false
	default:
		return true
	}
}

// Token implements [api.Setup].
func (w *wizard) Token() string { return w.token }

// Suggestion implements [api.Setup].
func (w *wizard) Suggestion() wire.Suggestion {
	name, err := os.Hostname()
	name, _, _ = strings.Cut(strings.ToLower(name), ".")
	if err != nil || !config.Label(name) || name == "localhost" {
		name = "home"
	}
	return wire.Suggestion{Name: name, Domain: name + ".home.arpa", Mode: w.cell.mode()}
}

// handOver is how long the answer to the first run waits for the cell at most.
const handOver = 15 * time.Second

// Complete implements [api.Setup].
func (w *wizard) Complete(ctx context.Context, s wire.Setup) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.Needed() {
		return errors.New("the cell is set up already")
	}
	mode := s.Mode
	if mode == "" {
		mode = w.cell.mode()
	}
	err := w.cell.first(ctx, SetupOptions{
		Name: s.Name, Domain: s.Domain, Mode: mode, Admin: s.Admin, Display: s.Display, Password: s.Password,
	}, "setup")
	if err != nil {
		return err
	}
	close(w.done)
	// Whoever set the cell up goes on with it at once: not before it answers.
	select {
	case <-w.runs:
	case <-time.After(handOver):
	}
	return nil
}

// none is the group before there is a document.
type none struct{}

func (none) Status() []service.Status { return nil }

func (none) Restart(context.Context, string) error {
	return errors.New("nothing runs before the first run is done")
}
