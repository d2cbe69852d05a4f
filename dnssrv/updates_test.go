package dnssrv

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/internal/nettest"
)

// updating sends an update, signed by the key acme, and returns the code of the
// answer.
func (s *shared) updating(network string, edit func(*dns.Msg)) (int, error) {
	m := new(dns.Msg).SetUpdate("oak.home.arpa.")
	edit(m)
	m.SetTsig("acme.", dns.HmacSHA256, 300, time.Now().Unix())
	c := dns.Client{Net: network, Timeout: 10 * time.Second, TsigSecret: map[string]string{"acme.": acmeSecret}}
	var addr string
	for _, b := range s.set.Bound() {
		if b.Net == network {
			addr = b.LocalAddr().String()
		}
	}
	r, _, err := c.Exchange(m, addr)
	if err != nil {
		return 0, err
	}
	return r.Rcode, nil
}

func text1(name, value string, ttl uint32) dns.RR {
	return &dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: ttl}, Txt: []string{value}}
}

const killUpdates = "PIC_TEST_KILL_UPDATES"

// TestUpdateUntilKilled is the process that TestKillLosesNoAcknowledgedUpdate
// kills; by itself it does nothing.
func TestUpdateUntilKilled(t *testing.T) {
	dir := os.Getenv(killUpdates)
	if dir == "" {
		return
	}
	s := share(t, dir, nil)
	from, _ := strconv.Atoi(os.Getenv(killUpdates + "_FROM"))
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for n := from + g; ; n += 4 {
				rcode, err := s.updating("tcp", func(m *dns.Msg) { // two names in one
					m.Insert([]dns.RR{
						text1(fmt.Sprintf("dyn.a%d.oak.home.arpa.", n), strings.Repeat("x", 200), 60),
						text1(fmt.Sprintf("dyn.b%d.oak.home.arpa.", n), "y", 60),
					})
					if n >= 8 { // so that the journal is written anew now and then
						m.RemoveName([]dns.RR{text1(fmt.Sprintf("dyn.a%d.oak.home.arpa.", n-8), "", 0)})
					}
				})
				if err != nil || rcode != 0 {
					t.Errorf("%s %v", rcodeName(rcode), err)
					return
				}
				fmt.Printf("ack %d %d\n", n, s.table.Load().zones[mustName("oak.home.arpa")].soa.Serial)
			}
		})
	}
	wg.Wait()
}

func TestKillLosesNoAcknowledgedUpdate(t *testing.T) {
	dir := t.TempDir()
	acked := map[int]bool{}
	next, serial := 0, 0
	for range 6 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestUpdateUntilKilled$")
		cmd.Env = append(os.Environ(), killUpdates+"="+dir, killUpdates+"_FROM="+strconv.Itoa(next))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		until := len(acked) + 5 + rand.IntN(100)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var n, at int
			if _, err := fmt.Sscanf(lines.Text(), "ack %d %d", &n, &at); err != nil {
				t.Log(lines.Text())
				continue
			}
			acked[n] = true
			next, serial = max(next, n+1), max(serial, at)
			if len(acked) == until {
				cmd.Process.Kill()
			}
		}
		cmd.Wait() // killed: an error that says nothing new
		next += 8  // of what is under way, nobody knows
		func() {
			t.Run("after", func(t *testing.T) {
				s := share(t, dir, nil)
				if now := s.serial(t, "oak.home.arpa"); int(now) <= serial {
					t.Errorf("the serial was %d and is %d", serial, now)
				}
				z := s.table.Load().zones[mustName("oak.home.arpa")]
				has := func(label string, n int) bool {
					at := z.nodes[mustName(fmt.Sprintf("dyn.%s%d.oak.home.arpa", label, n))]
					return at != nil && at.dynamic[dns.TypeTXT] != nil
				}
				for n := range next {
					if acked[n] && !has("b", n) {
						t.Errorf("update %d was acknowledged and is lost", n)
					}
					if has("a", n) && !has("b", n) || has("b", n) && !has("a", n) && !has("b", n+8) && !acked[n+8] {
						t.Errorf("half of update %d is there", n)
					}
				}
			})
		}()
	}
	if len(acked) < 30 {
		t.Errorf("only %d updates were acknowledged in all", len(acked))
	}
	t.Logf("%d updates acknowledged", len(acked))
}

