package davsrv

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"pic/core/state"
)

func syncBody(token string, limit int) string {
	l := ""
	if limit > 0 {
		l = fmt.Sprintf(`<D:limit><D:nresults>%d</D:nresults></D:limit>`, limit)
	}
	return `<D:sync-collection xmlns:D="DAV:"><D:sync-token>` + token + `</D:sync-token><D:sync-level>1</D:sync-level>` + l + `<D:prop><D:getetag/></D:prop></D:sync-collection>`
}

func syncToken(t *testing.T, c *cell, path string) string {
	t.Helper()
	a := c.want(http.StatusMultiStatus, "PROPFIND", path, propfind(`<D:sync-token/>`), "Depth", "0")
	return between(a.body, "<D:sync-token>", "</D:sync-token>")
}

func between(s, from, to string) string {
	_, s, _ = strings.Cut(s, from)
	s, _, _ = strings.Cut(s, to)
	return s
}

// A replica is what a client that syncs believes.
type replica struct {
	token string
	etags map[string]string
	calls int
}

// sync brings the replica up to date, by pages of limit, and returns how many
// changes and deletions it was told.
func (r *replica) sync(t *testing.T, c *cell, path string, limit int) (changed, deleted int) {
	t.Helper()
	if r.etags == nil {
		r.etags = make(map[string]string)
	}
	for {
		r.calls++
		a := c.want(http.StatusMultiStatus, "REPORT", path, syncBody(r.token, limit))
		more := false
		for _, resp := range strings.Split(a.body, "<D:response>")[1:] {
			href := between(resp, "<D:href>", "</D:href>")
			switch {
			case strings.Contains(resp, "HTTP/1.1 404"):
				deleted++
				delete(r.etags, href)
			case strings.Contains(resp, "HTTP/1.1 507"):
				more = true
			default:
				changed++
				r.etags[href] = between(resp, "<D:getetag>", "</D:getetag>")
			}
		}
		r.token = between(a.body, "<D:sync-token>", "</D:sync-token>")
		if !more {
			return changed, deleted
		}
	}
}

// truth is what a PROPFIND says.
func truth(t *testing.T, c *cell, path string) map[string]string {
	t.Helper()
	a := c.want(http.StatusMultiStatus, "PROPFIND", path, propfind(`<D:getetag/>`), "Depth", "1")
	out := make(map[string]string)
	for _, resp := range strings.Split(a.body, "<D:response>")[1:] {
		if href := between(resp, "<D:href>", "</D:href>"); href != path {
			out[href] = between(resp, "<D:getetag>", "</D:getetag>")
		}
	}
	return out
}

func expectReplica(t *testing.T, c *cell, r *replica, path string) {
	t.Helper()
	want := truth(t, c, path)
	if fmt.Sprint(r.etags) != fmt.Sprint(want) {
		t.Errorf("the replica is %v, the truth %v", r.etags, want)
	}
}

func TestSyncTellsEachChangeOnce(t *testing.T) {
	c := start(t)
	put := func(name string, version int) {
		t.Helper()
		if a := c.do("PUT", personal+name+".ics", event(name, fmt.Sprintf("DTSTART:20260310T100000Z\nSEQUENCE:%d\n", version))); a.status >= 300 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	del := func(name string) { t.Helper(); c.want(http.StatusNoContent, "DELETE", personal+name+".ics", "") }
	var r replica
	step := func(what string, limit, changed, deleted int) {
		t.Helper()
		if ch, de := r.sync(t, c, personal, limit); ch != changed || de != deleted {
			t.Errorf("%s: told %d changes and %d deletions, want %d and %d", what, ch, de, changed, deleted)
		}
		expectReplica(t, c, &r, personal)
	}
	step("empty", 0, 0, 0)
	for i := range 25 {
		put(fmt.Sprint("e", i), 0)
	}
	step("new ones", 0, 25, 0)
	step("nothing", 0, 0, 0)
	put("e3", 1)
	put("e3", 2)
	step("one changed twice", 0, 1, 0)
	put("e3", 2)
	step("the same bytes again", 0, 0, 0)
	del("e4")
	step("deleted", 0, 0, 1)
	del("e5")
	put("e5", 1)
	step("deleted and made again", 0, 1, 0)
	put("new", 0)
	del("new")
	step("came and went", 0, 0, 1)
	c.want(http.StatusCreated, "MOVE", personal+"e6.ics", "", "Destination", personal+"moved.ics")
	step("renamed", 0, 1, 1)
	for i := 10; i < 20; i++ {
		put(fmt.Sprint("e", i), 1)
		if i%3 == 0 {
			del(fmt.Sprint("e", i))
		}
	}
	step("many, by pages of two", 2, 7, 3)
	c.want(http.StatusMultiStatus, "PROPPATCH", personal, `<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><D:displayname>x</D:displayname></D:prop></D:set></D:propertyupdate>`)
	step("a property of the calendar", 0, 0, 0)

	fresh := replica{}
	// The later pages tell of deletions too, since they go by the token alone.
	if ch, _ := fresh.sync(t, c, personal, 4); ch != len(truth(t, c, personal)) || fresh.calls < 5 {
		t.Errorf("from nothing, by pages of four: %d changes in %d calls", ch, fresh.calls)
	}
	expectReplica(t, c, &fresh, personal)
}

func TestSyncRefusesTokensThatAreNotItsOwn(t *testing.T) {
	c := start(t)
	other := syncToken(t, c, book)
	own := syncToken(t, c, personal)
	for _, token := range []string{other, own + "9", "x", "urn:x-pic:sync:", own + " x", "urn:x-pic:sync:1:-1", strings.Repeat("9", 500)} {
		a := c.want(http.StatusForbidden, "REPORT", personal, syncBody(token, 0))
		if !strings.Contains(a.body, "<D:valid-sync-token/>") {
			t.Errorf("%q: %s", token, a.body)
		}
	}
	c.want(http.StatusMultiStatus, "REPORT", personal, syncBody(own, 0))
	c.want(http.StatusBadRequest, "REPORT", personal, strings.Replace(syncBody("", 1), ">1</D:nresults>", ">0</D:nresults>", 1))
	c.want(http.StatusBadRequest, "REPORT", personal, strings.Replace(syncBody("", 0), ">1</D:sync-level>", ">2</D:sync-level>", 1))
	c.want(http.StatusForbidden, "REPORT", "/dav/calendars/alice/", syncBody("", 0))
}

// Deletions are forgotten after half a year; who was away longer starts again.
func TestOldDeletionsEndOldTokens(t *testing.T) {
	c := start(t)
	for _, n := range []string{"a", "b"} {
		c.want(http.StatusCreated, "PUT", personal+n+".ics", event(n, "DTSTART:20260310T100000Z\n"))
	}
	old := syncToken(t, c, personal)
	c.want(http.StatusNoContent, "DELETE", personal+"a.ics", "")
	recent := syncToken(t, c, personal)
	long := uint64(time.Now().Add(-keepGone - time.Hour).Unix())
	err := c.store.space.Update(t.Context(), func(w state.Writer) error {
		for k, v := range w.Scan([]byte{keyGone}, nil) {
			if err := w.Put(k, append(binary.BigEndian.AppendUint64(nil, long), v[8:]...)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c.want(http.StatusNoContent, "DELETE", personal+"b.ics", "")
	c.want(http.StatusForbidden, "REPORT", personal, syncBody(old, 0))
	a := c.want(http.StatusMultiStatus, "REPORT", personal, syncBody(recent, 0))
	if strings.Count(a.body, "404") != 1 {
		t.Error(a.body)
	}
}
