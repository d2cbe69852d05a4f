package davsrv

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

const (
	personal = "/dav/calendars/alice/personal/"
	book     = "/dav/contacts/alice/contacts/"
)

func propfind(props string) string {
	return `<?xml version="1.0"?><D:propfind xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:R="urn:ietf:params:xml:ns:carddav" xmlns:S="http://calendarserver.org/ns/" xmlns:A="http://apple.com/ns/ical/"><D:prop>` + props + `</D:prop></D:propfind>`
}

// A client that knows nothing but the host's name finds its way.
func TestDiscoveryLeadsToTheCollections(t *testing.T) {
	c := start(t)
	for _, p := range []string{"/.well-known/caldav", "/.well-known/carddav", "/"} {
		for _, method := range []string{"GET", "PROPFIND", "REPORT"} {
			a := c.doAs("", method, p, strings.NewReader(""))
			if a.status != http.StatusMovedPermanently || a.header.Get("Location") != "/dav/" {
				t.Errorf("%s %s: %d to %q", method, p, a.status, a.header.Get("Location"))
			}
		}
	}
	for _, p := range []string{"/dav", "/dav/", "/dav/calendars/", "/dav/principals/", "/dav/files/alice/"} {
		a := c.want(http.StatusMultiStatus, "PROPFIND", p, propfind(`<D:current-user-principal/>`), "Depth", "0")
		if m := a.lacks(`<D:current-user-principal><D:href>/dav/principals/alice/</D:href></D:current-user-principal>`); m != nil {
			t.Errorf("%s lacks %s: %s", p, m, a.body)
		}
	}
	a := c.want(http.StatusMultiStatus, "PROPFIND", "/dav/principals/alice/", propfind(`<C:calendar-home-set/><R:addressbook-home-set/><C:calendar-user-address-set/><D:principal-URL/><D:displayname/><D:resourcetype/><D:nothing/>`), "Depth", "0")
	if m := a.lacks(`<C:calendar-home-set><D:href>/dav/calendars/alice/</D:href>`, `<R:addressbook-home-set><D:href>/dav/contacts/alice/</D:href>`,
		`<D:href>mailto:alice@oak.home.arpa</D:href>`, `<D:principal/>`, `<D:displayname>Alice Ash</D:displayname>`,
		`<D:prop><D:nothing/></D:prop><D:status>HTTP/1.1 404 Not Found</D:status>`); m != nil {
		t.Errorf("the principal lacks %s: %s", m, a.body)
	}
	a = c.want(http.StatusMultiStatus, "PROPFIND", "/dav/calendars/alice/", propfind(`<D:resourcetype/><D:displayname/><C:supported-calendar-component-set/><D:supported-report-set/><D:current-user-privilege-set/><D:sync-token/><S:getctag/><A:calendar-color/><D:owner/>`), "Depth", "1")
	if m := a.lacks(`<D:href>/dav/calendars/alice/personal/</D:href>`, `<D:collection/><C:calendar/>`, `<C:comp name="VTODO"/>`, `<D:report><C:calendar-query/></D:report>`,
		`<D:report><D:sync-collection/></D:report>`, `<D:privilege><D:write-content/></D:privilege>`, `<D:sync-token>urn:x-pic:sync:`, `<S:getctag>`, `#1E7E5AFF`, `<D:owner><D:href>/dav/principals/alice/`); m != nil {
		t.Errorf("the calendars lack %s: %s", m, a.body)
	}
	a = c.want(http.StatusMultiStatus, "PROPFIND", "/dav/contacts/alice/", propfind(`<D:resourcetype/><R:supported-address-data/><R:max-resource-size/>`), "Depth", "1")
	if m := a.lacks(`<D:href>/dav/contacts/alice/contacts/</D:href>`, `<D:collection/><R:addressbook/>`, `version="3.0"`); m != nil {
		t.Errorf("the address books lack %s: %s", m, a.body)
	}
	for p, cap := range map[string]string{"/dav/calendars/alice/": "calendar-access", "/dav/contacts/alice/": "addressbook", "/dav/files/alice/": "2"} {
		if a := c.want(http.StatusOK, "OPTIONS", p, ""); !slices.Contains(strings.Split(a.header.Get("DAV"), ", "), cap) || a.header.Get("Allow") == "" {
			t.Errorf("OPTIONS %s: %v", p, a.header)
		}
	}
	c.want(http.StatusForbidden, "PROPFIND", "/dav/calendars/alice/", "", "Depth", "infinity")
	c.want(http.StatusForbidden, "PROPFIND", "/dav/", "")
	c.want(http.StatusForbidden, "PROPFIND", "/dav/principals/bob/", "", "Depth", "0")
	c.want(http.StatusForbidden, "PROPFIND", "/dav/calendars/bob/", "", "Depth", "0")
	c.want(http.StatusNotFound, "PROPFIND", "/dav/calendars/alice/none/", "", "Depth", "0")
	a = c.want(http.StatusMultiStatus, "PROPFIND", "/dav/calendars/alice/personal/", propfind(`<D:displayname/><D:nothing/>`), "Depth", "0", "Prefer", "return=minimal")
	if strings.Contains(a.body, "404") {
		t.Errorf("minimal is not: %s", a.body)
	}
}

