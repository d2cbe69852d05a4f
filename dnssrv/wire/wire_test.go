package wire

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func packed(t testing.TB, records ...string) []byte {
	t.Helper()
	m := new(dns.Msg).SetQuestion("wWw.Example.net.", dns.TypeA)
	m.Response, m.Compress = true, true
	for _, s := range records {
		rr, err := dns.NewRR(s)
		if err != nil {
			t.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRecordsAreWhereTheyAre(t *testing.T) {
	b := packed(t, "www.example.net. 60 IN CNAME a.example.net.", "a.example.net. 30 IN A 192.0.2.1")
	if !Whole(b) {
		t.Fatal("not whole")
	}
	var got []string
	for s, r := range Records(b) {
		n, _, ok := Name(nil, b, r.At)
		if !ok || s != Answer {
			t.Fatalf("section %d, name %q, %v", s, n, ok)
		}
		got = append(got, string(n))
	}
	if want := "\x03www\x07example\x03net\x00,\x01a\x07example\x03net\x00"; strings.Join(got, ",") != want {
		t.Errorf("got %q", got)
	}
	for n := range b {
		if Whole(b[:n]) {
			t.Errorf("whole with %d of %d bytes", n, len(b))
		}
	}
}

func TestNamesThatWouldNotEndAreRefused(t *testing.T) {
	head := make([]byte, HeaderLen)
	long := strings.Repeat("\x3f"+strings.Repeat("x", 63), 3)
	for name, s := range map[string]string{
		"pointer to itself":     "\xc0\x0c",
		"pointer forwards":      "\xc0\x20",
		"pointer to the header": "\xc0\x02",
		"two in a ring":         "\x01a\xc0\x0c",
		"label of 64":           "\x40" + strings.Repeat("x", 64) + "\x00",
		"256 bytes":             long + "\x3e" + strings.Repeat("x", 62) + "\x00",
		"no end":                "\x03www",
		"half a pointer":        "\xc0",
	} {
		if n, _, ok := Name(nil, append(head[:HeaderLen:HeaderLen], s...), HeaderLen); ok {
			t.Errorf("%s: read %q", name, n)
		}
	}
	if _, _, ok := Name(nil, append(head[:HeaderLen:HeaderLen], long+"\x3d"+strings.Repeat("x", 61)+"\x00"...), HeaderLen); !ok {
		t.Error("a name of 255 bytes is refused")
	}
}

// Whatever the bytes are: names that are read are names, they end within the
// message, and the library reads the same.
func FuzzName(f *testing.F) {
	f.Add(packed(f, "www.example.net. 60 IN CNAME a.example.net.", "a.example.net. 30 IN A 192.0.2.1"), 12)
	f.Add(packed(f, "www.example.net. 60 IN MX 5 mail.www.example.net."), 33)
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01a\xc0\x0c"), 12)
	f.Fuzz(func(t *testing.T, b []byte, off int) {
		if off < 0 || off > len(b) {
			return
		}
		n, end, ok := Name(nil, b, off)
		if !ok {
			return
		}
		if len(n) > MaxName || n[len(n)-1] != 0 || end <= off || end > len(b) {
			t.Fatalf("%q, to %d of %d", n, end, len(b))
		}
		if skipped, ok := Skip(b, off); !ok || skipped != end {
			t.Fatalf("skipped to %d, read to %d", skipped, end)
		}
		s, at, err := dns.UnpackDomainName(b, off)
		if err != nil || at != end {
			t.Fatalf("the library reads %q to %d of %d: %v", s, at, end, err)
		}
		again := make([]byte, 256)
		if k, err := dns.PackDomainName(strings.ToLower(s), again, 0, nil, false); err != nil || string(again[:k]) != string(n) {
			t.Fatalf("%q, the library %q: %v", n, again[:k], err)
		}
	})
}

func FuzzRecords(f *testing.F) {
	f.Add(packed(f, "www.example.net. 60 IN CNAME a.example.net.", "a.example.net. 30 IN A 192.0.2.1"))
	f.Add([]byte("\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		last := 0
		for s, r := range Records(b) {
			if s < Answer || s > Additional || r.At < last || r.TTLAt < r.At || r.Data != r.TTLAt+6 || r.End < r.Data || r.End > len(b) {
				t.Fatalf("section %d, %+v after %d of %d", s, r, last, len(b))
			}
			last = r.End
		}
		// The library bears a question that ends with its name.
		if _, ok := Start(b); ok && new(dns.Msg).Unpack(b) == nil && len(b) > HeaderLen && Questions(b) < 2 && !Whole(b) {
			m := new(dns.Msg)
			m.Unpack(b)
			if len(m.Answer)+len(m.Ns)+len(m.Extra) == Count(b, Answer)+Count(b, Authority)+Count(b, Additional) {
				t.Fatalf("the library reads it: %v", m)
			}
		}
	})
}
