package dnssrv

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"pic/internal/listen"
)

func TestARolloverIsSeenByThoseWhoAsk(t *testing.T) {
	s := startSigned(t, conf(signedLab()), nil, t.TempDir())
	keys := func() int {
		n := 0
		for _, rr := range ask(t, s, "udp", "oak.home.arpa.", dns.TypeDNSKEY).Answer {
			if rr.Header().Rrtype == dns.TypeDNSKEY {
				n++
			}
		}
		return n
	}
	serial := s.zoneInfo(t, "oak.home.arpa").Serial
	if got := keys(); got != 2 {
		t.Fatalf("%d keys", got)
	}
	if err := s.Rollover(t.Context(), "oak.home.arpa"); err != nil {
		t.Fatal(err)
	}
	z := s.zoneInfo(t, "oak.home.arpa")
	if got := keys(); got != 4 || z.Serial <= serial || len(z.Keys) != 4 {
		t.Errorf("%d keys, serial %d after %d, %v", got, z.Serial, serial, z.Keys)
	}
	if err := s.Rollover(t.Context(), "plain.oak.home.arpa"); err == nil || err.Error() != "plain.oak.home.arpa is not signed" {
		t.Errorf("got %v", err)
	}
	var codes []string
	for _, p := range s.Problems() {
		codes = append(codes, p.Code)
		// The parent is told once others know the key, not before.
		if p.Code == "dns/anchor" && !strings.HasPrefix(p.Fix, "Nothing yet") {
			t.Errorf("told to %q", p.Fix)
		}
	}
	if !strings.Contains(strings.Join(codes, " "), "dns/anchor") {
		t.Errorf("got %v", codes)
	}
	if ring := s.keys.Ring("oak.home.arpa."); !strings.Contains(s.anchorFix("oak.home.arpa.", ring.DS()[0].(*dns.DS).KeyTag), "pic dns zone ds oak.home.arpa ") {
		t.Error("nobody is told of the key that the parent should have")
	}
}

func TestKeysThatAreDamagedAreToldAndNothingElseSuffers(t *testing.T) {
	dir := t.TempDir()
	d := signedLab()
	if err := os.MkdirAll(filepath.Join(dir, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "keys", "oak.home.arpa.keys"), []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startSigned(t, conf(d), nil, dir)
	if r := ask(t, s, "udp", "nas.oak.home.arpa.", dns.TypeA, wantDO); len(r.Answer) != 2 {
		t.Errorf("got %v", r.Answer)
	}
	for _, p := range s.Problems() {
		if p.Code == "dns/keys" && p.Title == "oak.home.arpa is not signed" {
			return
		}
	}
	t.Errorf("got %v", s.Problems())
}

// Each day some signatures are made anew, and every week all of them: as a new
// version of the zone, so that no answer that is kept outlives its signatures.
func TestZonesAreSignedAnewAsDaysPass(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		o := Options{Log: slog.New(slog.DiscardHandler), Pool: listen.NewPool(nil)}
		sealing(&o, dir)
		s := New(o)
		c := From(signedLab())
		c.Sockets, c.Upstreams, c.DNS.Upstreams = nil, nil, nil
		if err := s.Apply(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		kept := s.keeping(ctx) // as Run does
		signature := func() (*dns.RRSIG, *table) {
			m := s.outside()
			o, _ := m.local(mustName("nas.oak.home.arpa"), dns.TypeA)
			return o.answer[len(o.answer)-1].(*dns.RRSIG), m.table
		}
		sig, tab := signature()
		serial := tab.zones[mustName("oak.home.arpa")].soa.Serial
		anew := 0
		for day := range 8 {
			time.Sleep(24 * time.Hour)
			synctest.Wait()
			now, after := signature()
			if after == tab {
				t.Fatalf("day %d: the zones are those of the day before", day)
			}
			if !now.ValidityPeriod(time.Now().Add(7 * 24 * time.Hour)) {
				t.Errorf("day %d: %v ends too soon", day, now)
			}
			if now.String() != sig.String() {
				anew++
			}
			if s := after.zones[mustName("oak.home.arpa")].soa.Serial; s <= serial {
				t.Errorf("day %d: the serial went from %d to %d", day, serial, s)
			} else {
				serial = s
			}
			sig, tab = now, after
		}
		if anew < 1 || anew > 2 {
			t.Errorf("the signature was made anew %d times in 8 days", anew)
		}
		cancel()
		kept()
		if err := s.Run(ctx); err != nil { // which ends at once, and all that Apply began
			t.Error(err)
		}
	})
}