// What is put is what is got, byte for byte.
func TestObjectsKeepTheirBytes(t *testing.T) {
	c := start(t)
	odd := "begin:vcalendar\nversion:2.0\nprodid:x\n\nBEGIN:VEVENT\nUID:odd/../1\nX-weird;A=\"b:c\":d\nSUMMARY:Größe \n x <&> ]]>\r\nDTSTART:20260310T100000Z\nEND:VEVENT\nend:vcalendar\n"
	for path, body := range map[string]string{
		personal + "odd.ics": odd,
		book + "odd.vcf":     contact("odd", "FN:Ü\nitem1.X-ABLabel:x\nNOTE:a\\nb\nX-Long:"+strings.Repeat("y", 300)+"\n"),
	} {
		put := c.want(http.StatusCreated, "PUT", path, body)
		got := c.want(http.StatusOK, "GET", path, "")
		if got.body != body || got.header.Get("ETag") != put.header.Get("ETag") || put.header.Get("ETag") == "" {
			t.Errorf("%s came back as %q, ETag %q after %q", path, got.body, got.header.Get("ETag"), put.header.Get("ETag"))
		}
		c.want(http.StatusNotModified, "GET", path, "", "If-None-Match", put.header.Get("ETag"))
		if a := c.want(http.StatusNoContent, "PUT", path, body, "If-Match", put.header.Get("ETag")); a.header.Get("ETag") != put.header.Get("ETag") {
			t.Errorf("%s: the same bytes have another ETag", path)
		}
	}
	a := c.want(http.StatusMultiStatus, "REPORT", personal, `<C:calendar-multiget xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:D="DAV:"><D:prop><D:getetag/><C:calendar-data/></D:prop><D:href>`+personal+`odd.ics</D:href><D:href>`+c.url+personal+`none.ics</D:href><D:href>/dav/calendars/bob/personal/x.ics</D:href></C:calendar-multiget>`)
	if n := strings.Count(a.body, "404 Not Found"); n != 2 || strings.Count(a.body, "<D:response>") != 3 {
		t.Errorf("multiget: %s", a.body)
	}
	_, data, _ := strings.Cut(a.body, "<C:calendar-data>")
	data, _, _ = strings.Cut(data, "</C:calendar-data>")
	n, err := readXML(strings.NewReader("<a>"+data+"</a>"), maxXMLBody)
	if err != nil || n.rawContent() != odd {
		t.Errorf("calendar-data is %q, %v", data, err)
	}
}

