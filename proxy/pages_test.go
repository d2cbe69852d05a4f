package proxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pic/internal/nettest"
)

func TestOwnPagesByName(t *testing.T) {
	s := start(t, oak())
	for _, version := range []int{1, 2} {
		c := s.client(t, insider, version)
		for url, want := range map[string]string{
			"https://oak.home.arpa:10443/x":       `page "" of /x`,
			"https://files.oak.home.arpa:10443/":  `page "files" of /`,
			"https://FILES.oak.home.arpa.:10443/": `page "files" of /`,
			"https://home.oak.home.arpa:10443/":   `page "home" of /`,
			"https://127.0.0.1:10443/":            `page "home" of /`,
			"https://localhost:10443/a":           `page "home" of /a`,
		} {
			status, body, res := get(t, c, url)
			if status != 200 || body != want || res.ProtoMajor != version {
				t.Errorf("%s: %d %q over %s, want %q over HTTP/%d", url, status, body, res.Proto, want, version)
			}
		}
		for _, url := range []string{"https://vpn.oak.home.arpa:10443/", "https://unknown.example:10443/"} {
			if status, body, _ := get(t, c, url); status != 404 || !strings.Contains(body, "Nothing is served") {
				t.Errorf("%s: %d %q", url, status, body)
			}
		}
	}
}

func TestPlainLeadsToTLS(t *testing.T) {
	s := start(t, oak([3]string{"git", "http://127.0.0.1:1", "public"}))
	c := s.client(t, insider, 1)
	for name, tt := range map[string]struct {
		url, host string
		status    int
		to        string
	}{
		"trial port":     {"http://127.0.0.1:10080/a?b=c", "files.oak.home.arpa:10080", 308, "https://files.oak.home.arpa:10443/a?b=c"},
		"mapped port":    {"http://127.0.0.1:10080/a", "files.oak.home.arpa", 308, "https://files.oak.home.arpa/a"},
		"route":          {"http://127.0.0.1:10080/", "GIT.oak.home.arpa:10080", 308, "https://git.oak.home.arpa:10443/"},
		"address":        {"http://127.0.0.1:10080/", "127.0.0.1:10080", 308, "https://127.0.0.1:10443/"},
		"v6 address":     {"http://127.0.0.1:10080/", "[::1]:10080", 308, "https://[::1]:10443/"},
		"two slashes":    {"http://127.0.0.1:10080//evil.example/", "oak.home.arpa:10080", 308, "https://oak.home.arpa:10443//evil.example/"},
		"unknown":        {"http://127.0.0.1:10080/", "evil.example:10080", 404, ""},
		"root":           {"http://127.0.0.1:10080/root.pem", "ca.oak.home.arpa:10080", 200, ""},
		"root page":      {"http://127.0.0.1:10080/", "ca.oak.home.arpa", 200, ""},
		"rest of ca":     {"http://127.0.0.1:10080/other", "ca.oak.home.arpa:10080", 308, "https://ca.oak.home.arpa:10443/other"},
		"root elsewhere": {"http://127.0.0.1:10080/root.pem", "files.oak.home.arpa:10080", 308, "https://files.oak.home.arpa:10443/root.pem"},
		"challenge":      {"http://127.0.0.1:10080/.well-known/acme-challenge/x", "git.oak.home.arpa", 404, ""},
	} {
		req, err := http.NewRequest("GET", tt.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = tt.host
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != tt.status || res.Header.Get("Location") != tt.to {
			t.Errorf("%s: %d to %q, want %d to %q", name, res.StatusCode, res.Header.Get("Location"), tt.status, tt.to)
		}
	}
}

func TestNamesOfHandshakeAndRequest(t *testing.T) {
	up := upstream(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "up") })
	s := start(t, oak([3]string{"pub", up, "public"}, [3]string{"vpn2", up, "vpn"}, [3]string{"pub2", up, "public"}))
	for name, tt := range map[string]struct {
		sni, host string
		status    int
	}{
		"same":                 {"files.oak.home.arpa", "files.oak.home.arpa", 200},
		"both own":             {"files.oak.home.arpa", "home.oak.home.arpa", 200},
		"both public":          {"pub.oak.home.arpa", "pub2.oak.home.arpa", 200},
		"none said":            {"", "files.oak.home.arpa", 200},
		"own behind public":    {"pub.oak.home.arpa", "files.oak.home.arpa", 421},
		"vpn behind public":    {"pub.oak.home.arpa", "vpn2.oak.home.arpa", 421},
		"public behind vpn":    {"vpn2.oak.home.arpa", "pub.oak.home.arpa", 421},
		"unknown in handshake": {"unknown.example", "files.oak.home.arpa", 421},
		"unknown in request":   {"files.oak.home.arpa", "unknown.example", 404},
	} {
		c := s.client(t, inVPN, 2)
		c.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true, ServerName: tt.sni, NextProtos: []string{"h2"}}
		url := "https://" + tt.sni + ":10443/"
		if tt.sni == "" {
			url = "https://127.0.0.1:10443/"
		}
		req, err := http.NewRequest("GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = tt.host
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != tt.status {
			t.Errorf("%s: %d, want %d", name, res.StatusCode, tt.status)
		}
	}
}

