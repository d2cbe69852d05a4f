package origin

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"pic/mailsrv/lookup"
	"pic/mailsrv/lookup/lookuptest"
)

var at = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// crlf makes a message of lines that end in LF.
func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// examine checks a message that comes in pieces of n bytes.
func examine(t testing.TB, r lookup.Resolver, msg string, s Sender, n int) *Result {
	t.Helper()
	k := &Check{Resolver: r, Now: at}
	head, body, _ := strings.Cut(msg, "\r\n\r\n")
	w := k.Begin([]byte(head + "\r\n\r\n"))
	for b := []byte(body); len(b) > 0; b = b[min(n, len(b)):] {
		if _, err := w.Write(b[:min(n, len(b))]); err != nil {
			t.Fatal(err)
		}
	}
	return k.End(t.Context(), s)
}

var rsaKeys = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// keysOf makes both kinds of key for a domain and puts them into a zone.
func keysOf(t testing.TB, z lookuptest.Records, domain string) []Key {
	t.Helper()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := []Key{{domain, "r1", rsaKeys()}, {domain, "e1", ed}}
	for _, k := range keys {
		for name, rrs := range keyZone(t, k) {
			z[name] = rrs
		}
	}
	return keys
}

// keyZone is what the domain of a key publishes.
func keyZone(t testing.TB, k Key) lookuptest.Records {
	t.Helper()
	rec, err := k.Record()
	if err != nil {
		t.Fatal(err)
	}
	var parts string
	for ; len(rec) > 200; rec = rec[200:] {
		parts += fmt.Sprintf("%q ", rec[:200])
	}
	return lookuptest.Zone(fmt.Sprintf(`%s. 60 IN TXT %s %q`, k.Name(), parts, rec))
}

func sign(t testing.TB, msg string, keys []Key) string {
	t.Helper()
	head, body, _ := strings.Cut(msg, "\r\n\r\n")
	f, err := Sign([]byte(head+"\r\n"), strings.NewReader(body), keys, at)
	if err != nil {
		t.Fatal(err)
	}
	return string(f) + msg
}

const letter = `From: Alice <alice@mail.oak.example>
To: bob@elm.example
Subject: A  walk
Date: Tue, 24 Nov 2026 11:00:00 +0000
Message-ID: <1@oak.example>

Shall we?  

 Tomorrow	then.


`

func TestSignaturesOfTheStandardsExample(t *testing.T) {
	// RFC 8463 appendix A.
	msg := crlf(`DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
`)
	z := lookuptest.Zone(
		`brisbane._domainkey.football.example.com. 60 IN TXT "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="`,
		`test._domainkey.football.example.com. 60 IN TXT "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"`,
	)
	for _, n := range []int{1, 7, 1 << 20} {
		r := examine(t, z, msg, Sender{}, n)
		if len(r.Signatures) != 2 || r.Signatures[0].Verdict != Pass || r.Signatures[1].Verdict != Pass {
			t.Errorf("in pieces of %d: %+v", n, r.Signatures)
		}
	}
}

