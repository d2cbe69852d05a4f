package davsrv

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// No way of writing a path leads out of a user's folder or to somebody else's.
func TestPathsLeadNowhereElse(t *testing.T) {
	c := start(t)
	c.want(http.StatusCreated, "PUT", "/dav/files/alice/own", "mine")
	if a := c.doAs("bob", "PUT", "/dav/files/bob/secret", strings.NewReader("s3cret")); a.status != http.StatusCreated {
		t.Fatal(a)
	}
	outside := filepath.Join(c.files, "outside")
	if err := os.WriteFile(outside, []byte("s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{
		"/dav/files/alice/../bob/secret", "/dav/files/alice/%2e%2e/bob/secret", "/dav/files/alice/..%2fbob/secret",
		"/dav/files/alice/%2e%2e%2fbob%2fsecret", "/dav/files/alice/..%5cbob%5csecret",
		"/dav/files/alice/../outside", "/dav/files/alice/%2e%2e/%2e%2e/outside", "/dav/files/alice//../outside",
		"/dav/files/../outside", "/dav/files/%2e%2e/outside", "/dav/files/bob/secret", "/dav/files/Alice/own",
		"/dav/files/alice/own%00.txt", "/dav/files/alice/own%2f", "/dav/files/alice/./own", "/dav/files/alice/%2e/own",
		"/dav/files/alice/" + strings.Repeat("x", 256), "/dav/files/alice/own/below", "/dav/files/alice" + strings.Repeat("/a", 200),
		"/dav/files/alice/" + stagingName, "/dav/files/alice/" + stagingName + "/x", "/dav/files/alice/%2epic-staging/x",
		"/dav/calendars/bob/personal/x.ics", "/dav/principals/bob/", "/dav/nowhere/alice/x", "/davfiles/alice/own", "/dav/files/alice/%zz",
	} {
		for _, method := range []string{"GET", "PUT", "DELETE", "PROPFIND", "MKCOL", "LOCK", "PROPPATCH"} {
			a := c.do(method, p, "")
			if a.status < 400 || a.status >= 500 || strings.Contains(a.body, "s3cret") {
				t.Errorf("%s %s: status %d: %s", method, p, a.status, a.body)
			}
		}
		for _, method := range []string{"COPY", "MOVE"} {
			if a := c.do(method, "/dav/files/alice/own", "", "Destination", c.url+p); a.status < 400 || a.status >= 510 {
				t.Errorf("%s to %s: status %d", method, p, a.status)
			}
		}
	}
	// What is encoded twice is a name like any other, and stays.
	c.want(http.StatusCreated, "PUT", "/dav/files/alice/%252e%252e%252fx", "mine")
	if got := readTree(t, filepath.Join(c.files, "alice")); got["%2e%2e%2fx"] != "mine" {
		t.Errorf("the files are now %v", got)
	}
	c.want(http.StatusNoContent, "DELETE", "/dav/files/alice/%252e%252e%252fx", "")
	if got := readTree(t, c.files); got["bob/secret"] != "s3cret" || got["outside"] != "s3cret" || got["alice/own"] != "mine" || len(got) != 3 {
		t.Errorf("the files are now %v", got)
	}
}

func TestDestinationMustBeHere(t *testing.T) {
	c := start(t)
	c.want(http.StatusCreated, "PUT", "/dav/files/alice/f", "x")
	for dest, status := range map[string]int{
		"http://elsewhere.example/dav/files/alice/g":   http.StatusBadGateway,
		strings.Replace(c.url, ":", "s:", 1) + "0/dav": http.StatusBadGateway,
		c.url + "/dav/files/bob/g":                     http.StatusForbidden,
		c.url + "/dav/calendars/alice/personal/g":      http.StatusForbidden,
		c.url + "/elsewhere":                           http.StatusNotFound,
		c.url + "/dav/files/alice/no/such/folder":      http.StatusConflict,
		c.url + "/dav/files/alice/f":                   http.StatusForbidden,
		c.url + "/dav/files/alice/":                    http.StatusForbidden,
		c.url + "/dav/files/alice/g?x=y":               http.StatusBadRequest,
		"http://user@" + c.url[7:] + "/dav/files/x":    http.StatusBadRequest,
		"mailto:x":                 http.StatusBadRequest,
		"":                         http.StatusBadRequest,
		"/dav/files/alice/by-path": http.StatusCreated,
		c.url + "/dav/files/alice/%C3%BC%20%26%20b": http.StatusCreated,
	} {
		if a := c.do("COPY", "/dav/files/alice/f", "", "Destination", dest); a.status != status {
			t.Errorf("COPY to %q: status %d, want %d: %s", dest, a.status, status, a.body)
		}
	}
	if got := readTree(t, c.files)["alice/ü & b"]; got != "x" {
		t.Errorf("the copy is %q", got)
	}
}

// Links that lead out of the user's folder, and what is no file, are not there.
func TestLinksAndDevicesAreNotThere(t *testing.T) {
	c := start(t)
	c.want(http.StatusCreated, "MKCOL", "/dav/files/alice/d/", "")
	out := t.TempDir()
	if err := os.WriteFile(filepath.Join(out, "secret"), []byte("s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(c.files, "alice")
	for name, to := range map[string]string{"file": filepath.Join(out, "secret"), "dir": out, "rel": "../../", "self": "self", "dangling": "nothing"} {
		if err := os.Symlink(to, filepath.Join(home, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(home, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"file", "dir/secret", "dir/", "dir", "rel/x", "self", "self/x", "dangling", "pipe"} {
		for _, method := range []string{"GET", "PROPFIND", "DELETE", "PROPPATCH"} {
			body := ""
			if method == "PROPPATCH" {
				body = `<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><x xmlns="y">1</x></D:prop></D:set></D:propertyupdate>`
			}
			if a := c.do(method, "/dav/files/alice/"+p, body); a.status != http.StatusNotFound {
				t.Errorf("%s %s: status %d: %s", method, p, a.status, a.body)
			}
		}
	}
	for _, p := range []string{"dir/new", "rel/new", "self/new", "dir/secret"} {
		for _, method := range []string{"PUT", "MKCOL", "LOCK"} {
			body := ""
			if method == "LOCK" {
				body = lockBody("exclusive")
			}
			if a := c.do(method, "/dav/files/alice/"+p, body); a.status < 400 || a.status >= 500 {
				t.Errorf("%s %s: status %d: %s", method, p, a.status, a.body)
			}
		}
		c.want(http.StatusCreated, "PUT", "/dav/files/alice/f", "x", "If-None-Match", "*")
		for _, method := range []string{"COPY", "MOVE"} {
			if a := c.do(method, "/dav/files/alice/f", "", "Destination", "/dav/files/alice/"+p); a.status < 400 || a.status >= 500 {
				t.Errorf("%s to %s: status %d: %s", method, p, a.status, a.body)
			}
		}
		c.want(http.StatusNoContent, "DELETE", "/dav/files/alice/f", "")
	}
	// A copy of a folder leaves them out.
	if err := os.Symlink(out, filepath.Join(home, "d", "link")); err != nil {
		t.Fatal(err)
	}
	c.want(http.StatusCreated, "COPY", "/dav/files/alice/d/", "", "Destination", "/dav/files/alice/e/")
	if _, err := os.Lstat(filepath.Join(home, "e", "link")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the copy has the link: %v", err)
	}
	a := c.want(http.StatusMultiStatus, "PROPFIND", "/dav/files/alice/", "", "Depth", "infinity")
	for _, name := range []string{"secret", "pipe", "dangling", "/rel", "link"} {
		if strings.Contains(a.body, name) {
			t.Errorf("the listing shows %s", name)
		}
	}
	if got := readTree(t, out); len(got) != 1 || got["secret"] != "s3cret" {
		t.Errorf("outside there is now %v", got)
	}
}

// A link that PUT replaces is replaced itself; what it led to stays.
func TestPutReplacesALinkNotItsTarget(t *testing.T) {
	c := start(t)
	c.want(http.StatusCreated, "PUT", "/dav/files/alice/x", "x")
	target := filepath.Join(t.TempDir(), "target")
	if err := os.WriteFile(target, []byte("safe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, filepath.Join(c.files, "alice", "link")); err != nil {
		t.Fatal(err)
	}
	if a := c.do("PUT", "/dav/files/alice/link", "evil"); a.status < 400 {
		t.Logf("PUT over a link: %d", a.status)
	}
	if b, _ := os.ReadFile(target); string(b) != "safe" {
		t.Errorf("the target is now %q", b)
	}
}

func TestHrefsReadBackAsWhatTheyName(t *testing.T) {
	for _, name := range []string{"plain", "a b", "ü", "100%", "a+b&c", "q?x#y", "<>\"'", "semi;colon", ":", "~", "日本"} {
		got, err := parseTarget(hrefFile("alice", "d/"+name, true))
		if err != nil || got.path() != "d/"+name || !got.slash || got.owner != "alice" {
			t.Errorf("%q came back as %+v, %v", name, got, err)
		}
	}
}

func FuzzTarget(f *testing.F) {
	for _, s := range []string{"/dav/files/alice/a%20b/", "/dav/", "/dav", "/dav/files/%2e%2e", "/dav/calendars/a/b/c.ics"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseTarget(s)
		if err != nil {
			return
		}
		for _, seg := range append([]string{got.path()}, got.rest...) {
			if seg != "." && !filepath.IsLocal(seg) {
				t.Fatalf("%q has the segment %q", s, seg)
			}
		}
		if got.owner == "" {
			return
		}
		again, err := parseTarget(hrefDir(append([]string{string(got.tree), got.owner}, got.rest...)...))
		if err != nil || again.path() != got.path() || again.owner != got.owner {
			t.Fatalf("%q came back as %+v, %v", s, again, err)
		}
	})
}

// The handler is mounted by others too: a stranger to its sockets is theirs.
func TestHandlerServesWithoutOwnSockets(t *testing.T) {
	c := start(t)
	r := httptest.NewRequest("PROPFIND", "https://dav.oak.home.arpa/dav/", nil)
	r.Header.Set("Depth", "0")
	r.SetBasicAuth("alice@oak.home.arpa", "pw")
	w := httptest.NewRecorder()
	c.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusMultiStatus {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}

func lockBody(scope string) string {
	return `<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:` + scope + `/></D:lockscope><D:locktype><D:write/></D:locktype><D:owner>me</D:owner></D:lockinfo>`
}