// The journal is written anew once most of it is about what is no more.
func TestJournalOfUpdatesStaysShort(t *testing.T) {
	dir := t.TempDir()
	s := share(t, dir, nil)
	k := s.keeper
	long := strings.Repeat("z", 250)
	most := int64(0)
	for n := range 900 {
		rcode, err := s.updating("tcp", func(m *dns.Msg) {
			var all []dns.RR
			for i := range 8 {
				all = append(all, text1(fmt.Sprintf("dyn.%d.oak.home.arpa.", i), fmt.Sprint(n, long[:240]), 60))
			}
			m.RemoveRRset(all)
			m.Insert(all)
		})
		if err != nil || rcode != 0 {
			t.Fatalf("%d: %s %v", n, rcodeName(rcode), err)
		}
		k.changing.Lock()
		most = max(most, k.updates.log.Size())
		k.changing.Unlock()
	}
	if most > compactAt+64<<10 || most < compactAt/2 {
		t.Errorf("the journal grew to %d bytes", most)
	}
	if got := k.dynamic[mustName("oak.home.arpa")].records(); got != 8 {
		t.Errorf("%d records are there", got)
	}
}

func TestMatchesNamesOfUpdates(t *testing.T) {
	apex := mustName("oak.home.arpa")
	for _, tt := range []struct {
		pattern, owner string
		want           bool
	}{
		{"*", "oak.home.arpa", true},
		{"*", "a.b.oak.home.arpa", true},
		{"@", "oak.home.arpa", true},
		{"@", "a.oak.home.arpa", false},
		{"www", "www.oak.home.arpa", true},
		{"WWW", "www.oak.home.arpa", true},
		{"www.oak.home.arpa.", "www.oak.home.arpa", true},
		{"www", "www2.oak.home.arpa", false},
		{"_acme-challenge*", "_acme-challenge.oak.home.arpa", true},
		{"_acme-challenge*", "_acme-challenge.www.oak.home.arpa", true},
		{"_acme-challenge*", "x._acme-challenge.oak.home.arpa", false},
		{"_acme-challenge.*", "_acme-challenge.oak.home.arpa", false},
		{"*.dyn", "x.dyn.oak.home.arpa", true},
		{"*.dyn", "dyn.oak.home.arpa", false},
		{"*.dyn", "xdyn.oak.home.arpa", false},
		{"a*b*c", "abc.oak.home.arpa", true},
		{"a*b*c", "a1.b2.c.oak.home.arpa", true},
		{"a*b*c", "acb.oak.home.arpa", false},
		{"a*a", "a.oak.home.arpa", false}, // one letter cannot be both
	} {
		if got := matches(tt.pattern, apex, mustName(tt.owner)); got != tt.want {
			t.Errorf("%s matches %s: %v", tt.pattern, tt.owner, got)
		}
	}
}

