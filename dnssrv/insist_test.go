package dnssrv

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/internal/listen"
	"pic/internal/nettest"
)

func TestWhatBreaksIsTriedLessAndLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Log: slog.New(slog.DiscardHandler), Pool: listen.NewPool(nil)})
		begun := time.Now()
		var at []time.Duration
		s.insist(t.Context(), "a zone", func() {
			at = append(at, time.Since(begun))
			switch len(at) {
			case 4:
				time.Sleep(2 * lastRetry) // works for long, then breaks again
			case 6:
				return
			}
			panic("broken")
		})
		want := []time.Duration{0, firstRetry, 3 * firstRetry, 7 * firstRetry}
		want = append(want, want[3]+2*lastRetry+firstRetry, want[3]+2*lastRetry+3*firstRetry)
		if !slices.Equal(at, want) {
			t.Errorf("tried at %v, want %v", at, want)
		}
		run, stop := context.WithCancel(t.Context())
		time.AfterFunc(10*lastRetry, stop)
		n := 0
		s.insist(run, "a zone", func() { n++; panic("broken") })
		if n < 10 || n > 30 {
			t.Errorf("tried %d times in %v", n, 10*lastRetry)
		}
	})
}

// noises are what a server logs.
type noises struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (n *noises) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.Write(b)
}

func (n *noises) contain(s string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Contains(n.b.String(), s)
}

// A version that breaks whoever looks at it does not end the following of the zone.
func TestAZoneIsFollowedThoughItBrokeTheFollower(t *testing.T) {
	t.Parallel()
	dir, port := t.TempDir(), fmt.Sprint(nettest.FreePort(t))
	var said noises
	s := New(Options{
		Log: slog.New(slog.NewTextHandler(&said, nil)), Pool: listen.NewPool(nil), Dir: t.TempDir(),
		Secret: func(config.Secret) ([]byte, error) { return []byte(acmeSecret), nil },
	})
	apex := mustName("elm.example.")
	s.keeper.fetched[apex] = &fetched{} // as after a fault of ours: whoever looks at it breaks
	d := lab()
	d.DNS.Keys = []config.TSIGKey{{Name: "xfr", Algorithm: "hmac-sha512", Secret: "xfr"}}
	d.DNS.Zones = append(d.DNS.Zones, config.Zone{Name: "elm.example", Primaries: []config.NameServer{{Address: "127.0.0.1:" + port, Key: "xfr"}}})
	if err := s.Apply(t.Context(), conf(d)); err != nil {
		t.Fatal(err)
	}
	running(t, s)
	nettest.WaitFor(t, 10*time.Second, func() bool { return said.contain("something broke") })
	if err := os.WriteFile(filepath.Join(dir, "elm.zone"), []byte(elmZone(7, "")), 0o644); err != nil {
		t.Fatal(err)
	}
	runServer(t, "knotd", knotConf(dir, port, `acl:
- id: cell
  key: xfr
  action: transfer
zone:
- domain: elm.example
  file: elm.zone
  acl: cell
`), "-c", "@")
	s.keeper.mu.Lock()
	delete(s.keeper.fetched, apex)
	s.keeper.mu.Unlock()
	nettest.WaitFor(t, 20*time.Second, func() bool { return soaAt(t, s.at(t, "udp"), "elm.example") == 7 })
	if got := brief(ask(t, s, "udp", "www.elm.example.", dns.TypeA)); got != "NOERROR aa | www.elm.example. A 192.0.2.80" {
		t.Error(got)
	}
}