func TestBadObjectsAreRefusedWithTheirReason(t *testing.T) {
	c := start(t)
	c.want(http.StatusCreated, "PUT", personal+"first.ics", event("taken", "DTSTART:20260310T100000Z\n"))
	c.want(http.StatusCreated, "PUT", book+"first.vcf", contact("taken", "FN:A\n"))
	c.want(http.StatusCreated, "MKCALENDAR", "/dav/calendars/alice/tasks/", `<C:mkcalendar xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:D="DAV:"><D:set><D:prop><C:supported-calendar-component-set><C:comp name="VTODO"/></C:supported-calendar-component-set></D:prop></D:set></C:mkcalendar>`)
	two := strings.Replace(event("a", "DTSTART:20260310T100000Z\n"), "END:VCALENDAR", "BEGIN:VTODO\r\nUID:a\r\nEND:VTODO\r\nEND:VCALENDAR", 1)
	uids := strings.Replace(event("a", "DTSTART:20260310T100000Z\n"), "END:VCALENDAR", "BEGIN:VEVENT\r\nUID:b\r\nEND:VEVENT\r\nEND:VCALENDAR", 1)
	for name, tt := range map[string]struct {
		path, body string
		status     int
		cond       string
	}{
		"nothing":                {personal + "x.ics", "", 403, "valid-calendar-data"},
		"no calendar":            {personal + "x.ics", "hello", 403, "valid-calendar-data"},
		"a card":                 {personal + "x.ics", contact("a", ""), 403, "valid-calendar-data"},
		"two calendars":          {personal + "x.ics", event("a", "") + event("a", ""), 403, "valid-calendar-data"},
		"not closed":             {personal + "x.ics", strings.TrimSuffix(event("a", ""), "END:VCALENDAR\r\n"), 403, "valid-calendar-data"},
		"NUL":                    {personal + "x.ics", event("a", "SUMMARY:\x00\n"), 403, "valid-calendar-data"},
		"nested deep":            {personal + "x.ics", strings.Repeat("BEGIN:VCALENDAR\n", 100_000), 403, "valid-calendar-data"},
		"many lines":             {personal + "x.ics", event("a", strings.Repeat("X:\n", maxLines)), 403, "valid-calendar-data"},
		"METHOD":                 {personal + "x.ics", strings.Replace(event("a", ""), "PRODID", "METHOD:REQUEST\r\nPRODID", 1), 403, "valid-calendar-object-resource"},
		"no UID":                 {personal + "x.ics", strings.Replace(event("a", ""), "UID:a\r\n", "", 1), 403, "valid-calendar-object-resource"},
		"empty calendar":         {personal + "x.ics", "BEGIN:VCALENDAR\nVERSION:2.0\nEND:VCALENDAR\n", 403, "valid-calendar-object-resource"},
		"two kinds":              {personal + "x.ics", two, 403, "valid-calendar-object-resource"},
		"two UIDs":               {personal + "x.ics", uids, 403, "valid-calendar-object-resource"},
		"long UID":               {personal + "x.ics", event(strings.Repeat("u", maxUID+1), ""), 403, "valid-calendar-object-resource"},
		"UID is taken":           {personal + "x.ics", event("taken", ""), 409, "no-uid-conflict"},
		"UID changes":            {personal + "first.ics", event("other", ""), 409, "no-uid-conflict"},
		"too large":              {personal + "x.ics", event("a", "X:"+strings.Repeat("y", maxObject)+"\n"), 413, "max-resource-size"},
		"an event among tasks":   {"/dav/calendars/alice/tasks/x.ics", event("a", ""), 403, "supported-calendar-component"},
		"free-busy":              {personal + "x.ics", strings.ReplaceAll(event("a", ""), "VEVENT", "VFREEBUSY"), 403, "supported-calendar-component"},
		"no such calendar":       {"/dav/calendars/alice/none/x.ics", event("a", ""), 409, ""},
		"deeper than that":       {personal + "d/x.ics", event("a", ""), 405, ""},
		"no card":                {book + "x.vcf", "hello", 403, "valid-address-data"},
		"card without UID":       {book + "x.vcf", "BEGIN:VCARD\nVERSION:3.0\nFN:A\nEND:VCARD\n", 403, "valid-address-data"},
		"card without VERSION":   {book + "x.vcf", "BEGIN:VCARD\nUID:a\nEND:VCARD\n", 403, "valid-address-data"},
		"two cards":              {book + "x.vcf", contact("a", "") + contact("b", ""), 403, "valid-address-data"},
		"card in a card":         {book + "x.vcf", contact("a", "BEGIN:VCARD\nEND:VCARD\n"), 403, "valid-address-data"},
		"card's UID is taken":    {book + "x.vcf", contact("taken", ""), 409, "no-uid-conflict"},
		"folds without an end":   {book + "x.vcf", "BEGIN:VCARD\n" + strings.Repeat(" \n", 500_000), 403, "valid-address-data"},
		"quotes without an end":  {personal + "x.ics", event("a", "X;Y=\""+strings.Repeat("y", 500_000)+"\nDTSTART:19\n"), 201, ""},
		"comma in UID":           {personal + "c1.ics", event("a,b", ""), 201, ""},
		"comma in UID, not same": {personal + "c2.ics", event("a,c", ""), 201, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := c.do("PUT", tt.path, tt.body)
			if a.status != tt.status || !strings.Contains(a.body, tt.cond) {
				t.Errorf("status %d, want %d and %q: %s", a.status, tt.status, tt.cond, a.body)
			}
		})
	}
	if a := c.do("PUT", personal+"y.ics", event("taken", "")); !strings.Contains(a.body, "<D:href>"+personal+"first.ics</D:href>") {
		t.Errorf("the conflict does not say with what: %s", a.body)
	}
	c.want(http.StatusForbidden, "PUT", personal+"x.ics", "{}", "Content-Type", "application/calendar+json")
	c.want(http.StatusUnsupportedMediaType, "PUT", personal+"x.ics", "x", "Content-Encoding", "gzip")
}

