package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pic/api/wire"
	"pic/ca"
	"pic/core/config"
	"pic/core/event"
	"pic/core/service"
	"pic/core/state"
	"pic/core/users"
	"pic/core/vault"
	"pic/davsrv"
	"pic/dhcpsrv"
	"pic/dnssrv"
	"pic/internal/listen"
	"pic/mailsrv"
	"pic/mailsrv/queue"
	"pic/netstack"
	"pic/netstack/edge"
	"pic/netstack/exit"
	"pic/netstack/fw"
	"pic/netstack/peerbook"
	"pic/netstack/policy"
	"pic/netstack/router"
	"pic/netstack/traffic"
	"pic/ntpsrv"
	"pic/proxy"
)

// A household is a cell's core with an API in front, in a temporary folder.
// alice is an administrator, vera a viewer, bob and carl are users.
type household struct {
	t      *testing.T
	dir    string
	deps   Deps
	api    *API
	server *httptest.Server
	units  *someUnits
	book   *peerbook.Book
}

const password = "correct horse battery"

func newHousehold(t *testing.T) *household {
	t.Helper()
	h := &household{t: t, dir: t.TempDir(), units: &someUnits{}}
	env := config.Env{Resolvers: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53")}}
	_, public := netstack.NewKey()
	doc := &config.Document{
		Cell: config.Cell{Name: "oak", Mode: config.Trial},
		Users: []config.User{
			{Name: "alice", Display: "Alice", Role: config.Admin},
			{Name: "vera", Role: config.Viewer},
			{Name: "bob"},
			{Name: "carl"},
		},
		WireGuard: config.WireGuard{PublicKey: public, Endpoint: "vpn.example.org", Subnet: netip.MustParsePrefix("10.64.3.0/29")},
	}
	must(t, config.Create(h.dir, doc, env, "setup", "first"))
	log := slog.New(slog.DiscardHandler)
	store, err := config.Open(h.dir, env, log)
	must(t, err)
	t.Cleanup(store.Close)
	db, err := state.Open(filepath.Join(h.dir, "state.db"))
	must(t, err)
	t.Cleanup(func() { db.Close() })
	sealed, err := vault.Open(filepath.Join(h.dir, "vault"))
	must(t, err)
	events := event.NewLog(100)
	h.book = peerbook.New(peerbook.Options{
		Log: log, Space: db.Space("peers"), Events: events,
		Look: func() []peerbook.Seen { return nil },
		Take: func(context.Context, string, string) error { return nil },
	})
	people := users.NewDirectory(db.Space("users"), log)
	lines := event.NewLines(100)
	h.deps = Deps{
		Log:     slog.New(lines.Handler(nil)),
		Version: Version{Version: "test"}, Started: time.Now(),
		Store: store, Users: people, Vault: sealed, Events: events, Lines: lines,
		Units: h.units, Network: someNetwork{}, Book: h.book, Edge: edge.New(slog.New(slog.DiscardHandler), edge.Options{}), Router: router.New(slog.New(slog.DiscardHandler), t.TempDir()), Traffic: traffic.New(slog.New(slog.DiscardHandler), filepath.Join(h.dir, "traffic"), traffic.Sources{}), DNS: newDNS(t, filepath.Join(h.dir, "dns"), store.Resolved()), DHCP: someDHCP{}, NTP: someNTP{}, Mail: someMail{}, Proxy: someProxy{}, DAV: someDAV{}, CA: someCA{},
		Hostname: "raspberry",
	}
	store.Follow(t.Context(), func() func() { return func() {} }, service.Bind("people", people, users.From), service.Bind("peers", h.book, peerbook.From), h.units)
	h.api = New(h.deps)
	h.server = httptest.NewServer(h.api.Handler())
	t.Cleanup(h.server.Close)
	return h
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// someUnits stand in for the services; refuse makes one of them refuse changes.
type someUnits struct {
	refuse  error
	restart []string
}

func (u *someUnits) Name() string { return "dns" }

func (u *someUnits) Check(context.Context, *config.Document) error   { return u.refuse }
func (u *someUnits) Apply(context.Context, *config.Document) error   { return nil }
func (u *someUnits) Restore(context.Context, *config.Document) error { return nil }

func (u *someUnits) Status() []service.Status {
	return []service.Status{
		{Name: "dns", State: service.Running, Since: time.Unix(1e9, 0), Sockets: []string{"udp 127.0.0.1:10053"}},
		{Name: "dhcp", State: service.Off, Since: time.Unix(1e9, 0)},
	}
}

func (u *someUnits) Restart(_ context.Context, name string) error {
	u.restart = append(u.restart, name)
	return nil
}

type someNetwork struct{}

func (someNetwork) Addresses() []netip.Addr      { return nil }
func (someNetwork) Peers() []netstack.PeerStatus { return nil }
func (someNetwork) NAT() []string                { return nil }
func (someNetwork) MTU() int                     { return 0 }
func (someNetwork) Exits() []exit.Status         { return nil }

// There is no exit to knock by.
func (someNetwork) Knock(context.Context, netip.AddrPort) (netstack.Knock, bool) {
	return netstack.Knock{}, false
}

// The rules are of a table that nobody has loaded.
func (someNetwork) FirewallRules() ([]fw.Rule, error) {
	return []fw.Rule{{Chain: "forwards4", Handle: 7, Text: "tcp dport 22 dnat ip to 192.168.1.5:22", Note: "forward ssh", Count: fw.Count{Packets: 3, Bytes: 180}}}, nil
}

func (someNetwork) Bans() []netstack.Ban {
	return []netstack.Ban{{Net: netip.MustParsePrefix("203.0.113.7/32"), Reason: "logins"}}
}

func (someNetwork) Mappings() []fw.Mapping {
	return []fw.Mapping{{Proto: policy.UDP, Port: 6881, To: netip.MustParseAddrPort("192.168.1.9:6881"), Until: time.Now().Add(time.Hour)}}
}

func (someNetwork) ForeignDrops() []fw.Drop {
	return []fw.Drop{{Chain: "ip filter FORWARD", What: "what devices send", Fix: "iptables -I FORWARD -i pic0 -j ACCEPT"}}
}

// Policy knows a laptop that may not reach the LAN.
func (someNetwork) Policy() *policy.Policy {
	return policy.New(policy.Rules{
		Cell: []netip.Addr{netip.MustParseAddr("10.64.3.1")}, VPN: []netip.Prefix{netip.MustParsePrefix("10.64.3.0/29")},
		LAN:   []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")},
		Peers: []policy.Peer{{Name: "laptop", Addrs: []netip.Addr{netip.MustParseAddr("10.64.3.2")}, Internet: true, Services: []string{"all"}}},
	})
}

// Explain knows that what is at 192.168.1.254 is outside.
func (n someNetwork) Explain(f policy.Flow) (policy.Verdict, []netstack.Remark) {
	var remarks []netstack.Remark
	if f.Dst == netip.MustParseAddr("192.168.1.254") {
		remarks = append(remarks, netstack.Remark{Text: "it is outside"})
	}
	return n.Policy().Decide(f), remarks
}

type someCA struct{}

func (someCA) Root() (ca.Root, bool)       { return ca.Root{Subject: "oak root"}, true }
func (someCA) RootPEM() []byte             { return []byte("-----BEGIN CERTIFICATE-----\n") }
func (someCA) Certificates() []ca.CertInfo { return []ca.CertInfo{{Names: []string{"oak.home.arpa"}}} }

func (someCA) Issue(context.Context, []string) (chain, key []byte, err error) {
	return []byte("chain"), []byte("key"), nil
}

// someDNS is a real server of zones and filters that counts and answers what the
// tests want.
type someDNS struct{ *dnssrv.Server }

func newDNS(t *testing.T, dir string, doc *config.Document) someDNS {
	t.Helper()
	s := dnssrv.New(dnssrv.Options{Log: slog.New(slog.DiscardHandler), Pool: listen.NewPool(nil), Dir: dir})
	c := dnssrv.From(doc)
	c.Sockets, c.TLS = nil, nil // it need not be asked
	must(t, s.Apply(t.Context(), c))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-done)
	})
	return someDNS{s}
}

