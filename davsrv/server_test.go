package davsrv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pic/core/state"
	"pic/core/users"
	"pic/internal/listen"
	"pic/internal/nettest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("DAVSRV_TEST_VICTIM"); dir != "" {
		victim(dir)
		return
	}
	os.Exit(nettest.Main(m))
}

// people are the users of every test and their passwords.
var people = map[string]string{"alice": "pw", "bob": "pw2"}

func checkPassword(_ context.Context, login, secret string, _ netip.Addr) (string, error) {
	name, _, _ := strings.Cut(login, "@")
	if want, ok := people[name]; ok && want == secret {
		return name, nil
	}
	if secret == "too often" {
		return "", fmt.Errorf("slowly: %w", users.ErrThrottled)
	}
	if secret == "disk" {
		return "", errors.New("the disk is on fire")
	}
	return "", fmt.Errorf("%w: the name or the password is wrong", users.ErrDenied)
}

// A cell is a running server and where its things are.
type cell struct {
	*Server
	t     testing.TB
	url   string // http://127.0.0.1:port
	files string
	db    *state.DB
	stop  func()
}

func testConfig() Config {
	return Config{
		Enabled:  true,
		Sockets:  []listen.Socket{{Net: "tcp", Addr: netip.MustParseAddrPort("127.0.0.1:0")}},
		Insiders: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Domain:   "oak.home.arpa",
		Users:    []User{{"alice", "Alice Ash"}, {"bob", ""}},
	}
}

// start runs a server until the test ends.
func start(t testing.TB) *cell {
	t.Helper()
	return startIn(t, t.TempDir())
}

func startIn(t testing.TB, dir string) *cell {
	t.Helper()
	db, err := state.Open(filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	c := &cell{t: t, files: filepath.Join(dir, "files"), db: db}
	var w io.Writer = &testWriter{t}
	c.Server = New(slog.New(slog.NewTextHandler(w, nil)), listen.NewPool(nil), db.Space("dav"), c.files, checkPassword)
	if err := c.Apply(t.Context(), testConfig()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	c.url = "http://" + c.sockets.Bound()[0].LocalAddr().String()
	stopped := false
	c.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ran; err != nil {
			t.Error("Run:", err)
		}
		if err := db.Close(); err != nil {
			t.Error("closing the state:", err)
		}
	}
	t.Cleanup(c.stop)
	return c
}

// testWriter sends the log to the test's output.
type testWriter struct{ t testing.TB }

func (w *testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// An answer is a response, read.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request as alice. Headers are name and value in turn.
func (c *cell) do(method, path, body string, headers ...string) answer {
	c.t.Helper()
	return c.doAs("alice", method, path, strings.NewReader(body), headers...)
}

func (c *cell) doAs(user, method, path string, body io.Reader, headers ...string) answer {
	c.t.Helper()
	req, err := http.NewRequest(method, c.url, body)
	if err != nil {
		c.t.Fatal(err)
	}
	req.URL.Opaque = "//" + req.Host + path // sent as it is written
	if user != "" {
		req.SetBasicAuth(user, people[user])
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := noRedirects.Do(req)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("%s %s: reading the answer: %v", method, path, err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

var noRedirects = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// want does a request and expects a status.
func (c *cell) want(status int, method, path, body string, headers ...string) answer {
	c.t.Helper()
	a := c.do(method, path, body, headers...)
	if a.status != status {
		c.t.Fatalf("%s %s: status %d, want %d: %s", method, path, a.status, status, a.body)
	}
	return a
}

// has reports what a multistatus answer lacks.
func (a answer) lacks(parts ...string) (missing []string) {
	for _, p := range parts {
		if !strings.Contains(a.body, p) {
			missing = append(missing, p)
		}
	}
	return missing
}

func event(uid, lines string) string {
	return "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\nBEGIN:VEVENT\r\nUID:" + uid +
		"\r\nDTSTAMP:20260101T000000Z\r\n" + strings.ReplaceAll(lines, "\n", "\r\n") + "END:VEVENT\r\nEND:VCALENDAR\r\n"
}

func contact(uid, lines string) string {
	return "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:" + uid + "\r\n" + strings.ReplaceAll(lines, "\n", "\r\n") + "END:VCARD\r\n"
}

// tree reads all files below dir, by path.
func readTree(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := make(map[string]string)
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		rel, _ := filepath.Rel(dir, p)
		out[rel] = string(bytes.Clone(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
