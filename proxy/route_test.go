package proxy

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Servers behind the proxy believe these headers, so they must be the proxy's.
func TestHeadersForTheUpstream(t *testing.T) {
	var mu sync.Mutex
	var got *http.Request
	up := upstream(t, func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		got = r
	})
	s := start(t, oak([3]string{"git", up, "lan"}))
	for _, version := range []int{1, 2} {
		req, err := http.NewRequest("GET", "https://git.oak.home.arpa:10443/a%2Fb?q=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		spoofed := []string{
			"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-User", "X-Forwarded-Prefix", "Forwarded", "X-Real-IP",
			"Remote-User", "Remote_User", "Remote-Groups", "X-Remote-User", "X_Remote_User", "X-WebAuth-User", "X-Auth-Request-Email",
			"SSL-Client-Verify", "X-SSL-Client-CN", "X-Authentik-Username", "Client-Cert", "Tailscale-User-Login", "Proxy", "X-Original-URL",
		}
		for _, h := range spoofed {
			req.Header.Set(h, "spoofed")
		}
		req.Header.Set("X-Mine", "kept")
		req.Header.Set("Referer", "kept")
		req.Header.Set("Cookie", "a=b")
		req.Header.Set("Authorization", "Basic a2VwdA==")
		if version == 1 {
			req.Header.Set("Connection", "X-Forwarded-For, X-Private, Remote-User")
			req.Header.Set("X-Private", "hop by hop")
			req.Header.Set("Keep-Alive", "timeout=5")
		}
		res, err := s.client(t, insider, version).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 200 {
			t.Fatalf("status %d", res.StatusCode)
		}
		mu.Lock()
		for name, values := range got.Header {
			if slices.Contains(values, "spoofed") || slices.Contains(values, "hop by hop") {
				t.Errorf("HTTP/%d: %s: %q reached the upstream", version, name, values)
			}
		}
		for name, want := range map[string]string{
			"X-Forwarded-For": insider, "X-Real-Ip": insider, "X-Forwarded-Host": "git.oak.home.arpa:10443",
			"X-Forwarded-Proto": "https", "X-Forwarded-Port": "10443",
			"Forwarded": `for=127.0.0.1;host="git.oak.home.arpa:10443";proto=https`,
			"X-Mine":    "kept", "Referer": "kept", "Cookie": "a=b", "Authorization": "Basic a2VwdA==",
			"Keep-Alive": "", "X-Private": "",
		} {
			if v := got.Header.Values(name); strings.Join(v, "|") != want {
				t.Errorf("HTTP/%d: %s is %q, want %q", version, name, v, want)
			}
		}
		if got.Host != "git.oak.home.arpa:10443" || got.RequestURI != "/a%2Fb?q=1" {
			t.Errorf("HTTP/%d: %s %s", version, got.Host, got.RequestURI)
		}
		mu.Unlock()
	}
}

// Every malformed request is answered 400, its connection closed, and nothing
// of it reaches the server behind.
// Servers give queries meanings of their own: gitweb parts them by semicolons,
// others sign them as they stand.
func TestPathAndQueryArriveAsTheyCame(t *testing.T) {
	up := upstream(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RequestURI) })
	s := start(t, oak([3]string{"git", up, "lan"}, [3]string{"deep", up + "/a/b", "lan"}))
	for _, version := range []int{1, 2} {
		c := s.client(t, insider, version)
		for _, uri := range []string{"/?p=a.git;a=summary", "/?z=1&a=2&q=100%", "/a%2Fb//c/../d?x=%zz&y&&", "/?", "/", "/x?a=b?c"} {
			if _, got, _ := get(t, c, "https://git.oak.home.arpa:10443"+uri); got != uri {
				t.Errorf("HTTP/%d: %s arrived as %s", version, uri, got)
			}
			if _, got, _ := get(t, c, "https://deep.oak.home.arpa:10443"+uri); got != "/a/b"+uri {
				t.Errorf("HTTP/%d: %s arrived below /a/b as %s", version, uri, got)
			}
		}
	}
}

