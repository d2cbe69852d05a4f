package davsrv

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pic/core/config"
	"pic/core/state"
	"pic/internal/listen"
	"pic/internal/nettest"
)

func TestConfigFollowsTheDocument(t *testing.T) {
	doc := config.Resolve(&config.Document{
		Cell:  config.Cell{Name: "oak", Mode: config.Trial},
		Users: []config.User{{Name: "alice", Display: "Alice"}, {Name: "gone", Disabled: true}},
	}, config.Env{})
	got := From(doc)
	sock := func(port uint16) listen.Socket {
		return listen.Socket{Net: "tcp", Addr: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)}
	}
	want := Config{
		Enabled:  true,
		Sockets:  []listen.Socket{sock(5232), sock(8080)},
		Insiders: doc.Insiders(),
		Domain:   "oak.home.arpa",
		Users:    []User{{"alice", "Alice"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	doc.DAV.Enabled = new(bool)
	if got := From(doc); got.Enabled || len(got.Sockets) != 0 {
		t.Errorf("switched off it is %+v", got)
	}
}

// Ports change while the server runs; a port that cannot be had changes nothing.
func TestApplyMovesSockets(t *testing.T) {
	nettest.NeedNamespace(t)
	c := start(t)
	conf := testConfig()
	at := func(s string) []listen.Socket {
		return []listen.Socket{{Net: "tcp", Addr: netip.MustParseAddrPort(s)}}
	}
	ask := func(addr string) bool {
		resp, err := http.Get("http://" + addr + "/dav/")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusUnauthorized
	}
	conf.Sockets = at("127.0.0.1:5232")
	if err := c.Apply(t.Context(), conf); err != nil || !ask("127.0.0.1:5232") {
		t.Fatal("the new port does not answer", err)
	}
	conf.Sockets = at("192.0.2.1:5232")
	if err := c.Apply(t.Context(), conf); err == nil || !ask("127.0.0.1:5232") {
		t.Fatal("a port that cannot be had:", err)
	}
	if got := c.Sockets(); len(got) != 1 || !strings.Contains(got[0], "127.0.0.1:5232") {
		t.Errorf("sockets are %v", got)
	}
	if err := c.Apply(t.Context(), Config{}); err != nil || ask("127.0.0.1:5232") {
		t.Error("switched off it still answers", err)
	}
	w := httptest.NewRecorder()
	c.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/.well-known/caldav", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("switched off its handler says %d", w.Code)
	}
}

// After Run has returned, Apply and Run may be called again.
func TestServerStartsAgain(t *testing.T) {
	dir := t.TempDir()
	db, err := state.Open(filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s := New(slog.New(slog.DiscardHandler), listen.NewPool(nil), db.Space("dav"), filepath.Join(dir, "files"), checkPassword)
	get := func() int {
		r := httptest.NewRequest("PUT", "/dav/files/alice/f", strings.NewReader("x"))
		r.SetBasicAuth("alice", "pw")
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		return w.Code
	}
	if code := get(); code != http.StatusServiceUnavailable {
		t.Errorf("before Apply: %d", code)
	}
	for range 3 {
		if err := s.Apply(t.Context(), testConfig()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error)
		go func() { ran <- s.Run(ctx) }()
		if code := get(); code != http.StatusCreated && code != http.StatusNoContent {
			t.Errorf("while running: %d", code)
		}
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if len(s.Sockets()) != 0 {
			t.Error("sockets are left")
		}
	}
}

func TestOnlyInsidersReachOwnSockets(t *testing.T) {
	c := start(t)
	conf := testConfig()
	conf.Sockets = []listen.Socket{c.sockets.Bound()[0].Socket}
	conf.Insiders = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	if err := c.Apply(t.Context(), conf); err != nil {
		t.Fatal(err)
	}
	if a := c.do("PROPFIND", "/dav/", "", "Depth", "0"); a.status != http.StatusForbidden || strings.Contains(a.body, "href") {
		t.Errorf("a stranger got %d %s", a.status, a.body)
	}
}

// The reasons why somebody is not let in reach the client as what they are.
func TestLoginErrorsAreToldApart(t *testing.T) {
	c := start(t)
	for secret, status := range map[string]int{"wrong": 401, "too often": 429, "disk": 500, "pw": 207} {
		r := httptest.NewRequest("PROPFIND", "/dav/", nil)
		r.Header.Set("Depth", "0")
		r.SetBasicAuth("alice", secret)
		w := httptest.NewRecorder()
		c.Handler().ServeHTTP(w, r)
		if w.Code != status || strings.Contains(w.Body.String(), "fire") {
			t.Errorf("%s: %d %s", secret, w.Code, w.Body)
		}
		if (w.Header().Get("Retry-After") != "") != (status == 429) || (w.Header().Get("WWW-Authenticate") != "") != (status == 401) {
			t.Errorf("%s: %v", secret, w.Header())
		}
	}
}

func TestUsersWhoseNamesAreNoFoldersAreRefused(t *testing.T) {
	c := start(t)
	for _, name := range []string{"", ".", "..", "a/b", ".pic", "a\x00"} {
		conf := testConfig()
		conf.Users = []User{{Name: name}}
		if err := c.Check(t.Context(), conf); err == nil {
			t.Errorf("%q is accepted", name)
		}
	}
	if err := c.Check(t.Context(), testConfig()); err != nil {
		t.Error(err)
	}
}

// A handler that panics answers 500 and the server lives.
func TestPanicIsAnAnswer(t *testing.T) {
	c := start(t)
	c.live[dav("getetag")] = liveProp{on: kindAny, guarded: true, write: func(*xmlWriter, *request, *resource) { panic("a fault") }}
	c.want(http.StatusInternalServerError, "PROPFIND", "/dav/", propfind(`<D:getetag/>`), "Depth", "0")
	c.want(http.StatusMultiStatus, "PROPFIND", "/dav/", propfind(`<D:displayname/>`), "Depth", "0")
}

func TestFactsCountWhatIsKept(t *testing.T) {
	c := start(t)
	c.want(http.StatusCreated, "PUT", personal+"a.ics", event("a", "DTSTART:20260310T100000Z\n"))
	c.want(http.StatusCreated, "PUT", book+"a.vcf", contact("a", "FN:A\n"))
	var got []string
	for _, f := range c.Facts() {
		got = append(got, f.Name+" "+f.Value)
	}
	if s := strings.Join(got, ", "); s != "calendars 1, address books 1, events, tasks and contacts 2" {
		t.Error(s)
	}
}
