package dnssrv

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/internal/listen"
)

// many returns n framed queries, whose ids count up from 0.
func many(t testing.TB, n int, name func(i int) string) []byte {
	t.Helper()
	var all []byte
	for i := range n {
		m := new(dns.Msg).SetQuestion(name(i), dns.TypeA)
		m.Id = uint16(i)
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		all = append(binary.BigEndian.AppendUint16(all, uint16(len(b))), b...)
	}
	return all
}

// A client that sends many queries at once gets all answers, those at hand
// before those that take others.
func TestPipelinedQueriesAreAllAnswered(t *testing.T) {
	up := source(t, world)
	s := guarded(t, lab(up.addr))
	plain, err := dns.Dial("tcp", s.at(t, "tcp"))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	for name, c := range map[string]*dns.Conn{"tcp": plain, "tls": s.dot(t, "127.0.0.1", "")} {
		const n = 200
		sent := many(t, n, func(i int) string {
			if i%10 == 0 {
				return fmt.Sprintf("w%d-%s.example.net.", i, name)
			}
			return "nas.oak.home.arpa."
		})
		go c.Conn.Write(sent)
		seen := map[uint16]bool{}
		for range n {
			m, err := c.ReadMsg()
			if err != nil {
				t.Fatalf("%s: after %d answers: %v", name, len(seen), err)
			}
			if seen[m.Id] || m.Rcode == dns.RcodeServerFailure {
				t.Errorf("%s: %d again, or failed: %v", name, m.Id, m)
			}
			seen[m.Id] = true
		}
	}
}

func TestOptionsFollowTheWayOfTheAnswer(t *testing.T) {
	s := guarded(t, lab())
	q := new(dns.Msg).SetQuestion("nas.oak.home.arpa.", dns.TypeA)
	q.SetEdns0(1232, false)
	q.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_PADDING{Padding: make([]byte, 100)}, &dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE}}
	for name, tt := range map[string]struct {
		ask  func() *dns.Msg
		want string
	}{
		"udp": {func() *dns.Msg {
			return ask(t, s.Server, "udp", "nas.oak.home.arpa.", dns.TypeA, func(m *dns.Msg) { m.Extra = q.Extra })
		}, ""},
		"tcp": {func() *dns.Msg {
			return ask(t, s.Server, "tcp", "nas.oak.home.arpa.", dns.TypeA, func(m *dns.Msg) { m.Extra = q.Extra })
		}, "alive 10s"},
		"tls": {func() *dns.Msg { return s.exchange(t, "tls", q) }, "alive 10s padded"},
		"GET": {func() *dns.Msg { return s.exchange(t, "GET", q) }, "padded"},
	} {
		for range 2 { // the second from what is kept
			var got []string
			for _, o := range tt.ask().IsEdns0().Option {
				switch o := o.(type) {
				case *dns.EDNS0_TCP_KEEPALIVE:
					got = append(got, fmt.Sprintf("alive %ds", o.Timeout/10))
				case *dns.EDNS0_PADDING:
					got = append(got, "padded")
				}
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("%s: got %q, want %q", name, got, tt.want)
			}
		}
	}
	m := s.exchange(t, "POST", q.Copy())
	if m.Rcode != dns.RcodeSuccess {
		t.Error(m)
	}
}

func TestDevicesSayWhoTheyAre(t *testing.T) {
	tb := guarded(t, lab()).table.Load()
	for host, want := range map[string]string{
		"kids.dns.oak.home.arpa": "kids", "Kids.DNS.oak.home.arpa.": "kids", "dns.oak.home.arpa": "", "": "",
		"a.b.dns.oak.home.arpa": "", "-a.dns.oak.home.arpa": "", "kids.dns.elm.home.arpa": "", "k_s.dns.oak.home.arpa": "",
		strings.Repeat("a", 64) + ".dns.oak.home.arpa": "", ".dns.oak.home.arpa": "",
	} {
		if got := tb.says(host); got != want {
			t.Errorf("%s says %q, want %q", host, got, want)
		}
	}
}