func TestWhatIsChangedDoesNotPass(t *testing.T) {
	z := lookuptest.Records{}
	keys := keysOf(t, z, "oak.example")
	msg := sign(t, crlf(letter), keys)
	for name, tt := range map[string]struct {
		change func(string) string
		want   Verdict
	}{
		"nothing":          {func(s string) string { return s }, Pass},
		"a field before":   {func(s string) string { return "Received: by x\r\n" + s }, Pass},
		"space at the end": {func(s string) string { return s + " \t\r\n\r\n" }, Pass},
		"folding":          {func(s string) string { return strings.Replace(s, "A  walk", "A\r\n walk", 1) }, Pass},
		"another From":     {func(s string) string { return "From: eve@oak.example\r\n" + s }, Fail},
		"a Cc":             {func(s string) string { return strings.Replace(s, "Subject:", "Cc: eve@x.example\r\nSubject:", 1) }, Fail},
		"the subject":      {func(s string) string { return strings.Replace(s, "walk", "talk", 1) }, Fail},
		"the body":         {func(s string) string { return strings.Replace(s, "Tomorrow", "Today", 1) }, Fail},
		"more body":        {func(s string) string { return s + "PS\r\n" }, Fail},
		"other domain":     {func(s string) string { return strings.ReplaceAll(s, "d=oak.example", "d=elm.example") }, PermError},
		"no key": {func(s string) string {
			return strings.ReplaceAll(strings.ReplaceAll(s, "s=r1", "s=r2"), "s=e1", "s=e2")
		}, PermError},
		"sha1": {func(s string) string {
			return strings.NewReplacer("rsa-sha256", "rsa-sha1", "ed25519-sha256", "rsa-sha1").Replace(s)
		}, PermError},
		"expired": {func(s string) string {
			return strings.ReplaceAll(s, fmt.Sprintf("t=%d;", at.Unix()), fmt.Sprintf("t=%d; x=%d;", at.Unix()-9, at.Unix()-1))
		}, Fail},
		"length": {func(s string) string { return strings.ReplaceAll(s, "v=1;", "v=1; l=3;") }, Fail},
	} {
		r := examine(t, z, tt.change(msg), Sender{}, 100)
		if len(r.Signatures) != 2 {
			t.Fatalf("%s: %d signatures", name, len(r.Signatures))
		}
		for _, s := range r.Signatures {
			if s.Verdict != tt.want || (s.Why == "") != (tt.want == Pass) {
				t.Errorf("%s: %s, %s: want %s", name, s.Verdict, s.Why, tt.want)
			}
		}
	}
	for name := range z {
		z[name] = nil
	}
	z["_dmarc.mail.oak.example."] = nil
	if r := examine(t, z, msg, Sender{}, 100); r.Signatures[0].Verdict != TempError || r.DMARC.Verdict != TempError {
		t.Errorf("without DNS: %+v", r)
	}
}

func TestKeysThatDoNotCount(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	rec, _ := Key{Signer: small}.Record()
	for name, tt := range map[string]struct {
		record string
		want   Verdict
	}{
		"1024 bits":     {rec, Pass},
		"no version":    {strings.TrimPrefix(rec, "v=DKIM1; "), Pass},
		"revoked":       {"v=DKIM1; p=", PermError},
		"other version": {"v=DKIM2; " + rec[8:], PermError},
		"other type":    {strings.Replace(rec, "rsa", "dsa", 1), PermError},
		"sha1 only":     {rec + "; h=sha1", PermError},
		"not for mail":  {rec + "; s=tlsrpt", PermError},
		"twice a tag":   {rec + "; p=", PermError},
		"no tags":       {"hello", PermError},
		"not base64":    {"v=DKIM1; p=*", PermError},
		"not a key":     {"v=DKIM1; p=aGVsbG8=", PermError},
		"short ed25519": {"v=DKIM1; k=ed25519; p=aGVsbG8=", PermError},
	} {
		key, err := parseKey(tt.record)
		if err == nil && (!key.sha256 || !key.mail) {
			err = permanent("not for this")
		}
		if got, why := judged(err); got != tt.want {
			t.Errorf("%s: %s, %s", name, got, why)
		}
	}
}

