package davsrv

import (
	"net/http"
	"net/url"
	"path"
	"strings"
)

// Limits of paths.
const (
	maxSegment  = 255 // bytes, that of Linux file systems
	maxSegments = 128
)

// A tree is one of the branches of /dav/.
type tree string

const (
	treeRoot       tree = ""
	treePrincipals tree = "principals"
	treeCalendars  tree = "calendars"
	treeContacts   tree = "contacts"
	treeFiles      tree = "files"
)

// prefix is where everything lives.
const prefix = "/dav/"

// A target is the place that a URL names: /dav/<tree>/<owner>/<rest>.
type target struct {
	tree  tree
	owner string   // empty at the tree's root
	rest  []string // decoded segments below the owner
	slash bool     // the URL ended in a slash
}

var errNoSuchPlace = refuse(http.StatusNotFound, "There is nothing at this address.")

// parseTarget takes a percent-encoded URL path apart. Segments are decoded one
// by one, so that an encoded slash can never become a separator.
func parseTarget(escaped string) (target, error) {
	var t target
	if escaped+"/" == prefix {
		escaped = prefix
	}
	tail, ok := strings.CutPrefix(escaped, prefix)
	if !ok {
		return t, errNoSuchPlace
	}
	t.slash = tail == "" || strings.HasSuffix(tail, "/")
	tail = strings.TrimSuffix(tail, "/")
	if tail == "" {
		return t, nil
	}
	parts := strings.Split(tail, "/")
	if len(parts) > maxSegments {
		return t, refuse(http.StatusRequestURITooLong, "The path has too many segments.")
	}
	for i, p := range parts {
		s, err := url.PathUnescape(p)
		if err != nil {
			return t, refuse(http.StatusBadRequest, "The path is not percent-encoded correctly.")
		}
		if err := checkSegment(s); err != nil {
			return t, err
		}
		parts[i] = s
	}
	switch t.tree = tree(parts[0]); t.tree {
	case treePrincipals, treeCalendars, treeContacts, treeFiles:
	default:
		return t, errNoSuchPlace
	}
	if len(parts) > 1 {
		t.owner, t.rest = parts[1], parts[2:]
	}
	return t, nil
}

// checkSegment refuses names that are no names: empty, dots, with a slash or a
// control character, or too long. Backslashes go as well: they would be
// separators on the Windows machine that a folder is synced to.
func checkSegment(s string) error {
	switch {
	case s == "" || s == "." || s == "..":
		return refuse(http.StatusBadRequest, "The path has an empty or dotted segment.")
	case len(s) > maxSegment:
		return refuse(http.StatusRequestURITooLong, "A name in the path is longer than 255 bytes.")
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == 0x7f || c == '/' || c == '\\' {
			return refuse(http.StatusBadRequest, "A name in the path has a slash, backslash or control character.")
		}
	}
	return nil
}

// path is the rest joined, "." for the owner's own root. It is fit for an
// [os.Root].
func (t target) path() string {
	if len(t.rest) == 0 {
		return "."
	}
	return path.Join(t.rest...)
}

// href encodes the path of decoded segments below /dav/.
func href(segments ...string) string {
	var b strings.Builder
	b.WriteString("/dav")
	for _, s := range segments {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(s))
	}
	return b.String()
}

// hrefDir is href with the slash of a collection.
func hrefDir(segments ...string) string { return href(segments...) + "/" }

func pathEscape(segment string) string { return url.PathEscape(segment) }

// hrefFile encodes a slash-separated path within a user's files.
func hrefFile(owner, name string, dir bool) string {
	h := href(string(treeFiles), owner)
	if name != "." {
		for s := range strings.SplitSeq(name, "/") {
			h += "/" + url.PathEscape(s)
		}
	}
	if dir {
		h += "/"
	}
	return h
}

// destination resolves the Destination header of r, which must lie on the host
// that r was sent to (RFC 4918 §10.3).
func destination(r *http.Request) (target, error) {
	d := r.Header.Get("Destination")
	if d == "" {
		return target{}, refuse(http.StatusBadRequest, "The request lacks a Destination header.")
	}
	u, err := url.Parse(d)
	if err != nil || u.Opaque != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return target{}, refuse(http.StatusBadRequest, "The Destination header is no address of this server.")
	}
	if u.Host != "" && !sameHost(u, r) {
		return target{}, refuse(http.StatusBadGateway, "The Destination is on another server.")
	}
	return parseTarget(u.EscapedPath())
}

// sameHost compares the authority of u with the one r was sent to; a default
// port may be left out. The scheme is not compared: a proxy may end TLS.
func sameHost(u *url.URL, r *http.Request) bool {
	trim := func(host string) string {
		host = strings.ToLower(host)
		if h, ok := strings.CutSuffix(host, ":443"); ok {
			return h
		}
		return strings.TrimSuffix(host, ":80")
	}
	return trim(u.Host) == trim(r.Host)
}
