package davsrv

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-ical"
	"github.com/emersion/go-vcard"
	"github.com/emersion/go-webdav"
	"github.com/emersion/go-webdav/caldav"
	"github.com/emersion/go-webdav/carddav"
)

// The library's clients, an independent reading of the same RFCs, find
// everything they look for.
func TestLibraryClientWorksWithFiles(t *testing.T) {
	c, ctx := start(t), t.Context()
	cl, err := webdav.NewClient(webdav.HTTPClientWithBasicAuth(nil, "alice", "pw"), c.url+"/dav/files/alice/")
	if err != nil {
		t.Fatal(err)
	}
	if p, err := cl.FindCurrentUserPrincipal(ctx); err != nil || p != "/dav/principals/alice/" {
		t.Fatalf("principal %q, %v", p, err)
	}
	if err := cl.Mkdir(ctx, "dir"); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		w, err := cl.Create(ctx, fmt.Sprintf("dir/f %d", i))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(w, "content %d", i)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := cl.Copy(ctx, "dir", "copy", nil); err != nil {
		t.Fatal(err)
	}
	if err := cl.Move(ctx, "copy/f 0", "moved", &webdav.MoveOptions{NoOverwrite: true}); err != nil {
		t.Fatal(err)
	}
	if err := cl.Move(ctx, "copy/f 1", "moved", &webdav.MoveOptions{NoOverwrite: true}); err == nil {
		t.Error("a move overwrote")
	}
	if err := cl.RemoveAll(ctx, "dir/f 2"); err != nil {
		t.Fatal(err)
	}
	fi, err := cl.Stat(ctx, "moved")
	if err != nil || fi.Size != 9 || fi.IsDir || fi.ETag == "" || time.Since(fi.ModTime) > time.Hour {
		t.Errorf("%+v, %v", fi, err)
	}
	all, err := cl.ReadDir(ctx, "", true)
	var paths []string
	for _, fi := range all {
		paths = append(paths, strings.TrimPrefix(fi.Path, "/dav/files/alice/"))
	}
	slices.Sort(paths)
	if want := []string{"", "copy/", "copy/f 1", "copy/f 2", "dir/", "dir/f 0", "dir/f 1", "moved"}; err != nil || !slices.Equal(paths, want) {
		t.Errorf("%q, %v", paths, err)
	}
	r, err := cl.Open(ctx, "dir/f 1")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, _ := io.ReadAll(r); string(b) != "content 1" {
		t.Errorf("read %q", b)
	}
}

