package main

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestSpreadIsMedianAndEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		in   []float64
		want spread
	}{
		"odd":  {[]float64{3, 1, 2}, spread{1, 2, 3}},
		"even": {[]float64{4, 1, 2, 3}, spread{1, 2.5, 4}},
		"one":  {[]float64{7}, spread{7, 7, 7}},
	} {
		if got := spreadOf(tt.in); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
	if got := spreadOf(nil).String(); got != "–" {
		t.Errorf("of nothing: %q", got)
	}
}

func TestRatiosPairTurnsOfOneRound(t *testing.T) {
	second := func(units float64) turn { return turn{units: units, took: time.Second, cpu: time.Second} }
	cell, peer := []turn{second(10), second(40)}, []turn{second(10), second(10)}
	if got := ratios(cell, peer, turn.rate); got != (spread{1, 2.5, 4}) {
		t.Errorf("rates: %v", got)
	}
	if got := ratios(cell, peer, turn.cost); got != (spread{0.25, 0.625, 1}) {
		t.Errorf("costs: %v", got)
	}
	// A peer that used less than a tick has no cost to compare with.
	if got := ratios(cell[:1], []turn{{units: 1, took: 1}}, turn.cost).String(); got != "–" {
		t.Errorf("a ratio to nothing is %q", got)
	}
}