func (someDNS) Stats() dnssrv.Stats {
	return dnssrv.Stats{UDP: 3, TCP: 4, Upstreams: []dnssrv.UpstreamStatus{{Address: "192.0.2.53:53", Up: true}}}
}

func (someDNS) Records() []dnssrv.Entry {
	return []dnssrv.Entry{{Zone: "oak.home.arpa", Name: "oak.home.arpa", Type: "A", TTL: 60, Value: "127.0.0.1"}}
}

func (someDNS) Lookup(_ context.Context, name, typ string, _ netip.Addr) (dnssrv.Result, error) {
	if typ == "NOPE" {
		return dnssrv.Result{}, errors.New("there is no type NOPE")
	}
	return dnssrv.Result{Rcode: "NOERROR", Answer: []string{name + ". 60 IN " + typ + ` "two words"`}, Source: "zone", Took: 1500 * time.Microsecond}, nil
}

type someDHCP struct{}

func (someDHCP) Leases() []dhcpsrv.Lease {
	return []dhcpsrv.Lease{{Address: netip.MustParseAddr("192.168.1.117"), MAC: "02:00:00:00:00:01", State: dhcpsrv.Leased, Expires: time.Unix(2e9, 0)}}
}

func (someDHCP) Release(_ context.Context, a netip.Addr) error {
	if a != netip.MustParseAddr("192.168.1.117") {
		return fmt.Errorf("%s: %w", a, dhcpsrv.ErrNoLease)
	}
	return nil
}

