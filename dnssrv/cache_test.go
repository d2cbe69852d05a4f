package dnssrv

import (
	"fmt"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// made is an answer with one address that lives for ttl seconds.
func made(t testing.TB, q question, ttl uint32) *answer {
	t.Helper()
	m := new(dns.Msg)
	m.Answer = []dns.RR{address(q.name.String(), loopback4, ttl)}
	a, err := digest(q, m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// ttlOf reads the TTL that a client would be told.
func ttlOf(t testing.TB, q question, a *answer, age time.Duration) uint32 {
	t.Helper()
	var m dns.Msg
	ask := &query{raw: question2wire(q, false)[headerLen:], name: q.name, typ: q.typ}
	if err := m.Unpack(message(ask, a.reply(age), maxSize)); err != nil || len(m.Answer) != 1 {
		t.Fatalf("%v, %v", err, &m)
	}
	return m.Answer[0].Header().Ttl
}

func TestTheCacheIsBounded(t *testing.T) {
	now := time.Now()
	for name, tt := range map[string]struct{ bytes, entries int }{"by bytes": {1_600_000, 1_000_000}, "by entries": {100_000_000, 800}} {
		c := newCache(tt.bytes, tt.entries)
		first := question{name: mustName("first.example"), typ: dns.TypeA}
		c.put(first, made(t, first, 600), now, 0)
		for i := range 8000 {
			q := question{name: mustName(fmt.Sprintf("n%d.example", i)), typ: dns.TypeA}
			c.put(q, made(t, q, 600), now, 0)
			if entries, bytes := c.size(); entries > tt.entries || bytes > tt.bytes {
				t.Fatalf("%s: %d entries, %d bytes", name, entries, bytes)
			}
			if _, _, ok := c.get(first, now); !ok {
				t.Fatalf("%s: what is used all the time went after %d others", name, i)
			}
		}
		if entries, _ := c.size(); entries < 600 {
			t.Errorf("%s: only %d are kept", name, entries)
		}
	}
}

func TestAFlushForgetsWhatIsOnItsWay(t *testing.T) {
	c := newCache(cacheBytes, cacheEntries)
	q := question{name: mustName("www.example"), typ: dns.TypeA}
	epoch := c.now()
	c.flush()
	c.put(q, made(t, q, 600), time.Now(), epoch)
	if _, _, ok := c.get(q, time.Now()); ok {
		t.Error("an answer from before the flush is there")
	}
}

func TestTTLsAreBroughtIntoBounds(t *testing.T) {
	q := question{name: mustName("www.example"), typ: dns.TypeA}
	for ttl, want := range map[uint32]uint32{0: 0, 1: 1, 600: 600, maxLife: maxLife, maxLife + 1: maxLife, 1<<31 - 1: maxLife, 1 << 31: 0, 1<<32 - 1: 0} {
		a := made(t, q, ttl)
		if got := ttlOf(t, q, a, 0); got != want || a.life != time.Duration(want)*time.Second {
			t.Errorf("TTL %d: got %d, kept for %v", ttl, got, a.life)
		}
	}
}

// A TTL that is told never exceeds what is left of it, and an answer is never
// told when its time is over.
func FuzzTTL(f *testing.F) {
	f.Add(uint32(600), int64(0))
	f.Add(uint32(1), int64(time.Second))
	f.Add(uint32(86400), int64(3*time.Hour+time.Millisecond))
	q := question{name: mustName("www.example"), typ: dns.TypeA}
	born := time.Now()
	f.Fuzz(func(t *testing.T, ttl uint32, ns int64) {
		c := newCache(cacheBytes, cacheEntries)
		a := made(t, q, ttl)
		c.put(q, a, born, 0)
		age := time.Duration(ns)
		got, d, ok := c.get(q, born.Add(age))
		if ok != (age >= 0 && age < a.life) {
			t.Fatalf("lives for %v; found at the age of %v: %v", a.life, age, ok)
		}
		if !ok {
			return
		}
		told := ttlOf(t, q, got, d)
		left := a.life - age
		if time.Duration(told)*time.Second > left+time.Second || told > ttl || told == 0 {
			t.Fatalf("TTL %d, %v left, told %d", ttl, left, told)
		}
		if fresh := ttlOf(t, q, got, 0); uint32(a.life/time.Second) != fresh {
			t.Fatalf("the kept answer was changed: %d", fresh)
		}
	})
}