func TestCollectionsAreMadeAndDeleted(t *testing.T) {
	c := start(t)
	c.want(http.StatusCreated, "MKCALENDAR", "/dav/calendars/alice/work/", `<C:mkcalendar xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:D="DAV:" xmlns:A="http://apple.com/ns/ical/"><D:set><D:prop><D:displayname>Work &amp; more</D:displayname><A:calendar-color>#ff0000ff</A:calendar-color><C:supported-calendar-component-set><C:comp name="VEVENT"/></C:supported-calendar-component-set></D:prop></D:set></C:mkcalendar>`)
	c.want(http.StatusMethodNotAllowed, "MKCALENDAR", "/dav/calendars/alice/work/", "")
	c.want(http.StatusCreated, "MKCOL", "/dav/calendars/alice/plain/", "")
	c.want(http.StatusCreated, "MKCOL", "/dav/contacts/alice/friends/", `<D:mkcol xmlns:D="DAV:" xmlns:R="urn:ietf:params:xml:ns:carddav"><D:set><D:prop><D:resourcetype><D:collection/><R:addressbook/></D:resourcetype><D:displayname>Friends</D:displayname></D:prop></D:set></D:mkcol>`)
	c.want(http.StatusForbidden, "MKCOL", "/dav/contacts/alice/wrong/", `<D:mkcol xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:set><D:prop><D:resourcetype><D:collection/><C:calendar/></D:resourcetype></D:prop></D:set></D:mkcol>`)
	c.want(http.StatusForbidden, "MKCALENDAR", "/dav/contacts/alice/wrong/", "")
	c.want(http.StatusForbidden, "MKCALENDAR", "/dav/calendars/alice/work/below/", "")
	c.want(http.StatusForbidden, "MKCALENDAR", "/dav/calendars/bob/x/", "")
	c.want(http.StatusMethodNotAllowed, "MKCOL", "/dav/calendars/alice/", "")
	c.want(http.StatusForbidden, "MKCALENDAR", "/dav/calendars/alice/x/", `<C:mkcalendar xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:D="DAV:"><D:set><D:prop><D:getetag>x</D:getetag></D:prop></D:set></C:mkcalendar>`)
	c.want(http.StatusCreated, "PUT", "/dav/calendars/alice/work/a.ics", event("a", "DTSTART:20260310T100000Z\n"))

	got, err := c.Collections("alice")
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, i := range got {
		words = append(words, fmt.Sprint(i.Kind, " ", i.Name, " ", i.Display, " ", i.Color, " ", i.Objects, " ", i.Path))
	}
	want := []string{
		"calendar personal Personal #1E7E5AFF 0 /dav/calendars/alice/personal/", "calendar plain plain  0 /dav/calendars/alice/plain/",
		"calendar work Work & more #ff0000ff 1 /dav/calendars/alice/work/",
		"contacts contacts Contacts  0 /dav/contacts/alice/contacts/", "contacts friends Friends  0 /dav/contacts/alice/friends/",
	}
	if !slices.Equal(words, want) {
		t.Errorf("collections are\n%s", strings.Join(words, "\n"))
	}
	token := syncToken(t, c, "/dav/calendars/alice/work/")
	c.want(http.StatusBadRequest, "DELETE", "/dav/calendars/alice/work/", "", "Depth", "0")
	c.want(http.StatusNoContent, "DELETE", "/dav/calendars/alice/work/", "")
	c.want(http.StatusNotFound, "GET", "/dav/calendars/alice/work/a.ics", "")
	c.want(http.StatusForbidden, "DELETE", "/dav/calendars/alice/", "")
	// At the same address there is now another collection: nothing of the old
	// shows, and its sync token means nothing.
	c.want(http.StatusCreated, "MKCALENDAR", "/dav/calendars/alice/work/", "")
	a := c.want(http.StatusMultiStatus, "PROPFIND", "/dav/calendars/alice/work/", propfind(`<D:displayname/>`), "Depth", "1")
	if strings.Contains(a.body, "more") || strings.Contains(a.body, "a.ics") {
		t.Errorf("the old shows: %s", a.body)
	}
	c.want(http.StatusForbidden, "REPORT", "/dav/calendars/alice/work/", syncBody(token, 0))
	// The first calendar does not come back by itself.
	c.want(http.StatusNoContent, "DELETE", personal, "")
	if a := c.want(http.StatusMultiStatus, "PROPFIND", "/dav/calendars/alice/", "", "Depth", "1"); strings.Contains(a.body, "personal") {
		t.Error("a deleted calendar is back")
	}
	for i := 0; ; i++ {
		a := c.do("MKCALENDAR", fmt.Sprintf("/dav/calendars/alice/n%d/", i), "")
		if a.status == http.StatusInsufficientStorage {
			break
		}
		if a.status != http.StatusCreated || i > maxCollections {
			t.Fatalf("calendar %d: status %d", i, a.status)
		}
	}
}

