package dnssrv

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/internal/h2"
	"pic/internal/nettest"
)

// open lets all requests for DNS over HTTPS be answered directly.
type open struct{ quick h2.Quick }

func (o open) Way(_, path []byte) (h2.Way, string) {
	if o.quick.Wants(path) {
		return h2.Direct, ""
	}
	return h2.Whole, ""
}
func (open) Enter() bool { return true }
func (open) Leave()      {}

// quickly serves DNS over HTTPS by its quick way until the test ends, and returns
// where.
func (s *safe) quickly(t testing.TB) string {
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*s.cert}, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				c := conn.(*tls.Conn)
				if c.Handshake() != nil {
					return
				}
				state, quick := c.ConnectionState(), s.DoH()
				h2.New(h2.Options{
					Log: slog.New(slog.DiscardHandler), Conn: c, TLS: &state, From: addrOf(c.RemoteAddr()), To: addrOf(c.LocalAddr()),
					Gate: open{quick}, Handler: quick.Sessions(), Rest: quick, Dress: func(r *http.Request) *http.Request { return r },
				}, h2.Start{}).Serve()
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String()
}

// slowly serves it by net/http.
func (s *safe) slowly(t testing.TB) string {
	web := httptest.NewUnstartedServer(s.DoH())
	web.TLS = &tls.Config{Certificates: []tls.Certificate{*s.cert}}
	web.EnableHTTP2 = true
	web.StartTLS()
	t.Cleanup(web.Close)
	return web.Listener.Addr().String()
}

// over2 is a client over HTTP/2 that takes every name for the address at.
func (s *safe) over2(t testing.TB, at string) *http.Client {
	p := new(http.Protocols)
	p.SetHTTP2(true)
	tr := &http.Transport{Protocols: p, TLSClientConfig: &tls.Config{RootCAs: s.roots, ServerName: "dns.oak.home.arpa"}}
	tr.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, at)
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