func (someDHCP) Usage() (used, size int) { return 1, 101 }

type someNTP struct{}

func (someNTP) Status() ntpsrv.Status   { return ntpsrv.Status{Stratum: 3, Source: "time.example"} }
func (someNTP) Served() ntpsrv.Counters { return ntpsrv.Counters{Answered: 5} }
func (someNTP) Sources() []ntpsrv.SourceStatus {
	return []ntpsrv.SourceStatus{{Source: "time.example", State: "used", Reach: 1, Polled: time.Unix(1e9, 0)}}
}

type someMail struct{}

func (someMail) Accounts() ([]mailsrv.AccountStatus, error) {
	return []mailsrv.AccountStatus{{User: "alice", Messages: 3}, {User: "bob", Messages: 2, Unseen: 1}}, nil
}

func (someMail) Outbound() *queue.Queue { return nil }

func (someMail) Domains(context.Context) []mailsrv.DomainReport {
	return []mailsrv.DomainReport{{Domain: "oak.home.arpa", Local: true, Records: []mailsrv.Record{{Kind: "MX", Good: true}, {Kind: "SPF"}, {Kind: "DMARC", Unsure: true}}}}
}

type someProxy struct{}

func (someProxy) Routes() []proxy.RouteStatus {
	return []proxy.RouteStatus{{Host: "nas.oak.home.arpa", Upstream: "http://192.168.1.9", Access: config.AccessLAN, OK: true}}
}

type someDAV struct{}

func (someDAV) Collections(user string) ([]davsrv.CollectionInfo, error) {
	all := []davsrv.CollectionInfo{{Owner: "alice", Name: "home", Kind: "calendar"}, {Owner: "bob", Name: "work", Kind: "contacts"}}
	return slices.DeleteFunc(all, func(c davsrv.CollectionInfo) bool { return user != "" && c.Owner != user }), nil
}

type refusedFolder int

func (refusedFolder) Error() string         { return "refused, for the log" }
func (r refusedFolder) HTTP() (int, string) { return int(r), "there is no such folder" }

func (someDAV) Files(user, name string) ([]davsrv.FileInfo, error) {
	switch name {
	case "none":
		return nil, refusedFolder(http.StatusNotFound)
	case "..":
		return nil, refusedFolder(http.StatusBadRequest)
	case "broken":
		return nil, errors.New("input/output error on /var/lib/pic")
	}
	return []davsrv.FileInfo{{Name: "of " + user, Size: 7}}, nil
}

// An agent sends requests as somebody.
type agent struct {
	h       *household
	session string
	csrf    string
	bearer  string
}

func (h *household) stranger() *agent { return &agent{h: h} }

// as opens a session without spending time on a password.
func (h *household) as(name string) *agent {
	h.t.Helper()
	token, csrf, err := h.deps.Users.NewSession(h.t.Context(), name, netip.MustParseAddr("127.0.0.1"), "test")
	must(h.t, err)
	return &agent{h: h, session: token, csrf: csrf}
}

type reply struct {
	*http.Response
	body []byte
}

// do sends a request; body is JSON text or a value to encode; header is pairs.
func (a *agent) do(method, path string, body any, header ...string) reply {
	a.h.t.Helper()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	default:
		data, err := json.Marshal(b)
		must(a.h.t, err)
		r = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(a.h.t.Context(), method, a.h.server.URL+path, r)
	must(a.h.t, err)
	if r != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if a.session != "" {
		req.AddCookie(&http.Cookie{Name: SessionCookie, Value: a.session})
		req.Header.Set(CSRFHeader, a.csrf)
	}
	if a.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+a.bearer)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	must(a.h.t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	must(a.h.t, err)
	return reply{resp, data}
}

// want checks the status and decodes the body into out, unless that is nil.
func (r reply) want(t *testing.T, status int, out any) {
	t.Helper()
	if r.StatusCode != status {
		t.Fatalf("%s %s: status %d, want %d: %s", r.Request.Method, r.Request.URL.Path, r.StatusCode, status, r.body)
	}
	if out != nil {
		if err := json.Unmarshal(r.body, out); err != nil {
			t.Fatalf("%s %s: %v in %s", r.Request.Method, r.Request.URL.Path, err, r.body)
		}
	}
}

// problem checks the status of a failure and returns it.
func (r reply) problem(t *testing.T, status int) wire.Error {
	t.Helper()
	var e wire.Error
	r.want(t, status, &e)
	if got := r.Header.Get("Content-Type"); got != problemType {
		t.Errorf("a failure has the content type %q", got)
	}
	if e.Status != status || e.Detail == "" {
		t.Errorf("a failure without status or detail: %s", r.body)
	}
	return e
}