func TestPropertiesChangeAllOrNothing(t *testing.T) {
	c := start(t)
	patch := func(path, inner string) answer {
		return c.want(http.StatusMultiStatus, "PROPPATCH", path, `<D:propertyupdate xmlns:D="DAV:" xmlns:A="http://apple.com/ns/ical/" xmlns:S="http://calendarserver.org/ns/" xmlns:C="urn:ietf:params:xml:ns:caldav">`+inner+`</D:propertyupdate>`)
	}
	before := syncToken(t, c, personal)
	a := patch(personal, `<D:set><D:prop><D:displayname>Mine</D:displayname><A:calendar-order>3</A:calendar-order><C:calendar-description xml:lang="de">Größe</C:calendar-description></D:prop></D:set>`)
	if strings.Contains(a.body, "40") || !strings.Contains(a.body, "200 OK") {
		t.Error(a.body)
	}
	if syncToken(t, c, personal) == before {
		t.Error("the tag of the calendar did not change")
	}
	a = c.want(http.StatusMultiStatus, "PROPFIND", personal, propfind(`<D:displayname/><A:calendar-order/><C:calendar-description/>`), "Depth", "0")
	if m := a.lacks(`>Mine</displayname>`, `>3</calendar-order>`, `xml:lang="de">Größe</calendar-description>`); m != nil {
		t.Errorf("lacks %s: %s", m, a.body)
	}
	a = patch(personal, `<D:set><D:prop><D:displayname>Other</D:displayname><S:getctag>1</S:getctag></D:prop></D:set>`)
	if m := a.lacks(`<D:prop><S:getctag/></D:prop><D:status>HTTP/1.1 403 Forbidden`, `<D:prop><D:displayname/></D:prop><D:status>HTTP/1.1 424 Failed Dependency`); m != nil {
		t.Errorf("lacks %s: %s", m, a.body)
	}
	a = c.want(http.StatusMultiStatus, "PROPFIND", personal, propfind(`<D:displayname/>`), "Depth", "0")
	if !strings.Contains(a.body, "Mine") {
		t.Errorf("half of it was done: %s", a.body)
	}
	patch(personal, `<D:remove><D:prop><D:displayname/></D:prop></D:remove>`)
	a = c.want(http.StatusMultiStatus, "PROPFIND", personal, propfind(`<D:displayname/>`), "Depth", "0")
	if !strings.Contains(a.body, `<D:displayname>personal</D:displayname>`) {
		t.Errorf("without a name of its own: %s", a.body)
	}
	if a := patch(personal, `<D:set><D:prop><big xmlns="x">`+strings.Repeat("x", maxPropValue)+`</big></D:prop></D:set>`); !strings.Contains(a.body, "HTTP/1.1 507") {
		t.Errorf("a huge property: %s", a.body)
	}
	var many strings.Builder
	for i := range maxProps + 1 {
		fmt.Fprintf(&many, `<p%d xmlns="x"/>`, i)
	}
	if a := patch(personal, `<D:set><D:prop>`+many.String()+`</D:prop></D:set>`); !strings.Contains(a.body, "HTTP/1.1 507") {
		t.Errorf("too many properties: %s", a.body)
	}
	c.want(http.StatusForbidden, "PROPPATCH", "/dav/principals/alice/", `<D:propertyupdate xmlns:D="DAV:"/>`)
	c.want(http.StatusNotFound, "PROPPATCH", personal+"none.ics", `<D:propertyupdate xmlns:D="DAV:"/>`)
	c.want(http.StatusBadRequest, "PROPPATCH", personal, "")
	a = c.want(http.StatusMultiStatus, "PROPFIND", personal, `<D:propfind xmlns:D="DAV:"><D:propname/></D:propfind>`, "Depth", "0")
	if m := a.lacks("<D:sync-token/>", "<D:resourcetype/>", `<A:calendar-order/>`); m != nil {
		t.Errorf("propname lacks %s: %s", m, a.body)
	}
}