func TestDMARCDecides(t *testing.T) {
	z := lookuptest.Zone(
		`oak.example. 60 IN TXT "v=spf1 ip4:192.0.2.1 -all"`,
		`bounce.oak.example. 60 IN TXT "v=spf1 ip4:192.0.2.2 ~all"`,
		`loop.example. 60 IN TXT "v=spf1 include:loop.example -all"`,
		`_dmarc.oak.example. 60 IN TXT "v=DMARC1; p=reject; sp=quarantine; np=none; pct=50; rua=mailto:a@oak.example, mailto:b@oak.example"`,
		`mail.oak.example. 60 IN A 192.0.2.1`,
		`_dmarc.strict.example. 60 IN TXT "v=DMARC1; p=quarantine; adkim=s; aspf=s"`,
		`elm.example. 60 IN TXT "v=spf1 ip4:192.0.2.1 -all"`,
	)
	z["_dmarc.down.example."] = nil
	keys := keysOf(t, z, "oak.example")
	signed := func(from string) string {
		return sign(t, crlf(strings.Replace(letter, "alice@mail.oak.example", from, 1)), keys)
	}
	plain := func(from string) string {
		return crlf(strings.Replace(letter, "alice@mail.oak.example", from, 1))
	}
	for name, tt := range map[string]struct {
		msg  string
		from string
		addr string
		spf  Verdict
		want Verdict
		wish Disposition
	}{
		"signed":              {signed("a@oak.example"), "x@elm.example", "192.0.2.9", Fail, Pass, Deliver},
		"signed by the org":   {signed("a@mail.oak.example"), "", "192.0.2.9", None, Pass, Deliver},
		"SPF":                 {plain("a@oak.example"), "a@oak.example", "192.0.2.1", Pass, Pass, Deliver},
		"SPF of a part":       {plain("a@oak.example"), "a@bounce.oak.example", "192.0.2.2", Pass, Pass, Deliver},
		"SPF of another":      {plain("a@oak.example"), "a@elm.example", "192.0.2.1", Pass, Fail, Reject},
		"soft":                {plain("a@oak.example"), "a@bounce.oak.example", "192.0.2.9", SoftFail, Fail, Reject},
		"below":               {plain("a@mail.oak.example"), "a@elm.example", "192.0.2.1", Pass, Fail, Quarantine},
		"below, is not there": {plain("a@nobody.oak.example"), "a@elm.example", "192.0.2.1", Pass, Fail, Deliver},
		"strict":              {plain("a@strict.example"), "a@elm.example", "192.0.2.1", Pass, Fail, Quarantine},
		"no wishes":           {plain("a@elm.example"), "a@elm.example", "192.0.2.9", Fail, None, Deliver},
		"DNS is down":         {plain("a@down.example"), "a@elm.example", "192.0.2.9", Fail, TempError, Deliver},
		"SPF without end":     {plain("a@elm.example"), "a@loop.example", "192.0.2.9", PermError, None, Deliver},
		"two authors":         {plain("a@oak.example>, <b@elm.example"), "a@oak.example", "192.0.2.1", Pass, PermError, Deliver},
		"two Froms":           {"From: b@elm.example\r\n" + plain("a@oak.example"), "a@oak.example", "192.0.2.1", Pass, PermError, Deliver},
		"no author":           {crlf("Subject: x\n\n"), "a@oak.example", "192.0.2.1", Pass, PermError, Deliver},
	} {
		r := examine(t, z, tt.msg, Sender{netip.MustParseAddr(tt.addr), "host.example", tt.from}, 100)
		if tt.from == "" {
			tt.spf = r.SPF.Verdict
		}
		if r.SPF.Verdict != tt.spf || r.DMARC.Verdict != tt.want || r.DMARC.Wish != tt.wish {
			t.Errorf("%s: SPF %s (%s), DMARC %s (%s), %s", name, r.SPF.Verdict, r.SPF.Why, r.DMARC.Verdict, r.DMARC.Why, r.DMARC.Wish)
		}
		if f := r.Field("mx.elm.example"); !strings.HasSuffix(f, "\r\n") || !Forged([]byte(f), "MX.elm.example") || Forged([]byte(f), "oak.example") {
			t.Errorf("%s: %s", name, f)
		}
	}
}

