package davsrv

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func lockToken(a answer) string { return strings.Trim(a.header.Get("Lock-Token"), "<>") }

// Locks outlive a restart, end when they are over, and protect a file also from
// what is done to its folder.
func TestLocksOutliveARestart(t *testing.T) {
	dir := t.TempDir()
	c := startIn(t, dir)
	c.want(http.StatusCreated, "MKCOL", "/dav/files/alice/d", "")
	c.want(http.StatusCreated, "PUT", "/dav/files/alice/d/f", "x")
	token := lockToken(c.want(http.StatusOK, "LOCK", "/dav/files/alice/d/f", lockBody("exclusive"), "Timeout", "Second-100"))
	brief := lockToken(c.want(http.StatusCreated, "LOCK", "/dav/files/alice/d/brief", lockBody("exclusive"), "Timeout", "Second-1"))
	c.stop()
	c = startIn(t, dir)
	c.want(http.StatusLocked, "PUT", "/dav/files/alice/d/f", "y")
	c.want(http.StatusLocked, "DELETE", "/dav/files/alice/d", "")
	c.want(http.StatusLocked, "MOVE", "/dav/files/alice/d", "", "Destination", "/dav/files/alice/e")
	c.want(http.StatusLocked, "LOCK", "/dav/files/alice/d", lockBody("exclusive"))
	c.want(http.StatusLocked, "PROPPATCH", "/dav/files/alice/d/f", `<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><x xmlns="y">1</x></D:prop></D:set></D:propertyupdate>`)
	a := c.want(http.StatusLocked, "COPY", "/dav/files/alice/d/brief", "", "Destination", "/dav/files/alice/d/f")
	if !strings.Contains(a.body, "<D:lock-token-submitted><D:href>/dav/files/alice/d/f</D:href>") {
		t.Error(a.body)
	}
	c.want(http.StatusNoContent, "PUT", "/dav/files/alice/d/f", "y", "If", "(<"+token+">)")
	c.want(http.StatusPreconditionFailed, "PUT", "/dav/files/alice/d/f", "y", "If", "(<urn:uuid:x>)")
	c.want(http.StatusOK, "LOCK", "/dav/files/alice/d/f", "", "If", "(<"+token+">)", "Timeout", "Infinite")
	a = c.want(http.StatusMultiStatus, "PROPFIND", "/dav/files/alice/d/f", propfind(`<D:lockdiscovery/>`), "Depth", "0")
	if m := a.lacks(token, "<D:timeout>Second-3600</D:timeout>", `<owner xmlns="DAV:">me</owner>`); m != nil {
		t.Errorf("lacks %s: %s", m, a.body)
	}
	c.want(http.StatusNoContent, "DELETE", "/dav/files/alice/d", "", "If", "</dav/files/alice/d/f> (<"+token+">) </dav/files/alice/d/brief> (<"+brief+">)")
	c.want(http.StatusCreated, "MKCOL", "/dav/files/alice/d", "")
	c.want(http.StatusCreated, "PUT", "/dav/files/alice/d/f", "free")
	c.want(http.StatusConflict, "UNLOCK", "/dav/files/alice/d/f", "", "Lock-Token", "<"+token+">")
}

func TestLocksAreBounded(t *testing.T) {
	c := start(t)
	c.want(http.StatusCreated, "PUT", "/dav/files/alice/f", "x")
	long := strings.Replace(lockBody("exclusive"), ">me<", ">"+strings.Repeat("m", maxLockOwner)+"<", 1)
	c.want(http.StatusRequestEntityTooLarge, "LOCK", "/dav/files/alice/f", long)
	c.want(http.StatusBadRequest, "LOCK", "/dav/files/alice/f", lockBody("exclusive"), "Depth", "1")
	c.want(http.StatusBadRequest, "LOCK", "/dav/files/alice/f", strings.Replace(lockBody("shared"), "write", "read", 1))
	c.want(http.StatusBadRequest, "LOCK", "/dav/files/alice/f", lockBody("partial"))
	c.want(http.StatusBadRequest, "UNLOCK", "/dav/files/alice/f", "")
	c.want(http.StatusPreconditionFailed, "LOCK", "/dav/files/alice/f", "")
	c.want(http.StatusConflict, "LOCK", "/dav/files/alice/no/f", lockBody("exclusive"))
	c.want(http.StatusMethodNotAllowed, "LOCK", personal+"x.ics", lockBody("exclusive"))
	for i := range maxLocks {
		c.want(http.StatusOK, "LOCK", "/dav/files/alice/f", lockBody("shared"), "Timeout", fmt.Sprintf("Second-%d", 100+i))
	}
	c.want(http.StatusInsufficientStorage, "LOCK", "/dav/files/alice/f", lockBody("shared"))
}

func TestLocksEnd(t *testing.T) {
	c := start(t)
	c.want(http.StatusCreated, "LOCK", "/dav/files/alice/f", lockBody("exclusive"), "Timeout", "Second-1")
	c.want(http.StatusLocked, "PUT", "/dav/files/alice/f", "x")
	l := *c.locks.of("alice")[0]
	if left := time.Until(l.Expires); left > time.Second {
		t.Errorf("it lasts %v more", left)
	}
	l.Expires = time.Now().Add(-time.Millisecond)
	if err := c.locks.save(t.Context(), "alice", []*lock{&l}); err != nil {
		t.Fatal(err)
	}
	c.want(http.StatusNoContent, "PUT", "/dav/files/alice/f", "x")
}

// One user's locks are nobody else's business, nor are those of a neighbour path.
func TestLocksReachWhatTheyCover(t *testing.T) {
	for name, tt := range map[string]struct {
		lock lock
		act  action
		want bool
	}{
		"the file":                 {lock{Path: "d/f"}, action{"d/f", modifying}, true},
		"a sibling":                {lock{Path: "d/f"}, action{"d/g", modifying}, false},
		"a name that begins alike": {lock{Path: "d/f", Infinite: true}, action{"d/fg", modifying}, false},
		"within, shallow":          {lock{Path: "d"}, action{"d/f", modifying}, false},
		"within, deep":             {lock{Path: "d", Infinite: true}, action{"d/e/f", modifying}, true},
		"new name in it":           {lock{Path: "d"}, action{"d/f", adding}, true},
		"new name further down":    {lock{Path: "d"}, action{"d/e/f", adding}, false},
		"name gone from it":        {lock{Path: "d"}, action{"d/f", removing}, true},
		"folder above goes":        {lock{Path: "d/e/f"}, action{"d", removing}, true},
		"root, deep":               {lock{Path: ".", Infinite: true}, action{"a", modifying}, true},
		"root, new name":           {lock{Path: "."}, action{"a", adding}, true},
		"root, further down":       {lock{Path: "."}, action{"a/b", adding}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tt.lock.touches(tt.act); got != tt.want {
				t.Errorf("touches is %v", got)
			}
		})
	}
}