func TestObjectsMoveBetweenCalendars(t *testing.T) {
	c := start(t)
	c.want(http.StatusCreated, "MKCALENDAR", "/dav/calendars/alice/work/", "")
	c.want(http.StatusCreated, "PUT", personal+"a.ics", event("a", "DTSTART:20260310T100000Z\n"))
	c.want(http.StatusCreated, "PUT", personal+"b.ics", event("b", "DTSTART:20260310T100000Z\n"))
	to := func(p string) []string { return []string{"Destination", c.url + p} }
	const work = "/dav/calendars/alice/work/"
	c.want(http.StatusConflict, "COPY", personal+"a.ics", "", to(personal+"copy.ics")...) // the same UID twice
	c.want(http.StatusCreated, "COPY", personal+"a.ics", "", to(work+"a.ics")...)
	c.want(http.StatusPreconditionFailed, "MOVE", personal+"b.ics", "", append(to(work+"a.ics"), "Overwrite", "F")...)
	c.want(http.StatusPreconditionFailed, "MOVE", personal+"b.ics", "", append(to(work+"b.ics"), "If-Match", `"x"`)...)
	c.want(http.StatusNoContent, "MOVE", personal+"b.ics", "", to(work+"a.ics")...)
	if a := c.want(http.StatusOK, "GET", work+"a.ics", ""); !strings.Contains(a.body, "UID:b") {
		t.Error(a.body)
	}
	c.want(http.StatusNotFound, "GET", personal+"b.ics", "")
	c.want(http.StatusCreated, "MOVE", personal+"a.ics", "", to(personal+"renamed.ics")...)
	c.want(http.StatusNotFound, "MOVE", personal+"a.ics", "", to(personal+"x.ics")...)
	c.want(http.StatusForbidden, "MOVE", personal+"renamed.ics", "", to(book+"x.vcf")...)
	c.want(http.StatusForbidden, "MOVE", personal+"renamed.ics", "", to("/dav/calendars/bob/personal/x.ics")...)
	c.want(http.StatusForbidden, "MOVE", personal+"renamed.ics", "", to(personal+"renamed.ics")...)
	c.want(http.StatusConflict, "MOVE", personal+"renamed.ics", "", to("/dav/calendars/alice/none/x.ics")...)
	c.want(http.StatusForbidden, "MOVE", personal, "", to("/dav/calendars/alice/other/")...)
}

