package policy

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pic/core/config"
)

var quiet = slog.New(slog.DiscardHandler)

// A listServer serves one list, as long as it is told to.
type listServer struct {
	*httptest.Server
	body  atomic.Pointer[string]
	asked atomic.Int64
	sent  atomic.Int64 // whole bodies
}

func serve(t *testing.T, body string) *listServer {
	s := &listServer{}
	s.body.Store(&body)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		body := *s.body.Load()
		etag := fmt.Sprintf("%q", fmt.Sprint(len(body)))
		switch {
		case body == "":
			http.Error(w, "gone", http.StatusNotFound)
		case r.Header.Get("If-None-Match") == etag:
			w.WriteHeader(http.StatusNotModified)
		default:
			w.Header().Set("ETag", etag)
			s.sent.Add(1)
			io.WriteString(w, body)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func lists(urls ...string) Config {
	f := config.Filter{Enabled: new(true), Refresh: config.Duration(24 * time.Hour)}
	for i, url := range urls {
		f.Lists = append(f.Lists, config.List{Name: fmt.Sprintf("list %d", i), URL: url})
	}
	return Config{Filter: f}
}

// engine is one that follows c, with its folder, and is not run.
func engine(t *testing.T, dir string, c Config) *Engine {
	t.Helper()
	e := New(Options{Log: quiet, Dir: dir})
	if err := e.Apply(c); err != nil {
		t.Fatal(err)
	}
	return e
}

func blocked(t *testing.T, e *Engine, name string) bool {
	t.Helper()
	return e.Current().View(client1, "").Decide(wire(t, name), 1).Action == Block
}

func TestListsAreFetchedOnceAndKept(t *testing.T) {
	srv, dir := serve(t, "||ads.test^\n"), t.TempDir()
	e := engine(t, dir, lists(srv.URL))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
	wait(t, func() bool { return blocked(t, e, "x.ads.test") })
	if err := e.Refresh(ctx, ""); err != nil || srv.sent.Load() != 1 || srv.asked.Load() != 2 {
		t.Errorf("%v: sent %d times of %d", err, srv.sent.Load(), srv.asked.Load())
	}
	next := "||ads.test^\n||more.test^\n"
	srv.body.Store(&next)
	if err := e.Refresh(ctx, "list 0"); err != nil || !blocked(t, e, "more.test") {
		t.Errorf("%v: the new list is not in force", err)
	}
	gone := ""
	srv.body.Store(&gone)
	if err := e.Refresh(ctx, "list 0"); err == nil || !blocked(t, e, "more.test") {
		t.Error("a list that is gone was lost, or is no error")
	}
	if st := e.Status()[0]; st.Error == "" || st.Rules != 2 || st.Updated.IsZero() || st.Since.IsZero() {
		t.Errorf("got %+v", st)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	srv.Close()
	if again := engine(t, dir, lists(srv.URL)); !blocked(t, again, "more.test") {
		t.Error("a start without network has no list")
	}
}

func wait(t *testing.T, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !cond(); {
		if time.Now().After(end) {
			t.Fatal("still not so")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestWhatIsNoListIsRefused(t *testing.T) {
	const good = "||ads.test^\n"
	for name, body := range map[string]string{
		"page":       "  <!DOCTYPE html><html><body>||evil.test^</body>",
		"page below": "<div><HTML>\n||evil.test^",
		"error":      "{\"error\": \"not found\"}",
		"words":      "Service temporarily unavailable",
		"binary":     "||evil.test^\n\x00\x01",
		"long":       strings.Repeat("||evil.test^ and more of it, to be long enough\n", 50_000),
	} {
		t.Run(name, func(t *testing.T) {
			srv := serve(t, good)
			e := engine(t, t.TempDir(), lists(srv.URL))
			e.store.most = 2 << 20
			if err := e.Refresh(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
			srv.body.Store(&body)
			err := e.Refresh(t.Context(), "")
			if err == nil || !blocked(t, e, "ads.test") || blocked(t, e, "evil.test") {
				t.Errorf("taken for a list: %v", err)
			}
			if e.Status()[0].Error == "" {
				t.Error("nobody is told")
			}
			left, _ := filepath.Glob(filepath.Join(e.store.dir, "*"))
			hidden, _ := filepath.Glob(filepath.Join(e.store.dir, ".*"))
			if len(left)+len(hidden) != 1 {
				t.Errorf("left behind: %v %v", left, hidden)
			}
		})
	}
}

func TestWhatKeepsAListAwayIsSaidPlainly(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	l.Close()
	for where, want := range map[string]string{
		"http://" + at + "/ads.txt":        at + " cannot be reached: connection refused",
		filepath.Join(t.TempDir(), "none"): "there is no such file on the cell",
		t.TempDir():                        "is not a file",
	} {
		e := engine(t, t.TempDir(), lists(where))
		if err := e.Refresh(t.Context(), ""); err == nil || !strings.HasSuffix(e.Status()[0].Error, want) {
			t.Errorf("%s: %q, want %q", where, e.Status()[0].Error, want)
		}
	}
}

func TestWhatIsSwitchedOffTakesNoMemory(t *testing.T) {
	srv, dir := serve(t, "||ads.test^\n"), t.TempDir()
	on := lists(srv.URL)
	e := engine(t, dir, on)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
	wait(t, func() bool { return blocked(t, e, "ads.test") })
	off := lists(srv.URL)
	off.Filter.Enabled = new(bool)
	disabled := lists(srv.URL)
	disabled.Filter.Lists[0].Disabled = true
	for _, c := range []Config{off, disabled, {}} {
		if err := e.Apply(c); err != nil || blocked(t, e, "ads.test") {
			t.Errorf("%v: switched off, and still blocked", err)
		}
		wait(t, func() bool { return e.Current().Names() == 0 })
		asked := srv.asked.Load()
		if err := e.Apply(on); err != nil {
			t.Fatal(err)
		}
		wait(t, func() bool { return blocked(t, e, "ads.test") })
		if srv.asked.Load() != asked {
			t.Error("the copy would have done")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestFilesAreReadAgainWhenTheyChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mine")
	write := func(s string) {
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("ads.test\n")
	e := engine(t, t.TempDir(), lists(path))
	look := func() {
		t.Helper()
		if err := e.Refresh(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
	}
	look()
	if !blocked(t, e, "ads.test") || blocked(t, e, "x.ads.test") {
		t.Error("a name of a list of names is not taken for what it is")
	}
	set := e.Current()
	look()
	if e.Current() != set {
		t.Error("a file that did not change made a new set")
	}
	write("other.test\nads2.test\n")
	look()
	if blocked(t, e, "ads.test") || !blocked(t, e, "other.test") {
		t.Error("the change is not seen")
	}
	os.Remove(path)
	if e.Refresh(t.Context(), "") == nil || !blocked(t, e, "other.test") {
		t.Error("a file that is gone was lost, or is no error")
	}
}
