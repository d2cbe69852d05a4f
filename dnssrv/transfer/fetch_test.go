package transfer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// content is a version of oak. with these records.
func content(t testing.TB, serial int, records ...string) *Content {
	t.Helper()
	var all []string
	for _, s := range append(records, fmt.Sprintf("oak. 60 SOA ns. me. %d 1 1 1 1", serial)) {
		w, err := Wire(record(t, s))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, w)
	}
	last := len(all) - 1
	return NewContent(all[last], all[:last])
}

// primary answers each connection by serve, which gets the request.
func primary(t testing.TB, serve func(c net.Conn, request []byte)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				var size [2]byte
				if _, err := io.ReadFull(c, size[:]); err != nil {
					return
				}
				b := make([]byte, binary.BigEndian.Uint16(size[:]))
				if _, err := io.ReadFull(c, b); err != nil {
					return
				}
				serve(c, b)
			}()
		}
	}()
	return l.Addr().String()
}

func frame(c net.Conn, b []byte) error {
	_, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
	return err
}

// What a Sender sends is what a Client gets, and for every version before.
func TestFetchGetsWhatIsSent(t *testing.T) {
	k := key(t, "acme", "hmac-sha256")
	var many []string
	for i := range 5000 {
		many = append(many, fmt.Sprintf("host%d.oak. 60 A 192.0.2.1", i))
	}
	versions := []*Content{content(t, 1, many...), content(t, 2, many[1:]...), content(t, 3, append(many[2:], "new.oak. 5 TXT x")...)}
	var h History
	for i, v := range versions[1:] {
		h.Add(v.Diff(versions[i]))
	}
	messages := 0
	at := primary(t, func(c net.Conn, b []byte) {
		session, bare, err := Keys{"acme.": k}.Verify(b, time.Now())
		if err != nil {
			return
		}
		s, err := NewSender(bare, session, func(b []byte) error { messages++; return frame(c, b) })
		if err != nil {
			return
		}
		if have, ok := HaveSerial(bare); ok {
			_ = s.Reply(versions[2], &h, have)
		} else {
			_ = s.Whole(versions[2])
		}
	})
	for name, tt := range map[string]struct {
		have     *Content
		messages int
	}{
		"nothing":        {nil, 8},
		"the newest":     {versions[2], 1},
		"the one before": {versions[1], 1},
		"the first":      {versions[0], 1},
		"one unknown":    {content(t, 0, many...), 8},
		"one later":      {content(t, 9, many...), 1},
	} {
		messages = 0
		got, err := new(Client).Fetch(t.Context(), Request{Server: at, Zone: "oak.", Key: &k, Have: tt.have})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if name == "one later" {
			if got != tt.have {
				t.Errorf("%s: took an older version", name)
			}
			continue
		}
		if got.Serial() != 3 || !slices.Equal(got.Records, versions[2].Records) {
			t.Errorf("%s: serial %d, %d records", name, got.Serial(), len(got.Records))
		}
		if messages != tt.messages {
			t.Errorf("%s: %d messages, want %d", name, messages, tt.messages)
		}
	}
}

// sections are records of the answer of one message each.
func answering(t testing.TB, messages ...[]string) func(net.Conn, []byte) {
	return func(c net.Conn, b []byte) {
		for _, records := range messages {
			m := new(dns.Msg)
			m.Id, m.Response = binary.BigEndian.Uint16(b), true
			for _, s := range records {
				m.Answer = append(m.Answer, record(t, s))
			}
			out, err := m.Pack()
			if err != nil || frame(c, out) != nil {
				return
			}
		}
	}
}