func TestQueriesMatchText(t *testing.T) {
	c := start(t)
	c.want(http.StatusCreated, "PUT", personal+"a.ics", event("a", "DTSTART:20260310T100000Z\nSUMMARY:Lunch\\, with Zoë\nCATEGORIES:FOOD\nCATEGORIES:PEOPLE\nATTENDEE;PARTSTAT=ACCEPTED:mailto:bob@x\n"))
	c.want(http.StatusCreated, "PUT", personal+"t.ics", strings.ReplaceAll(event("t", "SUMMARY:A task\n"), "VEVENT", "VTODO"))
	for filter, want := range map[string]string{
		`<C:comp-filter name="VEVENT"/>`:                                   "a",
		`<C:comp-filter name="VTODO"/>`:                                    "t",
		`<C:comp-filter name="VEVENT"><C:is-not-defined/></C:comp-filter>`: "t",
		`<C:comp-filter name="VEVENT"><C:prop-filter name="SUMMARY"><C:text-match>lunch, WITH</C:text-match></C:prop-filter></C:comp-filter>`:                                           "a",
		`<C:comp-filter name="VEVENT"><C:prop-filter name="SUMMARY"><C:text-match collation="i;octet">lunch</C:text-match></C:prop-filter></C:comp-filter>`:                             "",
		`<C:comp-filter name="VEVENT"><C:prop-filter name="SUMMARY"><C:text-match collation="i;unicode-casemap">ZOË</C:text-match></C:prop-filter></C:comp-filter>`:                     "a",
		`<C:comp-filter name="VEVENT"><C:prop-filter name="SUMMARY"><C:text-match negate-condition="yes">dinner</C:text-match></C:prop-filter></C:comp-filter>`:                         "a",
		`<C:comp-filter name="VEVENT"><C:prop-filter name="CATEGORIES"><C:text-match>people</C:text-match></C:prop-filter></C:comp-filter>`:                                             "a",
		`<C:comp-filter name="VEVENT"><C:prop-filter name="LOCATION"><C:is-not-defined/></C:prop-filter></C:comp-filter>`:                                                               "a",
		`<C:comp-filter name="VEVENT"><C:prop-filter name="LOCATION"/></C:comp-filter>`:                                                                                                 "",
		`<C:comp-filter name="VEVENT"><C:prop-filter name="ATTENDEE"><C:param-filter name="PARTSTAT"><C:text-match>acc</C:text-match></C:param-filter></C:prop-filter></C:comp-filter>`: "a",
		`<C:comp-filter name="VEVENT"><C:prop-filter name="ATTENDEE"><C:param-filter name="RSVP"><C:is-not-defined/></C:param-filter></C:prop-filter></C:comp-filter>`:                  "a",
		`<C:comp-filter name="VEVENT"><C:comp-filter name="VALARM"><C:is-not-defined/></C:comp-filter></C:comp-filter>`:                                                                 "a",
		`<C:comp-filter name="VEVENT"><C:comp-filter name="VALARM"/></C:comp-filter>`:                                                                                                   "",
		`<C:comp-filter name="VEVENT"><C:prop-filter name="DTSTAMP"><C:time-range start="20260101T000000Z" end="20260102T000000Z"/></C:prop-filter></C:comp-filter>`:                    "a",
		`<C:comp-filter name="VEVENT"><C:prop-filter name="DTSTAMP"><C:time-range start="20260102T000000Z"/></C:prop-filter></C:comp-filter>`:                                           "",
		``: "at",
	} {
		a := c.want(http.StatusMultiStatus, "REPORT", personal, `<C:calendar-query xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:D="DAV:"><D:prop><D:getetag/></D:prop><C:filter><C:comp-filter name="VCALENDAR">`+filter+`</C:comp-filter></C:filter></C:calendar-query>`)
		if got := found(a, "a.ics", "t.ics"); got != want {
			t.Errorf("%s finds %q, want %q", filter, got, want)
		}
	}
	c.want(http.StatusForbidden, "REPORT", personal, `<C:free-busy-query xmlns:C="urn:ietf:params:xml:ns:caldav"/>`)
	c.want(http.StatusForbidden, "REPORT", book, `<C:calendar-query xmlns:C="urn:ietf:params:xml:ns:caldav"/>`)
	c.want(http.StatusBadRequest, "REPORT", personal, "")
}

// found tells by the first letter which names an answer holds.
func found(a answer, names ...string) (s string) {
	for _, n := range names {
		if strings.Contains(a.body, "/"+n+"</D:href>") {
			s += n[:1]
		}
	}
	return s
}

