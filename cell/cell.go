// Package cell makes a Personal Internet Cell out of its parts: it is the one
// place that knows them all.
//
// Read [build] to know what runs, in which order, wired how. [Open] takes the
// data folder; [Cell.Run] runs until its context ends, with the first-run wizard
// before that where there is no document yet. [Setup] writes a first document
// without the wizard.
//
// Promises: a part that fails never takes the others down; a change of the
// document is in force without a restart of anything that it does not concern;
// after kill -9 the next Open finds what was acknowledged.
package cell

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"pic/api"
	"pic/ca"
	"pic/core/config"
	"pic/core/event"
	"pic/core/names"
	"pic/core/service"
	"pic/core/state"
	"pic/core/users"
	"pic/core/vault"
	"pic/davsrv"
	"pic/dhcpsrv"
	"pic/dhcpsrv/ra"
	"pic/dnssrv"
	"pic/internal/listen"
	"pic/mailsrv"
	"pic/netstack"
	"pic/netstack/edge"
	"pic/netstack/peerbook"
	"pic/netstack/router"
	"pic/netstack/traffic"
	"pic/ntpsrv"
	"pic/proxy"
	"pic/ui"
)

// Options say which cell to run and how.
type Options struct {
	Dir string       // data folder
	Log slog.Handler // where log lines go besides the Logs page
	Env config.Env   // see [Environment]
	// Look, if set, finds out Env again while the cell runs; see [Environment].
	Look    func() config.Env
	Version api.Version
	// Trial makes the wizard suggest a trial cell and answer on loopback only.
	Trial bool
	// Ready is called once every part was given the document, and before that once
	// the first run waits for its owner.
	Ready func()
}

// A Cell is all parts of a household's internet. Use [Open].
type Cell struct {
	Options
	dir     *dir
	log     *slog.Logger
	events  *event.Log
	lines   *event.Lines
	vault   *vault.Vault
	db      *state.DB
	people  *users.Directory
	names   *names.Registry
	net     *netstack.Server
	router  *router.Server
	pool    *listen.Pool
	web     *web
	diary   *diary
	wizard  *wizard       // nil once the cell is set up
	store   *config.Store // nil until it is built
	started time.Time
}

// Open locks the data folder and opens what is in it. The error says what to do.
func Open(_ context.Context, o Options) (_ *Cell, err error) {
	c := &Cell{Options: o, started: time.Now(), events: event.NewLog(2000), lines: event.NewLines(5000)}
	c.log = slog.New(c.lines.Handler(o.Log))
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if c.dir, err = openDir(o.Dir); err != nil {
		return nil, err
	}
	settled, err := c.dir.settled()
	if err != nil {
		return nil, err
	}
	if c.vault, err = vault.Open(c.dir.at("vault")); err != nil {
		return nil, err
	}
	if c.db, err = c.openState(settled); err != nil {
		return nil, err
	}
	if c.diary, err = openDiary(c.dir.at("journal", "events"), c.events, c.unit("diary")); err != nil {
		return nil, err
	}
	c.people = users.NewDirectory(c.db.Space("users"), c.unit("people"))
	c.names = names.New("")
	c.net = netstack.New(c.unit("wireguard"), c.vault.Get)
	c.net.Remember(kernelRecord(o.Dir))
	c.router = router.New(c.unit("router"), c.dir.at("router"))
	c.pool = listen.NewPool(c.net)
	c.web = newWeb(c.unit("web"), c.pool)
	if !settled {
		c.wizard = newWizard(c)
	}
	return c, nil
}

// openState opens what people and programs left with the cell.
func (c *Cell) openState(settled bool) (*state.DB, error) {
	path := c.dir.at("state.db")
	if info, err := os.Stat(path); settled && (err != nil || info.Size() == 0) {
		c.log.Warn("state.db was not there: passwords, app passwords, tokens, calendars and contacts are gone; " +
			"put it back from a backup, or give people new passwords with pic user passwd")
	}
	db, err := state.Open(path)
	if err != nil && !errors.Is(err, state.ErrInUse) {
		return nil, fmt.Errorf("%w; put it back from a backup, or move it away to go on without "+
			"passwords, tokens, calendars and contacts", err)
	}
	return db, err
}

