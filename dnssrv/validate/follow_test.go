package validate

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/dnssrv/validate/signedtest"
)

const day = 24 * time.Hour

// A history is the root, whose keys change, and who follows them.
type history struct {
	t       testing.TB
	root    *signedtest.Zone
	keys    map[string]signedtest.Key
	now     time.Time
	initial []*dns.DS
	f       Followed
}

// newHistory begins with the keys of these names, which are trusted from the
// start.
func newHistory(t testing.TB, names ...string) *history {
	h := &history{t: t, root: signedtest.NewZone(t, ".", 0), keys: map[string]signedtest.Key{}, now: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}
	for _, n := range names {
		k := h.key(n)
		h.initial = append(h.initial, k.ToDS(dns.SHA256))
	}
	return h
}

func (h *history) key(name string) signedtest.Key {
	k, ok := h.keys[name]
	if !ok {
		k = signedtest.NewKey(h.t, ".", dns.ECDSAP256SHA256)
		h.keys[name] = k
	}
	return k
}

// told is the answer with these keys. A name that ends in ! is revoked, one that
// ends in ? has not signed.
func (h *history) told(names ...string) *dns.Msg {
	m := new(dns.Msg)
	var by []signedtest.Key
	for _, n := range names {
		k := h.key(strings.TrimRight(n, "!?"))
		d := *k.DNSKEY
		if strings.Contains(n, "!") {
			d.Flags |= dns.REVOKE
		}
		k.DNSKEY = &d
		m.Answer = append(m.Answer, &d)
		if !strings.Contains(n, "?") {
			by = append(by, k)
		}
	}
	h.root.From, h.root.Til = h.now.Add(-time.Hour), h.now.Add(20*day)
	set := slices.Clone(m.Answer)
	for _, k := range by {
		m.Answer = append(m.Answer, h.root.SignWith(k, set))
	}
	return m
}

