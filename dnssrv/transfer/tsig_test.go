package transfer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const secret = "c2VjcmV0IG9mIHRoZSB0ZXN0cywgMzIgYnl0ZXMhISE="

func key(t testing.TB, name, algorithm string) Key {
	t.Helper()
	k, err := NewKey(name, algorithm, secret)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// request is a signed request as the library makes it.
func request(t testing.TB, name, algorithm string, at time.Time) ([]byte, string) {
	t.Helper()
	m := new(dns.Msg).SetQuestion("oak.home.arpa.", dns.TypeSOA)
	m.SetEdns0(1232, false)
	m.SetTsig(name, algorithm, 300, at.Unix())
	b, mac, err := dns.TsigGenerate(m, secret, "", false)
	if err != nil {
		t.Fatal(err)
	}
	return b, mac
}

func TestSignaturesAreThoseOfTheLibrary(t *testing.T) {
	now := time.Now()
	for _, algorithm := range []string{dns.HmacSHA224, dns.HmacSHA256, dns.HmacSHA384, dns.HmacSHA512} {
		keys := Keys{"acme.": key(t, "acme", algorithm)}
		b, mac := request(t, "AcMe.", algorithm, now)
		s, bare, err := keys.Verify(b, now)
		if err != nil {
			t.Fatalf("%s: %v", algorithm, err)
		}
		if Signed(bare) || s.Key() != "acme." {
			t.Errorf("%s: still signed, or by %q", algorithm, s.Key())
		}
		// An answer of three messages, the second of which is not signed.
		answer := new(dns.Msg)
		if err := answer.Unpack(bare); err != nil {
			t.Fatal(err)
		}
		answer.Response = true
		plain, err := answer.Pack()
		if err != nil {
			t.Fatal(err)
		}
		first := s.Sign(plain, now)
		if err := dns.TsigVerify(bytes.Clone(first), secret, mac, false); err != nil {
			t.Errorf("%s: the library on the answer: %v", algorithm, err)
		}
		var m dns.Msg
		if err := m.Unpack(first); err != nil {
			t.Fatal(err)
		}
		second := s.Sign(plain, now)
		if err := dns.TsigVerify(bytes.Clone(second), secret, m.IsTsig().MAC, true); err != nil {
			t.Errorf("%s: the library on the next: %v", algorithm, err)
		}
	}
}

func TestSessionsCoverMessagesWithoutSignature(t *testing.T) {
	now := time.Now()
	k := key(t, "acme", "hmac-sha256")
	plain := make([]byte, headerLen)
	for name, tt := range map[string]struct {
		pattern string // s: signed, u: not, x: not, and changed on the way
		ok      bool
	}{
		"one":              {"s", true},
		"all":              {"sss", true},
		"some":             {"suuusus", true},
		"the first is not": {"us", false},
		"the last is not":  {"su", false},
		"changed":          {"suxs", false},
		"none":             {"", false},
	} {
		client, b := k.Request(plain, now)
		server, _, err := Keys{"acme.": k}.Verify(b, now)
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range tt.pattern {
			msg := bytes.Clone(plain)
			msg[3] = byte(i)
			out := msg
			if c == 's' {
				out = server.Sign(msg, now)
			} else {
				server.start().Write(msg)
			}
			if c == 'x' {
				out = bytes.Clone(out)
				out[3] = 15
			}
			if _, err = client.Check(out, now); err != nil {
				break
			}
		}
		if err == nil {
			err = client.Done()
		}
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	client, b := k.Request(plain, now)
	server, _, _ := Keys{"acme.": k}.Verify(b, now)
	if _, err := client.Check(server.Sign(plain, now), now); err != nil {
		t.Fatal(err)
	}
	for i := range maxUnsigned + 1 {
		if _, err := client.Check(plain, now); (err != nil) != (i == maxUnsigned) {
			t.Fatalf("message %d without a signature: %v", i, err)
		}
	}
}

func TestRefusesSignaturesForTheirReason(t *testing.T) {
	now := time.Now()
	keys := Keys{"acme.": key(t, "acme", "hmac-sha256")}
	good, _ := request(t, "acme.", dns.HmacSHA256, now)
	old, _ := request(t, "acme.", dns.HmacSHA256, now.Add(-time.Hour))
	other, _ := request(t, "nobody.", dns.HmacSHA256, now)
	stronger, _ := request(t, "acme.", dns.HmacSHA512, now)
	changed := bytes.Clone(good)
	changed[headerLen+1] ^= 1
	for name, tt := range map[string]struct {
		b    []byte
		code int
	}{
		"changed":       {changed, dns.RcodeBadSig},
		"an hour ago":   {old, dns.RcodeBadTime},
		"unknown key":   {other, dns.RcodeBadKey},
		"not its own":   {stronger, dns.RcodeBadKey},
		"good, in time": {good, 0},
	} {
		s, _, err := keys.Verify(tt.b, now)
		var e *SignatureError
		if tt.code == 0 {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if !errors.As(err, &e) || e.Code != tt.code {
			t.Errorf("%s: %v", name, err)
			continue
		}
		reply := make([]byte, headerLen)
		binary.BigEndian.PutUint16(reply, 7)
		reply[2], reply[3] = 0x80, dns.RcodeNotAuth
		var m dns.Msg
		if err := m.Unpack(s.Refuse(reply, e, now)); err != nil {
			t.Fatal(err)
		}
		got := m.IsTsig()
		if got == nil || int(got.Error) != tt.code || (got.MACSize > 0) != (tt.code == dns.RcodeBadTime) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestKeysMustBeGood(t *testing.T) {
	for name, tt := range map[string]struct {
		algorithm, secret string
		ok                bool
	}{
		"good":        {"hmac-sha256", secret, true},
		"with spaces": {"hmac-sha256", " " + secret[:10] + "\n" + secret[10:] + "\n", true},
		"weak":        {"hmac-md5", secret, false},
		"no base64":   {"hmac-sha256", "not base64!", false},
		"short":       {"hmac-sha256", "AAAA", false},
		"nothing":     {"hmac-sha256", "", false},
	} {
		if _, err := NewKey("acme", tt.algorithm, tt.secret); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// No bit of a signed message can be changed, but for the case of the names in
// the signature and the id, which it has its own of; and Verify does not panic.
func FuzzVerify(f *testing.F) {
	now := time.Unix(1_800_000_000, 0)
	good, _ := request(f, "acme.", dns.HmacSHA256, now)
	k := key(f, "acme", "hmac-sha256")
	f.Add(good)
	f.Add(good[:20])
	f.Fuzz(func(t *testing.T, b []byte) {
		was := bytes.Clone(b)
		_, bare, err := Keys{"acme.": k}.Verify(b, now)
		if !bytes.Equal(b, was) {
			t.Fatal("the message was written to")
		}
		if err != nil {
			return
		}
		if !Signed(b) || len(bare) >= len(b) {
			t.Fatal("no signature was taken off")
		}
		_, want, _ := Keys{"acme.": k}.Verify(good, now)
		if !bytes.Equal(bare[2:], want[2:]) {
			t.Fatalf("a message that nobody signed: %x", bare)
		}
	})
}