// Who asks is led to what it can reach, and to what is on.
func TestDesignatedResolversByWhoAsks(t *testing.T) {
	vpn := netip.MustParseAddr("10.80.1.2")
	for name, tt := range map[string]struct {
		change func(*config.Document)
		from   netip.Addr
		want   string
	}{
		"LAN": {nil, netip.MustParseAddr("192.168.1.77"), "dot:10853 doq:10853 h2,h3:10443 at 192.168.1.1"},
		"VPN": {nil, vpn, "dot:853 doq:853 h2,h3:443 at 10.80.1.1 fd12:3456:789a:1::1"},
		"standard ports": {
			func(d *config.Document) { d.DNS.TLSPort, d.Proxy.HTTPSPort = 853, 443 },
			netip.MustParseAddr("192.168.1.77"), "dot:853 doq:853 h2,h3:443 at 192.168.1.1",
		},
		"host":        {nil, loopback4, "dot:10853 doq:10853 h2,h3:10443 at 127.0.0.1 ::1"},
		"TLS is off":  {func(d *config.Document) { d.DNS.TLS = new(bool) }, vpn, "h2,h3:443 at 10.80.1.1 fd12:3456:789a:1::1"},
		"HTTPS off":   {func(d *config.Document) { d.DNS.HTTPS = new(bool) }, vpn, "dot:853 doq:853 at 10.80.1.1 fd12:3456:789a:1::1"},
		"proxy off":   {func(d *config.Document) { d.Proxy.Enabled = new(bool) }, vpn, "dot:853 doq:853 at 10.80.1.1 fd12:3456:789a:1::1"},
		"all off":     {func(d *config.Document) { d.DNS.HTTPS, d.DNS.TLS = new(bool), new(bool) }, vpn, ""},
		"other proxy": {func(d *config.Document) { d.Proxy.Listen = []netip.Addr{loopback4} }, netip.MustParseAddr("192.168.1.77"), "dot:10853 doq:10853 at 192.168.1.1"},
		"own record": {func(d *config.Document) {
			d.DNS.Records = append(d.DNS.Records, config.Record{Name: "dns", Type: "A", Value: "192.168.1.53"})
		}, vpn, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := oak()
			if tt.change != nil {
				tt.change(d)
			}
			tb, err := compile(From(d), 1)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range []string{"_dns.resolver.arpa", "_dns.dns.oak.home.arpa"} {
				m := moment{table: tb, who: tb.conf.asker(tt.from, netip.Addr{})}
				q, err := parse(question2wire(question{name: mustName(n), typ: dns.TypeSVCB}, true))
				if err != nil {
					t.Fatal(err)
				}
				o, _, ok := m.resolve(&q)
				if !ok {
					t.Fatalf("%s is forwarded", n)
				}
				if got := led(o); got != tt.want {
					t.Errorf("%s: got %q, want %q", n, got, tt.want)
				}
				if tt.want == "" && len(o.ns) == 0 {
					t.Errorf("%s: there is nothing, and no SOA", n)
				}
			}
		})
	}
}

// led writes designated resolvers in one line.
func led(o reply) string {
	var out []string
	for _, rr := range o.answer {
		v := rr.(*dns.SVCB)
		alpn, port, path := "", "", ""
		for _, kv := range v.Value {
			switch kv := kv.(type) {
			case *dns.SVCBAlpn:
				alpn = strings.Join(kv.Alpn, ",")
			case *dns.SVCBPort:
				port = fmt.Sprint(kv.Port)
			case *dns.SVCBDoHPath:
				path = kv.Template
			}
		}
		if port == "" {
			port = map[bool]string{true: "853", false: "443"}[alpn[0] == 'd']
		}
		if (path == dohPath+"{?dns}") != (alpn[0] == 'h') || v.Target != "dns.oak.home.arpa." {
			out = append(out, "wrong:"+v.String())
		}
		out = append(out, alpn+":"+port)
	}
	if len(o.extra) > 0 {
		out = append(out, "at")
	}
	for _, rr := range o.extra {
		switch rr := rr.(type) {
		case *dns.A:
			out = append(out, rr.A.String())
		case *dns.AAAA:
			out = append(out, rr.AAAA.String())
		}
	}
	return strings.Join(out, " ")
}

