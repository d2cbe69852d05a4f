package policy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"pic/core/config"
)

// A naive is a rule as a reader of it would hold it against a name: by text, one
// rule after the other. It knows the forms that stand in tables, and no more.
type naive struct {
	text     string
	list     int
	rank     int // 1 block, 3 allow, 4 important block, 6 important allow
	name     string
	below    bool
	self     bool
	typ      uint16
	notBelow string
}

func (n *naive) about(name string, typ uint16) bool {
	is := n.self && name == n.name || n.below && strings.HasSuffix(name, "."+n.name)
	if n.typ != 0 && n.typ != typ {
		is = false
	}
	if n.notBelow != "" && (name == n.notBelow || strings.HasSuffix(name, "."+n.notBelow)) {
		is = false
	}
	return is
}

// randomRule writes a rule of any form about a name of few.
func randomRule(r *rand.Rand, list int) naive {
	labels := []string{"a", "b", "ads", "x1", "my-cdn", "_srv"}
	name := labels[r.IntN(len(labels))] + ".test"
	for range r.IntN(3) {
		name = labels[r.IntN(len(labels))] + "." + name
	}
	n := naive{list: list, name: name, rank: 1, self: true, below: true}
	switch r.IntN(12) {
	case 0:
		n.text, n.below = "0.0.0.0 "+name, false
	case 1:
		n.text, n.below = name, false
	case 2:
		n.text = "*." + name
	case 3, 4:
		n.text = "||" + name + "^"
	case 5:
		n.text, n.rank = "||"+name+"^$important", 4
	case 6:
		n.text, n.rank = "@@||"+name+"^", 3
	case 7:
		n.text, n.rank = "@@||"+name+"^$important", 6
	case 8:
		n.text, n.below = "|"+name+"^", false
	case 9:
		n.text, n.rank, n.below = "@@|"+name+"^", 3, false
	case 10:
		n.text, n.typ = "||"+name+"^$dnstype=AAAA", dns.TypeAAAA
	case 11:
		n.notBelow = "b." + name
		n.text = "||" + name + "^$denyallow=" + n.notBelow
	}
	return n
}

// Whatever the lists, the strongest rule about a name decides, and the decision
// names a rule that is there, is about the name, and is that strong.
func TestTheStrongestRuleDecides(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 60 {
		conf := filter(config.Filter{Groups: []config.Group{{Name: "some", Lists: []string{"list 1"}}}, Clients: []config.Client{
			{Name: "one", IDs: []string{"192.168.1.20"}, Groups: []string{"some"}},
		}})
		s, err := newShelf(10)
		if err != nil {
			t.Fatal(err)
		}
		var all []naive
		for list := range 3 {
			url := fmt.Sprint("u", list)
			var text strings.Builder
			for range 1 + r.IntN(60) {
				n := randomRule(r, list)
				all = append(all, n)
				fmt.Fprintln(&text, n.text)
			}
			st, err := s.add(url, strings.NewReader(text.String()))
			if err != nil || st.Skipped != 0 || st.Foreign != 0 {
				t.Fatalf("%v: %+v of\n%s", err, st, text.String())
			}
			conf.Filter.Lists = append(conf.Filter.Lists, config.List{Name: fmt.Sprint("list ", list), URL: url, Allow: list == 2})
		}
		lib, err := s.library()
		if err != nil {
			t.Fatal(err)
		}
		set := newSet(must(t, conf), lib, nil, never, noon)
		for range 400 {
			name, typ := randomRule(r, 0).name, []uint16{dns.TypeA, dns.TypeAAAA}[r.IntN(2)]
			lists := []int{0, 1, 2}
			addr := "192.168.1.21"
			if r.IntN(2) == 0 {
				lists, addr = []int{1}, "192.168.1.20"
			}
			got := set.View(netip.MustParseAddr(addr), "").Decide(wire(t, name), typ)
			checkAgainst(t, all, lists, name, typ, got)
		}
	}
}

func checkAgainst(t *testing.T, all []naive, lists []int, name string, typ uint16, got Decision) {
	t.Helper()
	rank := func(n *naive) int {
		if n.list == 2 && (n.rank == 1 || n.rank == 4) {
			return n.rank + 2 // its names are let through
		}
		return n.rank
	}
	best := 0
	for i := range all {
		if n := &all[i]; slices.Contains(lists, n.list) && n.about(name, typ) {
			best = max(best, rank(n))
		}
	}
	want := map[int]Action{0: None, 1: Block, 3: Allow, 4: Block, 6: Allow}[best]
	if got.Action != want {
		t.Fatalf("%s type %d is %v by %q of %s, want %v", name, typ, got.Action, got.Rule, got.List, want)
	}
	if want == None {
		return
	}
	for i := range all {
		if n := &all[i]; n.text == got.Rule && fmt.Sprint("list ", n.list) == got.List && n.about(name, typ) && rank(n) == best {
			return
		}
	}
	t.Fatalf("%s is said to be by %q of %s, which is no such rule", name, got.Rule, got.List)
}

// A glob matches what an expression made of it matches.
func FuzzGlob(f *testing.F) {
	for _, s := range []string{"||ads*.test^", "|a.b|", "ban*er", "||*.x^", "-ads.", "||a.*.c^", ".x^", "||a*a^", "|*|", "*ad*ad^", "a*d*d"} {
		f.Add(s, "aa.ads1.test")
		f.Add(s, "x.ad")
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		g, err := parseGlob(pattern)
		if err != nil || len(pattern) > 60 || len(name) > 100 {
			return
		}
		if _, ok := wireOf(name); !ok {
			return
		}
		name = strings.TrimSuffix(strings.ToLower(name), ".")
		if want := slowGlob(&g, name); g.match(name) != want {
			t.Errorf("%q and %q: got %v, want %v", pattern, name, !want, want)
		}
	})
}