func TestFetchTakesNoNonsense(t *testing.T) {
	soa := func(n int) string { return fmt.Sprintf("oak. 60 SOA ns. me. %d 1 1 1 1", n) }
	have := content(t, 1, "a.oak. 60 A 192.0.2.1")
	for name, tt := range map[string]struct {
		serve func(net.Conn, []byte)
		have  *Content
		want  string // records and serial, or an error's part
	}{
		"whole":             {answering(t, []string{soa(2), "b.oak. 60 A 192.0.2.2"}, []string{soa(2)}), nil, "2: b.oak. 60 IN A 192.0.2.2"},
		"one by one":        {answering(t, []string{soa(2)}, []string{"b.oak. 60 A 192.0.2.2"}, []string{soa(2)}), have, "2: b.oak. 60 IN A 192.0.2.2"},
		"of elsewhere too":  {answering(t, []string{soa(2), "b.elm. 60 A 192.0.2.2", "ns.oak. 60 A 192.0.2.3", soa(2)}), nil, "2: ns.oak. 60 IN A 192.0.2.3"},
		"steps":             {answering(t, []string{soa(3), soa(1), "a.oak. 60 A 192.0.2.1", soa(2), "b.oak. 60 A 192.0.2.2", soa(2), soa(3), "c.oak. 60 A 192.0.2.3", soa(3)}), have, "3: b.oak. 60 IN A 192.0.2.2; c.oak. 60 IN A 192.0.2.3"},
		"not a step of it":  {answering(t, []string{soa(3), soa(1), "x.oak. 60 A 192.0.2.1", soa(3), soa(3)}), have, "two different SOA"}, // as a whole zone, then
		"steps of another":  {answering(t, []string{soa(3), soa(1), soa(2), soa(7), soa(3), soa(3)}), have, "two different SOA"},
		"no SOA":            {answering(t, []string{"b.oak. 60 A 192.0.2.2"}), nil, "does not begin with a SOA"},
		"nothing":           {answering(t, []string{}), nil, "does not begin with a SOA"},
		"two SOAs":          {answering(t, []string{soa(2), soa(3)}), nil, "two different SOA"},
		"a SOA below":       {answering(t, []string{soa(2), "x.oak. 60 SOA ns. me. 1 1 1 1 1"}), nil, "below the zone"},
		"more than the end": {answering(t, []string{soa(2), soa(2), "b.oak. 60 A 192.0.2.2"}), nil, "within the zone"},
		"cut short":         {answering(t, []string{soa(2), "b.oak. 60 A 192.0.2.2"}), nil, "EOF"},
		"class CH":          {answering(t, []string{soa(2), "b.oak. 60 CH TXT x", soa(2)}), nil, "cannot have a record"},
		"an OPT record": {func(c net.Conn, b []byte) {
			m := new(dns.Msg)
			m.Id, m.Response = binary.BigEndian.Uint16(b), true
			m.Answer = []dns.RR{record(t, soa(2)), &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}}
			out, _ := m.Pack()
			_ = frame(c, out)
		}, nil, "cannot have a record"},
		"refused": {func(c net.Conn, b []byte) {
			b[2] |= 0x80
			b[3] = dns.RcodeRefused
			_ = frame(c, b)
		}, nil, "REFUSED; see whether"},
		"another id": {func(c net.Conn, b []byte) {
			b[0] ^= 1
			b[2] |= 0x80
			_ = frame(c, b)
		}, nil, "malformed"},
		"garbage": {func(c net.Conn, b []byte) {
			b[2] |= 0x80
			b[7] = 200
			_ = frame(c, append(b, 0xff))
		}, nil, "malformed"},
		"without end": {func(c net.Conn, b []byte) {
			for i := 0; ; i++ {
				records := []string{fmt.Sprintf("h%d.oak. 60 A 192.0.2.1", i)}
				if i == 0 {
					records = []string{soa(2)}
				}
				m := new(dns.Msg)
				m.Id, m.Response = binary.BigEndian.Uint16(b), true
				m.Answer = []dns.RR{record(t, records[0])}
				out, err := m.Pack()
				if err != nil || frame(c, out) != nil {
					return
				}
			}
		}, nil, "larger than is taken"},
	} {
		c := Client{Records: 1000}
		got, err := c.Fetch(t.Context(), Request{Server: primary(t, tt.serve), Zone: "oak.", Have: tt.have})
		out := ""
		if err != nil {
			out = err.Error()
		} else {
			var all []string
			for _, w := range got.Records {
				rr, err := Record(w)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, spaced(rr.String()))
			}
			out = fmt.Sprintf("%d: %s", got.Serial(), strings.Join(all, "; "))
		}
		if err == nil && out != tt.want || err != nil && !strings.Contains(out, tt.want) {
			t.Errorf("%s: %s, want %s", name, out, tt.want)
		}
	}
}

