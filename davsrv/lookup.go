package davsrv

import (
	"net/http"
)

func branch(t tree) *resource {
	return &resource{kind: kindBranch, href: hrefDir(string(t)), name: string(t)}
}

// shelfIn is the kind of collection that lives in a tree.
func shelfIn(t tree) (shelf, bool) {
	switch t {
	case treeCalendars:
		return shelfCalendar, true
	case treeContacts:
		return shelfContacts, true
	}
	return "", false
}

// lookup finds what is at a place; errors are refusals where it is nothing.
func (q *request) lookup(t target) (*resource, error) {
	switch {
	case t.tree == treeRoot:
		return &resource{kind: kindRoot, href: prefix, name: "dav"}, nil
	case t.owner == "":
		return branch(t.tree), nil
	case t.tree == treeFiles:
		return q.lookupFile(t)
	case t.tree == treePrincipals:
		if len(t.rest) > 0 {
			return nil, errNoSuchPlace
		}
		return &resource{kind: kindPrincipal, href: principal(t.owner), name: t.owner, owner: t.owner}, nil
	}
	s, _ := shelfIn(t.tree)
	if err := q.s.store.furnish(q.r.Context(), t.owner, s); err != nil {
		return nil, err
	}
	if len(t.rest) == 0 {
		k := kindCalendars
		if s == shelfContacts {
			k = kindContacts
		}
		return &resource{kind: k, href: hrefDir(string(t.tree), t.owner), name: t.owner, owner: t.owner}, nil
	}
	if len(t.rest) > 2 {
		return nil, errNoSuchPlace
	}
	c, err := q.s.store.collection(t.owner, s, t.rest[0])
	if err != nil {
		return nil, err
	}
	if len(t.rest) == 1 {
		return collectionResource(c), nil
	}
	o, err := q.s.store.object(c.id, t.rest[1])
	if err != nil {
		return nil, err
	}
	return objectResource(c, o), nil
}

// etagOf and lockedBy measure If headers.
func (q *request) etagOf(t target) string {
	if t.owner != q.user {
		return ""
	}
	r, err := q.lookup(t)
	if err != nil {
		return ""
	}
	return r.state().etag
}

func (q *request) lockedBy(t target, token string) bool {
	return t.tree == treeFiles && t.owner == q.user && q.s.locks.covers(t.owner, t.path(), token)
}

// unconditional refuses conditions on entity tags, of which collections have
// none.
func (q *request) unconditional() error {
	return checkConditions(q.r.Header, resourceState{exists: true})
}

// collectionAt finds the collection that the request's path is in or names.
func (q *request) collectionAt(t target) (*collection, error) {
	s, ok := shelfIn(t.tree)
	if !ok || t.owner == "" || len(t.rest) == 0 || len(t.rest) > 2 {
		return nil, refuse(http.StatusForbidden, "Objects live in a calendar or an address book only.")
	}
	if err := q.s.store.furnish(q.r.Context(), t.owner, s); err != nil {
		return nil, err
	}
	return q.s.store.collection(t.owner, s, t.rest[0])
}