func TestRequestsThatAreNoQueriesSayWhy(t *testing.T) {
	s := guarded(t, lab())
	good, _ := new(dns.Msg).SetQuestion("nas.oak.home.arpa.", dns.TypeA).Pack()
	text := base64.RawURLEncoding.EncodeToString(good)
	long := base64.RawURLEncoding.EncodeToString(make([]byte, maxQuery+1))
	for name, tt := range map[string]struct {
		method, url, body string
		header            map[string]string
		from              string
		status            int
	}{
		"good":                {url: "/dns-query?dns=" + text, status: 200},
		"of a device":         {url: "/dns-query/Kids?dns=" + text, status: 200},
		"slash":               {url: "/dns-query/?dns=" + text, status: 200},
		"further parameters":  {url: "/dns-query?ct&x=1&dns=" + text, status: 200},
		"no parameter":        {url: "/dns-query", status: 400},
		"empty":               {url: "/dns-query?dns=", status: 400},
		"padded":              {url: "/dns-query?dns=AAA=", status: 400},
		"short":               {url: "/dns-query?dns=AAAA", status: 400},
		"long":                {url: "/dns-query?dns=" + long, status: 414},
		"deeper":              {url: "/dns-query/a/b?dns=" + text, status: 404},
		"no label":            {url: "/dns-query/a_b?dns=" + text, status: 404},
		"other path":          {url: "/dns-queries?dns=" + text, status: 404},
		"JSON wanted":         {url: "/dns-query?dns=" + text, header: map[string]string{"Accept": "application/dns-json"}, status: 406},
		"anything wanted":     {url: "/dns-query?dns=" + text, header: map[string]string{"Accept": "text/html, */*;q=0.1"}, status: 200},
		"PUT":                 {method: "PUT", url: "/dns-query", body: string(good), status: 405},
		"POST":                {method: "POST", url: "/dns-query", body: string(good), header: map[string]string{"Content-Type": "Application/DNS-Message; x=y"}, status: 200},
		"POST of a form":      {method: "POST", url: "/dns-query", body: string(good), status: 415},
		"POST of too much":    {method: "POST", url: "/dns-query", body: strings.Repeat("x", maxQuery+1), header: map[string]string{"Content-Type": dohType}, status: 413},
		"POST of an answer":   {method: "POST", url: "/dns-query", body: "\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00", header: map[string]string{"Content-Type": dohType}, status: 400},
		"POST of two queries": {method: "POST", url: "/dns-query", body: "\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00", header: map[string]string{"Content-Type": dohType}, status: 200}, // FORMERR
		"without TLS":         {url: "http:/dns-query?dns=" + text, status: 404},
	} {
		method, url := tt.method, "https://dns.oak.home.arpa"+tt.url
		if method == "" {
			method = "GET"
		}
		if rest, ok := strings.CutPrefix(tt.url, "http:"); ok {
			url = "http://dns.oak.home.arpa" + rest
		}
		r := httptest.NewRequest(method, url, strings.NewReader(tt.body))
		r.RemoteAddr = "127.0.0.1:4711"
		for k, v := range tt.header {
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		s.DoH().ServeHTTP(w, r)
		if w.Code != tt.status {
			t.Errorf("%s: %d %s, want %d", name, w.Code, w.Body, tt.status)
		}
		if got := w.Header().Get("Content-Type"); (got == dohType) != (w.Code == 200) {
			t.Errorf("%s: %d is %s", name, w.Code, got)
		}
		if w.Code == 405 && w.Header().Get("Allow") != "GET, POST" {
			t.Errorf("%s: allowed is %q", name, w.Header().Get("Allow"))
		}
	}
}

// Who asks too much over HTTPS waits, and in the end is told so.
func TestManyQuestionsOverHTTPSWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := lab()
		d.DNS.Rate = new(10)
		s := New(Options{Log: slog.New(slog.DiscardHandler), Pool: listen.NewPool(nil)})
		tb, err := compile(From(d), 1)
		if err != nil {
			t.Fatal(err)
		}
		s.table.Store(tb)
		run := t.Context()
		s.running.Store(&run)
		good, _ := new(dns.Msg).SetQuestion("nas.oak.home.arpa.", dns.TypeA).Pack()
		var mu sync.Mutex
		codes := map[int]int{}
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				r := httptest.NewRequest("POST", "https://dns.oak.home.arpa/dns-query", bytes.NewReader(good))
				r.Header.Set("Content-Type", dohType)
				r.RemoteAddr = "192.168.1.5:1"
				w := httptest.NewRecorder()
				s.DoH().ServeHTTP(w, r)
				mu.Lock()
				defer mu.Unlock()
				codes[w.Code]++
				if w.Code == http.StatusTooManyRequests && w.Header().Get("Retry-After") == "" {
					t.Error("it does not say when to come back")
				}
			})
		}
		wg.Wait()
		if codes[200] < 40 || codes[429] < 40 || codes[200]+codes[429] != 200 {
			t.Errorf("got %v in five seconds at 10 a second", codes)
		}
	})
}