// Bytes and time are bounded too.
func TestFetchEndsWhateverComes(t *testing.T) {
	long := "x.oak. 60 TXT " + strings.Repeat(strings.Repeat("x", 250)+" ", 60)
	at := primary(t, func(c net.Conn, b []byte) {
		answering(t, []string{"oak. 60 SOA ns. me. 2 1 1 1 1"})(c, b)
		for {
			m := new(dns.Msg)
			m.Id, m.Response = binary.BigEndian.Uint16(b), true
			m.Answer = []dns.RR{record(t, long)}
			out, _ := m.Pack()
			if frame(c, out) != nil {
				return
			}
		}
	})
	if _, err := (&Client{Bytes: 1 << 20}).Fetch(t.Context(), Request{Server: at, Zone: "oak."}); !errors.Is(err, errTooMany) {
		t.Errorf("many bytes: %v", err)
	}
	silent := primary(t, func(c net.Conn, _ []byte) { _, _ = c.Read(make([]byte, 1)) })
	if _, err := (&Client{Time: 50 * time.Millisecond}).Fetch(t.Context(), Request{Server: silent, Zone: "oak."}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("silence: %v", err)
	}
	k := key(t, "acme", "hmac-sha256")
	unsigned := primary(t, answering(t, []string{"oak. 60 SOA ns. me. 2 1 1 1 1", "oak. 60 SOA ns. me. 2 1 1 1 1"}))
	if _, err := new(Client).Fetch(t.Context(), Request{Server: unsigned, Zone: "oak.", Key: &k}); !errors.Is(err, errUnsigned) {
		t.Errorf("without signatures: %v", err)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	var h History
	last := content(t, 1)
	for i := 2; i < 300; i++ {
		next := content(t, i, fmt.Sprintf("x.oak. 60 TXT %d", i))
		h.Add(next.Diff(last))
		last = next
	}
	if len(h.deltas) != maxVersions {
		t.Errorf("%d versions are remembered", len(h.deltas))
	}
	if steps, ok := h.Since(298); !ok || len(steps) != 1 {
		t.Errorf("since the last but one: %d steps, %v", len(steps), ok)
	}
	if _, ok := h.Since(100); ok {
		t.Error("a version that is long gone is remembered")
	}
	long := "x.oak. 60 TXT " + strings.Repeat(strings.Repeat("x", 250)+" ", 100)
	for i := 300; i < 360; i++ {
		next := content(t, i, long+fmt.Sprint(i))
		h.Add(next.Diff(last))
		last = next
	}
	if h.bytes > maxHistory {
		t.Errorf("%d bytes are remembered", h.bytes)
	}
	h.Add(content(t, 1000).Diff(content(t, 999)))
	if _, ok := h.Since(359); ok || len(h.deltas) != 1 {
		t.Error("steps that do not follow each other are remembered as if they did")
	}
}

func TestNewerFollowsRFC1982(t *testing.T) {
	for _, tt := range []struct {
		a, b uint32
		want bool
	}{{2, 1, true}, {1, 2, false}, {1, 1, false}, {0, 1<<32 - 1, true}, {1 << 31, 1, true}, {1<<31 + 2, 1, false}} {
		if Newer(tt.a, tt.b) != tt.want {
			t.Errorf("Newer(%d, %d) is %v", tt.a, tt.b, !tt.want)
		}
	}
}

func TestSavedZonesComeBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "oak.zone")
	want := content(t, 7, "a.oak. 60 A 192.0.2.1", "b.oak. 60 TXT x y")
	if err := Save(path, want); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if err != nil || got.SOA != want.SOA || !slices.Equal(got.Records, want.Records) {
		t.Errorf("%v, %v", got, err)
	}
}

// What is read can be written and is read again; all else is an error.
func FuzzDecode(f *testing.F) {
	f.Add(encode(content(f, 7, "a.oak. 60 A 192.0.2.1")))
	f.Add([]byte(fileMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decode(b)
		if err != nil {
			// As what a primary told, then, of any length and content.
			c = NewContent(string(b[:min(len(b), 7)]), []string{string(b), string(b[min(len(b), 3):])})
		}
		again, err := decode(encode(c))
		if err != nil || again.SOA != c.SOA || !slices.Equal(again.Records, c.Records) {
			t.Errorf("%v became %v, %v", c, again, err)
		}
		broken := encode(c)
		broken[len(broken)-1] ^= 1
		if _, err := decode(broken); err == nil {
			t.Error("damage was not seen")
		}
	})
}