// What the document comes to say wins over what updates said before, and what it
// gives up comes back.
func TestDocumentWinsOverUpdates(t *testing.T) {
	s := share(t, t.TempDir(), func(d *config.Document) {
		d.DNS.Own.Updates = []config.Update{{Key: "acme", Names: []string{"*"}}}
	})
	insert := func(records ...string) int {
		t.Helper()
		rcode, err := s.updating("udp", func(m *dns.Msg) {
			for _, r := range records {
				rr, err := dns.NewRR(r)
				if err != nil {
					t.Fatal(err)
				}
				m.Insert([]dns.RR{rr})
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return rcode
	}
	for name, tt := range map[string]struct {
		records []string
		want    int
	}{
		"free":                   {[]string{"box.oak.home.arpa. 60 A 192.0.2.1"}, dns.RcodeSuccess},
		"beside the document's":  {[]string{"nas.oak.home.arpa. 60 TXT there"}, dns.RcodeSuccess},
		"CNAME beside records":   {[]string{"nas.oak.home.arpa. 60 CNAME x."}, dns.RcodeRefused},
		"beside a CNAME":         {[]string{"www.oak.home.arpa. 60 TXT there"}, dns.RcodeRefused},
		"the cell's own address": {[]string{"home.oak.home.arpa. 60 A 192.0.2.1"}, dns.RcodeRefused},
		"the SOA":                {[]string{"oak.home.arpa. 60 SOA a. b. 1 1 1 1 1"}, dns.RcodeRefused},
		"a delegation":           {[]string{"deep.oak.home.arpa. 60 NS a."}, dns.RcodeRefused},
		"a signature":            {[]string{"box.oak.home.arpa. 60 RRSIG A 13 3 60 20300101000000 20200101000000 1 oak.home.arpa. AAAA"}, dns.RcodeRefused},
		"all or nothing":         {[]string{"half.oak.home.arpa. 60 A 192.0.2.1", "www.oak.home.arpa. 60 A 192.0.2.1"}, dns.RcodeRefused},
	} {
		if got := insert(tt.records...); got != tt.want {
			t.Errorf("%s: %s", name, rcodeName(got))
		}
	}
	if got := brief(ask(t, s.Server, "udp", "half.oak.home.arpa.", dns.TypeA)); got != "NXDOMAIN aa" {
		t.Errorf("half of a refused update: %s", got)
	}
	rcode, err := s.updating("udp", func(m *dns.Msg) {
		m.RemoveRRset([]dns.RR{text1("nas.oak.home.arpa.", "", 0), &dns.A{Hdr: dns.RR_Header{Name: "nas.oak.home.arpa.", Rrtype: dns.TypeA}}})
	})
	if rcode != dns.RcodeRefused || err != nil {
		t.Errorf("deleting what the document has: %s, %v", rcodeName(rcode), err)
	}
	document := s.doc.DNS.Records
	s.change(t, func(d *config.Document) {
		d.DNS.Records = append(document[:len(document):len(document)], config.Record{Name: "box", Type: "CNAME", Value: "nas"})
	})
	if got := brief(ask(t, s.Server, "udp", "box.oak.home.arpa.", dns.TypeCNAME)); !strings.Contains(got, "CNAME nas") {
		t.Errorf("with a CNAME of the document: %s", got)
	}
	s.change(t, func(d *config.Document) { d.DNS.Records = document })
	if got := brief(ask(t, s.Server, "udp", "box.oak.home.arpa.", dns.TypeA)); got != "NOERROR aa | box.oak.home.arpa. A 192.0.2.1" {
		t.Errorf("without it: %s", got)
	}
	if got := brief(ask(t, s.Server, "udp", "nas.oak.home.arpa.", dns.TypeTXT)); got != `NOERROR aa | nas.oak.home.arpa. TXT "there"` {
		t.Errorf("beside the document's: %s", got)
	}
}

// What comes too fast is a lot of work, and must not keep others from answers,
// nor end the process.
func TestUpdatesThatMeanHarmAreRefused(t *testing.T) {
	s := share(t, t.TempDir(), func(d *config.Document) {
		d.DNS.Own.Updates = []config.Update{{Key: "acme", Names: []string{"*"}}}
		d.DNS.Own.Secondaries = []config.NameServer{{Address: "192.0.2.1", Key: "xfr"}}
	})
	conn, err := dns.Dial("udp", s.at(t, "udp"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	signed := func(edit func(*dns.Msg)) []byte {
		m := new(dns.Msg).SetUpdate("oak.home.arpa.")
		m.Insert([]dns.RR{text1("x.oak.home.arpa.", "y", 60)})
		edit(m)
		m.SetTsig("acme.", dns.HmacSHA256, 300, time.Now().Unix())
		b, _, err := dns.TsigGenerate(m, acmeSecret, "", false)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good := signed(func(*dns.Msg) {})
	var all [][]byte
	for cut := range len(good) {
		all = append(all, good[:cut])
	}
	for range 500 {
		bad := append([]byte(nil), good...)
		for range 1 + rand.IntN(4) {
			// Not the id, which the signature has its own of, nor the case of letters.
			bad[2+rand.IntN(len(bad)-2)] ^= 1 << rand.IntN(5)
		}
		if !bytes.Equal(bad, good) {
			all = append(all, bad)
		}
	}
	for _, b := range all {
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	conn.Close()
	// Whatever of it was answered: nothing of it counts, for no bit may differ.
	if got := brief(ask(t, s.Server, "tcp", "home.oak.home.arpa.", dns.TypeA)); got != "NOERROR aa | home.oak.home.arpa. A 127.0.0.1" {
		t.Errorf("after garbage: %s", got)
	}
	if n := s.keeper.dynamic[mustName("oak.home.arpa")].records(); n != 0 {
		t.Errorf("garbage put %d records into the zone", n)
	}
	for name, tt := range map[string]struct {
		edit func(*dns.Msg)
		want int
	}{
		"no zone":            {func(m *dns.Msg) { m.Question = nil }, dns.RcodeFormatError},
		"two zones":          {func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }, dns.RcodeFormatError},
		"zone of type A":     {func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeA }, dns.RcodeFormatError},
		"zone of class CH":   {func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }, dns.RcodeNotAuth},
		"a name of the zone": {func(m *dns.Msg) { m.Question[0].Name = "home.oak.home.arpa." }, dns.RcodeNotAuth},
		"class CH":           {func(m *dns.Msg) { m.Ns[0].Header().Class = dns.ClassCHAOS }, dns.RcodeFormatError},
		"prerequisite, TTL":  {func(m *dns.Msg) { m.Answer = []dns.RR{text1("x.oak.home.arpa.", "y", 5)} }, dns.RcodeFormatError},
	} {
		c := dns.Client{Net: "tcp", Timeout: 5 * time.Second, TsigSecret: map[string]string{"acme.": acmeSecret}}
		m := new(dns.Msg).SetUpdate("oak.home.arpa.")
		m.Insert([]dns.RR{text1("x.oak.home.arpa.", "y", 60)})
		tt.edit(m)
		m.SetTsig("acme.", dns.HmacSHA256, 300, time.Now().Unix())
		r, _, err := c.Exchange(m, s.at(t, "tcp"))
		if err != nil && err != dns.ErrAuth || r.Rcode != tt.want {
			t.Errorf("%s: %v %v", name, r, err)
		}
	}
	// Many at a time: all are answered, one after the other, and queries meanwhile.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for n := range 20 {
				rcode, err := s.updating("tcp", func(m *dns.Msg) {
					m.Insert([]dns.RR{text1(fmt.Sprintf("f%d-%d.oak.home.arpa.", g, n), "y", 60)})
				})
				if err != nil || rcode != 0 {
					t.Errorf("%s %v", rcodeName(rcode), err)
				}
			}
		})
	}
	wg.Go(func() {
		for ctx.Err() == nil && s.keeper.known() < 160 {
			if r := ask(t, s.Server, "udp", "home.oak.home.arpa.", dns.TypeA); r.Rcode != 0 {
				t.Error(brief(r))
				return
			}
		}
	})
	wg.Wait()
	if n := s.keeper.known(); n != 160 {
		t.Errorf("%d records are there", n)
	}
	nettest.WaitFor(t, 5*time.Second, func() bool { return s.Sharings()[0].Updates == 160 })
}

func (k *keeper) known() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.dynamic[mustName("oak.home.arpa")].records()
}
