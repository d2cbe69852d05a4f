package validate

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/dnssrv/validate/signedtest"
)

// cpu returns the processor time that f takes of the whole process.
func cpu(t testing.TB, f func()) time.Duration {
	t.Helper()
	now := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	start := now()
	f()
	return now() - start
}

// collide returns n keys without private halves whose tags are all that of k:
// the tag is a sum, so two bytes make up for all others.
func collide(t testing.TB, k signedtest.Key, n int) (out []signedtest.Key) {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for len(out) < n {
		b := append([]byte(nil), raw...)
		for i := 8; i < len(b)-9; i++ { // the exponent, and an odd end, stay
			b[i] = byte(r.Uint32())
		}
		d := *k.DNSKEY
		b[len(b)-8], b[len(b)-7] = 0, 0
		d.PublicKey = base64.StdEncoding.EncodeToString(b)
		for _, carry := range []uint16{0, 1} {
			x := k.KeyTag() - d.KeyTag() - carry
			b[len(b)-8], b[len(b)-7] = byte(x>>8), byte(x)
			if e := base64.StdEncoding.EncodeToString(b); (&dns.DNSKEY{Flags: d.Flags, Protocol: 3, Algorithm: d.Algorithm, PublicKey: e}).KeyTag() == k.KeyTag() {
				d.PublicKey = e
				break
			}
		}
		if d.KeyTag() == k.KeyTag() {
			out = append(out, signedtest.Key{DNSKEY: &d})
		}
	}
	return out
}

// junk replaces each signature of m by n that are wrong, and keeps the right one
// last.
func junk(m *dns.Msg, n int) {
	more := func(rrs []dns.RR) (out []dns.RR) {
		for _, rr := range rrs {
			if sig, ok := rr.(*dns.RRSIG); ok {
				raw, _ := base64.StdEncoding.DecodeString(sig.Signature)
				for i := range n {
					bad := *sig
					raw[0], raw[1] = byte(i), raw[1]+1
					bad.Signature = base64.StdEncoding.EncodeToString(raw)
					out = append(out, &bad)
				}
			}
			out = append(out, rr)
		}
		return out
	}
	m.Answer, m.Ns = more(m.Answer), more(m.Ns)
}

// What KeyTrap (CVE-2023-50387) multiplies is bounded in each factor.
func TestNoZoneKeepsTheProcessorBusy(t *testing.T) {
	const name = "www.far.test." // RSA
	for what, tt := range map[string]struct {
		name   string
		do     func(*lab)
		state  State
		checks uint64 // at most
		hashes bool
	}{
		"32 keys of one tag, 32 signatures": {name, func(l *lab) {
			l.far.Keys = append(collide(t, l.far.Keys[0], 31), l.far.Keys...)
			l.Edit = func(q dns.Question, m *dns.Msg) {
				if strings.HasSuffix(q.Name, "far.test.") {
					junk(m, 31)
				}
			}
		}, Bogus, 12, false},
		"2 keys of one tag, 32 signatures": {name, func(l *lab) {
			l.far.Keys = append(collide(t, l.far.Keys[0], 1), l.far.Keys...)
			l.Edit = func(q dns.Question, m *dns.Msg) {
				if q.Name == name {
					junk(m, 31)
				}
			}
		}, Bogus, 2*maxTries + 8, false},
		"60000 bytes of signatures": {name, func(l *lab) {
			l.Edit = func(q dns.Question, m *dns.Msg) {
				if q.Name == name {
					junk(m, 300)
				}
			}
		}, Bogus, 2*maxTries + 8, false},
		"200 keys": {name, func(l *lab) {
			for range 199 {
				k := *l.far.Keys[0].DNSKEY
				raw, _ := base64.StdEncoding.DecodeString(k.PublicKey)
				raw[20], raw[22] = byte(len(l.far.Keys)), 3
				k.PublicKey = base64.StdEncoding.EncodeToString(raw)
				l.far.Keys = append(l.far.Keys, signedtest.Key{DNSKEY: &k})
			}
		}, Bogus, 8, false},
		"DS records that fit no key": {name, func(l *lab) {
			for i := range 200 {
				bad := *ds(l.tld, "far.test.")
				bad.Digest = fmt.Sprintf("%064x", i)
				l.tld.Records["far.test."] = append([]dns.RR{&bad}, l.tld.Records["far.test."]...)
			}
		}, Bogus, 8, false},
		"a chain through eleven signed names, each with junk": {"c0.far.test.", func(l *lab) {
			for i := range 11 {
				l.far.Add(fmt.Sprintf("c%d CNAME c%d", i, i+1))
			}
			l.far.Add("c11 A 192.0.2.1")
			l.Edit = func(q dns.Question, m *dns.Msg) {
				if strings.HasPrefix(q.Name, "c0") {
					junk(m, 7)
				}
			}
		}, Bogus, maxChecks, false},
		"40 aliases": {"c0.far.test.", func(l *lab) {
			l.Edit = func(q dns.Question, m *dns.Msg) {
				if !strings.HasPrefix(q.Name, "c0") {
					return
				}
				m.Answer, m.Ns = nil, nil
				for i := range 40 {
					rr, _ := dns.NewRR(fmt.Sprintf("c%d.far.test. 300 IN CNAME c%d.far.test.", i, i+1))
					m.Answer = append(append(m.Answer, rr), l.far.Sign([]dns.RR{rr})...)
				}
			}
		}, Bogus, maxAliases + 8, false},
		"many NSEC3 of 50 iterations, and a name of 120 labels": {strings.Repeat("a.", 116) + "three.test.", func(l *lab) {
			l.three.NSEC3 = signedtest.Hash3(50, strings.Repeat("ab", 64))
			for i := range 40 {
				l.three.Add(fmt.Sprintf("x%d A 192.0.2.1", i))
			}
			l.Edit = func(q dns.Question, m *dns.Msg) {
				if q.Name[0] != 'a' {
					return
				}
				for i := range 40 {
					other := &dns.Msg{}
					rr, _ := dns.NewRR(fmt.Sprintf("%032d.three.test. 300 IN NSEC3 1 0 50 %s %032d A", i, strings.Repeat("ab", 64), i+1))
					other.Ns = append(append(other.Ns, rr), l.three.Sign([]dns.RR{rr})...)
					m.Ns = append(other.Ns, m.Ns...)
				}
			}
		}, Bogus, 2*maxEvidence + 12, true},
		"a name of 120 labels": {strings.Repeat("a.", 116) + "three.test.", func(l *lab) {
			l.three.NSEC3 = signedtest.Hash3(50, strings.Repeat("ab", 64))
		}, Secure, 16, true},
		"a PTR of IPv6 in an unsigned tree": {strings.Repeat("1.", 30) + "plain.test.", func(l *lab) {}, Insecure, 16, false},
	} {
		t.Run(what, func(t *testing.T) {
			l := newLab(t)
			tt.do(l)
			m := l.Ask(tt.name, dns.TypeA)
			var r Result
			relieved := uint64(0)
			l.relieve = func() { relieved++ }
			took := cpu(t, func() { r = l.Validate(t.Context(), m.Question[0], m) })
			st := l.Stats()
			if r.State != tt.state || st.Checks > tt.checks || st.Fetches > maxFetches {
				t.Errorf("%s (%s) after %d signatures and %d fetches", told(r), r.Text, st.Checks, st.Fetches)
			}
			if relieved < st.Checks+st.Hashes {
				t.Errorf("what is more urgent was seen to %d times, with %d signatures and %d hashes", relieved, st.Checks, st.Hashes)
			}
			// On a quiet machine it is 2 to 12 ms, the zones' own signing included.
			if took > 500*time.Millisecond {
				t.Errorf("it took %v of processor time", took)
			}
			t.Logf("%s after %d signatures, %d fetches, %v: %s", told(r), st.Checks, st.Fetches, took, r.Text)
			// A zone that was found bad is not looked at again and again.
			before := l.Stats().Checks
			for range 5 {
				m := l.Ask(tt.name, dns.TypeA)
				l.Validate(t.Context(), m.Question[0], m)
			}
			if n := l.Stats().Checks - before; n > 5*maxChecks {
				t.Errorf("asked five times more: %d signatures", n)
			}
		})
	}
}

