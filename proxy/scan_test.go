package proxy

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// malformed are requests that readers understand differently, or not at all.
// Each must be refused with 400 before anything of it reaches an upstream.
var malformed = map[string]string{
	"length and chunked":        "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"chunked and length":        "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n",
	"two lengths":               "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
	"same length twice":         "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
	"length list":               "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 1, 1\r\n\r\na",
	"length with plus":          "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: +1\r\n\r\na",
	"negative length":           "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: -1\r\n\r\na",
	"hex length":                "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0x1\r\n\r\na",
	"empty length":              "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length:\r\n\r\na",
	"huge length":               "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 99999999999999999999\r\n\r\na",
	"chunked in 1.0":            "POST / HTTP/1.0\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"chunked twice":             "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"chunked, identity":         "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
	"identity":                  "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: identity\r\n\r\n",
	"xchunked":                  "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
	"chunked with vertical tab": "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
	"space before colon":        "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
	"folded line":               "GET / HTTP/1.1\r\nHost: HOST\r\nX-A: b\r\n c\r\n\r\n",
	"folded first line":         "GET / HTTP/1.1\r\n Host: HOST\r\n\r\n",
	"bare LF in head":           "GET / HTTP/1.1\r\nHost: HOST\nX-A: b\r\n\r\n",
	"bare LF everywhere":        "GET / HTTP/1.1\nHost: HOST\n\n",
	"bare CR in value":          "GET / HTTP/1.1\r\nHost: HOST\r\nX-A: b\rc\r\n\r\n",
	"NUL in value":              "GET / HTTP/1.1\r\nHost: HOST\r\nX-A: b\x00c\r\n\r\n",
	"NUL in name":               "GET / HTTP/1.1\r\nHost: HOST\r\nX\x00A: b\r\n\r\n",
	"no colon":                  "GET / HTTP/1.1\r\nHost: HOST\r\nX-A\r\n\r\n",
	"empty name":                "GET / HTTP/1.1\r\nHost: HOST\r\n: b\r\n\r\n",
	"no Host":                   "GET / HTTP/1.1\r\n\r\n",
	"two Hosts":                 "GET / HTTP/1.1\r\nHost: HOST\r\nHost: evil\r\n\r\n",
	"bad method":                "G(T / HTTP/1.1\r\nHost: HOST\r\n\r\n",
	"no target":                 "GET HTTP/1.1\r\nHost: HOST\r\n\r\n",
	"space in target":           "GET /a b HTTP/1.1\r\nHost: HOST\r\n\r\n",
	"control in target":         "GET /\x01 HTTP/1.1\r\nHost: HOST\r\n\r\n",
	"two spaces":                "GET  / HTTP/1.1\r\nHost: HOST\r\n\r\n",
	"strange version":           "GET / HTTP/1.9999\r\nHost: HOST\r\n\r\n",
	"version 2":                 "GET / HTTP/2.0\r\nHost: HOST\r\n\r\n",
	"lower case version":        "GET / http/1.1\r\nHost: HOST\r\n\r\n",
	"version 0.9":               "GET /\r\n\r\n",
	"leading space":             " GET / HTTP/1.1\r\nHost: HOST\r\n\r\n",
	"bare LF after chunk size":  "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
	"bare LF after chunk":       "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\n0\r\n\r\n",
	"bare LF in extension":      "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nb\r\na\r\n0\r\n\r\n",
	"chunk longer than said":    "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
	"chunk size with sign":      "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n",
	"chunk size with 0x":        "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
	"chunk size too large":      "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000001\r\na\r\n0\r\n\r\n",
	"space before chunk size":   "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n 1\r\na\r\n0\r\n\r\n",
	"empty chunk size":          "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n\r\na\r\n0\r\n\r\n",
	"length in trailer":         "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n",
	"bare LF in trailer":        "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\n\r\n",
	"upgrade with a body":       "POST / HTTP/1.1\r\nHost: HOST\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\na",
	"upgrade with chunks":       "POST / HTTP/1.1\r\nHost: HOST\r\nConnection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"head that ends in LF":      "GET / HTTP/1.1\r\nHost: HOST\r\n\nGET /x HTTP/1.1\r\nHost: HOST\r\n\r\n",
}

// wellFormed are requests that are unusual but mean one thing only.
var wellFormed = map[string]string{
	"plain":               "GET / HTTP/1.1\r\nHost: HOST\r\n\r\n",
	"1.0":                 "GET / HTTP/1.0\r\nHost: HOST\r\n\r\n",
	"1.0 without a Host":  "GET / HTTP/1.0\r\n\r\n",
	"body":                "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\n\r\nhello",
	"length 0":            "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0\r\n\r\n",
	"chunks":              "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n",
	"extension, trailer":  "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-A: b\r\n\r\n",
	"line ends in a body": "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 10\r\n\r\n\n\n\r\n\r\n\x00abc",
	"spaces and tabs":     "GET / HTTP/1.1\r\nHost: \t HOST \t\r\nX-A:\r\nX-B: \xc3\xa4\r\n\r\n",
	"options":             "OPTIONS * HTTP/1.1\r\nHost: HOST\r\n\r\n",
	"method of its own":   "PROPFIND /a%20b HTTP/1.1\r\nHost: HOST\r\nDepth: 1\r\n\r\n",
}