// Both ways give the same answers, and refuse in the same words.
func TestTheQuickWayAnswersLikeNetHTTP(t *testing.T) {
	up := source(t, world)
	s := guarded(t, lab(up.addr))
	ways := map[string]*http.Client{"quick": s.over2(t, s.quickly(t)), "net/http": s.over2(t, s.slowly(t))}
	pack := func(name string, typ uint16, with ...func(*dns.Msg)) string {
		m := new(dns.Msg).SetQuestion(name, typ)
		m.Id = 0
		for _, f := range with {
			f(m)
		}
		return string(packed(t, m))
	}
	get := func(q string) string { return "/dns-query?dns=" + base64.RawURLEncoding.EncodeToString([]byte(q)) }
	own, beyond := pack("nas.oak.home.arpa.", dns.TypeA, edns), pack("www.example.net.", dns.TypeA, edns)
	type asking struct {
		method, path, body string
		header             http.Header
	}
	post := http.Header{"Content-Type": {dohType}}
	for name, a := range map[string]asking{
		"own, GET":             {"GET", get(own), "", nil},
		"own, POST":            {"POST", "/dns-query", own, post},
		"beyond, GET":          {"GET", get(beyond), "", nil},
		"beyond, POST":         {"POST", "/dns-query", beyond, post},
		"not there":            {"POST", "/dns-query", pack("nope.oak.home.arpa.", dns.TypeA), post},
		"nothing of that type": {"GET", get(pack("nas.oak.home.arpa.", dns.TypeTXT)), "", nil},
		"without EDNS":         {"GET", get(pack("nas.oak.home.arpa.", dns.TypeA)), "", nil},
		"another case":         {"GET", get(pack("nAs.OaK.hOmE.ArPa.", dns.TypeA)), "", nil},
		"zone transfer":        {"GET", get(pack("oak.home.arpa.", dns.TypeAXFR)), "", nil},
		"a name for a client":  {"GET", strings.Replace(get(own), "?", "/phone?", 1), "", nil},
		"and with a slash":     {"GET", strings.Replace(get(own), "?", "/Phone/?", 1), "", nil},
		"no name":              {"GET", strings.Replace(get(own), "?", "/no_name?", 1), "", nil},
		"escaped":              {"GET", strings.Replace(get(own), "dns-", "dns%2D", 1), "", nil},
		"further parameters":   {"GET", strings.Replace(get(own), "?", "?a=b&", 1) + "&c", "", nil},
		"padded base64":        {"GET", get(own) + "=", "", nil},
		"no base64":            {"GET", "/dns-query?dns=*", "", nil},
		"empty":                {"GET", "/dns-query?dns=", "", nil},
		"no parameter":         {"GET", "/dns-query", "", nil},
		"too long a GET":       {"GET", get(strings.Repeat("x", maxQuery+1)), "", nil},
		"no query":             {"GET", get("hello"), "", nil},
		"an answer":            {"GET", get(pack("nas.oak.home.arpa.", dns.TypeA, func(m *dns.Msg) { m.Response = true })), "", nil},
		"HEAD":                 {"HEAD", get(own), "", nil},
		"PUT":                  {"PUT", "/dns-query", own, post},
		"empty POST":           {"POST", "/dns-query", "", post},
		"no type":              {"POST", "/dns-query", own, nil},
		"another type":         {"POST", "/dns-query", own, http.Header{"Content-Type": {"text/plain"}}},
		"a type with more":     {"POST", "/dns-query", own, http.Header{"Content-Type": {"Application/DNS-message ; a=b"}}},
		"too long":             {"POST", "/dns-query", strings.Repeat("x", maxQuery+1), post},
		"much too long":        {"POST", "/dns-query", strings.Repeat("x", 100_000), post},
		"accepts it":           {"GET", get(own), "", http.Header{"Accept": {dohType}}},
		"accepts much":         {"GET", get(own), "", http.Header{"Accept": {"text/html, application/*;q=0.5"}}},
		"in two headers":       {"GET", get(own), "", http.Header{"Accept": {"text/html", dohType}}},
		"accepts text":         {"GET", get(own), "", http.Header{"Accept": {"text/html"}}},
	} {
		t.Run(name, func(t *testing.T) {
			told := func(way string) string {
				r, err := http.NewRequest(a.method, "https://dns.oak.home.arpa"+a.path, strings.NewReader(a.body))
				if err != nil {
					t.Fatal(err)
				}
				for k, v := range a.header {
					r.Header[k] = v
				}
				res, err := ways[way].Do(r)
				if err != nil {
					t.Fatalf("%s: %v", way, err)
				}
				defer res.Body.Close()
				b, err := io.ReadAll(res.Body)
				if err != nil {
					t.Fatal(err)
				}
				if res.Header.Get("Date") == "" {
					t.Error(way, "tells no date")
				}
				res.Header.Del("Date")
				return fmt.Sprintf("%s %v %d %q", res.Status, res.Header, res.ContentLength, b)
			}
			var all [][2]string
			for range 3 { // a TTL may go down in between
				is := [2]string{told("quick"), told("net/http")}
				if all = append(all, is); is[0] == is[1] {
					return
				}
			}
			t.Errorf("quick, and by net/http:\n%s\n%s", all[2][0], all[2][1])
		})
	}
}

// Hits and misses, one after the other and at once.
func TestTheQuickWayIsUsedByOtherClients(t *testing.T) {
	up := source(t, world)
	s := guarded(t, lab(up.addr))
	at := s.quickly(t)
	_, port, _ := net.SplitHostPort(at)
	for name, args := range map[string][]string{
		"POST": {"+https", "-p", port},
		"GET":  {"+https-get", "-p", port},
	} {
		for _, n := range []string{"nas.oak.home.arpa", "www.example.net"} {
			out := s.kdig(t, append(slices.Clone(args), n, "A")...)
			for _, want := range []string{"The certificate is trusted", "status: NOERROR", "Received 468 B"} {
				if !strings.Contains(out, want) {
					t.Errorf("kdig %s %s: no %q in\n%s", name, n, want, out)
				}
			}
		}
	}
	out, err := exec.Command(nettest.Tool(t, "curl"), "-sS", "--cacert", s.file, "--resolve", "dns.oak.home.arpa:"+port+":127.0.0.1",
		"--doh-url", "https://dns.oak.home.arpa:"+port+"/dns-query", "-o", "/dev/null", "-w", "%{remote_ip}", "--connect-timeout", "1",
		"http://nas.oak.home.arpa:1/").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "192.168.1.9") && !strings.Contains(string(out), "nas.oak.home.arpa port 1") {
		t.Errorf("curl: %v\n%s", err, out)
	}
	c := s.over2(t, at)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for j := range 20 {
				name := fmt.Sprintf("w%d-%d.example.net.", i, j%5)
				m := new(dns.Msg).SetQuestion(name, dns.TypeA)
				m.Id = 0
				res, err := c.Post("https://dns.oak.home.arpa/dns-query", dohType, bytes.NewReader(packed(t, m)))
				if err != nil {
					t.Error(err)
					return
				}
				b, err := io.ReadAll(res.Body)
				res.Body.Close()
				if got := new(dns.Msg); err != nil || got.Unpack(b) != nil || len(got.Question) != 1 || got.Question[0].Name != name {
					t.Errorf("%s: %s %q %v", name, res.Status, b, err)
				}
			}
		})
	}
	wg.Wait()
}