// states tells what is thought of the keys, by their names.
func (h *history) states() string {
	var out []string
	for name, k := range h.keys {
		if i := h.f.find(k.DNSKEY); i >= 0 {
			out = append(out, name+" "+string(h.f.Keys[i].State))
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// trusted tells which keys are trusted.
func (h *history) trusted() string {
	var out []string
	for name, k := range h.keys {
		if fits(k.DNSKEY, h.f.Anchors(h.initial)) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestKeysComeAndGoAsRFC5011Says(t *testing.T) {
	type step struct {
		after   time.Duration
		keys    string // nothing: nobody answers
		states  string
		trusted string
		err     bool
	}
	for name, steps := range map[string][]step{
		"a new key is trusted after thirty days": {
			{0, "a b?", "a valid, b pending", "a", false},
			{29 * day, "a b?", "a valid, b pending", "a", false},
			{day, "a b?", "a valid, b valid", "a b", false},
			{day, "b", "a missing, b valid", "a b", false}, // not forgotten
			{day, "a b", "a valid, b valid", "a b", false},
		},
		"a key that goes meanwhile begins anew": {
			{0, "a b?", "a valid, b pending", "a", false},
			{20 * day, "a", "a valid", "a", false},
			{5 * day, "a b?", "a valid, b pending", "a", false},
			{29 * day, "a b?", "a valid, b pending", "a", false},
			{day, "a b?", "a valid, b valid", "a b", false},
		},
		"a key that is not seen again is not trusted by time alone": {
			{0, "a b?", "a valid, b pending", "a", false},
			{40 * day, "a", "a valid", "a", false},
		},
		"a rollover": {
			{0, "a b?", "a valid, b pending", "a", false},
			{31 * day, "a b", "a valid, b valid", "a b", false},
			{day, "a! b", "a revoked, b valid", "b", false},
			{20 * day, "b", "a revoked, b valid", "b", false},
			{11 * day, "b", "a removed, b valid", "b", false},
			{day, "a b", "a removed, b valid", "b", false}, // never again
			{day, "a", "a removed, b valid", "b", true},
		},
		"the thief of a key revokes nothing but that": {
			{0, "a b?", "a valid, b pending", "a", false},
			{31 * day, "a b", "a valid, b valid", "a b", false},
			{day, "b! c?", "a valid, b revoked", "a", false}, // and c is nobody's
			{day, "b c?", "a valid, b revoked", "a", true},
		},
		"who is not trusted revokes nobody": {
			{0, "a", "a valid", "a", false},
			{day, "a!? x", "a valid", "a", true},
			{day, "x", "a valid", "a", true},
			{day, "x a?", "a valid", "a", true},
		},
		"a revoked key that did not sign is only missing": {
			{0, "a b?", "a valid, b pending", "a", false},
			{31 * day, "a b", "a valid, b valid", "a b", false},
			{day, "a!? b", "a missing, b valid", "a b", false},
			{day, "a! b", "a revoked, b valid", "b", false},
		},
		"revoked while pending is gone": {
			{0, "a b?", "a valid, b pending", "a", false},
			{day, "a b!", "a valid", "a", false},
		},
		"all are revoked": {
			{0, "a", "a valid", "a", false},
			{day, "a!", "a revoked", "", false},
			{day, "a", "a revoked", "", true},
		},
		"nothing was ever seen": {{0, "", "", "a", true}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHistory(t, "a")
			for i, s := range steps {
				h.now = h.now.Add(s.after)
				next, err := h.f.Observe(h.now, ".", h.initial, h.told(strings.Fields(s.keys)...))
				h.f = remembered(t, next)
				if (err != nil) != s.err || h.states() != s.states || h.trusted() != s.trusted {
					t.Fatalf("step %d: %v, %s; trusted: %s; want %s; trusted: %s", i, err, h.states(), h.trusted(), s.states, s.trusted)
				}
				if wait := h.f.Next.Sub(h.now); wait < lookSoonest || wait > lookLatest || s.err && wait > againLatest {
					t.Errorf("step %d: the next look is in %v", i, wait)
				}
			}
		})
	}
}

// remembered is f after it was on disk.
func remembered(t *testing.T, f Followed) (out Followed) {
	t.Helper()
	b, err := json.Marshal(f)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err == nil {
		err = out.Check()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Keys that one began with are good at once, be they seen late or by an update of
// the program; what was revoked stays so.
func TestAnchorsOneBeginsWithAreGoodAtOnce(t *testing.T) {
	h := newHistory(t, "a", "b")
	observe := func(names ...string) {
		t.Helper()
		h.now = h.now.Add(day)
		f, err := h.f.Observe(h.now, ".", h.initial, h.told(names...))
		if err != nil {
			t.Fatal(err)
		}
		h.f = f
	}
	observe("a")
	if h.trusted() != "a b" {
		t.Errorf("trusted: %s", h.trusted())
	}
	observe("a", "b?", "c?")
	if h.states() != "a valid, b valid, c pending" {
		t.Error(h.states())
	}
	h.initial = append(h.initial, h.key("c").ToDS(dns.SHA384)) // an update knows it
	observe("a", "b?", "c?")
	if h.states() != "a valid, b valid, c valid" {
		t.Error(h.states())
	}
	observe("a!", "b", "c")
	if h.trusted() != "b c" {
		t.Errorf("trusted: %s", h.trusted())
	}
}

func TestAnAnswerCostsWhoFollowsKeysLittle(t *testing.T) {
	h := newHistory(t, "a")
	many := h.told("a")
	for range 40 {
		many.Answer = append(many.Answer, signedtest.NewKey(t, ".", dns.ECDSAP256SHA256).DNSKEY)
	}
	wrong := h.told("a")
	sig := wrong.Answer[1].(*dns.RRSIG)
	for range 200 {
		bad := *sig
		bad.Expiration++
		wrong.Answer = append([]dns.RR{&bad}, wrong.Answer...)
	}
	late := h.told("a")
	for name, tt := range map[string]struct {
		m   *dns.Msg
		now time.Time
	}{
		"too many keys":       {many, h.now},
		"too many signatures": {wrong, h.now},
		"expired":             {late, h.now.Add(21 * day)},
		"of the future":       {late, h.now.Add(-day)},
		"empty":               {new(dns.Msg), h.now},
	} {
		f, err := h.f.Observe(tt.now, ".", h.initial, tt.m)
		if err == nil || len(f.Keys) > 0 || f.Next.Sub(tt.now) != lookSoonest {
			t.Errorf("%s: %v, %+v", name, err, f)
		}
	}
}

// Whatever comes, trust comes from trust: an answer without the signature of a
// trusted key changes nothing but when to look again.
func FuzzObserve(f *testing.F) {
	h := newHistory(f, "a")
	b, err := h.told("a", "b?").Pack()
	if err != nil {
		f.Fatal(err)
	}
	first, err := h.f.Observe(h.now, ".", h.initial, h.told("a", "b?"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, uint32(0))
	f.Add(b, uint32(40*86400))
	f.Fuzz(func(t *testing.T, b []byte, later uint32) {
		m := new(dns.Msg)
		if m.Unpack(b) != nil {
			return
		}
		now := h.now.Add(time.Duration(later) * time.Second)
		next, err := first.Observe(now, ".", h.initial, m)
		if wait := next.Next.Sub(now); wait < lookSoonest || wait > lookLatest {
			t.Fatalf("looks again in %v", wait)
		}
		if e := next.Check(); e != nil {
			t.Fatal(e)
		}
		if err != nil && fmt.Sprint(next.Keys) != fmt.Sprint(first.Keys) {
			t.Fatalf("%v: from %v to %v", err, first.Keys, next.Keys)
		}
	})
}