// A house is a built cell: its store, its units in order, its faces.
type house struct {
	store *config.Store
	group *service.Group
	units []service.Unit
	front http.Handler // UI and API, as on the UI's port
	rest  http.Handler // the API alone
}

// build makes every part and ties it to the document. The order of units is the
// order in which they follow a change, and the reverse of that in which they
// stop: first the network, then names and certificates, then who needs them. The
// packet filter, which wireguard has, is there before the router brings the line
// up, and goes after it.
func (c *Cell) build() (*house, error) {
	store, err := config.Open(c.dir.path, c.Env, c.unit("config"))
	if err != nil {
		return nil, err
	}
	var (
		authority = ca.New(c.unit("ca"), c.vault, c.dir.at("certs"))
		cert      = authority.GetCertificate
		near      = new(neighbours)
		around    = edge.New(c.unit("edge"), c.edgeOptions())
		book      = peerbook.New(c.bookOptions())
		dns       = dnssrv.New(c.dnsOptions(cert, near))
		dhcp      = dhcpsrv.New(c.unit("dhcp"), c.dir.at("journal"), c.names)
		adverts   = ra.New(c.unit("ra"), c.dir.at("router", "advertised.json"), c.line)
		bytes     = traffic.New(c.unit("traffic"), c.dir.at("journal", "traffic"), c.counters())
		ntp       = ntpsrv.New(c.unit("ntp"), c.pool)
		mail      = mailsrv.New(c.mailOptions(cert, dns))
		dav       = davsrv.New(c.unit("dav"), c.pool, c.db.Space("dav"), c.dir.at("files"), c.login(users.DAV))
		web       = c.web
	)
	c.store = store
	h := &house{store: store}
	faces := &faces{dav: dav.Handler(), dns: dns.DoH(), ui: ui.Handler()}
	entry := proxy.New(c.unit("proxy"), c.pool, cert, faces.pages(authority.Handler()))

	h.units = []service.Unit{
		service.Bind("mode", fixed{store.Resolved().Cell.Mode}, modeOf),
		service.Bind("storage", storage{store, c.db}, func(*config.Document) (none struct{}) { return none }),
		service.Bind("people", c.people, users.From),
		service.Bind("names", hook[zone](c.setZone), zoneOf),
		service.Bind("wireguard", c.net, netstack.From, off(func(d *config.Document) *bool { return d.WireGuard.Enabled })),
		service.Bind("router", c.router, router.From, off(func(d *config.Document) *bool { return d.Network.Router })),
		service.Bind("traffic", bytes, traffic.From, service.OffWhen(func(d *config.Document) bool { return !traffic.From(d).On })),
		service.Bind("peers", book, peerbook.From),
		service.Bind("edge", around, edge.From),
		service.Bind("ca", authority, ca.From),
		service.Bind("dns", dns, dnssrv.From, off(func(d *config.Document) *bool { return d.DNS.Enabled })),
		service.Bind("dhcp", dhcp, dhcpsrv.From, off(func(d *config.Document) *bool { return d.DHCP.Enabled })),
		service.Bind("ra", adverts, ra.From, off(func(d *config.Document) *bool { return d.Network.Router })),
		service.Bind("ntp", ntp, ntpsrv.From, off(func(d *config.Document) *bool { return d.NTP.Enabled })),
		service.Bind("mail", mail, mailsrv.From, off(func(d *config.Document) *bool { return d.Mail.Enabled })),
		service.Bind("dav", dav, davsrv.From, off(func(d *config.Document) *bool { return d.DAV.Enabled })),
		service.Bind("proxy", entry, proxy.From, off(func(d *config.Document) *bool { return d.Proxy.Enabled })),
		service.Bind("web", web, webFrom),
	}
	c.net.OnAddresses(around.Moved)
	dhcp.Given = c.noteLease
	c.router.OnChange(adverts.Changed)
	near.leases = dhcp.Leases
	h.group = service.NewGroup(c.unit("cell"), h.units...)
	h.group.Changed = c.noteUnit
	store.Watch(c.noteChange)

	h.rest = api.New(api.Deps{
		Log: c.unit("api"), Version: c.Version, Started: c.started,
		Store: store, Users: c.people, Vault: c.vault, Events: c.events, Lines: c.lines,
		Units:   units{h.group},
		Network: c.net, Book: book, Router: c.router, Edge: around, Traffic: bytes, DNS: dns, DHCP: dhcp, NTP: ntp, Mail: mail, DAV: dav, Proxy: entry, CA: authority,
		Hostname: hostname(),
	}).Handler()
	h.front = faces.front(h.rest)
	return h, nil
}

