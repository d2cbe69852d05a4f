package davsrv

import (
	"encoding/xml"
	"strconv"
)

// collectionProps are the properties of calendars and address books only.
func collectionProps() map[xml.Name]liveProp {
	size := textProp(func(*request, *resource) string { return strconv.Itoa(maxObject) })
	collations := func(name xml.Name) func(*xmlWriter, *request, *resource) {
		return func(x *xmlWriter, _ *request, _ *resource) {
			for _, c := range []collation{asciiCasemap, unicodeCasemap, octet} {
				x.element(name, string(c))
			}
		}
	}
	return map[xml.Name]liveProp{
		cal("supported-calendar-component-set"): {on: kindCalendar, guarded: true, write: func(x *xmlWriter, _ *request, r *resource) {
			for _, c := range r.coll.Comps {
				x.emptyWith(cal("comp"), "name", c)
			}
		}},
		cal("supported-calendar-data"): {on: kindCalendar, guarded: true, write: func(x *xmlWriter, _ *request, _ *resource) {
			x.emptyWith(cal("calendar-data"), "content-type", "text/calendar", "version", "2.0")
		}},
		cal("max-resource-size"):       {on: kindCalendar, guarded: true, write: size},
		cal("supported-collation-set"): {on: kindCalendar, guarded: true, write: collations(cal("supported-collation"))},
		card("supported-address-data"): {on: kindBook, guarded: true, write: func(x *xmlWriter, _ *request, _ *resource) {
			for _, v := range []string{"3.0", "4.0"} {
				x.emptyWith(card("address-data-type"), "content-type", "text/vcard", "version", v)
			}
		}},
		card("max-resource-size"):       {on: kindBook, guarded: true, write: size},
		card("supported-collation-set"): {on: kindBook, guarded: true, write: collations(card("supported-collation"))},
	}
}

func writeResourceType(x *xmlWriter, _ *request, r *resource) {
	if r.is(kindPlain) {
		return
	}
	x.empty(dav("collection"))
	switch r.kind {
	case kindPrincipal:
		x.empty(dav("principal"))
	case kindCalendar:
		x.empty(cal("calendar"))
	case kindBook:
		x.empty(card("addressbook"))
	}
}

// writePrivileges says what the user may do (RFC 3744 §5.4): everything with
// what is theirs, and look at the rest.
func writePrivileges(x *xmlWriter, r *resource) {
	names := []string{"read", "read-current-user-privilege-set"}
	switch {
	case r.is(kindPlain | kindStored | kindCollection):
		names = append(names, "write", "write-properties", "write-content", "bind", "unbind")
	case r.is(kindCalendars | kindContacts):
		names = append(names, "bind", "unbind")
	}
	for _, n := range names {
		x.open(dav("privilege"))
		x.empty(dav(n))
		x.close(dav("privilege"))
	}
}

// reportsOf are the reports that a resource answers.
func reportsOf(k kind) []xml.Name {
	switch k {
	case kindCalendar:
		return []xml.Name{cal("calendar-query"), cal("calendar-multiget"), dav("sync-collection")}
	case kindBook:
		return []xml.Name{card("addressbook-query"), card("addressbook-multiget"), dav("sync-collection")}
	}
	return nil
}

func writeReports(x *xmlWriter, _ *request, r *resource) {
	for _, n := range reportsOf(r.kind) {
		x.open(dav("supported-report"))
		x.open(dav("report"))
		x.empty(n)
		x.close(dav("report"))
		x.close(dav("supported-report"))
	}
}
