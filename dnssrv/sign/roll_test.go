package sign

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/internal/faultfs"
)

// A validator with the oldest answers that it may remember can check the newest,
// and the other way round, at every hour of an exchange.
func TestNoValidatorIsLostWhileKeysAreExchanged(t *testing.T) {
	s := open(t, t.TempDir())
	s.Follow([]string{oak})
	rrs := set("nas."+oak, "A 192.168.1.9")
	type moment struct {
		at   time.Time
		ring *Ring
	}
	var past []moment
	rolled := 0
	for hour := range 24 * 240 {
		if hour == 24 {
			if err := s.Roll(oak); err != nil {
				t.Fatal(err)
			}
		}
		if s.Tick(map[string]Parent{oak: nobody()}) {
			rolled++
		}
		r := s.Ring(oak)
		past = append(past, moment{s.now, r})
		if hour%6 == 0 {
			sigs, err := r.Sign(rrs)
			if err != nil {
				t.Fatal(err)
			}
			// The DNSKEY set may be as old as a secondary lags and it may be remembered.
			for _, ago := range []int{0, 1, 12, 24, 25} {
				if ago > hour {
					continue
				}
				if err := verify(rrs, sigs, past[hour-ago].ring.keySet(), s.now); err != nil {
					t.Fatalf("hour %d, keys of %d hours ago: %v\n%s", hour, ago, err, s.told())
				}
			}
			// And the records as old as they may be, a secondary's lag included.
			for _, ago := range []int{24, 7 * 24, 8 * 24} {
				if ago > hour {
					continue
				}
				old, err := past[hour-ago].ring.Sign(rrs)
				if err != nil {
					t.Fatal(err)
				}
				if err := verify(rrs, old, r.keySet(), s.now.Add(-24*time.Hour)); err != nil {
					t.Fatalf("hour %d, records of %d hours ago: %v\n%s", hour, ago, err, s.told())
				}
			}
			// Who follows by RFC 5011 trusts what was told for 30 days.
			if hour >= 30*24 {
				if err := anchored(r, past[hour-30*24].ring.Anchors(), s.now); err != nil {
					t.Fatalf("hour %d: %v\n%s", hour, err, s.told())
				}
			}
		}
		s.now = s.now.Add(time.Hour)
	}
	if rolled < 240 {
		t.Errorf("the ring changed %d times in 240 days", rolled)
	}
}

func TestKeysAreExchangedInTheirTime(t *testing.T) {
	s := open(t, t.TempDir())
	s.Follow([]string{oak})
	steps := []struct {
		pass time.Duration
		want string
	}{
		{0, "ksk active 0, zsk active 0"},
		{zskLife - time.Hour, "ksk active 89, zsk active 89"},
		{time.Hour, "ksk active 90, zsk active 90, zsk published 0"},
		{publish - time.Hour, "ksk active 91, zsk active 91, zsk published 1"},
		{time.Hour, "ksk active 91, zsk retired 0, zsk active 0"},
		{retire - time.Hour, "ksk active 99, zsk retired 7, zsk active 7"},
		{time.Hour, "ksk active 99, zsk active 8"},
	}
	for i, step := range steps {
		s.pass(step.pass, nobody)
		if got := s.told(); got != step.want {
			t.Errorf("step %d: got %s, want %s", i, got, step.want)
		}
	}
	if err := s.Roll(oak); err != nil {
		t.Fatal(err)
	}
	if err := s.Roll(oak); err == nil || !strings.Contains(err.Error(), "are being exchanged already; the next one signs from ") {
		t.Errorf("a second exchange: %v", err)
	}
	for i, step := range []struct {
		pass time.Duration
		want string
	}{
		{0, "ksk active 99, zsk active 8, ksk published 0, zsk published 0"},
		{publish, "ksk active 100, zsk retired 0, ksk published 1, zsk active 0"},
		{holdDown - publish, "ksk revoked 0, ksk active 0, zsk active 33"},
		{holdDown, "ksk active 35, zsk active 68"},
	} {
		s.pass(step.pass, nobody)
		if got := s.told(); got != step.want {
			t.Errorf("step %d of the second: got %s, want %s", i, got, step.want)
		}
	}
	if again := open(t, s.dir); again != nil {
		again.now = s.now
		again.Follow([]string{oak})
		if got := again.told(); got != s.told() {
			t.Errorf("after a restart: got %s, want %s", got, s.told())
		}
	}
}

// A KSK waits for the parent, however long that takes, and for the parent to be
// asked at all.
func TestTheParentDecidesWhenTheKSKIsExchanged(t *testing.T) {
	s := open(t, t.TempDir())
	s.Follow([]string{oak})
	has := func(rrs []dns.RR) func() Parent {
		p := Parent{Known: true}
		for _, rr := range rrs {
			ds := *rr.(*dns.DS)
			ds.Digest = strings.ToUpper(ds.Digest)
			p.DS = append(p.DS, &ds)
		}
		return func() Parent { return p }
	}
	before := s.Ring(oak).DS()
	if err := s.Roll(oak); err != nil {
		t.Fatal(err)
	}
	if got := s.Ring(oak).DS(); got[0].String() != before[0].String() {
		t.Error("the new key is announced before everybody can know it")
	}
	s.pass(publish, has(before))
	after := s.Ring(oak).DS()
	if after[0].String() == before[0].String() {
		t.Fatal("the new key is not announced")
	}
	var cds *dns.CDS
	for _, rr := range s.Ring(oak).Apex() {
		if c, ok := rr.(*dns.CDS); ok {
			cds = c
		}
	}
	if cds == nil || cds.Digest != after[0].(*dns.DS).Digest {
		t.Errorf("CDS is %v", cds)
	}
	s.pass(400*24*time.Hour, has(before))
	if i := find(s.zones[oak].keys, KSK, Published); i < 0 {
		t.Fatal("took over though the parent does not have it")
	}
	s.pass(400*24*time.Hour, func() Parent { return Parent{} })
	if i := find(s.zones[oak].keys, KSK, Published); i < 0 {
		t.Fatal("took over though nobody knows what the parent has")
	}
	s.pass(registered-time.Hour, has(after))
	if i := find(s.zones[oak].keys, KSK, Published); i < 0 {
		t.Fatal("took over while the former DS record may be remembered")
	}
	s.pass(2*time.Hour, has(after))
	if i := find(s.zones[oak].keys, KSK, Published); i >= 0 {
		t.Fatal("did not take over")
	}
	if err := anchored(s.Ring(oak), after, s.now); err != nil {
		t.Error(err)
	}
}

