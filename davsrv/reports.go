package davsrv

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// maxHrefs bounds the hrefs of one multiget.
const maxHrefs = 5_000

// multiget answers calendar-multiget (RFC 4791 §7.9) and addressbook-multiget
// (RFC 6352 §8.7).
func (q *request) multiget(root *node, c *collection) error {
	p, err := q.readProps(root, wantAll)
	if err != nil {
		return err
	}
	var hrefs []string
	for n := range root.elements {
		if n.name == dav("href") {
			hrefs = append(hrefs, n.content())
		}
	}
	m := newMultistatus(q.w)
	cut := len(hrefs) > maxHrefs
	if cut {
		hrefs = hrefs[:maxHrefs]
	}
	for _, h := range hrefs {
		if err := q.multigetOne(m, p, c, h); err != nil {
			return m.finish(err)
		}
	}
	if cut {
		m.status(c.href(), http.StatusInsufficientStorage, dav("number-of-matches-within-limits"))
	}
	return m.finish(q.r.Context().Err())
}

func (q *request) multigetOne(m *multistatus, p *propRequest, c *collection, h string) error {
	name, ok := q.memberOf(c, h)
	if !ok {
		m.status(asHref(h), http.StatusNotFound, xml.Name{})
		return m.err
	}
	o, err := q.s.store.object(c.id, name)
	if ref, told := asRefusal(err); err != nil && told && ref.status == http.StatusNotFound {
		m.status(asHref(h), http.StatusNotFound, xml.Name{})
		return m.err
	}
	if err != nil {
		return err
	}
	return p.respond(q, m, []*resource{objectResource(c, o)})
}

// memberOf is the name of the object that an href in a report means, if that is
// a member of c.
func (q *request) memberOf(c *collection, h string) (string, bool) {
	u, err := url.Parse(h)
	if err != nil || u.Host != "" && !sameHost(u, q.r) {
		return "", false
	}
	t, err := parseTarget(u.EscapedPath())
	ok := err == nil && t.tree == c.Shelf.tree() && t.owner == c.Owner && len(t.rest) == 2 && t.rest[0] == c.Name
	if !ok {
		return "", false
	}
	return t.rest[1], true
}

// asHref repeats an href of the client, so that it knows what is meant.
func asHref(h string) string {
	if u, err := url.Parse(h); err == nil && u.EscapedPath() != "" {
		return u.EscapedPath()
	}
	return (&url.URL{Path: h}).EscapedPath()
}

// maxSync bounds one answer to a sync-collection; clients go on from its token.
const maxSync = 10_000

// syncCollection answers sync-collection (RFC 6578 §3).
func (q *request) syncCollection(root *node, c *collection) error {
	p, err := q.readProps(root, wantNamed)
	if err != nil {
		return err
	}
	switch level := root.child(dav("sync-level")).content(); level {
	case "1", "infinite", "":
	default:
		return badXML("its sync-level is neither 1 nor infinite")
	}
	var since uint64
	if token := root.child(dav("sync-token")).content(); token != "" {
		if since, err = c.readSyncToken(token); err != nil {
			return err
		}
	}
	limit := maxSync
	if l := root.child(dav("limit")); l != nil {
		n, err := strconv.Atoi(l.child(dav("nresults")).content())
		if err != nil || n < 1 {
			return badXML("its limit is not a number above zero")
		}
		limit = min(limit, n)
	}
	choose := rowOnly
	if p.wantsData() {
		choose = whole
	}
	list, rev, more, err := q.s.store.changes(c.id, since, limit, choose)
	if err != nil {
		return err
	}
	m := newMultistatus(q.w)
	var batch []*resource
	for _, ch := range list {
		if ch.object != nil {
			batch = append(batch, objectResource(c, ch.object))
			continue
		}
		m.status(c.href()+pathEscape(ch.name), http.StatusNotFound, xml.Name{})
	}
	if err := p.respond(q, m, batch); err != nil {
		return m.finish(err)
	}
	if more {
		m.status(c.href(), http.StatusInsufficientStorage, dav("number-of-matches-within-limits"))
	}
	m.syncToken(c.syncToken(rev))
	return m.finish(nil)
}

// readTextMatch reads the text and negation of a text-match.
func readTextMatch(n *node) (text string, negate bool, err error) {
	switch strings.ToLower(n.attr("negate-condition")) {
	case "", "no":
	case "yes":
		negate = true
	default:
		return "", false, badXML("a negate-condition is neither yes nor no")
	}
	return n.rawContent(), negate, nil
}
