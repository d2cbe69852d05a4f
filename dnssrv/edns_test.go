package dnssrv

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/internal/nettest"
)

// kdig runs kdig against s over UDP and returns what it prints.
func kdig(t *testing.T, s *Server, args ...string) string {
	t.Helper()
	host, port, _ := net.SplitHostPort(s.at(t, "udp"))
	args = append([]string{"@" + host, "-p", port, "+timeout=3", "+retry=0"}, args...)
	out, err := exec.Command(nettest.Tool(t, "kdig"), args...).CombinedOutput()
	if err != nil {
		t.Errorf("kdig %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Checks 1-6, 11 and 19: RFC 6891 and 8906 with the tools of others. Each is
// asked twice, so that it is told once from what is made and once from what is
// kept.
func TestEDNSIsAnsweredByTheBook(t *testing.T) {
	d := lab(source(t, world).addr)
	for i := range 40 {
		d.DNS.Records = append(d.DNS.Records, config.Record{Name: "many", Type: "TXT", Value: fmt.Sprintf("record number %02d of many", i)})
	}
	s := start(t, conf(d), nil)
	for name, tt := range map[string]struct {
		tool func(*testing.T, *Server, ...string) string
		args string
		want []string // all of them are printed
		not  []string // none of them is
	}{
		"1: no EDNS":           {dig, "+norec +noedns soa oak.home.arpa", []string{"NOERROR", "qr aa ra;", "ANSWER: 1", "ADDITIONAL: 0"}, []string{"OPT"}},
		"2: version":           {dig, "+norec +edns=100 +noednsneg soa oak.home.arpa", []string{"BADVERS", "ANSWER: 0", "EDNS: version: 0"}, nil},
		"2: version, option":   {dig, "+norec +edns=1 +noednsneg +ednsopt=100 soa oak.home.arpa", []string{"BADVERS", "EDNS: version: 0"}, []string{"OPT=100"}},
		"3: option":            {dig, "+norec +ednsopt=100 soa oak.home.arpa", []string{"NOERROR", "ANSWER: 1"}, []string{"OPT=100"}},
		"3: option, content":   {dig, "+norec +ednsopt=100:abcdef soa oak.home.arpa", []string{"NOERROR", "ANSWER: 1"}, []string{"OPT=100"}},
		"4: flag":              {dig, "+norec +ednsflags=0x80 soa oak.home.arpa", []string{"NOERROR", "flags:; udp: 1232"}, []string{"MBZ"}},
		"4: header flag":       {dig, "+norec +zflag soa oak.home.arpa", []string{"NOERROR", "flags: qr aa ra;"}, []string{"MBZ"}},
		"4: DO":                {dig, "+dnssec soa oak.home.arpa", []string{"flags: do; udp: 1232"}, nil},
		"5: cut":               {dig, "+bufsize=512 +ignore many.oak.home.arpa TXT", []string{"qr aa tc", "ANSWER: 0", "udp: 1232"}, nil},
		"5: cut, no EDNS":      {dig, "+noedns +ignore many.oak.home.arpa TXT", []string{"qr aa tc", "ANSWER: 0", "ADDITIONAL: 0"}, nil},
		"5: over TCP":          {dig, "+tcp many.oak.home.arpa TXT", []string{"ANSWER: 40"}, nil},
		"6: opcode":            {dig, "+opcode=15 oak.home.arpa", []string{"NOTIMP"}, nil},
		"11: name, cookie":     {dig, "+nsid +cookie soa oak.home.arpa", []string{"NSID: 6f 61 6b (\"oak\")", "(good)", "ANSWER: 1"}, nil},
		"11: cookie, others'":  {dig, "+cookie=0123456789abcdef0100000000000000aaaaaaaaaaaaaaaa soa oak.home.arpa", []string{"COOKIE: 0123456789abcdef01000000", "(good)", "ANSWER: 1"}, []string{"aaaa (good)"}},
		"11: cookie, cached":   {dig, "+cookie www.example.net", []string{"(good)", "192.0.2.80"}, nil},
		"11: cookie, TCP":      {dig, "+tcp +cookie +nsid www.example.net", []string{"(good)", "NSID", "192.0.2.80"}, nil},
		"11: cookie too short": {dig, "+nocookie +ednsopt=10:012345 soa oak.home.arpa", []string{"FORMERR"}, nil},
		"11: no question":      {dig, "+header-only +cookie", []string{"NOERROR", "QUERY: 0", "(good)"}, nil},
		"11: kdig":             {kdig, "+nsid +cookie soa oak.home.arpa", []string{"NOERROR", "NSID: 6F616B \"oak\"", "COOKIE: ", "ANSWER: 1"}, nil},
		"client's subnet":      {kdig, "+subnet=192.0.2.0/24 www.example.net", []string{"NOERROR", "192.0.2.80"}, []string{"CLIENT-SUBNET"}},
		"padded in clear":      {kdig, "+padding=64 www.example.net", []string{"NOERROR", "192.0.2.80"}, []string{"PADDING"}},
		"all options":          {kdig, "+nsid +cookie +padding +subnet=192.0.2.0/24 +dnssec www.example.net", []string{"NOERROR", "do; UDP size: 1232 B", "NSID", "COOKIE", "192.0.2.80"}, nil},
		"19: case":             {dig, "wWw.ExAmPlE.nEt", []string{";wWw.ExAmPlE.nEt.", "wWw.ExAmPlE.nEt.\t"}, nil},
		"19: case, own":        {dig, "HoMe.oAk.home.arpa", []string{";HoMe.oAk.home.arpa.", "HoMe.oAk.home.arpa.\t60"}, nil},
		"19: case, none":       {dig, "NoPe.oAk.home.arpa", []string{"NXDOMAIN", ";NoPe.oAk.home.arpa."}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				got := tt.tool(t, s, strings.Fields(tt.args)...)
				for _, w := range tt.want {
					if !strings.Contains(got, w) {
						t.Errorf("%s: no %q in\n%s", tt.args, w, got)
					}
				}
				for _, w := range tt.not {
					if strings.Contains(got, w) {
						t.Errorf("%s: %q is in\n%s", tt.args, w, got)
					}
				}
			}
		})
	}
}

// Check 19: twenty mixtures of case come back as they were.
func TestTheCaseOfAQuestionComesBack(t *testing.T) {
	s := start(t, conf(lab(source(t, world).addr)), nil)
	for i := range 20 {
		b := []byte("www.example.net.")
		for j := range b {
			if b[j] >= 'a' && (i*7+j*j)%3 == 0 {
				b[j] -= 32
			}
		}
		r := ask(t, s, "udp", string(b), dns.TypeA)
		if r.Question[0].Name != string(b) || len(r.Answer) != 1 || r.Answer[0].Header().Name != string(b) {
			t.Errorf("%s came back as %v", b, r)
		}
	}
}

// opted is a query with an OPT record of this content.
func opted(t *testing.T, content []byte) []byte {
	b := packed(t, new(dns.Msg).SetQuestion("nas.oak.home.arpa.", dns.TypeA))
	b[11] = 1
	b = append(b, 0, 0, 41, 4, 0xd0, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(content)))
	return append(b, content...)
}

