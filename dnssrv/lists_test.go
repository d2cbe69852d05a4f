package dnssrv

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/internal/listen"
)

func TestListsComeByTheCellsOwnResolver(t *testing.T) {
	up := source(t, anything)
	s := serving(t, conf(lab(up.addr)), Options{})
	got, err := s.addresses(t.Context(), "lists.test")
	if err != nil || len(got) != 2 || got[0] != netip.MustParseAddr("192.0.2.80") {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := s.addresses(t.Context(), "nas.oak.home.arpa"); err != nil || len(got) != 2 {
		t.Errorf("got %v, %v", got, err)
	}
}

// While lists are read again, every query is answered, by the list before or by
// the one after, and by the latter once it is said to be in force.
func TestQueriesGoOnWhileListsChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ads")
	write := func(rules string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(rules), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var many strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&many, "||a%d.many.test^\n", i)
	}
	write("||always.test^\n" + many.String())
	d := lab(source(t, anything).addr)
	d.DNS.Filter.Lists = []config.List{{Name: "ads", URL: path}}
	s := serving(t, conf(d), Options{Dir: t.TempDir()})
	addr := s.at(t, "udp")
	var asked atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			c := dns.Client{Timeout: 5 * time.Second}
			conn, err := c.Dial(addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				name := []string{"always.test.", "sometimes.test.", fmt.Sprintf("a%d.many.test.", n*3+i)}[n%3]
				r, _, err := c.ExchangeWithConn(new(dns.Msg).SetQuestion(name, dns.TypeA), conn)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				got := brief(r)
				blocked := strings.HasSuffix(got, "A 0.0.0.0")
				if !blocked && (name != "sometimes.test." || !strings.HasSuffix(got, "A 192.0.2.80")) {
					t.Errorf("%s: %s", name, got)
				}
				asked.Add(1)
			}
		})
	}
	for n := range 10 {
		rules, want := "||always.test^\n", "192.0.2.80"
		if n%2 == 0 {
			rules, want = rules+"||sometimes.test^\n", "0.0.0.0"
		}
		write(rules + many.String())
		if err := s.RefreshList(t.Context(), "ads"); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got := brief(ask(t, s, "udp", "sometimes.test.", dns.TypeA)); !strings.HasSuffix(got, " "+want) {
				t.Errorf("change %d is in force, and the answer is %s", n, got)
			}
		}
	}
	close(stop)
	wg.Wait()
	if asked.Load() < 100 {
		t.Errorf("only %d queries", asked.Load())
	}
}

func TestListsThatFailAreAProblem(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ads")
	d := lab(source(t, anything).addr)
	d.DNS.Filter.Lists = []config.List{{Name: "ads", URL: path}}
	s := New(Options{Log: slog.New(slog.DiscardHandler), Pool: listen.NewPool(nil), Dir: t.TempDir()})
	if err := s.Apply(t.Context(), conf(d)); err != nil {
		t.Fatal(err)
	}
	problem := func() string {
		var out []string
		for _, p := range s.Problems() {
			if strings.HasPrefix(p.Code, "dns/list") {
				out = append(out, p.Code)
			}
		}
		return strings.Join(out, " ")
	}
	s.RefreshList(t.Context(), "ads")
	if got := problem(); got != "dns/list-missing" {
		t.Errorf("got %q", got)
	}
	if err := os.WriteFile(path, []byte("||ads.test^"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.RefreshList(t.Context(), "ads"); err != nil || problem() != "" {
		t.Errorf("%v: got %q", err, problem())
	}
	if err := os.WriteFile(path, []byte("<html>"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.RefreshList(t.Context(), "ads")
	if got := problem(); got != "dns/list-old" {
		t.Errorf("got %q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Error(err)
	}
}