func TestAClockThatJumpsBreaksNothing(t *testing.T) {
	s := open(t, t.TempDir())
	s.now = time.Unix(0, 0) // as boards without a battery start
	s.Follow([]string{oak})
	rrs := set("nas."+oak, "A 192.168.1.9")
	for _, now := range []time.Time{
		time.Unix(0, 0), time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC), time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC),
	} {
		s.now = now
		s.Tick(map[string]Parent{oak: nobody()})
		r := s.Ring(oak)
		sigs, err := r.Sign(rrs)
		if err != nil {
			t.Fatal(err)
		}
		if err := verify(rrs, sigs, r.Apex(), now); err != nil {
			t.Errorf("at %v: %v", now, err)
		}
	}
	s.pass(zskLife+retire+publish, nobody)
	if got := s.told(); !strings.Contains(got, "zsk active") || strings.Contains(got, "-") {
		t.Errorf("got %s", got)
	}
}

func TestKeysThatCannotBeReadAreNotReplaced(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	s.Follow([]string{oak})
	good, err := os.ReadFile(s.path(oak))
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"empty":         {},
		"of another":    bytes.Replace(good, []byte("oak"), []byte("elm"), 1),
		"cut short":     good[:len(good)/2],
		"no keys":       []byte("dns/keys/" + oak + "\n{\"keys\":[]}"),
		"unknown state": bytes.Replace(good, []byte(`"active"`), []byte(`"asleep"`), 1),
		"not a key":     bytes.Replace(good, []byte(`"secret":"`), []byte(`"secret":"AA`), 1),
	} {
		if err := os.WriteFile(s.path(oak), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		again := open(t, dir)
		again.Follow([]string{oak})
		faults := again.Faults()
		if again.Ring(oak) != nil || len(faults) != 1 || faults[0].Signed || faults[0].Zone != "oak.home.arpa" {
			t.Errorf("%s: %v", name, faults)
			continue
		}
		if strings.Contains(faults[0].Err.Error(), "secret\"") {
			t.Errorf("%s: the error quotes the file: %v", name, faults[0].Err)
		}
		if got, _ := os.ReadFile(s.path(oak)); !bytes.Equal(got, bad) {
			t.Errorf("%s: the file was replaced", name)
		}
		if err := again.Roll(oak); err == nil {
			t.Errorf("%s: keys that are not there were exchanged", name)
		}
		if err := os.WriteFile(s.path(oak), good, 0o600); err != nil {
			t.Fatal(err)
		}
		if !again.Tick(nil) || again.Ring(oak) == nil || len(again.Faults()) != 0 {
			t.Errorf("%s: not signed again after the file was restored", name)
		}
	}
}

func TestAFullDiskKeepsTheKeysAsTheyAre(t *testing.T) {
	for n := 1; ; n++ {
		dir := t.TempDir()
		s := open(t, dir)
		s.Follow([]string{oak})
		before := s.told()
		faults := faultfs.FailAt(faultfs.OS, n, syscall.ENOSPC)
		s.fs = faults
		err := s.Roll(oak)
		after := s.told()
		again := open(t, dir)
		again.Follow([]string{oak})
		if got := again.told(); got != after {
			t.Fatalf("change %d: in use are %s, on disk %s", n, after, got)
		}
		if err != nil && (after != before || !errors.Is(err, syscall.ENOSPC)) {
			t.Fatalf("change %d: %v, and the keys are %s", n, err, after)
		}
		if !faults.Failed() {
			break
		}
	}
	s := open(t, t.TempDir())
	s.Follow([]string{oak})
	s.fs = faultfs.FailAt(faultfs.OS, 1, syscall.ENOSPC)
	s.now = s.now.Add(zskLife)
	s.Tick(nil)
	if f := s.Faults(); len(f) != 1 || !f[0].Signed || s.Ring(oak) == nil {
		t.Errorf("got %v", f)
	}
	s.Tick(nil)
	if f := s.Faults(); len(f) != 0 || !strings.Contains(s.told(), "published") {
		t.Errorf("with room again: %v, %s", f, s.told())
	}
}

func TestWithoutAFolderNothingIsSigned(t *testing.T) {
	k := New(Options{Log: slog.New(slog.DiscardHandler)})
	k.Follow([]string{oak})
	if f := k.Faults(); k.Ring(oak) != nil || len(f) != 1 {
		t.Errorf("got %v", f)
	}
	if err := k.Roll("elm.home.arpa."); err == nil || err.Error() != "elm.home.arpa is not signed" {
		t.Errorf("got %v", err)
	}
}