// Check 20: what is broken gets FORMERR, or nothing where that could be sent to
// somebody who did not ask. Whatever comes before, the next query is answered.
func TestJunkIsRefusedAndDoesNoHarm(t *testing.T) {
	s := start(t, conf(lab(source(t, world).addr)), nil)
	good := packed(t, new(dns.Msg).SetQuestion("nas.oak.home.arpa.", dns.TypeA))
	with := func(edit func(b []byte) []byte) []byte { return edit(bytes.Clone(good)) }
	option := []byte{0, 100, 0, 0}
	for name, tt := range map[string]struct {
		b    []byte
		want int // -1: silence
	}{
		"two questions":   {with(func(b []byte) []byte { b[5] = 2; return b }), dns.RcodeFormatError},
		"no question":     {with(func(b []byte) []byte { b[5] = 0; return b[:12] }), dns.RcodeFormatError},
		"a response":      {with(func(b []byte) []byte { b[2] |= 0x80; return b }), -1},
		"header cut":      {good[:11], -1},
		"nothing":         {nil, -1},
		"label of 64":     {with(func(b []byte) []byte { b[12] = 64; return b }), dns.RcodeFormatError},
		"pointer loop":    {with(func(b []byte) []byte { b[12], b[13] = 0xc0, 12; return b }), dns.RcodeFormatError},
		"trailing bytes":  {append(bytes.Clone(good), 1, 2, 3), dns.RcodeFormatError},
		"records missing": {with(func(b []byte) []byte { b[8], b[9], b[10], b[11] = 255, 255, 255, 255; return b }), dns.RcodeFormatError},
		"16 options":      {opted(t, bytes.Repeat(option, 16)), dns.RcodeSuccess},
		"17 options":      {opted(t, bytes.Repeat(option, 17)), dns.RcodeFormatError},
		"option cut":      {opted(t, []byte{0, 100, 0, 1}), dns.RcodeFormatError},
		"option too long": {opted(t, []byte{0, 100, 255, 255, 0}), dns.RcodeFormatError},
		"option of three": {opted(t, []byte{0, 100, 0}), dns.RcodeFormatError},
		"4000 bytes":      {bytes.Repeat([]byte{0}, 4000), dns.RcodeFormatError},
		"HTTP":            {[]byte("GET / HTTP/1.1\r\nHost: oak\r\n\r\n"), dns.RcodeNotImplemented},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("udp", s.at(t, "udp"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.Write(tt.b)
			c.Write(good)
			buf := make([]byte, 2000)
			c.SetReadDeadline(time.Now().Add(5 * time.Second))
			codes := map[int]int{}
			want := 1
			if tt.want >= 0 {
				want = 2
			}
			for range want {
				n, err := c.Read(buf)
				if err != nil {
					t.Fatalf("after %v: %v", codes, err)
				}
				if !bytes.Equal(buf[:2], good[:2]) && !bytes.Equal(buf[:2], tt.b[:2]) || buf[2]&0x80 == 0 || n > udpSize {
					t.Errorf("got %x", buf[:n])
				}
				codes[int(buf[3]&15)]++
			}
			if codes[dns.RcodeSuccess] < 1 || tt.want >= 0 && codes[tt.want] < 1 {
				t.Errorf("codes %v", codes)
			}
		})
	}
}

// Where others can listen, answers are padded, with kept answers as
// with others; and never in clear.
func TestPaddingHidesTheLength(t *testing.T) {
	s := warmed(t, 0)
	for _, name := range []string{"home.oak.home.arpa.", "www.example.net.", "no.oak.home.arpa."} {
		m := new(dns.Msg).SetQuestion(name, dns.TypeA)
		m.SetEdns0(1232, false)
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_NSID{Code: dns.EDNS0NSID}}
		for _, over := range []proto{overUDP, overTCP, overTLS, overHTTPS, overQUIC} {
			c := from(fromLAN)
			c.proto = over
			for i := range 2 {
				out, hit := recalled(s, packed(t, m), c)
				var r dns.Msg
				if err := r.Unpack(out); err != nil {
					t.Fatal(err)
				}
				if (len(out)%padBlock == 0) != over.encrypted() {
					t.Errorf("%s, way %d, time %d, hit %v: %d bytes", name, over, i, hit, len(out))
				}
				if i == 1 && !hit {
					t.Errorf("%s, way %d: no hit", name, over)
				}
			}
		}
	}
}
