package davsrv

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pic/internal/nettest"
)

func TestFilesAnswerRangesAndConditions(t *testing.T) {
	c := start(t)
	const f = "/dav/files/alice/f.txt"
	made := c.want(http.StatusCreated, "PUT", f, "0123456789", "X-OC-Mtime", "1700000000")
	if made.header.Get("X-OC-Mtime") != "accepted" {
		t.Error("X-OC-Mtime was not accepted")
	}
	etag := made.header.Get("ETag")
	a := c.want(http.StatusOK, "GET", f, "")
	if a.body != "0123456789" || a.header.Get("ETag") != etag || a.header.Get("Last-Modified") != "Tue, 14 Nov 2023 22:13:20 GMT" {
		t.Errorf("GET: %q %v", a.body, a.header)
	}
	if !strings.Contains(a.header.Get("Content-Security-Policy"), "sandbox") || a.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("a browser could run it: %v", a.header)
	}
	if a := c.want(http.StatusPartialContent, "GET", f, "", "Range", "bytes=2-4"); a.body != "234" {
		t.Errorf("range: %q", a.body)
	}
	c.want(http.StatusRequestedRangeNotSatisfiable, "GET", f, "", "Range", "bytes=20-")
	c.want(http.StatusNotModified, "GET", f, "", "If-None-Match", etag)
	c.want(http.StatusPreconditionFailed, "GET", f, "", "If-Match", `"x"`)
	if a := c.want(http.StatusOK, "HEAD", f, ""); a.body != "" || a.header.Get("Content-Length") != "10" {
		t.Errorf("HEAD: %q %v", a.body, a.header)
	}
	c.want(http.StatusPreconditionFailed, "PUT", f, "x", "If-None-Match", "*")
	c.want(http.StatusPreconditionFailed, "PUT", f, "x", "If-Match", `"x"`)
	c.want(http.StatusPreconditionFailed, "DELETE", f, "", "If-Match", `"x"`)
	c.want(http.StatusPreconditionFailed, "MOVE", f, "", "If-Match", `"x"`, "Destination", "/dav/files/alice/g")
	c.want(http.StatusBadRequest, "PUT", f, "x", "Content-Range", "bytes 0-0/10")
	c.want(http.StatusBadRequest, "PUT", f, "x", "X-OC-Mtime", "soon")
	next := c.want(http.StatusNoContent, "PUT", f, "9876543210", "If-Match", etag)
	if next.header.Get("ETag") == etag {
		t.Error("the ETag did not change")
	}
	c.want(http.StatusMethodNotAllowed, "PUT", "/dav/files/alice/", "x")
	c.want(http.StatusMethodNotAllowed, "GET", "/dav/files/alice/", "")
	c.want(http.StatusConflict, "PUT", "/dav/files/alice/no/f", "x")
	c.want(http.StatusCreated, "MKCOL", "/dav/files/alice/d", "")
	c.want(http.StatusMethodNotAllowed, "PUT", "/dav/files/alice/d", "x")
	c.want(http.StatusMethodNotAllowed, "MKCOL", "/dav/files/alice/d/", "")
	c.want(http.StatusUnsupportedMediaType, "MKCOL", "/dav/files/alice/e", "<x/>")
	c.want(http.StatusForbidden, "DELETE", "/dav/files/alice/", "")
	c.want(http.StatusNotFound, "GET", "/dav/files/alice/f.txt/", "")
	page := c.want(http.StatusCreated, "PUT", "/dav/files/alice/p.html", "<script>")
	_ = page
	if a := c.want(http.StatusOK, "GET", "/dav/files/alice/p.html", ""); a.header.Get("Content-Disposition") != "attachment" {
		t.Error("a page would open in the browser")
	}
	if left := readTree(t, filepath.Join(c.files, "alice", stagingName)); len(left) != 0 {
		t.Errorf("left in staging: %v", left)
	}
}

// Of many who put on a condition exactly one wins, for files and for objects.
func TestOfManyConditionalPutsOneWins(t *testing.T) {
	c := start(t)
	const racers = 24
	race := func(path string, body func(int) string, headers ...string) (won int32) {
		var wins atomic.Int32
		var wg sync.WaitGroup
		for i := range racers {
			wg.Go(func() {
				switch a := c.do("PUT", path, body(i), headers...); a.status {
				case http.StatusCreated, http.StatusNoContent:
					wins.Add(1)
				case http.StatusPreconditionFailed:
				default:
					t.Errorf("PUT %s: %d %s", path, a.status, a.body)
				}
			})
		}
		wg.Wait()
		return wins.Load()
	}
	for path, body := range map[string]func(int) string{
		"/dav/files/alice/race": func(i int) string { return fmt.Sprint("content ", i) },
		"/dav/calendars/alice/personal/race.ics": func(i int) string {
			return event("race", fmt.Sprintf("DTSTART:20260310T100000Z\nSUMMARY:%d\n", i))
		},
		"/dav/contacts/alice/contacts/race.vcf": func(i int) string { return contact("race", fmt.Sprintf("FN:%d\n", i)) },
	} {
		for round := range 3 {
			if n := race(path, body, "If-None-Match", "*"); round == 0 && n != 1 || round > 0 && n != 0 {
				t.Errorf("%s: %d of those who wanted to be the first won", path, n)
			}
			etag := c.want(http.StatusOK, "GET", path, "").header.Get("ETag")
			if n := race(path, func(i int) string { return body(100*(round+1) + i) }, "If-Match", etag); n != 1 {
				t.Errorf("%s: %d of those who wanted to be the next won", path, n)
			}
		}
	}
}

