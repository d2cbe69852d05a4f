package davsrv

import (
	"encoding/xml"
	"errors"
	"net/http"
	"slices"
	"strings"
)

// makeCollection answers MKCALENDAR (RFC 4791 §5.3.1) and extended MKCOL (RFC
// 5689) for calendars and address books.
func (q *request) makeCollection() error {
	s, ok := shelfIn(q.at.tree)
	switch {
	case !ok || q.at.owner == "" || len(q.at.rest) == 0:
		return q.notAllowed()
	case q.r.Method == "MKCALENDAR" && s != shelfCalendar:
		return violates(http.StatusForbidden, cal("calendar-collection-location-ok"), "Calendars live below "+hrefDir(string(treeCalendars), q.at.owner)+" only.")
	case len(q.at.rest) > 1:
		where := cal("calendar-collection-location-ok")
		if s == shelfContacts {
			where = card("addressbook-collection-location-ok")
		}
		return violates(http.StatusForbidden, where, "Collections cannot be made within a calendar or address book.")
	}
	root, err := q.xml(maxXMLBody)
	if err != nil && !errors.Is(err, errNoXML) {
		return err
	}
	if err := q.s.store.furnish(q.r.Context(), q.at.owner, s); err != nil {
		return err
	}
	c := &collection{Owner: q.at.owner, Shelf: s, Name: q.at.rest[0], Comps: defaultComps(s)}
	var p patch
	if root != nil {
		if p, err = q.readMake(root, c); err != nil {
			return err
		}
	}
	if len(p.refused) > 0 {
		return violates(http.StatusForbidden, dav("cannot-modify-protected-property"), "A property in the request cannot be set.")
	}
	if err := q.unmappedConditions(); err != nil {
		return err
	}
	if err := q.s.store.create(q.r.Context(), c, p.changes); err != nil {
		return err
	}
	q.w.Header().Set("Cache-Control", "no-cache")
	q.w.WriteHeader(http.StatusCreated)
	return nil
}

func (q *request) unmappedConditions() error {
	return checkConditions(q.r.Header, resourceState{})
}

// readMake reads the body of MKCALENDAR or MKCOL into c and its properties.
func (q *request) readMake(root *node, c *collection) (patch, error) {
	want := dav("mkcol")
	if q.r.Method == "MKCALENDAR" {
		want = cal("mkcalendar")
	}
	if root.name != want {
		return patch{}, badXML("its root is not " + want.Local)
	}
	marker := cal("calendar")
	if c.Shelf == shelfContacts {
		marker = card("addressbook")
	}
	var bad error
	p := q.readPatch(root, func(n *node) bool {
		switch n.name {
		case dav("resourcetype"):
			for t := range n.elements {
				if t.name != dav("collection") && t.name != marker {
					bad = violates(http.StatusForbidden, dav("valid-resourcetype"), "Only calendars live here under calendars, and address books under contacts.")
				}
			}
			return true
		case cal("supported-calendar-component-set"):
			c.Comps = nil
			for comp := range n.elements {
				name := strings.ToUpper(comp.attr("name"))
				if slices.Contains(defaultComps(shelfCalendar), name) && !slices.Contains(c.Comps, name) {
					c.Comps = append(c.Comps, name)
				}
			}
			if len(c.Comps) == 0 {
				bad = violates(http.StatusForbidden, cal("supported-calendar-component"), "A calendar takes VEVENT, VTODO and VJOURNAL.")
			}
			return true
		}
		return false
	})
	return p, bad
}

// report answers REPORT (RFC 3253 §3.6).
func (q *request) report() error {
	root, err := q.xml(maxXMLMultiget)
	if errors.Is(err, errNoXML) {
		err = badXML("there is none")
	}
	if err != nil {
		return err
	}
	r, err := q.lookup(q.at)
	if err != nil {
		return err
	}
	if !slices.Contains(reportsOf(r.kind), root.name) {
		return violates(http.StatusForbidden, dav("supported-report"), "This resource does not answer a "+shortName(root.name)+" report.")
	}
	switch root.name.Local {
	case "calendar-multiget", "addressbook-multiget":
		return q.multiget(root, r.coll)
	case "calendar-query":
		return q.calendarQuery(root, r.coll)
	case "addressbook-query":
		return q.addressbookQuery(root, r.coll)
	}
	return q.syncCollection(root, r.coll)
}

func shortName(n xml.Name) string {
	if len(n.Local) > 40 {
		return n.Local[:40]
	}
	return n.Local
}