func TestSmugglingCorpus(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	up := upstream(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, fmt.Sprintf("%s %s %q %v", r.Method, r.RequestURI, body, err))
	})
	s := start(t, oak([3]string{"git", up, "lan"}))
	send := func(req string) (statuses []int, closed bool) {
		c, err := tls.Dial("tcp", "127.0.0.1:10443", &tls.Config{RootCAs: s.roots, ServerName: "git.oak.home.arpa"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.WriteString(c, strings.ReplaceAll(req, "HOST", "git.oak.home.arpa")); err != nil {
			t.Fatal(err)
		}
		br := bufio.NewReader(c)
		for {
			res, err := http.ReadResponse(br, nil)
			if err != nil {
				return statuses, err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) && br.Buffered() == 0
			}
			io.Copy(io.Discard, res.Body)
			statuses = append(statuses, res.StatusCode)
		}
	}
	for name, req := range malformed {
		if got, closed := send(req); !slices.Equal(got, []int{400}) || !closed {
			t.Errorf("%s: answered %v, closed: %v", name, got, closed)
		}
	}
	mu.Lock()
	if len(seen) != 0 {
		t.Errorf("the upstream saw %q", seen)
	}
	seen = nil
	mu.Unlock()
	good := wellFormed["plain"] + wellFormed["chunks"] + wellFormed["body"]
	last := strings.Replace(wellFormed["plain"], "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1)
	if got, closed := send(good + last); !slices.Equal(got, []int{200, 200, 200, 200}) || !closed {
		t.Errorf("good ones in a row: %v, closed: %v", got, closed)
	}
	if got, _ := send(good + malformed["bare LF in head"]); !slices.Equal(got, []int{200, 200, 200, 400}) {
		t.Errorf("good ones before a bad one: %v", got)
	}
}

func TestBodiesArriveWhole(t *testing.T) {
	up := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		n, err := io.Copy(h, r.Body)
		w.Header().Set("X-Got", fmt.Sprintf("%d %x %v", n, h.Sum(nil), err))
		if r.Method == "GET" {
			w.Write(bytes.Repeat([]byte("0123456789abcdef"), 512<<10))
		}
	})
	s := start(t, oak([3]string{"git", up, "lan"}))
	data := make([]byte, 5<<20+7)
	rand.Read(data)
	want := fmt.Sprintf("%d %x <nil>", len(data), sha256.Sum256(data))
	for _, version := range []int{1, 2} {
		c := s.client(t, insider, version)
		for name, body := range map[string]io.Reader{"length": bytes.NewReader(data), "chunked": io.MultiReader(bytes.NewReader(data))} {
			res, err := c.Post("https://git.oak.home.arpa:10443/", "", body)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if got := res.Header.Get("X-Got"); got != want {
				t.Errorf("HTTP/%d, %s: upstream got %q, want %q", version, name, got, want)
			}
		}
		if _, body, _ := get(t, c, "https://git.oak.home.arpa:10443/"); len(body) != 8<<20 {
			t.Errorf("HTTP/%d: %d bytes came back", version, len(body))
		}
	}
}

func TestFormsOfAnswers(t *testing.T) {
	up := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/early":
			w.Header().Set("Link", "</a.css>; rel=preload")
			w.WriteHeader(103)
		case "/204":
			w.WriteHeader(204)
		case "/304":
			w.WriteHeader(304)
		case "/trailer":
			w.Header().Set("Trailer", "X-Sum")
			io.WriteString(w, "body")
			w.Header().Set("X-Sum", "42")
		case "/continue":
			io.Copy(w, r.Body)
		case "/range":
			http.ServeContent(w, r, "a.txt", time.Time{}, strings.NewReader("0123456789"))
		case "/slow":
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "data: first\n\n")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}
	})
	s := start(t, oak([3]string{"git", up, "lan"}))
	for _, version := range []int{1, 2} {
		c := s.client(t, insider, version)
		base := "https://git.oak.home.arpa:10443"
		for path, want := range map[string]int{"/204": 204, "/304": 304, "/early": 200} {
			if status, body, _ := get(t, c, base+path); status != want || body != "" {
				t.Errorf("HTTP/%d %s: %d %q", version, path, status, body)
			}
		}
		if _, body, res := get(t, c, base+"/trailer"); body != "body" || res.Trailer.Get("X-Sum") != "42" {
			t.Errorf("HTTP/%d: trailer %v of %q", version, res.Trailer, body)
		}
		req, _ := http.NewRequest("POST", base+"/continue", strings.NewReader("hello"))
		req.Header.Set("Expect", "100-continue")
		if res, err := c.Do(req); err != nil {
			t.Error(err)
		} else if b, _ := io.ReadAll(res.Body); string(b) != "hello" {
			t.Errorf("HTTP/%d: continued with %q", version, b)
		}
		req, _ = http.NewRequest("GET", base+"/range", nil)
		req.Header.Set("Range", "bytes=2-4")
		if res, err := c.Do(req); err != nil {
			t.Error(err)
		} else if b, _ := io.ReadAll(res.Body); string(b) != "234" || res.StatusCode != 206 {
			t.Errorf("HTTP/%d: range %d %q", version, res.StatusCode, b)
		}
		if res, err := c.Head(base + "/range"); err != nil || res.ContentLength != 10 {
			t.Errorf("HTTP/%d: HEAD %v %v", version, res, err)
		}
		begin := time.Now()
		res, err := c.Get(base + "/slow")
		if err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(res.Body).ReadString('\n')
		if line != "data: first\n" || err != nil || time.Since(begin) > time.Second {
			t.Errorf("HTTP/%d: first event %q %v after %s", version, line, err, time.Since(begin))
		}
		res.Body.Close()
	}
	eventually(t, "the upstream learns that the client went away", func() bool { return s.Routes()[0].Active == 0 })
}

func TestUpgradeThatIsRefusedEndsTheConnection(t *testing.T) {
	up := upstream(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "no") })
	s := start(t, oak([3]string{"git", up, "lan"}))
	for _, host := range []string{"git", "files", "dav", "nothing"} {
		c, err := tls.Dial("tcp", "127.0.0.1:10443", &tls.Config{RootCAs: s.roots, ServerName: host + ".oak.home.arpa"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s.oak.home.arpa\r\nUpgrade: websocket\r\n\r\n", host)
		br := bufio.NewReader(c)
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		if _, err := br.ReadByte(); !res.Close || err != io.EOF {
			t.Errorf("%s: closes: %v, then %v", host, res.Close, err)
		}
	}
}