func TestLibraryClientWorksWithCalendars(t *testing.T) {
	c, ctx := start(t), t.Context()
	cl, err := caldav.NewClient(webdav.HTTPClientWithBasicAuth(nil, "alice", "pw"), c.url+"/dav/")
	if err != nil {
		t.Fatal(err)
	}
	p, err := cl.FindCurrentUserPrincipal(ctx)
	if err != nil {
		t.Fatal(err)
	}
	home, err := cl.FindCalendarHomeSet(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	cals, err := cl.FindCalendars(ctx, home)
	if err != nil || len(cals) != 1 || cals[0].Name != "Personal" || cals[0].MaxResourceSize != maxObject || !slices.Contains(cals[0].SupportedComponentSet, "VTODO") {
		t.Fatalf("%+v, %v", cals, err)
	}
	var paths []string
	for i := range 3 {
		ev := ical.NewEvent()
		ev.Props.SetText(ical.PropUID, fmt.Sprint("uid", i))
		ev.Props.SetDateTime(ical.PropDateTimeStamp, time.Now())
		ev.Props.SetDateTime(ical.PropDateTimeStart, time.Date(2026, 3, 10+i, 10, 0, 0, 0, time.UTC))
		ev.Props.SetDateTime(ical.PropDateTimeEnd, time.Date(2026, 3, 10+i, 11, 0, 0, 0, time.UTC))
		ev.Props.SetText(ical.PropSummary, "Meeting, with "+strings.Repeat("ü", 60))
		cal := ical.NewCalendar()
		cal.Props.SetText(ical.PropVersion, "2.0")
		cal.Props.SetText(ical.PropProductID, "test")
		cal.Children = append(cal.Children, ev.Component)
		o, err := cl.PutCalendarObject(ctx, cals[0].Path+fmt.Sprintf("%d.ics", i), cal)
		if err != nil || o.ETag == "" {
			t.Fatalf("%+v, %v", o, err)
		}
		paths = append(paths, cals[0].Path+fmt.Sprintf("%d.ics", i))
	}
	o, err := cl.GetCalendarObject(ctx, paths[1])
	if err != nil || o.Data.Events()[0].Props.Get(ical.PropUID).Value != "uid1" {
		t.Errorf("%+v, %v", o, err)
	}
	whole := caldav.CalendarCompRequest{Name: "VCALENDAR", AllProps: true, AllComps: true}
	found, err := cl.QueryCalendar(ctx, cals[0].Path, &caldav.CalendarQuery{
		CompRequest: whole,
		CompFilter: caldav.CompFilter{Name: "VCALENDAR", Comps: []caldav.CompFilter{{
			Name: "VEVENT", Start: time.Date(2026, 3, 11, 0, 0, 0, 0, time.UTC), End: time.Date(2026, 3, 12, 0, 0, 0, 0, time.UTC),
		}}},
	})
	if err != nil || len(found) != 1 || found[0].Path != paths[1] {
		t.Errorf("%+v, %v", found, err)
	}
	many, err := cl.MultiGetCalendar(ctx, cals[0].Path, &caldav.CalendarMultiGet{Paths: paths, CompRequest: whole})
	if err != nil || len(many) != 3 {
		t.Errorf("%+v, %v", many, err)
	}
}

func TestLibraryClientWorksWithContacts(t *testing.T) {
	c, ctx := start(t), t.Context()
	cl, err := carddav.NewClient(webdav.HTTPClientWithBasicAuth(nil, "alice", "pw"), c.url+"/dav/contacts/alice/")
	if err != nil {
		t.Fatal(err)
	}
	if err := cl.HasSupport(ctx); err != nil {
		t.Error(err)
	}
	home, err := cl.FindAddressBookHomeSet(ctx, "/dav/principals/alice/")
	if err != nil {
		t.Fatal(err)
	}
	books, err := cl.FindAddressBooks(ctx, home)
	if err != nil || len(books) != 1 || !books[0].SupportsAddressData("text/vcard", "4.0") {
		t.Fatalf("%+v, %v", books, err)
	}
	at := books[0].Path
	first, err := cl.SyncCollection(ctx, at, &carddav.SyncQuery{})
	if err != nil || first.SyncToken == "" || len(first.Updated) != 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	for _, name := range []string{"Anna", "Bert"} {
		card := vcard.Card{}
		card.SetValue(vcard.FieldVersion, "4.0")
		card.SetValue(vcard.FieldUID, "urn:uuid:"+name)
		card.SetValue(vcard.FieldFormattedName, name)
		if _, err := cl.PutAddressObject(ctx, at+name+".vcf", card); err != nil {
			t.Fatal(err)
		}
	}
	got, err := cl.QueryAddressBook(ctx, at, &carddav.AddressBookQuery{
		DataRequest: carddav.AddressDataRequest{AllProp: true},
		PropFilters: []carddav.PropFilter{{Name: "FN", TextMatches: []carddav.TextMatch{{Text: "ANN", MatchType: carddav.MatchStartsWith}}}},
	})
	if err != nil || len(got) != 1 || got[0].Card.Value("FN") != "Anna" {
		t.Errorf("%+v, %v", got, err)
	}
	many, err := cl.MultiGetAddressBook(ctx, at, &carddav.AddressBookMultiGet{Paths: []string{at + "Anna.vcf", at + "Bert.vcf"}, DataRequest: carddav.AddressDataRequest{AllProp: true}})
	if err != nil || len(many) != 2 {
		t.Errorf("%+v, %v", many, err)
	}
	if err := cl.RemoveAll(ctx, at+"Bert.vcf"); err != nil {
		t.Fatal(err)
	}
	next, err := cl.SyncCollection(ctx, at, &carddav.SyncQuery{SyncToken: first.SyncToken})
	if err != nil || len(next.Updated) != 1 || len(next.Deleted) != 1 || next.Deleted[0] != at+"Bert.vcf" {
		t.Errorf("%+v, %v", next, err)
	}
}

// The library's own CalDAV server, on top of our store, gives the same answers
// to what both know.
func TestLibraryServerGivesTheSameAnswers(t *testing.T) {
	c := start(t)
	for i := range 5 {
		c.want(http.StatusCreated, "PUT", fmt.Sprint(personal, i, ".ics"), event(fmt.Sprint("u", i), fmt.Sprintf("DTSTART:202603%dT100000Z\nDTEND:202603%dT110000Z\n", 10+i, 10+i)))
	}
	oracle := httptest.NewServer(&caldav.Handler{Backend: oracleBackend{c}, Prefix: "/dav"})
	defer oracle.Close()
	ask := func(url, method, path, body string) map[string][]string {
		req, err := http.NewRequest(method, url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("alice", "pw")
		req.Header.Set("Depth", "1")
		req.Header.Set("Content-Type", "text/xml")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var ms struct {
			Responses []struct {
				Href     string `xml:"DAV: href"`
				Propstat []struct {
					Status string `xml:"DAV: status"`
					Prop   struct {
						Any []struct {
							XMLName xml.Name
							Text    string `xml:",chardata"`
							Inner   []struct {
								XMLName xml.Name
								Name    string `xml:"name,attr"`
								Text    string `xml:",chardata"`
							} `xml:",any"`
						} `xml:",any"`
					} `xml:"DAV: prop"`
				} `xml:"DAV: propstat"`
			} `xml:"DAV: response"`
		}
		if err := xml.NewDecoder(resp.Body).Decode(&ms); err != nil {
			t.Fatalf("%s %s%s: %v", method, url, path, err)
		}
		out := make(map[string][]string)
		for _, r := range ms.Responses {
			props := []string{}
			for _, ps := range r.Propstat {
				for _, p := range ps.Prop.Any {
					s := fmt.Sprint(ps.Status, " ", p.XMLName.Space, p.XMLName.Local, "=", strings.TrimSpace(p.Text))
					for _, in := range p.Inner {
						s += fmt.Sprint(" ", in.XMLName.Local, in.Name, strings.TrimSpace(in.Text))
					}
					props = append(props, s)
				}
			}
			slices.Sort(props)
			out[r.Href] = props
		}
		return out
	}
	for _, tt := range []struct{ method, path, body string }{
		{"PROPFIND", "/dav/calendars/alice/", propfind(`<D:resourcetype/><C:supported-calendar-component-set/><C:max-resource-size/><D:current-user-principal/><D:nothing/>`)},
		{"PROPFIND", personal, propfind(`<D:displayname/><D:getetag/><D:getcontentlength/><D:nothing/>`)},
		{"REPORT", personal, `<C:calendar-query xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:D="DAV:"><D:prop><D:getetag/></D:prop><C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"><C:time-range start="20260311T000000Z" end="20260313T000000Z"/></C:comp-filter></C:comp-filter></C:filter></C:calendar-query>`},
		{"REPORT", personal, `<C:calendar-multiget xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:D="DAV:"><D:prop><D:getetag/></D:prop><D:href>` + personal + `1.ics</D:href></C:calendar-multiget>`},
	} {
		own, theirs := ask(c.url, tt.method, tt.path, tt.body), ask(oracle.URL, tt.method, tt.path, tt.body)
		if len(own) == 0 || len(own) != len(theirs) {
			t.Errorf("%s %s: %d answers, the library %d", tt.method, tt.path, len(own), len(theirs))
		}
		for href, props := range theirs {
			if !slices.Equal(own[href], props) {
				t.Errorf("%s %s of %s:\nours    %q\nlibrary %q", tt.method, tt.path, href, own[href], props)
			}
		}
	}
}

// oracleBackend lets the library serve what our store holds, for alice.
type oracleBackend struct{ c *cell }

func (oracleBackend) CurrentUserPrincipal(context.Context) (string, error) {
	return "/dav/principals/alice/", nil
}

func (oracleBackend) CalendarHomeSetPath(context.Context) (string, error) {
	return "/dav/calendars/alice/", nil
}
func (oracleBackend) CreateCalendar(context.Context, *caldav.Calendar) error { return nil }
func (b oracleBackend) ListCalendars(context.Context) ([]caldav.Calendar, error) {
	all, err := b.c.Collections("alice")
	var out []caldav.Calendar
	for _, i := range all {
		if i.Kind == "calendar" {
			out = append(out, caldav.Calendar{Path: i.Path, Name: i.Display, MaxResourceSize: maxObject, SupportedComponentSet: defaultComps(shelfCalendar)})
		}
	}
	return out, err
}

func (b oracleBackend) GetCalendar(ctx context.Context, path string) (*caldav.Calendar, error) {
	all, err := b.ListCalendars(ctx)
	for _, c := range all {
		if c.Path == path {
			return &c, nil
		}
	}
	return nil, webdav.NewHTTPError(http.StatusNotFound, err)
}

func (b oracleBackend) ListCalendarObjects(_ context.Context, path string, _ *caldav.CalendarCompRequest) (out []caldav.CalendarObject, err error) {
	coll, err := b.c.store.collection("alice", shelfCalendar, "personal")
	if err != nil {
		return nil, err
	}
	objects, _, err := b.c.store.page(coll.id, "", func(*object) pick { return whole })
	for _, o := range objects {
		data, err := ical.NewDecoder(strings.NewReader(string(o.raw))).Decode()
		if err != nil {
			return nil, err
		}
		out = append(out, caldav.CalendarObject{Path: path + o.name, ETag: strings.Trim(o.sum.String(), `"`), ContentLength: o.size, Data: data})
	}
	return out, err
}

func (b oracleBackend) GetCalendarObject(ctx context.Context, path string, req *caldav.CalendarCompRequest) (*caldav.CalendarObject, error) {
	all, err := b.ListCalendarObjects(ctx, personal, req)
	for _, o := range all {
		if o.Path == path {
			return &o, nil
		}
	}
	return nil, webdav.NewHTTPError(http.StatusNotFound, err)
}

func (b oracleBackend) QueryCalendarObjects(ctx context.Context, path string, q *caldav.CalendarQuery) ([]caldav.CalendarObject, error) {
	all, err := b.ListCalendarObjects(ctx, path, &q.CompRequest)
	if err != nil {
		return nil, err
	}
	return caldav.Filter(q, all)
}

func (oracleBackend) PutCalendarObject(context.Context, string, *ical.Calendar, *caldav.PutCalendarObjectOptions) (*caldav.CalendarObject, error) {
	return nil, webdav.NewHTTPError(http.StatusForbidden, nil)
}
func (oracleBackend) DeleteCalendarObject(context.Context, string) error { return nil }
