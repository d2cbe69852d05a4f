package sign

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const oak = "oak.home.arpa."

// A shop is keys in a folder, with a clock of their own.
type shop struct {
	*Keys
	now time.Time
	dir string
}

func open(t testing.TB, dir string) *shop {
	s := &shop{dir: dir, now: time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC)}
	s.Keys = New(Options{
		Log: slog.New(slog.DiscardHandler), Dir: filepath.Join(dir, "keys"), Now: func() time.Time { return s.now },
		Seal: func(context string, plain []byte) []byte { return append([]byte(context+"\n"), plain...) },
		Unseal: func(context string, sealed []byte) ([]byte, error) {
			plain, ok := bytes.CutPrefix(sealed, []byte(context+"\n"))
			if !ok {
				return nil, errors.New("cannot be unsealed")
			}
			return plain, nil
		},
	})
	return s
}

// told writes the keys in one line: role, state and how many days ago that began.
func (s *shop) told() string {
	var out []string
	for _, k := range s.Status(oak) {
		out = append(out, fmt.Sprintf("%s %s %d", k.Role, k.State, int(s.now.Sub(k.Since).Hours()/24)))
	}
	return strings.Join(out, ", ")
}

// pass lets time go by, an hour at a time; parent is what the zone above says.
func (s *shop) pass(d time.Duration, parent func() Parent) {
	for end := s.now.Add(d); s.now.Before(end); {
		s.now = s.now.Add(time.Hour)
		s.Tick(map[string]Parent{oak: parent()})
	}
}

func nobody() Parent { return Parent{Known: true} }

func set(name string, lines ...string) []dns.RR {
	var out []dns.RR
	for _, l := range lines {
		rr, err := dns.NewRR(name + " 300 IN " + l)
		if err != nil {
			panic(err)
		}
		out = append(out, rr)
	}
	return out
}

// verify checks a set against the DNSKEY set that a validator remembers, at a
// time.
func verify(rrs []dns.RR, sigs []*dns.RRSIG, keys []dns.RR, at time.Time) error {
	for _, sig := range sigs {
		for _, rr := range keys {
			k, ok := rr.(*dns.DNSKEY)
			if !ok || k.KeyTag() != sig.KeyTag || k.Flags&dns.REVOKE != 0 {
				continue
			}
			if err := sig.Verify(k, rrs); err != nil {
				return err
			}
			if !sig.ValidityPeriod(at) {
				return fmt.Errorf("%v is not valid at %v", sig, at)
			}
			return nil
		}
	}
	return errors.New("no signature by a key that is known")
}

// anchored checks a DNSKEY set against a DS set.
func anchored(r *Ring, ds []dns.RR, at time.Time) error {
	keys := r.keySet()
	sigs, err := r.Sign(keys)
	if err != nil {
		return err
	}
	var trusted []dns.RR
	for _, rr := range keys {
		for _, d := range ds {
			if rr.(*dns.DNSKEY).ToDS(dns.SHA256).Digest == d.(*dns.DS).Digest {
				trusted = append(trusted, rr)
			}
		}
	}
	return verify(keys, sigs, trusted, at)
}

func (r *Ring) keySet() []dns.RR {
	return slices.DeleteFunc(slices.Clone(r.Apex()), func(rr dns.RR) bool { return rr.Header().Rrtype != dns.TypeDNSKEY })
}