// While a file is replaced again and again, readers see one version or another,
// whole.
func TestReadersNeverSeeHalfAFile(t *testing.T) {
	c := start(t)
	version := func(i int) string { return strings.Repeat(fmt.Sprintf("%08d", i), 20_000) }
	c.want(http.StatusCreated, "PUT", "/dav/files/alice/f", version(0))
	var done atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for !done.Load() {
				a := c.do("GET", "/dav/files/alice/f", "")
				if a.status != http.StatusOK || len(a.body) != 160_000 || strings.Count(a.body, a.body[:8]) != 20_000 {
					t.Errorf("status %d, %d bytes of several versions", a.status, len(a.body))
					return
				}
			}
		})
	}
	for i := range 40 {
		c.want(http.StatusNoContent, "PUT", "/dav/files/alice/f", version(i+1))
	}
	done.Store(true)
	wg.Wait()
}

// A body that breaks off leaves what was there.
func TestBrokenOffPutChangesNothing(t *testing.T) {
	c := start(t)
	c.want(http.StatusCreated, "PUT", "/dav/files/alice/f", "whole")
	req, _ := http.NewRequest("PUT", c.url+"/dav/files/alice/f", io.MultiReader(strings.NewReader("half"), &failing{}))
	req.ContentLength = 1000
	req.SetBasicAuth("alice", "pw")
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
		t.Errorf("status %d", resp.StatusCode)
	}
	if a := c.want(http.StatusOK, "GET", "/dav/files/alice/f", ""); a.body != "whole" {
		t.Errorf("the file is now %q", a.body)
	}
}

type failing struct{}

func (*failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestCopyAndMoveReplaceWholeTrees(t *testing.T) {
	c := start(t)
	put := func(p, s string) { c.want(http.StatusCreated, "PUT", "/dav/files/alice/"+p, s) }
	mkdir := func(p string) { c.want(http.StatusCreated, "MKCOL", "/dav/files/alice/"+p, "") }
	prop := func(p string) {
		c.want(http.StatusMultiStatus, "PROPPATCH", "/dav/files/alice/"+p, `<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><x:tag xmlns:x="urn:x">of `+p+`</x:tag></D:prop></D:set></D:propertyupdate>`)
	}
	tag := func(p string) string {
		a := c.want(http.StatusMultiStatus, "PROPFIND", "/dav/files/alice/"+p, `<D:propfind xmlns:D="DAV:"><D:prop><tag xmlns="urn:x"/></D:prop></D:propfind>`, "Depth", "0")
		_, s, _ := strings.Cut(a.body, `<tag xmlns="urn:x">`)
		s, _, _ = strings.Cut(s, "<")
		return s
	}
	mkdir("a")
	mkdir("a/sub")
	put("a/1", "one")
	put("a/sub/2", "two")
	prop("a")
	prop("a/sub/2")
	mkdir("b")
	put("b/old", "old")
	prop("b/old")

	c.want(http.StatusPreconditionFailed, "COPY", "/dav/files/alice/a", "", "Destination", "/dav/files/alice/b", "Overwrite", "F")
	c.want(http.StatusNoContent, "COPY", "/dav/files/alice/a", "", "Destination", "/dav/files/alice/b")
	want := map[string]string{"a/1": "one", "a/sub/2": "two", "b/1": "one", "b/sub/2": "two"}
	expectTree(t, c, want)
	if tag("b") != "of a" || tag("b/sub/2") != "of a/sub/2" || tag("a/sub/2") != "of a/sub/2" {
		t.Error("properties did not come along with the copy")
	}
	c.want(http.StatusNoContent, "MOVE", "/dav/files/alice/b", "", "Destination", "/dav/files/alice/a", "Overwrite", "T")
	expectTree(t, c, map[string]string{"a/1": "one", "a/sub/2": "two"})
	c.want(http.StatusCreated, "MOVE", "/dav/files/alice/a/sub/2", "", "Destination", "/dav/files/alice/two")
	if tag("two") != "of a/sub/2" {
		t.Error("properties did not come along with the move")
	}
	c.want(http.StatusNoContent, "DELETE", "/dav/files/alice/two", "")
	put("two", "new")
	if got := tag("two"); got != "" {
		t.Errorf("a new file has the property %q of one that was deleted", got)
	}
	c.want(http.StatusNoContent, "MOVE", "/dav/files/alice/two", "", "Destination", "/dav/files/alice/a") // a file over a folder
	expectTree(t, c, map[string]string{"a": "new"})
	mkdir("d")
	c.want(http.StatusNoContent, "COPY", "/dav/files/alice/d", "", "Destination", "/dav/files/alice/a", "Depth", "0")
	expectTree(t, c, map[string]string{})
	c.want(http.StatusForbidden, "MOVE", "/dav/files/alice/d", "", "Destination", "/dav/files/alice/d/below")
	c.want(http.StatusBadRequest, "MOVE", "/dav/files/alice/d", "", "Destination", "/dav/files/alice/e", "Depth", "0")
	c.want(http.StatusBadRequest, "COPY", "/dav/files/alice/d", "", "Destination", "/dav/files/alice/e", "Overwrite", "maybe")
}

func expectTree(t *testing.T, c *cell, want map[string]string) {
	t.Helper()
	got := readTree(t, filepath.Join(c.files, "alice"))
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the files are %v, want %v", got, want)
	}
}