// Run runs the cell until ctx ends.
func (c *Cell) Run(ctx context.Context) error {
	defer c.close()
	answers := func() {}
	if c.wizard != nil {
		if err := c.wizard.run(ctx); err != nil || ctx.Err() != nil {
			return err
		}
		answers = sync.OnceFunc(func() { close(c.wizard.runs) })
		defer answers()
	}
	h, err := c.build()
	if err != nil {
		return err
	}
	defer h.store.Close()
	c.web.show(h.front, h.rest)
	h.follow(ctx, c.pool)
	answers()

	socket, err := c.serveSocket(h.rest)
	if err != nil {
		return err
	}
	defer socket.Close()

	// From the moment that the cell is to stop, nothing is begun that it could not
	// finish.
	defer context.AfterFunc(ctx, h.store.Close)()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { watchEnds(ctx, h.store) })
	wg.Go(func() { c.collector(ctx, h.store) })
	if c.Look != nil {
		watch := newLookout(c.lookOut, h.store.Renew)
		c.net.OnAddresses(watch.poke)
		c.router.OnChange(watch.poke)
		wg.Go(func() { watch.run(ctx, c.Env) })
	}

	c.log.Info("cell runs", "rev", h.store.Current().Revision, "dur", time.Since(c.started))
	if c.Ready != nil {
		c.Ready()
	}
	h.group.Run(ctx, 10*time.Second)
	return nil
}

func (h *house) follow(ctx context.Context, pool *listen.Pool) {
	follow := make([]config.Unit, len(h.units))
	for i, u := range h.units {
		follow[i] = u
	}
	h.store.Follow(ctx, pool.Begin, follow...)
}

// close lets go of the data folder.
func (c *Cell) close() {
	if c.diary != nil {
		c.diary.close()
	}
	if c.db != nil {
		if err := c.db.Close(); err != nil {
			c.log.Error("closing the state failed", "err", err)
		}
	}
	if c.dir != nil {
		c.dir.close()
	}
}

// unit is the logger of one part.
func (c *Cell) unit(name string) *slog.Logger { return c.log.With("unit", name) }

// URL is where the owner finds the UI: in the LAN where it is served there, else
// on this machine. It may be called from Ready on.
func (c *Cell) URL() string {
	if c.store != nil {
		return page(c.store.Resolved())
	}
	return page(c.draft())
}

func page(d *config.Document) string {
	on := func(is func(netip.Addr) bool) bool { return slices.ContainsFunc(d.Web.Listen, is) }
	host := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	switch lan := d.Network.LAN.Address.Addr(); {
	case on(netip.Addr.IsUnspecified):
		if lan.IsValid() {
			host = lan
		}
	case !on(netip.Addr.IsLoopback):
		host = d.Web.Listen[0]
	}
	return fmt.Sprintf("http://%s/", netip.AddrPortFrom(host, d.Web.UIPort))
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

func off(enabled func(*config.Document) *bool) service.Option {
	return service.OffWhen(func(d *config.Document) bool { return !config.On(enabled(d)) })
}
