package davsrv

import (
	"net/http"
	"strings"
	"time"

	"github.com/emersion/go-webdav"
)

// A resourceState is what conditions are measured against.
type resourceState struct {
	exists   bool
	etag     string // with its quotes; empty where the resource has none
	modified time.Time
}

var errPrecondition = refuse(http.StatusPreconditionFailed, "The resource is not in the state that the request asks for.")

// checkConditions evaluates If-Match, If-Unmodified-Since and If-None-Match of
// a request that changes something (RFC 9110 §13.2.2). It must run under the
// lock or in the transaction that makes the change.
func checkConditions(h http.Header, st resourceState) error {
	if m := condition(h, "If-Match"); m.IsSet() {
		if !st.exists || !m.IsWildcard() && !etagIn(m, st.etag, strongly) {
			return errPrecondition
		}
	} else if s := h.Get("If-Unmodified-Since"); s != "" && st.exists && !st.modified.IsZero() {
		if t, err := http.ParseTime(s); err == nil && st.modified.Truncate(time.Second).After(t) {
			return errPrecondition
		}
	}
	if m := condition(h, "If-None-Match"); m.IsSet() && st.exists {
		if m.IsWildcard() || etagIn(m, st.etag, weakly) {
			return errPrecondition
		}
	}
	return nil
}

// notModified reports whether a GET or HEAD may be answered with 304.
func notModified(h http.Header, st resourceState) bool {
	if m := condition(h, "If-None-Match"); m.IsSet() {
		return m.IsWildcard() || etagIn(m, st.etag, weakly)
	}
	t, err := http.ParseTime(h.Get("If-Modified-Since"))
	return err == nil && !st.modified.IsZero() && !st.modified.Truncate(time.Second).After(t)
}

// condition is the value of a conditional header, several lines joined.
func condition(h http.Header, name string) webdav.ConditionalMatch {
	return webdav.ConditionalMatch(strings.TrimSpace(strings.Join(h.Values(name), ", ")))
}

// A comparison is how two entity tags are compared (RFC 9110 §8.8.3.2).
type comparison int

const (
	strongly comparison = iota
	weakly
)

// etagIn reports whether the list of entity tags holds etag. A list that is
// malformed holds nothing from the fault on.
func etagIn(list webdav.ConditionalMatch, etag string, how comparison) bool {
	s := string(list)
	for {
		s = strings.TrimLeft(s, " \t,")
		tag, rest, ok := cutETag(s)
		if !ok {
			return false
		}
		if opaque, weak := strings.CutPrefix(tag, "W/"); etag != "" && opaque == etag && (!weak || how == weakly) {
			return true
		}
		s = rest
	}
}

// cutETag takes one entity tag, with W/ and quotes, off the front of s.
func cutETag(s string) (tag, rest string, ok bool) {
	i := 0
	if strings.HasPrefix(s, "W/") {
		i = 2
	}
	if i >= len(s) || s[i] != '"' {
		return "", s, false
	}
	end := strings.IndexByte(s[i+1:], '"')
	if end < 0 {
		return "", s, false
	}
	n := i + 1 + end + 1
	return s[:n], s[n:], true
}