func TestContactsAreFoundByText(t *testing.T) {
	c := start(t)
	c.want(http.StatusCreated, "PUT", book+"a.vcf", contact("a", "FN:Anna Ähre\nEMAIL;TYPE=home:anna@home.example\nEMAIL;TYPE=work:a@work.example\nitem1.TEL:123\n"))
	c.want(http.StatusCreated, "PUT", book+"b.vcf", contact("b", "FN:Bert\nTEL:456\nNICKNAME:anna's\n"))
	for filter, want := range map[string]string{
		`<R:filter/>`: "ab",
		`<R:filter><R:prop-filter name="FN"><R:text-match>ANNA</R:text-match></R:prop-filter></R:filter>`:                                                                                                "a",
		`<R:filter><R:prop-filter name="FN"><R:text-match collation="i;octet">ANNA</R:text-match></R:prop-filter></R:filter>`:                                                                            "",
		`<R:filter><R:prop-filter name="FN"><R:text-match>ä</R:text-match></R:prop-filter></R:filter>`:                                                                                                   "a",
		`<R:filter><R:prop-filter name="FN"><R:text-match match-type="starts-with">ber</R:text-match></R:prop-filter></R:filter>`:                                                                        "b",
		`<R:filter><R:prop-filter name="FN"><R:text-match match-type="ends-with">HRE</R:text-match></R:prop-filter></R:filter>`:                                                                          "a",
		`<R:filter><R:prop-filter name="FN"><R:text-match match-type="equals">bert</R:text-match></R:prop-filter></R:filter>`:                                                                            "b",
		`<R:filter><R:prop-filter name="FN"><R:text-match negate-condition="yes">bert</R:text-match></R:prop-filter></R:filter>`:                                                                         "a",
		`<R:filter><R:prop-filter name="EMAIL"><R:text-match>work.example</R:text-match></R:prop-filter></R:filter>`:                                                                                     "a",
		`<R:filter><R:prop-filter name="EMAIL"/></R:filter>`:                                                                                                                                             "a",
		`<R:filter><R:prop-filter name="EMAIL"><R:is-not-defined/></R:prop-filter></R:filter>`:                                                                                                           "b",
		`<R:filter><R:prop-filter name="TEL"/></R:filter>`:                                                                                                                                               "ab",
		`<R:filter><R:prop-filter name="EMAIL"><R:param-filter name="TYPE"><R:text-match>WORK</R:text-match></R:param-filter></R:prop-filter></R:filter>`:                                                "a",
		`<R:filter><R:prop-filter name="EMAIL" test="allof"><R:text-match>anna@</R:text-match><R:param-filter name="TYPE"><R:text-match>work</R:text-match></R:param-filter></R:prop-filter></R:filter>`: "",
		`<R:filter test="anyof"><R:prop-filter name="FN"><R:text-match>anna</R:text-match></R:prop-filter><R:prop-filter name="NICKNAME"><R:text-match>anna</R:text-match></R:prop-filter></R:filter>`:   "ab",
		`<R:filter test="allof"><R:prop-filter name="FN"><R:text-match>bert</R:text-match></R:prop-filter><R:prop-filter name="NICKNAME"><R:text-match>anna</R:text-match></R:prop-filter></R:filter>`:   "b",
		`<R:filter><R:prop-filter name="TEL"><R:param-filter name="TYPE"><R:is-not-defined/></R:param-filter></R:prop-filter></R:filter>`:                                                                "ab",
	} {
		a := c.want(http.StatusMultiStatus, "REPORT", book, cardQuery(filter))
		if got := found(a, "a.vcf", "b.vcf"); got != want {
			t.Errorf("%s finds %q, want %q", filter, got, want)
		}
	}
	a := c.want(http.StatusMultiStatus, "REPORT", book, cardQuery(`<R:filter/><R:limit><R:nresults>1</R:nresults></R:limit>`))
	if got := found(a, "a.vcf", "b.vcf"); got != "a" || !strings.Contains(a.body, "HTTP/1.1 507") {
		t.Errorf("limited: %s", a.body)
	}
	c.want(http.StatusBadRequest, "REPORT", book, cardQuery(``))
	c.want(http.StatusForbidden, "REPORT", book, cardQuery(`<R:filter><R:prop-filter name="FN"><R:text-match match-type="sounds-like">x</R:text-match></R:prop-filter></R:filter>`))
	c.want(http.StatusForbidden, "REPORT", book, cardQuery(`<R:filter><R:prop-filter name="FN"><R:text-match collation="x">x</R:text-match></R:prop-filter></R:filter>`))
	a = c.want(http.StatusMultiStatus, "REPORT", book, `<R:addressbook-multiget xmlns:R="urn:ietf:params:xml:ns:carddav" xmlns:D="DAV:"><D:prop><R:address-data/></D:prop><D:href>`+book+`b.vcf</D:href></R:addressbook-multiget>`)
	if m := a.lacks("FN:Bert&#13;\n"); m != nil {
		t.Error(a.body)
	}
}

func cardQuery(filter string) string {
	return `<R:addressbook-query xmlns:R="urn:ietf:params:xml:ns:carddav" xmlns:D="DAV:"><D:prop><D:getetag/></D:prop>` + filter + `</R:addressbook-query>`
}