// passes runs input through a guard in pieces of size bytes.
func passes(t testing.TB, input []byte, size int) (out []byte, g *guard) {
	t.Helper()
	g = &guard{Conn: &pieces{in: input, size: size}}
	out, err := io.ReadAll(bufio.NewReaderSize(g, 4096))
	if err != nil && err != errMidway {
		t.Fatal(err)
	}
	return out, g
}

func TestMalformedRequestsDoNotPass(t *testing.T) {
	for name, req := range malformed {
		for _, size := range []int{1, 7, 4096} {
			out, g := passes(t, []byte(req), size)
			if !g.bad.Load() {
				t.Errorf("%s, %d bytes at a time: passed as %q", name, size, out)
			}
			if size == 4096 && string(out) != refused {
				t.Errorf("%s: the beginning %q was passed on though all was there", name, out)
			}
			// What went before is not touched.
			good := wellFormed["body"]
			if out, _ := passes(t, []byte(good+req), size); !strings.HasPrefix(string(out), good) {
				t.Errorf("%s behind a good request, %d bytes at a time: %q", name, size, out)
			}
		}
	}
}

func TestWellFormedRequestsPassUntouched(t *testing.T) {
	for name, req := range wellFormed {
		for _, size := range []int{1, 2, 3, 700, 4096} {
			all := req + req + wellFormed["plain"]
			if out, g := passes(t, []byte(all), size); string(out) != all || g.bad.Load() || g.scan.messages != 3 {
				t.Errorf("%s, %d bytes at a time: %d messages, %q", name, size, g.scan.messages, out)
			}
		}
	}
}

func TestAfterAnUpgradeEverythingPasses(t *testing.T) {
	in := "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05hello\n\n\x00"
	for _, size := range []int{1, 5, 4096} {
		if out, g := passes(t, []byte(in), size); string(out) != in || g.bad.Load() {
			t.Errorf("%d bytes at a time: %q", size, out)
		}
	}
}

// What never ends must be left to net/http's limit, not kept.
func TestEndlessHeadIsNotKept(t *testing.T) {
	g := &guard{Conn: &pieces{in: bytes.Repeat([]byte("GET / HTTP/1.1\r\nX-A: "+strings.Repeat("a", 1000)+"\r\n"), 1), size: 100, forever: []byte("X-B: cccccccc\r\n")}}
	n, most := 0, 0
	for n < 1<<20 {
		m, err := g.Read(make([]byte, 4096))
		if err != nil {
			t.Fatal(err)
		}
		n += m
		most = max(most, len(g.held))
	}
	if most > maxHead+8<<10 {
		t.Errorf("%d bytes were held", most)
	}
}

// net/http must understand what passes as the scanner does: as many messages,
// that end at the same byte. How the bytes arrive must make no difference.
func FuzzGuard(f *testing.F) {
	for _, corpus := range []map[string]string{malformed, wellFormed} {
		for _, req := range corpus {
			f.Add([]byte(req), byte(3))
			f.Add([]byte(req+wellFormed["body"]), byte(200))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, size byte) {
		if len(in) > 16<<10 {
			return
		}
		out, g := passes(t, in, 4096)
		passed := bytes.TrimSuffix(out, []byte(refused))
		if !bytes.HasPrefix(in, passed) {
			t.Fatalf("%q became %q", in, out)
		}
		if slow, h := passes(t, in, int(size)+1); g.bad.Load() != h.bad.Load() || !bytes.HasPrefix(slow, passed) {
			t.Fatalf("%q at once gives %q, in pieces of %d %q", in, out, int(size)+1, slow)
		}
		r := &counter{r: bytes.NewReader(passed)}
		br := bufio.NewReader(r)
		for n := range g.scan.messages {
			req, err := http.ReadRequest(br)
			if err != nil {
				return // stricter still; the connection ends with 400
			}
			if req.Header["Upgrade"] != nil {
				return
			}
			body, err := io.ReadAll(req.Body)
			if err != nil && strings.Contains(err.Error(), "suspiciously long trailer") {
				return // stricter still
			}
			if err != nil {
				t.Fatalf("message %d of %q: body: %v", n, in, err)
			}
			if req.ContentLength >= 0 && int64(len(body)) != req.ContentLength {
				t.Fatalf("message %d of %q: body of %d bytes, said %d", n, in, len(body), req.ContentLength)
			}
		}
		rest := len(passed) - (r.n - br.Buffered())
		if g.bad.Load() || g.scan.phase != headLine {
			return
		}
		// All of it was whole messages, and perhaps the beginning of a head,
		// which the guard holds.
		if rest != 0 {
			t.Fatalf("%q: after %d messages net/http sees %d bytes more", in, g.scan.messages, rest)
		}
	})
}

type counter struct {
	r io.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}