// A proxy in front is told no lies about who asks, and strangers get nothing.
func TestWhoAsksOverHTTPSIsWhoConnected(t *testing.T) {
	s := guarded(t, lab())
	good, _ := new(dns.Msg).SetQuestion("nas.oak.home.arpa.", dns.TypeA).Pack()
	for from, want := range map[string]int{
		"127.0.0.1:1": dns.RcodeSuccess, "192.168.1.5:1": dns.RcodeSuccess, "[::ffff:192.168.1.5]:1": dns.RcodeSuccess,
		"203.0.113.5:1": dns.RcodeRefused, "nobody": dns.RcodeRefused,
	} {
		r := httptest.NewRequest("POST", "https://dns.oak.home.arpa/dns-query", bytes.NewReader(good))
		r.Header.Set("Content-Type", dohType)
		r.Header.Set("X-Forwarded-For", "127.0.0.1")
		r.RemoteAddr = from
		w := httptest.NewRecorder()
		s.DoH().ServeHTTP(w, r)
		m := new(dns.Msg)
		if err := m.Unpack(w.Body.Bytes()); err != nil || m.Rcode != want {
			t.Errorf("%s: %d, %v", from, m.Rcode, err)
		}
	}
}

func TestAnswersOverHTTPSMayBeKeptAsLongAsTheySay(t *testing.T) {
	rr := func(ttl uint32) dns.RR { return address("x.", loopback4, ttl) }
	soa := func(ttl, least uint32) dns.RR {
		return &dns.SOA{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: 1, Ttl: ttl}, Ns: ".", Mbox: ".", Minttl: least}
	}
	for name, tt := range map[string]struct {
		answer, ns []dns.RR
		want       string
	}{
		"least":     {[]dns.RR{rr(300), rr(60), rr(900)}, nil, "private, max-age=60"},
		"no answer": {nil, []dns.RR{soa(300, 30)}, "private, max-age=30"},
		"short SOA": {nil, []dns.RR{soa(20, 30)}, "private, max-age=20"},
		"SOA aside": {[]dns.RR{rr(300)}, []dns.RR{soa(20, 30)}, "private, max-age=300"},
		"zero":      {[]dns.RR{rr(300), rr(0)}, nil, "no-store"},
		"nothing":   {nil, nil, "no-store"},
	} {
		m := new(dns.Msg).SetQuestion("x.", dns.TypeA)
		m.Answer, m.Ns, m.Compress = tt.answer, tt.ns, true
		m.SetEdns0(1232, true)
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if got := freshness(b); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

// Whatever a request holds, it is a status of ours or one whole DNS message that
// repeats the id.
func FuzzHTTPSRequest(f *testing.F) {
	good, _ := new(dns.Msg).SetQuestion("nas.oak.home.arpa.", dns.TypeA).Pack()
	f.Add("GET", "/dns-query", "dns="+base64.RawURLEncoding.EncodeToString(good), "", []byte(nil))
	f.Add("POST", "/dns-query/kids", "", dohType, good)
	f.Add("POST", "/dns-query//", "dns=%00", "application/dns-message;", []byte("\x00"))
	s := New(Options{Log: slog.New(slog.DiscardHandler), Pool: listen.NewPool(nil)})
	c := From(lab())
	t, err := compile(c, 1)
	if err != nil {
		f.Fatal(err)
	}
	s.table.Store(t)
	run := f.Context()
	s.running.Store(&run)
	h := s.DoH()
	f.Fuzz(func(t *testing.T, method, path, query, kind string, body []byte) {
		r := httptest.NewRequest("GET", "https://dns.oak.home.arpa/", bytes.NewReader(body))
		r.Method, r.URL.Path, r.URL.RawQuery, r.RemoteAddr = method, path, query, "127.0.0.1:1"
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		switch w.Code {
		case http.StatusOK:
			out := w.Body.Bytes()
			if len(out) < headerLen || len(out) > maxSize || out[2]&0x80 == 0 {
				t.Fatalf("%d bytes are no answer", len(out))
			}
		case 400, 404, 405, 413, 414, 415, 503:
		default:
			t.Fatalf("status %d", w.Code)
		}
	})
}