// An upstream that delegates for ever is asked a bounded number of times.
func TestFetchesAreBounded(t *testing.T) {
	root := signedtest.NewKey(t, ".", dns.ED25519)
	sign := func(m *dns.Msg, rr dns.RR) {
		m.Ns = append(m.Ns, rr, (&signedtest.Zone{Apex: ".", From: time.Now().Add(-time.Hour), Til: time.Now().Add(time.Hour)}).SignWith(root, []dns.RR{rr}))
	}
	asked := 0
	fetch := func(_ context.Context, name string, typ uint16) (*dns.Msg, error) {
		asked++
		m := new(dns.Msg)
		if typ == dns.TypeDNSKEY {
			m.Answer = append(m.Answer, root.DNSKEY)
			m.Answer = append(m.Answer, (&signedtest.Zone{Apex: ".", From: time.Now().Add(-time.Hour), Til: time.Now().Add(time.Hour)}).SignWith(root, m.Answer))
			return m, nil
		}
		// There is something below every name.
		rr := &dns.NSEC{
			Hdr:        dns.RR_Header{Name: name, Rrtype: dns.TypeNSEC, Class: 1, Ttl: 300},
			NextDomain: "a." + name, TypeBitMap: []uint16{dns.TypeA},
		}
		sign(m, rr)
		return m, nil
	}
	v := New([]*dns.DS{root.ToDS(dns.SHA256)}, fetch, Options{})
	q := dns.Question{Name: strings.Repeat("x.", 100), Qtype: dns.TypeA, Qclass: dns.ClassINET}
	r := v.Validate(t.Context(), q, &dns.Msg{Question: []dns.Question{q}})
	if r.State != Bogus || asked > maxFetches || v.Stats().Checks > maxChecks {
		t.Errorf("%+v after %d fetches, %d signatures", r, asked, v.Stats().Checks)
	}
	// The budget of one question is no knowledge about the names.
	if _, ok := v.cuts.get(toName(q.Name), time.Now()); ok {
		t.Error("that the work was too much is kept")
	}
}

// While one zone is checked, no more goroutines than half of the processors check
// signatures, whoever asks.
func TestSignaturesAreCheckedByFew(t *testing.T) {
	l := newLab(t)
	if cap(l.desk.places) < 1 {
		t.Fatal("nobody can check")
	}
	for range cap(l.desk.places) {
		l.desk.places <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	m := l.Ask("www.zone.test.", dns.TypeA)
	if r := l.Validate(ctx, m.Question[0], m); r.State != Bogus || !r.Brief || l.Stats().Secure != 0 {
		t.Errorf("with all slots taken: %+v", r)
	}
	j := &job{v: l.Validator, ctx: ctx}
	if _, f := j.hash(&evidence{salt: "x", rest: 50}, root); f == nil || !f.brief {
		t.Errorf("with all slots taken, a hash is made all the same: %v", f)
	}
	for range cap(l.desk.places) {
		<-l.desk.places
	}
	if r, _ := l.look(t, "www.zone.test.", dns.TypeA); r.State != Secure {
		t.Errorf("afterwards: %+v", r)
	}
}
