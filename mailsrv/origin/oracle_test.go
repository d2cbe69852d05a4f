package origin

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"

	"pic/internal/nettest"
	"pic/mailsrv/lookup"
	"pic/mailsrv/lookup/lookuptest"
)

func texts(t testing.TB, z lookuptest.Records) func(string) ([]string, error) {
	return func(name string) ([]string, error) {
		got, _, err := lookup.TXT(t.Context(), z, name)
		return got, err
	}
}

// body makes one of what canonicalization is about.
func randomBody() string {
	var sb strings.Builder
	for range rand.IntN(40) {
		sb.WriteString([]string{"\r\n", "\r\n", " ", "\t", "a", "bc", " d\r\n", "\r\n\r\n"}[rand.IntN(8)])
	}
	if rand.IntN(4) > 0 {
		sb.WriteString("\r\n")
	}
	return sb.String()
}

func TestGoMsgauthAgrees(t *testing.T) {
	z := lookuptest.Records{}
	keys := keysOf(t, z, "oak.example")
	head, _, _ := strings.Cut(crlf(letter), "\r\n\r\n")
	for i := range 200 {
		k := keys[i%2]
		msg := head + "\r\n\r\n" + randomBody()
		var theirs bytes.Buffer
		opts := &dkim.SignOptions{
			Domain: k.Domain, Selector: k.Selector, Signer: k.Signer,
			HeaderCanonicalization: []dkim.Canonicalization{"simple", "relaxed"}[i/2%2],
			BodyCanonicalization:   []dkim.Canonicalization{"simple", "relaxed"}[i/4%2],
		}
		if err := dkim.Sign(&theirs, strings.NewReader(msg), opts); err != nil {
			t.Fatal(err)
		}
		// The library ends a body that does not end in CRLF.
		if r := examine(t, z, theirs.String(), Sender{}, 1+rand.IntN(9)); len(r.Signatures) != 1 || r.Signatures[0].Verdict != Pass {
			t.Fatalf("%+v\n%q", r.Signatures, theirs.String())
		}
		ours := sign(t, msg, keys)
		got, err := dkim.VerifyWithOptions(strings.NewReader(ours), &dkim.VerifyOptions{LookupTXT: texts(t, z)})
		if err != nil || len(got) != 2 || got[0].Err != nil || got[1].Err != nil {
			t.Fatalf("%v, %+v\n%q", err, got, ours)
		}
	}
}

const dkimpy = `
import sys, json, dkim
q = json.load(sys.stdin)
records = {k.encode(): v.encode() for k, v in q["records"].items()}
def ask(name, timeout=5):
    return records.get(name.rstrip(b"."), None) or records.get(name, None)
m = q["message"].encode("latin-1")
out = {"arc": dkim.arc_verify(m, dnsfunc=ask)[0].decode(),
       "dkim": [dkim.DKIM(m).verify(i, dnsfunc=ask) for i in range(q["signatures"])]}
ar = b"Authentication-Results: mx.seal.example; arc=pass; dkim=pass header.d=oak.example\r\n"
lines = dkim.arc_sign(ar + m, b"s", b"seal.example", q["key"].encode(), b"mx.seal.example",
                      include_headers=[b"from", b"subject"])
out["sealed"] = b"".join(lines).decode("latin-1") if lines else ""
print(json.dumps(out))
`

// dkimpy is what Debian's mail servers check ARC with.
func TestDkimpyAgrees(t *testing.T) {
	nettest.Tool(t, "dkimverify")
	z := lookuptest.Records{}
	keys := keysOf(t, z, "oak.example")
	list := keysOf(t, z, "list.example")
	seal := Key{"seal.example", "s", rsaKeys()}
	rec, err := seal.Record()
	if err != nil {
		t.Fatal(err)
	}
	msg := sign(t, crlf(letter), keys)
	for i := range 2 {
		head, body, _ := strings.Cut(msg, "\r\n\r\n")
		r := examine(t, z, msg, Sender{Addr: netip.MustParseAddr("192.0.2.1")}, 100)
		f, err := Seal([]byte(head+"\r\n"), strings.NewReader(body), r, "mx.list.example", list[0], at)
		if err != nil || f == nil {
			t.Fatalf("seal %d: %v", i, err)
		}
		msg = string(f) + msg
	}
	records := map[string]string{"s._domainkey.seal.example": rec}
	for name := range z {
		got, _ := texts(t, z)(name)
		records[strings.TrimSuffix(name, ".")] = got[0]
	}
	in, err := json.Marshal(map[string]any{
		"message": msg, "records": records, "signatures": 2,
		"key": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKeys())})),
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", dkimpy)
	cmd.Stdin = bytes.NewReader(in)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	b, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &errs)
	}
	var out struct {
		ARC    string
		DKIM   []bool
		Sealed string
	}
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	if out.ARC != "pass" || len(out.DKIM) != 2 || !out.DKIM[0] || !out.DKIM[1] {
		t.Errorf("it says %s", b)
	}
	// And the chain that it makes longer is one for us.
	z["s._domainkey.seal.example."] = nil
	for name, rrs := range keyZone(t, seal) {
		z[name] = rrs
	}
	r := examine(t, z, out.Sealed+msg, Sender{}, 100)
	if r.ARC.Verdict != Pass || r.ARC.Instances != 3 {
		t.Errorf("of its chain: %+v\n%s", r.ARC, out.Sealed)
	}
}

func TestEdKeysFitWhatIsPublished(t *testing.T) {
	k := Key{"oak.example", "e", ed25519.NewKeyFromSeed(make([]byte, 32))}
	rec, err := k.Record()
	if err != nil || !strings.HasSuffix(rec, base64.StdEncoding.EncodeToString(k.Signer.Public().(ed25519.PublicKey))) {
		t.Errorf("%q, %v", rec, err)
	}
}

func BenchmarkExamine(b *testing.B) {
	z := lookuptest.Records{}
	msg := sign(b, crlf(strings.Replace(letter, "Shall we", strings.Repeat("Many words of a letter, line by line.\r\n", 100), 1)), keysOf(b, z, "oak.example"))
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		examine(b, z, msg, Sender{Addr: netip.MustParseAddr("192.0.2.1")}, 32<<10)
	}
}
