package davsrv

import (
	"encoding/xml"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

// A kind is what a resource is. Kinds are bits, so that a property can name all
// that have it.
type kind uint16

const (
	kindRoot      kind = 1 << iota // /dav/
	kindBranch                     // /dav/calendars/ and its like
	kindPrincipal                  // /dav/principals/U/
	kindCalendars                  // /dav/calendars/U/
	kindCalendar                   // /dav/calendars/U/C/
	kindEvent                      // /dav/calendars/U/C/O
	kindContacts                   // /dav/contacts/U/
	kindBook                       // /dav/contacts/U/B/
	kindCard                       // /dav/contacts/U/B/O
	kindFolder                     // /dav/files/U/…/
	kindFile                       // /dav/files/U/…
)

const (
	kindAny        = kindFile<<1 - 1
	kindCollection = kindCalendar | kindBook
	kindObject     = kindEvent | kindCard
	kindStored     = kindFolder | kindFile
	kindOwned      = kindAny &^ (kindRoot | kindBranch)
	kindPlain      = kindObject | kindFile // not a collection
)

// A resource is what a URL names, with all that its properties are made of.
type resource struct {
	kind    kind
	href    string // percent-encoded
	name    string // last segment, decoded
	owner   string
	coll    *collection // of kindCollection and kindObject
	object  *object     // of kindObject
	file    *fileInfo   // of kindStored
	dead    []deadProp
	hasDead bool // dead was read
}

func (r *resource) is(k kind) bool { return r.kind&k != 0 }

// place is where the resource's own properties are kept; empty where it has
// none.
func (r *resource) place() place {
	switch {
	case r.is(kindCollection):
		return r.coll.place()
	case r.is(kindObject):
		return placeOf(r.coll.id, r.object.name)
	case r.is(kindStored):
		return placeOfFile(r.owner, r.file.path)
	}
	return ""
}

// state is what conditions are measured against.
func (r *resource) state() resourceState {
	switch {
	case r == nil:
		return resourceState{}
	case r.object != nil:
		return resourceState{true, r.object.sum.String(), r.object.modified}
	case r.file != nil:
		return resourceState{true, r.file.etag, r.file.modified}
	}
	return resourceState{exists: true}
}

// deadText is the text of a property that a client set, or def.
func (r *resource) deadText(name xml.Name, def string) string {
	for _, p := range r.dead {
		if p.name == name {
			return p.text()
		}
	}
	return def
}

func collectionResource(c *collection) *resource {
	k := kindCalendar
	if c.Shelf == shelfContacts {
		k = kindBook
	}
	return &resource{kind: k, href: c.href(), name: c.Name, owner: c.Owner, coll: c}
}

func objectResource(c *collection, o *object) *resource {
	k := kindEvent
	if c.Shelf == shelfContacts {
		k = kindCard
	}
	return &resource{kind: k, href: c.href() + pathEscape(o.name), name: o.name, owner: c.Owner, coll: c, object: o}
}

func fileResource(owner string, f *fileInfo) *resource {
	k := kindFile
	if f.dir {
		k = kindFolder
	}
	name := path.Base(f.path)
	if f.path == "." {
		name = owner
	}
	return &resource{kind: k, href: hrefFile(owner, f.path, f.dir), name: name, owner: owner, file: f}
}

// contentType is the media type that a GET answers with.
func (r *resource) contentType() string {
	switch r.kind {
	case kindEvent:
		return "text/calendar; charset=utf-8; component=" + strings.ToLower(r.object.comp)
	case kindCard:
		return "text/vcard; charset=utf-8"
	case kindFile:
		if t := mime.TypeByExtension(path.Ext(r.name)); t != "" {
			return t
		}
		return "application/octet-stream"
	}
	return "httpd/unix-directory"
}

// A liveProp is a property that the server computes.
type liveProp struct {
	on      kind // who has it
	all     bool // allprop includes it
	guarded bool // clients cannot set it
	// write appends the content; nil: the property has none.
	write func(*xmlWriter, *request, *resource)
	// has narrows on.
	has func(*resource) bool
}

func textProp(f func(*request, *resource) string) func(*xmlWriter, *request, *resource) {
	return func(x *xmlWriter, q *request, r *resource) { x.text(f(q, r)) }
}

func hrefProp(f func(*request, *resource) string) func(*xmlWriter, *request, *resource) {
	return func(x *xmlWriter, q *request, r *resource) { x.href(f(q, r)) }
}

func principal(user string) string { return hrefDir(string(treePrincipals), user) }

// liveProps is the table of all properties that are computed. What clients may
// set besides has a default here, which holds until they do.
func liveProps() map[xml.Name]liveProp {
	props := map[xml.Name]liveProp{
		dav("resourcetype"): {on: kindAny, all: true, guarded: true, write: writeResourceType},
		dav("displayname"): {on: kindAny &^ kindObject, all: true, write: textProp(func(q *request, r *resource) string {
			if r.is(kindPrincipal) {
				return q.s.displayName(r.owner)
			}
			return r.name
		})},
		dav("getetag"): {on: kindPlain, all: true, guarded: true, write: textProp(func(_ *request, r *resource) string { return r.state().etag })},
		dav("getcontentlength"): {on: kindPlain, all: true, guarded: true, write: textProp(func(_ *request, r *resource) string {
			if r.object != nil {
				return strconv.FormatInt(r.object.size, 10)
			}
			return strconv.FormatInt(r.file.size, 10)
		})},
		dav("getcontenttype"): {on: kindPlain, all: true, guarded: true, write: textProp(func(_ *request, r *resource) string { return r.contentType() })},
		dav("getlastmodified"): {on: kindObject | kindStored, all: true, guarded: true, write: textProp(func(_ *request, r *resource) string {
			return r.state().modified.UTC().Format(http.TimeFormat)
		})},
		dav("creationdate"): {on: kindCollection, all: true, guarded: true, write: textProp(func(_ *request, r *resource) string {
			return r.coll.Created.UTC().Format(time.RFC3339)
		})},
		dav("supportedlock"):            {on: kindStored, all: true, guarded: true, write: writeSupportedLock},
		dav("lockdiscovery"):            {on: kindStored, all: true, guarded: true, write: writeLockDiscovery},
		dav("current-user-principal"):   {on: kindAny, guarded: true, write: hrefProp(func(q *request, _ *resource) string { return principal(q.user) })},
		dav("principal-URL"):            {on: kindPrincipal, guarded: true, write: hrefProp(func(_ *request, r *resource) string { return principal(r.owner) })},
		dav("owner"):                    {on: kindOwned, guarded: true, write: hrefProp(func(_ *request, r *resource) string { return principal(r.owner) })},
		dav("principal-collection-set"): {on: kindAny, guarded: true, write: hrefProp(func(*request, *resource) string { return hrefDir(string(treePrincipals)) })},
		dav("current-user-privilege-set"): {on: kindAny, guarded: true, write: func(x *xmlWriter, _ *request, r *resource) {
			writePrivileges(x, r)
		}},
		dav("supported-report-set"): {on: kindAny, guarded: true, write: writeReports},
		dav("sync-token"):           {on: kindCollection, guarded: true, write: textProp(func(_ *request, r *resource) string { return r.coll.syncToken(r.coll.rev) })},
		{Space: nsServer, Local: "getctag"}: {on: kindCollection, guarded: true, write: textProp(func(_ *request, r *resource) string {
			return r.coll.syncToken(r.coll.rev)
		})},
		cal("calendar-home-set"): {on: kindPrincipal, guarded: true, write: hrefProp(func(_ *request, r *resource) string {
			return hrefDir(string(treeCalendars), r.owner)
		})},
		card("addressbook-home-set"): {on: kindPrincipal, guarded: true, write: hrefProp(func(_ *request, r *resource) string {
			return hrefDir(string(treeContacts), r.owner)
		})},
		cal("calendar-user-address-set"): {on: kindPrincipal, guarded: true, write: func(x *xmlWriter, q *request, r *resource) {
			if a := q.s.address(r.owner); a != "" {
				x.href("mailto:" + a)
			}
			x.href(principal(r.owner))
		}},
		cal("calendar-user-type"): {on: kindPrincipal, guarded: true, write: textProp(func(*request, *resource) string { return "INDIVIDUAL" })},
		{Space: nsServer, Local: "email-address-set"}: {on: kindPrincipal, guarded: true, write: func(x *xmlWriter, q *request, r *resource) {
			if a := q.s.address(r.owner); a != "" {
				x.element(xml.Name{Space: nsServer, Local: "email-address"}, a)
			}
		}},
	}
	for name, p := range collectionProps() {
		props[name] = p
	}
	return props
}
