package davsrv

import (
	"net/http"
	"net/url"
	"strings"
)

// Limits of the If header.
const (
	maxIfHeader     = 8 << 10
	maxIfConditions = 200
)

// An ifHeader is a parsed If header (RFC 4918 §10.4): true when one of its
// lists is.
type ifHeader []ifList

// An ifList is true when all of its conditions are, for the resource it is
// about.
type ifList struct {
	resource   string // the tag as written, empty: the resource of the request
	conditions []ifCondition
}

// An ifCondition asks for a lock token or an entity tag.
type ifCondition struct {
	not   bool
	token string // a URI, or empty
	etag  string // with quotes, or empty
}

// tokens are all lock tokens that the header names, in whatever condition: to
// name a token is to submit it (RFC 4918 §10.4.1).
func (h ifHeader) tokens() []string {
	var out []string
	for _, l := range h {
		for _, c := range l.conditions {
			if c.token != "" && !c.not {
				out = append(out, c.token)
			}
		}
	}
	return out
}

var errBadIf = refuse(http.StatusBadRequest, "The If header cannot be read.")

// parseIf reads an If header; nil for an empty one.
func parseIf(s string) (ifHeader, error) {
	if len(s) > maxIfHeader {
		return nil, refuse(http.StatusRequestHeaderFieldsTooLarge, "The If header is too long.")
	}
	var out ifHeader
	resource, tagged, count := "", false, 0
	for s = trim(s); s != ""; s = trim(s) {
		switch s[0] {
		case '<':
			if len(out) > 0 && !tagged {
				return nil, errBadIf // untagged lists cannot be followed by tagged ones
			}
			uri, rest, ok := cutURI(s)
			if !ok {
				return nil, errBadIf
			}
			if s = trim(rest); !strings.HasPrefix(s, "(") {
				return nil, errBadIf
			}
			resource, tagged = uri, true
		case '(':
			conds, rest, err := parseIfList(s[1:])
			if err != nil {
				return nil, err
			}
			if count += len(conds); count > maxIfConditions {
				return nil, errBadIf
			}
			out = append(out, ifList{resource, conds})
			s = rest
		default:
			return nil, errBadIf
		}
	}
	return out, nil
}

// parseIfList reads the conditions up to the closing parenthesis.
func parseIfList(s string) (conds []ifCondition, rest string, err error) {
	for {
		s = trim(s)
		var c ifCondition
		if len(s) >= 3 && strings.EqualFold(s[:3], "not") {
			c.not = true
			s = trim(s[3:])
		}
		ok := false
		switch {
		case strings.HasPrefix(s, ")"):
			if c.not || len(conds) == 0 {
				return nil, s, errBadIf
			}
			return conds, s[1:], nil
		case strings.HasPrefix(s, "<"):
			c.token, s, ok = cutURI(s)
		case strings.HasPrefix(s, "["):
			var tag string
			tag, s, ok = cutETag(trim(s[1:]))
			s = trim(s)
			if ok = ok && strings.HasPrefix(s, "]"); ok {
				c.etag, s = tag, s[1:]
			}
		}
		if !ok {
			return nil, s, errBadIf
		}
		conds = append(conds, c)
	}
}

// cutURI takes a URI in angle brackets off the front of s.
func cutURI(s string) (uri, rest string, ok bool) {
	end := strings.IndexByte(s, '>')
	if end < 2 || strings.ContainsAny(s[1:end], " \t<\"") {
		return "", s, false
	}
	return s[1:end], s[end+1:], true
}

func trim(s string) string { return strings.TrimLeft(s, " \t") }

// A stateOf tells what an If header is measured against: the entity tag of the
// resource at a place, and whether a lock with that token covers it.
type stateOf interface {
	etagOf(t target) string
	lockedBy(t target, token string) bool
}

// holds evaluates the header for a request to self. No header holds.
func (h ifHeader) holds(r *http.Request, self target, st stateOf) bool {
	if len(h) == 0 {
		return true
	}
	for _, l := range h {
		about, ok := self, true
		if l.resource != "" {
			about, ok = sameServer(l.resource, r)
		}
		all := true
		for _, c := range l.conditions {
			var is bool
			switch {
			case !ok:
			case c.token != "":
				is = st.lockedBy(about, c.token)
			default:
				opaque, weak := strings.CutPrefix(c.etag, "W/")
				is = !weak && opaque == st.etagOf(about)
			}
			if is == c.not {
				all = false
				break
			}
		}
		if all {
			return true
		}
	}
	return false
}

// sameServer resolves a tag of the If header; false where it is elsewhere.
func sameServer(tag string, r *http.Request) (target, bool) {
	u, err := url.Parse(tag)
	if err != nil || u.Host != "" && !sameHost(u, r) {
		return target{}, false
	}
	t, err := parseTarget(u.EscapedPath())
	return t, err == nil
}