// slowGlob holds a glob against every place of a name.
func slowGlob(g *glob, s string) bool {
	for i := range len(s) + 1 {
		switch {
		case g.start && i > 0, g.label && i > 0 && (i > len(s) || s[i-1] != '.'):
			continue
		}
		if slowFrom(g.parts, s[i:], g.end, true) {
			return true
		}
	}
	return false
}

// slowFrom tries every split. fixed says that the first part is not moved.
func slowFrom(parts []string, s string, end, fixed bool) bool {
	if len(parts) == 0 {
		return !end || s == ""
	}
	for i := range len(s) + 1 {
		if fixed && i > 0 {
			break
		}
		if rest, ok := strings.CutPrefix(s[i:], parts[0]); ok && slowFrom(parts[1:], rest, end, false) {
			return true
		}
	}
	return false
}

// FuzzList reads anything as a list. What it takes for rules must be about the
// names that they are written about, and each line is accounted for once.
func FuzzList(f *testing.F) {
	for _, s := range []string{
		"||a.test^\n0.0.0.0 b.test c.test # x\n*.c.test\nd.test\n! no\n[Adblock]\nexample.com##.ad\n",
		"$TTL 60\n@ SOA a. b. (1 2\n3 4 5)\n  NS a.\nbad.test CNAME .\n*.bad.test CNAME *.\ngood.test.rpz. CNAME rpz-passthru.\n",
		"/ads[0-9]+/$important\n@@||x^$client=~'a b'|10.0.0.0/8\n||y.test^$dnsrewrite=NOERROR;A;1.2.3.4\n||z^$badfilter",
		"192.0.2.1 host.test\n::1 localhost\nfe80::1%lo0 localhost\n\xef\xbb\xbfx.test\r\n<html>\n\x00",
	} {
		f.Add([]byte(s), "www.a.test")
	}
	f.Fuzz(func(t *testing.T, text []byte, name string) {
		var r recorder
		st, err := read(strings.NewReader(string(text)), &r)
		if err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(string(text), "\n") + 1; st.Skipped+st.Foreign > lines || len(st.Samples) > maxSamples || st.Rules != r.rules {
			t.Fatalf("%+v of %d lines, %d rules", st, lines, r.rules)
		}
		for _, n := range r.names {
			// Every name that is blocked or let through stands in the text.
			if !strings.Contains(strings.ToLower(string(text)), n) {
				t.Fatalf("%q is in none of the lines", n)
			}
		}
		s, err := newShelf(10)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.add("u", strings.NewReader(string(text))); err != nil {
			t.Fatal(err)
		}
		lib, err := s.library()
		if err != nil {
			t.Fatal(err)
		}
		w, ok := wireOf(name)
		if !ok {
			return
		}
		q := search{q: &asked{name: w, typ: 1}}
		q.use.set(0)
		b := lib.find(&q)
		if (b.strength == 0) != (b.rule == nil && b.form == 0) {
			t.Fatalf("half a rule: %+v", b)
		}
		if b.form != 0 && !strings.Contains("."+textOf(w)+".", "."+textOf(b.name)+".") {
			t.Fatalf("%q decided about %q", b.text(), name)
		}
	})
}

// A recorder is a sink that notes what it gets.
type recorder struct {
	rules int
	names []string
}

func (r *recorder) simple(name []byte, f form) (bool, error) {
	var buf [maxWire + 1]byte
	wire, ok := appendWire(buf[:0], name)
	if ok {
		r.rules++
		ascii := textOf(string(wire))
		if !strings.Contains(ascii, "xn--") {
			r.names = append(r.names, ascii)
		}
	}
	return ok, nil
}

func (r *recorder) full(p *parsed) error {
	r.rules++
	return nil
}

// FuzzRule reads anything as a rule of the document.
func FuzzRule(f *testing.F) {
	for _, s := range []string{"a.test", "@@||a.test^$important", "/x{2,}/", "1.2.3.4 nas", "||a^$client='b|c',dnstype=~A", "||*^$denyallow=de|fr", "$", "/$/", "@@", "||", "/a/$x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parseRule(text)
		if err != nil {
			return
		}
		k := compiler{compiled: &compiled{}}
		rs := newRuleset(&k.conds)
		for i := range all {
			p := &all[i]
			if p.strength == 0 || p.strength > allowsImportant {
				t.Fatalf("%q is of no strength", text)
			}
			if n := 0; true {
				for _, is := range []bool{p.name != "", p.glob != nil, p.pattern != nil} {
					if is {
						n++
					}
				}
				if n != 1 {
					t.Fatalf("%q is about %d things: %+v", text, n, p.rule)
				}
			}
			if err := rs.add(p); err != nil && p.cond == nil {
				t.Fatalf("%q: %v", text, err)
			}
		}
		rs.each(&asked{name: "\x01a\x04test\x00", typ: 1}, &bits{}, func(r *rule, _ int) {
			if r.name != "" && !strings.HasSuffix("\x01a\x04test\x00", r.name) {
				t.Fatalf("%q matched a.test", text)
			}
		})
	})
}