// Who may enter follows from the connection, whatever the client claims.
func TestAccess(t *testing.T) {
	up := upstream(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "up") })
	s := start(t, oak([3]string{"lan", up, "lan"}, [3]string{"v", up, "vpn"}, [3]string{"pub", up, "public"}))
	for host, want := range map[string]map[string]int{
		"files": {insider: 200, inVPN: 200, outsider: 403},
		"lan":   {insider: 200, inVPN: 200, outsider: 403},
		"v":     {insider: 403, inVPN: 200, outsider: 403},
		"pub":   {insider: 200, inVPN: 200, outsider: 200},
	} {
		for from, status := range want {
			for _, version := range []int{1, 2} {
				req, err := http.NewRequest("GET", "https://"+host+".oak.home.arpa:10443/", nil)
				if err != nil {
					t.Fatal(err)
				}
				for _, h := range []string{"X-Forwarded-For", "X-Real-IP", "X-Client-IP", "True-Client-IP"} {
					req.Header.Set(h, inVPN)
				}
				req.Header.Set("Forwarded", "for="+inVPN)
				req.Header.Set("Accept", "text/html")
				res, err := s.client(t, from, version).Do(req)
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(res.Body)
				res.Body.Close()
				if res.StatusCode != status {
					t.Errorf("%s from %s over HTTP/%d: %d, want %d", host, from, version, res.StatusCode, status)
				}
				if status == 403 && (!strings.Contains(string(body), "VPN") || !strings.Contains(res.Header.Get("Content-Security-Policy"), "default-src 'none'")) {
					t.Errorf("page %q %v", body, res.Header)
				}
			}
		}
	}
	// Plain HTTP tells strangers nothing either.
	req, _ := http.NewRequest("GET", "http://127.0.0.1:10080/root.pem", nil)
	req.Host = "ca.oak.home.arpa"
	res, err := s.client(t, outsider, 1).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 403 {
		t.Errorf("the root's page for a stranger: %d", res.StatusCode)
	}
}

func TestLimits(t *testing.T) {
	s := start(t, oak())
	many := http.Header{}
	for i := range 1000 {
		many.Set(fmt.Sprintf("X-%d", i), "a")
	}
	for _, version := range []int{1, 2} {
		for name, tt := range map[string]struct {
			path   string
			header http.Header
			status int
		}{
			"long address": {"/" + strings.Repeat("a", 20<<10), nil, 414},
			"long header":  {"/", http.Header{"X-A": {strings.Repeat("a", 70<<10)}}, 431},
			"many headers": {"/", many, 431},
		} {
			req, err := http.NewRequest("GET", "https://files.oak.home.arpa:10443"+tt.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if tt.header != nil {
				req.Header = tt.header
			}
			res, err := s.client(t, insider, version).Do(req)
			if err != nil {
				// net/http ends an HTTP/2 connection over a string that is too long.
				if version != 2 || name != "long header" {
					t.Errorf("%s over HTTP/%d: %v", name, version, err)
				}
				continue
			}
			res.Body.Close()
			if res.StatusCode != tt.status {
				t.Errorf("%s over HTTP/%d: %d, want %d", name, version, res.StatusCode, tt.status)
			}
		}
	}
	c, err := net.Dial("tcp", "127.0.0.1:10080")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "CONNECT example.org:443 HTTP/1.1\r\nHost: files.oak.home.arpa\r\n\r\n")
	if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != 405 {
		t.Errorf("CONNECT: %v %v", res, err)
	}
}

// A page that panics must neither take the cell down nor look complete.
func TestBrokenPageBreaksAlone(t *testing.T) {
	s := start(t, oak())
	for _, version := range []int{1, 2} {
		c := s.client(t, insider, version)
		res, err := c.Get("https://files.oak.home.arpa:10443/panic")
		if err == nil {
			_, err = io.ReadAll(res.Body)
			res.Body.Close()
		}
		if err == nil {
			t.Errorf("HTTP/%d: the half page looks whole", version)
		}
		if status, _, _ := get(t, c, "https://files.oak.home.arpa:10443/"); status != 200 {
			t.Errorf("HTTP/%d: %d afterwards", version, status)
		}
	}
}

func TestPlainRequestToTheSecurePort(t *testing.T) {
	start(t, oak())
	c, err := net.Dial("tcp", "127.0.0.1:10443")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: files.oak.home.arpa\r\n\r\n")
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	b, _ := io.ReadAll(c)
	if !bytes.HasPrefix(b, []byte("HTTP/1.0 400 ")) || !bytes.Contains(b, []byte("https://")) {
		t.Errorf("%q", b)
	}
}

func TestCurl(t *testing.T) {
	curl := nettest.Tool(t, "curl")
	up := upstream(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "up") })
	s := start(t, oak([3]string{"git", up, "lan"}))
	cert, _ := s.cert(nil)
	root := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"--http1.1", "--http2"} {
		for _, host := range []string{"files.oak.home.arpa", "git.oak.home.arpa"} {
			out, err := exec.Command(curl, "-sS", version, "--cacert", root, "--resolve", host+":10443:127.0.0.1",
				"-o", "/dev/null", "-w", "%{http_code} %{http_version}", "https://"+host+":10443/").CombinedOutput()
			want := "200 " + strings.TrimSuffix(strings.TrimPrefix(version, "--http"), ".0")
			if err != nil || string(out) != want {
				t.Errorf("curl %s %s: %q %v, want %q", version, host, out, err, want)
			}
		}
	}
}