func TestTableShowsWhereTheCellLoses(t *testing.T) {
	m := &match{unit: "answer", cpu: time.Millisecond, works: []string{"work"}, rivals: []*rival{{name: "pic"}, {name: "peer"}}}
	got := m.table([][][]turn{{
		{{units: 50, took: time.Second, cpu: 100 * time.Millisecond}},
		{{units: 100, took: time.Second, cpu: 100 * time.Millisecond}},
	}})
	for _, want := range []string{
		"| work | pic | 50.0 | 2.00 |  |  |\n",
		"| work | peer | 100 | 1.00 | **0.50** (0.50–0.50) | **2.00** (2.00–2.00) |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}

func TestStatOfAProcessWithAnOddName(t *testing.T) {
	got, err := parseStat("42 (a) b (c)) S 7 42 42 0 -1 4194560 1 2 0 0 100 20 3 4 20 0 1 0 5 6 7")
	if want := (stat{parent: 7, cpu: 1270 * time.Millisecond}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"", "1 (x", "1 (x) S 1", "1 (x) S 7 42 42 0 -1 4194560 1 2 0 0 x 20 3 4 20"} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestDescendantsAreThoseOfTheServer(t *testing.T) {
	all := map[int]stat{1: {}, 10: {parent: 1}, 11: {parent: 10}, 12: {parent: 11}, 20: {parent: 1}}
	got := descendants(all, map[int]bool{10: true})
	if len(got) != 3 {
		t.Errorf("%v", got)
	}
	for _, pid := range []int{10, 11, 12} {
		if _, ok := got[pid]; !ok {
			t.Errorf("%d is missing of %v", pid, got)
		}
	}
}

func TestLookupRefusesWhatIsNoAnswer(t *testing.T) {
	d := &lookup{qs: questions(ownName)}
	q, _ := d.ask(nil, 0x1234)
	answer := func(change func(a []byte)) []byte {
		a := append([]byte(nil), q...)
		a[2] |= 0x80
		binary.BigEndian.PutUint16(a[6:], 1)
		change(a)
		return a
	}
	if err := d.check(q, answer(func([]byte) {})); err != nil {
		t.Errorf("an answer: %v", err)
	}
	for name, change := range map[string]func([]byte){
		"a question":     func(a []byte) { a[2] &^= 0x80 },
		"SERVFAIL":       func(a []byte) { a[3] |= 2 },
		"nothing in it":  func(a []byte) { a[7] = 0 },
		"another id":     func(a []byte) { a[0]++ },
		"another name":   func(a []byte) { a[13]++ },
		"cut in the end": nil,
	} {
		a := q[:len(q)-1]
		if change != nil {
			a = answer(change)
		}
		if d.check(q, a) == nil {
			t.Errorf("%s is taken for an answer", name)
		}
	}
}

func TestTimeAskRefusesWhatIsNoAnswer(t *testing.T) {
	d := &timeAsk{salt: 0xabcdef << 16}
	q, from := d.ask(nil, 7)
	if _, next := d.ask(nil, 8); next == from {
		t.Errorf("both questions come from %v", from)
	}
	answer := func(change func(a []byte)) []byte {
		a := make([]byte, timeLen)
		a[0], a[1], a[40] = 4<<3|4, 10, 1
		copy(a[24:32], q[40:48])
		change(a)
		return a
	}
	good := answer(func([]byte) {})
	if id, err := d.id(good); err != nil || id != 7 || d.check(q, good) != nil {
		t.Errorf("an answer: id %d, %v, %v", id, err, d.check(q, good))
	}
	for name, change := range map[string]func([]byte){
		"a kiss":       func(a []byte) { a[1] = 0 },
		"unsettled":    func(a []byte) { a[1] = 16 },
		"a question":   func(a []byte) { a[0] = 4<<3 | 3 },
		"another time": func(a []byte) { a[24]++ },
		"without time": func(a []byte) { a[40] = 0 },
	} {
		if d.check(q, answer(change)) == nil {
			t.Errorf("%s is taken for an answer", name)
		}
	}
}

func TestHappeningCountsARecurringEventOnce(t *testing.T) {
	if got := happening(firstEvent, firstEvent.Add(time.Minute)); got != 1 {
		t.Errorf("at the first event: %d", got)
	}
	if got := happening(firstEvent, firstEvent.AddDate(1, 0, 0)); got != eventCount {
		t.Errorf("in the year: %d", got)
	}
	// The events end after 62.5 days; then only repetitions are left.
	last := begins(eventCount - 1).Add(2 * time.Hour)
	if got := happening(last, last.AddDate(0, 0, 7)); got < 1 || got > eventCount/50 {
		t.Errorf("in the week after: %d", got)
	}
	if got := happening(firstEvent.AddDate(1, 0, 0), firstEvent.AddDate(2, 0, 0)); got != 0 {
		t.Errorf("in the next year: %d", got)
	}
}

func TestWrapKeepsWordsAndWidth(t *testing.T) {
	text := strings.Repeat("äöü words of text ", 40)
	got := wrap(text)
	for line := range strings.SplitSeq(got, "\n") {
		if n := len([]rune(line)); n > width {
			t.Errorf("a line of %d", n)
		}
	}
	if strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(text), " ") {
		t.Error("the words changed")
	}
}

func TestFigureHasAboutThreeDigits(t *testing.T) {
	for v, want := range map[float64]string{
		123456: "123456", 12.34: "12.3", 1.234: "1.23", 0.2345: "0.23", 0.0234: "0.023", math.Inf(1): "–",
	} {
		if got := figure(v); got != want {
			t.Errorf("%v is %q, want %q", v, got, want)
		}
	}
}

// The keys of a trap have one tag, and its good signatures are good.
func TestAHostileZoneIsWhatItSays(t *testing.T) {
	h, err := newHostile()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(name string, typ uint16) *dns.Msg { return h.answer(new(dns.Msg).SetQuestion(name, typ)) }
	tags := map[uint16]int{}
	for _, rr := range ask("z1.keys.", dns.TypeDNSKEY).Answer {
		if k, ok := rr.(*dns.DNSKEY); ok {
			tags[k.KeyTag()]++
		}
	}
	if len(tags) != 1 || tags[h.twins[0].KeyTag()] != trapKeys {
		t.Errorf("tags: %v", tags)
	}
	for _, q := range []dns.Question{{Name: "fair.", Qtype: dns.TypeDS}, {Name: "n1.fair.", Qtype: dns.TypeA}, {Name: "x.hashes.", Qtype: dns.TypeA}, {Name: "z1.keys.", Qtype: dns.TypeDS}} {
		m := ask(q.Name, q.Qtype)
		rrs := append(m.Answer, m.Ns...)
		if len(rrs) < 2 {
			t.Fatalf("%v", m)
		}
		for i := 0; i+1 < len(rrs); i += 2 {
			sig := rrs[i+1].(*dns.RRSIG)
			by := map[string]signer{".": h.root, "fair.": h.fair, "keys.": h.keys, "hashes.": h.hashes}[sig.SignerName]
			if err := sig.Verify(by.DNSKEY, rrs[i:i+1]); err != nil {
				t.Errorf("%s: %v", sig, err)
			}
		}
	}
}

func TestGoroutinesAreCountedInADumpThatComesInParts(t *testing.T) {
	text := "SIGQUIT: quit\n\ngoroutine 0 gp=0x1 m=0 mp=0x2 [idle]:\nruntime.futex()\n\tgoroutine 7 [no line of its own]:\n\n" +
		"goroutine 1 [chan receive, 2 minutes]:\nmain.main()\n\ngoroutine 12345 gp=0xc [select]:\nx()\ngoroutine that is none\n"
	for _, step := range []int{1, 7, len(text)} {
		var c counter
		for rest := []byte(text); len(rest) > 0; {
			n := min(step, len(rest))
			if k, err := c.Write(rest[:n]); k != n || err != nil {
				t.Fatal(k, err)
			}
			rest = rest[n:]
		}
		if c.count() != 3 {
			t.Errorf("in steps of %d: %d", step, c.count())
		}
	}
}