// Files that were being replaced when the power went come back under another
// name; what was being written or deleted goes.
func TestSweepTidiesAfterACrash(t *testing.T) {
	dir := t.TempDir()
	stage := filepath.Join(dir, "files", "alice", stagingName)
	for name, content := range map[string]string{"new-OTHER-1": "half", "gone-OTHER-2/x": "deleted", "old-OTHER-3/kept": "precious"} {
		p := filepath.Join(stage, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := startIn(t, dir)
	nettest.WaitFor(t, 30*time.Second, func() bool {
		left, err := os.ReadDir(stage)
		return err == nil && len(left) == 0
	})
	if got := readTree(t, filepath.Join(dir, "files", "alice")); len(got) != 1 || got["recovered-OTHER-3/kept"] != "precious" {
		t.Errorf("the files are %v", got)
	}
	c.want(http.StatusOK, "GET", "/dav/files/alice/recovered-OTHER-3/kept", "")
}

// A large file goes out without being copied through the process.
func TestLargeFilesKeepTheirReaderFrom(t *testing.T) {
	c := start(t)
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	c.want(http.StatusCreated, "PUT", "/dav/files/alice/big", string(big))
	rec := &fromRecorder{header: http.Header{}}
	r, _ := http.NewRequest("GET", "http://cell/dav/files/alice/big", nil)
	r.SetBasicAuth("alice", "pw")
	c.Handler().ServeHTTP(rec, r)
	if _, ok := rec.from.(*io.LimitedReader); !ok || rec.n != int64(len(big)) {
		t.Errorf("ReadFrom got a %T and %d bytes", rec.from, rec.n)
	} else if _, ok := rec.from.(*io.LimitedReader).R.(*os.File); !ok {
		t.Errorf("it reads from a %T, not a file", rec.from.(*io.LimitedReader).R)
	}
}

type fromRecorder struct {
	header http.Header
	from   io.Reader
	n      int64
}

func (r *fromRecorder) Header() http.Header         { return r.header }
func (r *fromRecorder) WriteHeader(int)             {}
func (r *fromRecorder) Write(b []byte) (int, error) { return len(b), nil }
func (r *fromRecorder) ReadFrom(from io.Reader) (n int64, err error) {
	r.from = from
	r.n, err = io.Copy(io.Discard, from)
	return r.n, err
}

func TestFilesForTheUI(t *testing.T) {
	c := start(t)
	c.want(http.StatusCreated, "MKCOL", "/dav/files/alice/b", "")
	c.want(http.StatusCreated, "PUT", "/dav/files/alice/a", "abc")
	c.want(http.StatusCreated, "PUT", "/dav/files/alice/b/c", "")
	got, err := c.Files("alice", "/")
	if err != nil || len(got) != 2 || got[0].Name != "b" || !got[0].Dir || got[1].Name != "a" || got[1].Size != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := c.Files("alice", "b"); err != nil || len(got) != 1 || got[0].Name != "c" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"../bob", "a", "nothing", stagingName, "b/../..", "b//c"} {
		got, err := c.Files("alice", bad)
		var told interface{ HTTP() (int, string) }
		if !errors.As(err, &told) {
			t.Errorf("%q lists %+v, %v", bad, got, err)
		} else if status, text := told.HTTP(); status >= 500 || text == "" {
			t.Errorf("%q is refused by %d %q", bad, status, text)
		}
	}
}
