package ddns

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"pic/internal/nettest"
)

func TestMain(m *testing.M) { os.Exit(nettest.Main(m)) }

var (
	home4 = netip.MustParseAddr("9.9.0.7")
	home6 = netip.MustParseAddr("2600::7")
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// run runs a keeper until the end of the test.
func run(t *testing.T, k *Keeper) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); k.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

func TestAServiceIsToldOfNewAddressesOnly(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	answer := "good 9.9.0.7"
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		user, pass, _ := r.BasicAuth()
		asked = append(asked, fmt.Sprintf("%s %s %s:%s", r.URL.Path, r.URL.RawQuery, user, pass))
		fmt.Fprint(w, answer)
	}))
	defer s.Close()
	seen := func() []string { mu.Lock(); defer mu.Unlock(); return append([]string(nil), asked...) }
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	at := Addresses{home4, home6}
	k := NewKeeper(quiet(), Name{
		Name: "oak.dyn.example", Protocol: "dyndns2", Server: s.URL, User: "ann", Password: "secret", Four: true, Six: true, Interval: time.Hour,
	}, func() (Addresses, error) { mu.Lock(); defer mu.Unlock(); return at, nil }, &tls.Config{RootCAs: roots})
	k.lookup = nil
	run(t, k)
	nettest.WaitFor(t, 5*time.Second, func() bool { return !k.Status().Updated.IsZero() })
	if got := seen(); len(got) != 1 || got[0] != "/nic/update hostname=oak.dyn.example&myip=9.9.0.7%2C2600%3A%3A7 ann:secret" {
		t.Fatalf("asked %q", got)
	}
	k.Again() // the address is the same
	mu.Lock()
	at.Four = netip.MustParseAddr("9.9.0.8")
	mu.Unlock()
	k.Again()
	nettest.WaitFor(t, 5*time.Second, func() bool { return k.Status().Four == netip.MustParseAddr("9.9.0.8") })
	if got := seen(); len(got) != 2 {
		t.Errorf("asked %q", got)
	}
	mu.Lock()
	at.Four, answer = home4, "abuse"
	mu.Unlock()
	k.Again()
	nettest.WaitFor(t, 5*time.Second, func() bool { return k.Status().Stopped })
	if st := k.Status(); !strings.Contains(st.Error, "too many updates") {
		t.Errorf("%+v", st)
	}
	k.Again()
	if got := seen(); len(got) != 3 {
		t.Errorf("asked again after abuse: %q", got)
	}
}

func TestAnswersOfServicesMeanWhatTheySay(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		body   string
		says   string // empty: success
		final  bool
	}{
		"good":         {200, "good 9.9.0.7\n", "", false},
		"no change":    {200, "nochg", "", false},
		"password":     {200, "badauth", "user or the password", true},
		"401":          {401, "<html>", "user or the password", true},
		"name":         {200, "nohost", "no such name", true},
		"their fault":  {200, "911", "tried again", false},
		"a page":       {200, "<html>hello", "no answer of dyndns2", false},
		"server error": {502, "", "status 502", false},
	} {
		err := verdict("dyn.example", tt.status, tt.body)
		if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) || errors.As(err, new(stop)) != tt.final {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPasswordsDoNotTravelInClear(t *testing.T) {
	k := NewKeeper(quiet(), Name{Name: "oak.dyn.example", Server: "http://127.0.0.1:1", User: "ann", Password: "secret", Four: true}, nil, nil)
	err := k.updateService(t.Context(), Addresses{Four: home4})
	if err == nil || !strings.Contains(err.Error(), "https://") {
		t.Error(err)
	}
}

func TestNamesAreRenewedBeforeServicesForgetThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		k := NewKeeper(quiet(), Name{Name: "oak.dyn.example", Server: "http://dyn.example", Four: true, Interval: time.Hour},
			func() (Addresses, error) { return Addresses{Four: home4}, nil }, nil)
		k.client.Transport, k.lookup = counting(func() { n++ }), nil
		ctx, cancel := context.WithCancel(t.Context())
		go k.Run(ctx)
		time.Sleep(60 * 24 * time.Hour)
		cancel()
		synctest.Wait()
		if n != 3 {
			t.Errorf("%d updates in 60 days", n)
		}
	})
}

func TestARestartTellsNobodyAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		k := NewKeeper(quiet(), Name{Name: "oak.dyn.example", Server: "http://dyn.example", Four: true, Interval: time.Hour},
			func() (Addresses, error) { return Addresses{Four: home4}, nil }, nil)
		k.client.Transport = counting(func() { n++ })
		k.lookup = func(context.Context, string, string) ([]netip.Addr, error) { return []netip.Addr{home4, home6}, nil }
		ctx, cancel := context.WithCancel(t.Context())
		go k.Run(ctx)
		time.Sleep(20 * 24 * time.Hour)
		cancel()
		synctest.Wait()
		if n != 0 {
			t.Errorf("%d updates though the name leads here", n)
		}
	})
}

type counting func()

func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c()
	w := httptest.NewRecorder()
	fmt.Fprint(w, "nochg")
	return w.Result(), nil
}

func TestBINDTakesUpdates(t *testing.T) {
	named := nettest.Tool(t, "named")
	dir := t.TempDir()
	const secret = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0MDA="
	port := nettest.FreePort(t)
	files := map[string]string{
		"zone": "$TTL 60\n@ SOA ns hostmaster 1 60 60 60 60\n@ NS ns\nns A 127.0.0.1\noak A 192.0.2.1\n",
		"conf": fmt.Sprintf(`options { directory %q; listen-on port %d { 127.0.0.1; }; listen-on-v6 { none; }; pid-file "pid"; recursion no; session-keyfile "session"; };
controls { };
key "oak-key" { algorithm hmac-sha256; secret %q; };
zone "dyn.example" { type primary; file "zone"; update-policy { grant oak-key name oak.dyn.example A AAAA; }; };
`, dir, port, secret),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	server := fmt.Sprintf("127.0.0.1:%d", port)
	lab := nettest.New(t)
	p := lab.Self().Start(t, named, "-g", "-n", "1", "-c", filepath.Join(dir, "conf"))
	nettest.WaitFor(t, 10*time.Second, func() bool { return strings.Contains(p.Output(), "all zones loaded") })
	n := Name{Name: "oak.dyn.example", Server: server, User: "oak-key", Password: secret, Four: true, Six: true}
	for _, a := range []Addresses{{home4, home6}, {Four: netip.MustParseAddr("9.9.0.8")}} {
		if err := updateZone(t.Context(), n, a); err != nil {
			t.Fatalf("%v\n%s", err, p.Output())
		}
		if got := look(t, server, dns.TypeA); got != a.Four.String() {
			t.Errorf("A is %s", got)
		}
		want := ""
		if a.Six.IsValid() {
			want = a.Six.String()
		}
		if got := look(t, server, dns.TypeAAAA); got != want {
			t.Errorf("AAAA is %s", got)
		}
	}
	n.Name = "elm.dyn.example"
	if err := updateZone(t.Context(), n, Addresses{Four: home4}); !errors.As(err, new(stop)) || !strings.Contains(err.Error(), "refuses") {
		t.Errorf("another's name: %v", err)
	}
	n.Password = "YW5vdGhlcg=="
	if err := updateZone(t.Context(), n, Addresses{Four: home4}); !errors.As(err, new(stop)) {
		t.Errorf("a wrong key: %v", err)
	}
}

func look(t *testing.T, server string, typ uint16) string {
	t.Helper()
	r, err := dns.Exchange(new(dns.Msg).SetQuestion("oak.dyn.example.", typ), server)
	if err != nil {
		t.Fatal(err)
	}
	for _, rr := range r.Answer {
		switch rr := rr.(type) {
		case *dns.A:
			return rr.A.String()
		case *dns.AAAA:
			return rr.AAAA.String()
		}
	}
	return ""
}

func TestPublicAddressesAreTold(t *testing.T) {
	for addr, want := range map[string]bool{
		"9.9.0.7": true, "10.1.2.3": false, "100.64.0.1": false, "127.0.0.1": false, "192.0.2.1": false, "2600::7": true, "fd00::1": false, "fe80::1": false,
	} {
		if Public(netip.MustParseAddr(addr)) != want {
			t.Errorf("%s", addr)
		}
	}
}