// A chain of three, as lists that know each other make it.
func TestAChainIsCheckedAndGoesOn(t *testing.T) {
	z := lookuptest.Records{}
	keys := map[string][]Key{}
	for _, d := range []string{"oak.example", "list.example", "forward.example"} {
		keys[d] = keysOf(t, z, d)
	}
	msg := sign(t, crlf(letter), keys["oak.example"])
	pass := func(msg, by string, key int) string {
		r := examine(t, z, msg, Sender{Addr: netip.MustParseAddr("192.0.2.1")}, 100)
		head, body, _ := strings.Cut(msg, "\r\n\r\n")
		body = "[" + by + "]\r\n" + body // as lists do
		f, err := Seal([]byte(head+"\r\n"), strings.NewReader(body), r, by, keys[by][key], at)
		if err != nil || len(f) == 0 {
			t.Fatalf("%s does not seal: %v, %+v", by, err, r.ARC)
		}
		return string(f) + head + "\r\n\r\n" + body
	}
	one := pass(msg, "list.example", 0)
	two := pass(one, "forward.example", 1)
	three := pass(two, "list.example", 1)
	r := examine(t, z, three, Sender{}, 33)
	if a := r.ARC; a.Verdict != Pass || a.Instances != 3 || strings.Join(a.Sealers, " ") != "list.example forward.example list.example" ||
		!strings.Contains(a.Found, "arc=pass") || r.Signatures[0].Verdict != Fail {
		t.Errorf("%+v", r)
	}
	if a := examine(t, z, one, Sender{}, 33).ARC; !strings.Contains(a.Found, "dkim=pass header.d=oak.example") {
		t.Errorf("the first found %q", a.Found)
	}
	for name, bad := range map[string]string{
		"the body":    three + "PS\r\n",
		"a result":    strings.Replace(three, "dkim=pass", "dkim=fail", 1),
		"no seal":     strings.Replace(three, "ARC-Seal: i=2", "X-Seal: i=2", 1),
		"twice":       strings.Replace(three, "ARC-Seal: i=2", "ARC-Seal: i=3", 1),
		"no number":   strings.Replace(three, "ARC-Seal: i=2", "ARC-Seal: i=x", 1),
		"far ahead":   strings.Replace(three, "ARC-Seal: i=2", "ARC-Seal: i=51", 1),
		"failed then": strings.Replace(three, "cv=pass", "cv=fail", 1),
		"no start":    strings.Replace(three, "cv=none", "cv=pass", 1),
	} {
		r := examine(t, z, bad, Sender{}, 33)
		if r.ARC.Verdict != Fail || r.ARC.Why == "" || r.ARC.Sealers != nil {
			t.Errorf("%s: %+v", name, r.ARC)
		}
		if f, err := Seal([]byte(bad), &bytes.Buffer{}, r, "x", keys["oak.example"][0], at); f != nil || err != nil {
			t.Errorf("%s: goes on", name)
		}
	}
}

func FuzzExamine(f *testing.F) {
	z := lookuptest.Records{}
	keys := keysOf(f, z, "oak.example")
	f.Add(sign(f, crlf(letter), keys), "alice@oak.example", 10)
	f.Add("ARC-Seal: i=1;\r\nFrom: <@>\r\n\r\n", "\"@\"@[", 1)
	f.Fuzz(func(t *testing.T, msg, from string, n int) {
		s := Sender{netip.MustParseAddr("2001:db8::1"), from, from}
		r := examine(t, z, msg, s, max(1, n))
		field := r.Field("oak.example")
		for line := range strings.SplitSeq(strings.TrimSuffix(field, "\r\n"), "\r\n") {
			if strings.ContainsAny(line, "\r\n\x00") || line == "" || line[0] != '\t' && !strings.HasPrefix(line, "Authentication-Results: ") {
				t.Fatalf("the field breaks out: %q", field)
			}
		}
		if again := examine(t, z, msg, s, 1<<20); again.Field("oak.example") != field {
			t.Fatalf("in one piece it is\n%s, in pieces\n%s", again.Field("oak.example"), field)
		}
	})
}