// Who asks too much is answered more slowly, and his queries count once.
func TestTheQuickWayKeepsTheRate(t *testing.T) {
	d := lab()
	d.DNS.Rate = new(5)
	s := guarded(t, d)
	c := s.over2(t, s.quickly(t))
	q := packed(t, new(dns.Msg).SetQuestion("nas.oak.home.arpa.", dns.TypeA))
	before := s.count.over[overHTTPS].Load()
	const n = 12
	for range n {
		res, err := c.Post("https://dns.oak.home.arpa/dns-query", dohType, bytes.NewReader(q))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Fatal(res.Status)
		}
	}
	if counted := s.count.over[overHTTPS].Load() - before; counted != n {
		t.Errorf("%d queries count as %d", n, counted)
	}
}

func TestAQuickHitMakesNoMemory(t *testing.T) {
	d := lab()
	d.DNS.HTTPS = new(true)
	s := guarded(t, d)
	run := s.DoH().Sessions().Open(netip.MustParseAddr("192.168.1.9"), netip.MustParseAddr("192.168.1.1"))
	defer run.Close()
	q := packed(t, new(dns.Msg).SetQuestion("nas.oak.home.arpa.", dns.TypeA))
	for name, r := range map[string]*h2.Request{
		"POST": {Method: []byte("POST"), Path: []byte(dohPath), Authority: []byte("phone.dns.oak.home.arpa:443"), ContentType: []byte(dohType), Body: q},
		"GET":  {Method: []byte("GET"), Path: []byte(dohPath), Accept: []byte(dohType), Query: []byte("dns=" + base64.RawURLEncoding.EncodeToString(q))},
	} {
		ask := func() {
			if now, later, ok := run.Ask(r); !ok || later != nil || now.Type != dohType || len(now.Body) < len(q) {
				t.Fatalf("%s: %v, %v", name, ok, now)
			}
		}
		ask()
		if n := testing.AllocsPerRun(100, ask); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// A browser that is told to ask nobody else finds a page by it.
func TestChromiumAsksByTheQuickWay(t *testing.T) {
	d := lab()
	d.DNS.Records = append(d.DNS.Records, config.Record{Name: "page", Type: "A", Value: "127.0.0.1"})
	s := guarded(t, d)
	_, port, _ := net.SplitHostPort(s.quickly(t))
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "<p>hello from %s</p>", r.Host)
	}))
	defer web.Close()
	for way, template := range map[string]string{"GET": "/dns-query{?dns}", "POST": "/dns-query"} {
		home := t.TempDir()
		trust := filepath.Join(home, ".pki/nssdb")
		told := fmt.Sprintf(`{"dns_over_https": {"mode": "secure", "templates": "https://127.0.0.1:%s%s"}}`, port, template)
		if err := errors.Join(
			os.MkdirAll(trust, 0o700), os.Mkdir(filepath.Join(home, "profile"), 0o700),
			os.WriteFile(filepath.Join(home, "profile/Local State"), []byte(told), 0o600),
		); err != nil {
			t.Fatal(err)
		}
		certutil := nettest.Tool(t, "certutil")
		for _, args := range [][]string{{"-N", "--empty-password"}, {"-A", "-t", "C,,", "-n", "test", "-i", s.file}} {
			if out, err := exec.Command(certutil, append([]string{"-d", "sql:" + trust}, args...)...).CombinedOutput(); err != nil {
				t.Fatalf("certutil: %v\n%s", err, out)
			}
		}
		host := "page.oak.home.arpa" + strings.TrimPrefix(web.URL, "http://127.0.0.1")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		browser := exec.CommandContext(ctx, nettest.Tool(t, "chromium"), "--headless", "--no-sandbox", "--disable-gpu",
			"--user-data-dir="+filepath.Join(home, "profile"), "--dump-dom", "http://"+host+"/")
		browser.Env = append(os.Environ(), "HOME="+home)
		before := s.count.over[overHTTPS].Load()
		out, err := browser.Output()
		if err != nil || !strings.Contains(string(out), "hello from "+host) {
			t.Errorf("%s: %v\n%s", way, err, out)
		}
		if s.count.over[overHTTPS].Load() == before {
			t.Errorf("%s: it asked nothing over HTTPS", way)
		}
	}
}