func TestSignaturesVerify(t *testing.T) {
	s := open(t, t.TempDir())
	s.Follow([]string{oak})
	r := s.Ring(oak)
	for name, rrs := range map[string][]dns.RR{
		"address":  set("nas."+oak, "A 192.168.1.9", "A 192.168.1.10"),
		"wildcard": set("*.apps."+oak, "A 192.168.1.9"),
		"apex":     set(oak, "MX 10 Mail."+oak),
		"SVCB":     set("web."+oak, "HTTPS 1 . alpn=h2"),
		"no TTL":   {&dns.A{Hdr: dns.RR_Header{Name: "x." + oak, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: []byte{192, 168, 1, 1}}},
	} {
		sigs, err := r.Sign(rrs)
		if err != nil || len(sigs) != 1 {
			t.Fatalf("%s: %v, %v", name, sigs, err)
		}
		if err := verify(rrs, sigs, r.Apex(), s.now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := anchored(r, r.DS(), s.now); err != nil {
		t.Error(err)
	}
	if _, err := r.Sign(nil); err == nil {
		t.Error("nothing was signed")
	}
}

// Secondaries compare what they get, and starts must not look like changes.
func TestTheSameIsSignedTheSame(t *testing.T) {
	dir := t.TempDir()
	rrs := set("nas."+oak, "A 192.168.1.9", "A 192.168.1.10")
	var first string
	for range 3 {
		s := open(t, dir)
		s.Follow([]string{oak})
		slices.Reverse(rrs)
		sigs, err := s.Ring(oak).Sign(rrs)
		if err != nil {
			t.Fatal(err)
		}
		if got := sigs[0].String(); first == "" {
			first = got
		} else if got != first {
			t.Errorf("got %s, before %s", got, first)
		}
	}
}

func TestSignaturesAreReplacedAWeekBeforeTheyEnd(t *testing.T) {
	s := open(t, t.TempDir())
	s.Follow([]string{oak})
	anew := map[int]int{} // sets that were signed anew, by day
	last := map[string]uint32{}
	for day := range 30 {
		s.Tick(nil)
		r := s.Ring(oak)
		for i := range 140 {
			rrs := set(fmt.Sprintf("n%d.%s", i, oak), "A 192.168.1.9")
			sigs, err := r.Sign(rrs)
			if err != nil {
				t.Fatal(err)
			}
			left := time.Unix(int64(sigs[0].Expiration), 0).Sub(s.now)
			if left < 7*24*time.Hour || left > 15*24*time.Hour || !sigs[0].ValidityPeriod(s.now.Add(-time.Hour)) {
				t.Fatalf("day %d: %v, ends in %v", day, sigs[0], left)
			}
			if name := rrs[0].Header().Name; last[name] != sigs[0].Expiration {
				last[name] = sigs[0].Expiration
				anew[day]++
			}
		}
		s.now = s.now.Add(24 * time.Hour)
	}
	for day := 1; day < 30; day++ {
		if n := anew[day]; n < 5 || n > 40 {
			t.Errorf("day %d: %d of 140 sets were signed anew", day, n)
		}
	}
}

func TestSignaturesAreKeptInBoundedMemory(t *testing.T) {
	s := open(t, t.TempDir())
	s.cache = newCache(8)
	s.Follow([]string{oak})
	for i := range 100 {
		if _, err := s.Ring(oak).Sign(set(fmt.Sprintf("n%d.%s", i%20, oak), "A 192.168.1.9")); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.cache.by) != 8 || len(s.cache.ring) != 8 {
		t.Errorf("%d signatures are kept, %d in order", len(s.cache.by), len(s.cache.ring))
	}
}

// The order of RFC 4034 §6.1 is that of its example.
func TestNamesAreOrderedAsInTheStandard(t *testing.T) {
	want := []string{
		"example.", "a.example.", "yljkjljk.a.example.", "Z.a.example.", "zABC.a.EXAMPLE.", "z.example.",
		`\001.z.example.`, "*.z.example.", `\200.z.example.`,
	}
	got := slices.Clone(want)
	rand.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
	slices.SortFunc(got, func(a, b string) int { return Compare(wire(a), wire(b)) })
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func wire(s string) string {
	b := make([]byte, 256)
	n, err := dns.PackDomainName(dns.CanonicalName(s), b, 0, nil, false)
	if err != nil {
		panic(err)
	}
	return string(b[:n])
}

// Compare is an order of names, and no bytes make it panic.
func FuzzCompare(f *testing.F) {
	f.Add("\x01a\x00", "\x01b\x01a\x00", "\x00")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		if len(a) > 255 || len(b) > 255 || len(c) > 255 {
			return
		}
		if Compare(a, b) != -Compare(b, a) && (Compare(a, b) < 0) == (Compare(b, a) < 0) {
			t.Fatalf("%q and %q: %d and %d", a, b, Compare(a, b), Compare(b, a))
		}
		if Compare(a, b) < 0 && Compare(b, c) < 0 && Compare(a, c) >= 0 {
			t.Fatalf("%q < %q < %q, but not the first and the last", a, b, c)
		}
		if Compare(a, a) != 0 {
			t.Fatalf("%q differs from itself", a)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	s := open(b, b.TempDir())
	s.Follow([]string{oak})
	r := s.Ring(oak)
	b.Run("known", func(b *testing.B) {
		rrs := set("nas."+oak, "A 192.168.1.9")
		for b.Loop() {
			if _, err := r.Sign(rrs); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("new", func(b *testing.B) {
		rrs := set("nas."+oak, "A 192.168.1.9")
		for i := 0; b.Loop(); i++ {
			rrs[0].Header().Ttl = uint32(i + 1)
			if _, err := r.Sign(rrs); err != nil {
				b.Fatal(err)
			}
		}
	})
}
