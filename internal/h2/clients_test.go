package h2

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pic/internal/nettest"
)

func TestMain(m *testing.M) { os.Exit(nettest.Main(m)) }

// The conformance test of others finds nothing.
func TestH2spec(t *testing.T) {
	spec := h2spec(t)
	s := serving(t)
	_, port, _ := net.SplitHostPort(s.l.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, path := range []string{"/echo?YWJj", "/rest", "/echo/later?YWJj"} {
		out, err := exec.CommandContext(ctx, spec, "-h", "127.0.0.1", "-p", port, "-t", "-k", "-o", "5", "-P", path).CombinedOutput()
		if err != nil {
			_, failures, _ := strings.Cut(string(out), "Failures:")
			t.Errorf("%s: %v\n%s", path, err, failures)
		}
		if !strings.Contains(string(out), " passed, ") {
			t.Errorf("%s: nothing was tested: %s", path, out)
		}
	}
}

// h2spec returns the program, which is built unless it is installed.
func h2spec(t *testing.T) string {
	if path, err := exec.LookPath("h2spec"); err == nil {
		return path
	}
	path := filepath.Join(t.TempDir(), "h2spec")
	build := exec.Command("go", "build", "-o", path, "github.com/summerwind/h2spec/cmd/h2spec")
	build.Dir = "../../tools"
	build.Env = append(os.Environ(), "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		nettest.Skip(t, fmt.Sprintf("h2spec cannot be built: %v: %s", err, out))
	}
	return path
}

func TestNetHTTPIsAnsweredInEveryWay(t *testing.T) {
	s := serving(t)
	c := s.client(t)
	long := strings.Repeat("x", 12<<10)
	for name, tt := range map[string]struct {
		method, path, body string
		said               string
		status             int
		want               string
	}{
		"GET":              {"GET", "/echo?" + base64.RawURLEncoding.EncodeToString([]byte("hello")), "", "", 200, "hello"},
		"POST":             {"POST", "/echo", "hello", "", 200, "hello"},
		"large question":   {"POST", "/echo", long, "", 200, long},
		"later":            {"POST", "/echo/later", "hello", "", 200, "hello"},
		"beyond windows":   {"GET", "/echo/large", "", "", 200, strings.Repeat("0123456789", 30_000)},
		"in other words":   {"DELETE", "/echo/else", "", "", 418, "DELETE is of no use\n"},
		"not for sessions": {"POST", "/echo/what", "12", "", 200, "POST /echo/what of " + s.l.Addr().String() + ": 2 2"},
		"by the handler":   {"PUT", "/rest/a%20b", "12", "yes", 200, "PUT /rest/a b of " + s.l.Addr().String() + ": 2 2"},
		"HEAD":             {"HEAD", "/rest", "", "", 200, ""},
		"too long a body":  {"POST", "/rest", strings.Repeat("x", maxBody+1), "", 400, "unexpected EOF\n"},
	} {
		t.Run(name, func(t *testing.T) {
			for range 3 { // the client's table grows
				r, err := http.NewRequest(tt.method, s.url(tt.path), strings.NewReader(tt.body))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("X-Said", tt.said)
				res, err := c.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || res.StatusCode != tt.status || string(b) != tt.want {
					t.Errorf("%d %.80q, %v", res.StatusCode, b, err)
				}
				if path, _, _ := strings.Cut(tt.path, "/a"); path == "/rest" && res.StatusCode == 200 && res.Header.Get("X-Seen") != tt.said {
					t.Errorf("the handler saw %q", res.Header.Get("X-Seen"))
				}
				if _, err := http.ParseTime(res.Header.Get("Date")); err != nil {
					t.Error(err)
				}
				if res.StatusCode == 200 && strings.HasPrefix(tt.path, "/echo?") {
					h := res.Header
					if h.Get("Alt-Svc") == "" || h.Get("Cache-Control") != "private, max-age=7" || h.Get("Content-Type") != "text/plain" {
						t.Error(h)
					}
				}
			}
		})
	}
	if res, err := c.Get(s.url("/echo/panic")); err == nil {
		res.Body.Close()
		t.Error("a panic is answered")
	}
	if res, err := c.Get(s.url("/echo/crash")); err == nil {
		res.Body.Close()
		t.Error("a crash is answered")
	}
}

// Many questions over one connection, of which some take longer, are all answered.
func TestManyRequestsAtOnce(t *testing.T) {
	s := serving(t)
	c := s.client(t)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for j := range 50 {
				path := [...]string{"/echo", "/echo/later", "/rest"}[(i+j)%3]
				want := fmt.Sprintf("question %d %d", i, j)
				res, err := c.Post(s.url(path), "text/plain", strings.NewReader(want))
				if err != nil {
					t.Error(err)
					return
				}
				b, err := io.ReadAll(res.Body)
				res.Body.Close()
				if path != "/rest" && string(b) != want || err != nil {
					t.Errorf("%s: %q, %v", path, b, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestOtherClientsAreAnswered(t *testing.T) {
	s := serving(t)
	root := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(root, bytes.Repeat([]byte("x"), 100), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"curl":                      {[]string{"curl", "-sk", "--http2", "--data-binary", "@" + root, s.url("/echo")}, strings.Repeat("x", 100)},
		"curl twice":                {[]string{"curl", "-sk", "--http2", s.url("/echo?YWJj"), s.url("/echo/later?ZGVm")}, "abcdef"},
		"nghttp":                    {[]string{"nghttp", "-d", root, s.url("/echo")}, strings.Repeat("x", 100)},
		"nghttp, padded, in pieces": {[]string{"nghttp", "-b", "200", "--hexdump", "-H", "x-long: " + strings.Repeat("abc", 100), s.url("/echo?YWJj")}, "abc"},
		"h2load":                    {[]string{"h2load", "-n", "20000", "-c", "4", "-m", "100", "-d", root, s.url("/echo")}, "20000 succeeded, 0 failed, 0 errored"},
		"h2load, later":             {[]string{"h2load", "-n", "2000", "-c", "4", "-m", "200", "-W", "16", "-w", "10", "-d", root, s.url("/echo/later")}, "2000 succeeded, 0 failed, 0 errored"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := exec.Command(nettest.Tool(t, tt.args[0]), tt.args[1:]...).CombinedOutput()
			if err != nil || !strings.Contains(string(out), tt.want) {
				t.Errorf("%v\n%.2000s", err, out)
			}
		})
	}
}
