package davsrv

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-ical"
	"github.com/emersion/go-webdav/caldav"
	"github.com/teambition/rrule-go"
)

// Rules made to burn time are stored quickly, found by every query about time,
// and cost queries nothing.
func TestRecurrenceBombsAreHarmless(t *testing.T) {
	c := start(t)
	list := func(from, to int) string {
		var n []string
		for i := from; i <= to; i++ {
			n = append(n, fmt.Sprint(i))
		}
		return strings.Join(n, ",")
	}
	bombs := map[string]string{
		"secondly":          "RRULE:FREQ=SECONDLY\n",
		"impossible second": "RRULE:FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30\n",
		"impossible day":    "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30\n",
		"never together":    "RRULE:FREQ=DAILY;BYYEARDAY=1;BYMONTH=12\n",
		"yearly never":      "RRULE:FREQ=YEARLY;BYWEEKNO=1;BYMONTH=7\n",
		"every second of":   "RRULE:FREQ=YEARLY;BYMONTH=1;BYHOUR=" + list(0, 23) + ";BYMINUTE=" + list(0, 59) + ";BYSECOND=" + list(0, 59) + "\n",
		"positions":         "RRULE:FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYHOUR=1,2,3;BYSETPOS=" + list(1, 366) + "\n",
		"huge interval":     "RRULE:FREQ=MONTHLY;INTERVAL=9223372036854775807\n",
		"huge count":        "RRULE:FREQ=HOURLY;COUNT=2147483647\n",
		"panics inside":     "RRULE:FREQ=MONTHLY;BYDAY=-53MO\n",
		"long rule":         "RRULE:FREQ=DAILY;BYMONTH=" + strings.Repeat("1,", 2000) + "1\n",
		"many exceptions":   "RRULE:FREQ=DAILY\nEXDATE:" + strings.Repeat("20260310T100000Z,", 60_000) + "20260310T100000Z\n",
		"many dates":        "RDATE:" + strings.Repeat("20260310T100000Z,", 60_000) + "20260310T100000Z\n",
		"many rules":        strings.Repeat("RRULE:FREQ=DAILY\n", 1000),
		"long ago":          "RRULE:FREQ=DAILY;COUNT=999999\n",
	}
	zone := "BEGIN:VTIMEZONE\r\nTZID:Z\r\n" + strings.Repeat("BEGIN:STANDARD\r\nDTSTART:00010101T000000\r\nTZOFFSETFROM:+0100\r\nTZOFFSETTO:+0200\r\nRRULE:FREQ=YEARLY;BYWEEKNO=1;BYMONTH=7\r\nEND:STANDARD\r\n", maxObservances) + "END:VTIMEZONE\r\nBEGIN:VEVENT"
	began := time.Now()
	c.want(http.StatusCreated, "PUT", personal+"zone.ics", strings.Replace(event("zone", "DTSTART;TZID=Z:20260310T100000\n"), "BEGIN:VEVENT", zone, 1))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("storing a zone full of rules took %v", took)
	}
	n := 0
	for name, lines := range bombs {
		n++
		start := "DTSTART:20000101T000000Z\n"
		if name == "long ago" {
			start = "DTSTART:00010101T000000Z\n"
		}
		began := time.Now()
		c.want(http.StatusCreated, "PUT", fmt.Sprintf("/dav/calendars/alice/personal/%d.ics", n), event(name, start+lines))
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: storing it took %v", name, took)
		}
	}
	began = time.Now()
	a := c.want(http.StatusMultiStatus, "REPORT", "/dav/calendars/alice/personal/", `<C:calendar-query xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:D="DAV:"><D:prop><D:getetag/></D:prop><C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"><C:time-range start="20260309T000000Z" end="20260312T000000Z"/></C:comp-filter></C:comp-filter></C:filter></C:calendar-query>`, "Depth", "1")
	if took := time.Since(began); took > 5*evaluateFor {
		t.Errorf("the query took %v", took)
	}
	if got := strings.Count(a.body, "<D:response>"); got < 8 {
		t.Errorf("only %d are found: %s", got, a.body)
	}
}

// Moving the start of a series forward changes none of its instances.
func TestForwardKeepsTheSeries(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	days := []string{"MO", "TU", "WE", "TH", "FR", "SA", "SU"}
	for range 400 {
		rule := fmt.Sprintf("FREQ=%s;INTERVAL=%d", []string{"DAILY", "WEEKLY"}[rnd.IntN(2)], 1+rnd.IntN(5))
		if rnd.IntN(2) == 0 {
			rule += ";BYDAY=" + days[rnd.IntN(7)] + "," + days[rnd.IntN(7)]
		}
		if rnd.IntN(3) == 0 {
			rule += ";WKST=" + days[rnd.IntN(7)]
		}
		begin := time.Date(2015, 1, 1+rnd.IntN(365), rnd.IntN(24), rnd.IntN(60), 0, 0, berlin)
		opt, err := readRule(rule, moment{Time: begin}, berlin)
		if err != nil {
			t.Fatal(rule, err)
		}
		lo := begin.AddDate(0, 0, rnd.IntN(4000))
		hi := lo.AddDate(0, 0, 1+rnd.IntN(60))
		r, err := rrule.NewRRule(*opt)
		if err != nil {
			t.Fatal(err)
		}
		want := r.Between(lo, hi, true)
		moved := *opt
		forward(&moved, lo)
		r, err = rrule.NewRRule(moved)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Between(lo, hi, true); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%s from %v moved to %v, between %v and %v:\n%v\n%v", rule, begin, moved.Dtstart, lo, hi, got, want)
		}
	}
}

// What the library's own matching finds of plain timed events, ours finds as
// well; and where it is exact, neither finds more.
func TestTheLibraryIsAnOracleForPlainEvents(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	x := newExpander()
	base := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	differ := 0
	for range 2000 {
		begin := base.Add(time.Duration(rnd.IntN(5000)) * time.Minute)
		end := begin.Add(time.Duration(1+rnd.IntN(600)) * time.Minute)
		from := base.Add(time.Duration(rnd.IntN(5000))*time.Minute + time.Second)
		to := from.Add(time.Duration(rnd.IntN(600)) * time.Minute).Add(time.Second)
		word := []string{"lunch", "dinner"}[rnd.IntN(2)]
		raw := event("u", "DTSTART:"+begin.Format("20060102T150405Z")+"\nDTEND:"+end.Format("20060102T150405Z")+"\nSUMMARY:"+word+"\n")
		filter := caldav.CompFilter{Name: "VCALENDAR", Comps: []caldav.CompFilter{{
			Name: "VEVENT", Start: from, End: to,
			Props: []caldav.PropFilter{{Name: "SUMMARY", TextMatch: &caldav.TextMatch{Text: "unc"}}},
		}}}
		parsed, err := ical.NewDecoder(strings.NewReader(raw)).Decode()
		if err != nil {
			t.Fatal(err)
		}
		want, err := caldav.Match(filter, &caldav.CalendarObject{Data: parsed})
		if err != nil {
			t.Fatal(err)
		}
		own, err := readCalendar([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		f := calFilter{CompFilter: filter, collation: octet, deadline: time.Now().Add(time.Minute)}
		if got := f.match(own, x); got != want {
			differ++
			t.Errorf("event %v to %v %s, range %v to %v: we say %v, the library %v", begin, end, word, from, to, got, want)
		}
	}
}

// FuzzSpan checks that the bounds computed when an object is stored never hide
// it from a query that would find it.
func FuzzSpan(f *testing.F) {
	f.Add("DTSTART:20260310T100000Z\nDTEND:20260310T110000Z\nRRULE:FREQ=DAILY;COUNT=3\nEXDATE:20260311T100000Z\n", int64(1773100000), uint32(3600))
	f.Add("DTSTART;VALUE=DATE:20260310\nDURATION:P1D\nRDATE;VALUE=DATE:20270101\n", int64(1773100000), uint32(86400))
	f.Add("DTSTART;TZID=Europe/Berlin:20260329T023000\nRRULE:FREQ=MONTHLY;BYDAY=-1SU;UNTIL=20300101\n", int64(1800000000), uint32(9999999))
	f.Add("DTSTART:20260310T100000\nRECURRENCE-ID;RANGE=THISANDFUTURE:20260310T100000\n", int64(0), uint32(1))
	f.Add("DUE:20260310T100000Z\nDTSTART:20260311T100000Z\n", int64(1773100000), uint32(3600))
	x := newExpander()
	f.Fuzz(func(t *testing.T, lines string, from int64, length uint32) {
		if len(lines) > 4096 || from < -1e11 || from > 1e12 {
			return
		}
		for _, comp := range []string{"VEVENT", "VTODO", "VJOURNAL"} {
			raw := strings.ReplaceAll(event("u", lines+"\n"), "VEVENT", comp)
			began := time.Now()
			d, err := readEvent([]byte(raw), defaultComps(shelfCalendar), x)
			if err != nil {
				return
			}
			r := timeRange{time.Unix(from, 0).UTC(), time.Unix(from+int64(length)+1, 0).UTC()}
			flt := calFilter{CompFilter: caldav.CompFilter{Name: "VCALENDAR", Comps: []caldav.CompFilter{{Name: d.comp, Start: r.from, End: r.to}}}, deadline: began.Add(time.Minute)}
			c, err := readCalendar([]byte(raw))
			if err != nil {
				t.Fatal("stored, but cannot be read:", err)
			}
			found := flt.match(c, x)
			if took := time.Since(began); took > 20*time.Second {
				t.Fatalf("took %v", took)
			}
			if found && !d.span.near(r) {
				t.Fatalf("%q is found in %v but its span is %+v", lines, r, d.span)
			}
			if v := flt.glance(d.comp, d.span); v == matches && !found && d.span.flags&spanOpaque == 0 || v == differs && found {
				t.Fatalf("%q in %v: found %v, but a glance says %v (%+v)", lines, r, found, v, d.span)
			}
		}
	})
}

// FuzzContentLines checks the reader of objects against the libraries' own.
func FuzzContentLines(f *testing.F) {
	f.Add(event("u", "SUMMARY;X=\"a:b\";Y=c,d:text\\, more\n folded\n"))
	f.Add(contact("u", "item1.TEL;TYPE=cell:1\nN:a;b;c\n"))
	f.Add("BEGIN:VCALENDAR\nBEGIN:X\nEND:X\nEND:VCALENDAR\n")
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 1<<14 {
			return
		}
		n := 0
		_ = contentLines([]byte(s), func(cl contentLine) error {
			n += len(cl.name) + len(cl.value)
			if cl.name == "" || cl.name != strings.ToUpper(cl.name) {
				t.Fatalf("the name %q", cl.name)
			}
			return nil
		})
		if n > 4*len(s) {
			t.Fatalf("%d bytes became %d", len(s), n)
		}
		c, err := readCalendar([]byte(s))
		if err != nil || strings.ContainsAny(s, "\ufeff^\x00") {
			return
		}
		if depthOf(c.Component) > maxCompDepth {
			t.Fatal("too deep")
		}
	})
}

func depthOf(c *ical.Component) int {
	d := 0
	for _, k := range c.Children {
		d = max(d, depthOf(k))
	}
	return d + 1
}

// Random series and ranges, with what another implementation (Python's
// recurring_ical_events 2.0.1 on dateutil) says of them.
func TestRecurrenceAgreesWithAnotherImplementation(t *testing.T) {
	f, err := os.Open("testdata/recurrence.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for dec := json.NewDecoder(f); ; n++ {
		var tt struct {
			Lines, From, To string
			Want            bool
		}
		if err := dec.Decode(&tt); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			checkRange(t, event("u", tt.Lines), "VEVENT", tt.From, tt.To, tt.Want)
			if t.Failed() {
				t.Logf("%s in %s to %s", tt.Lines, tt.From, tt.To)
			}
		})
	}
	if n != 600 {
		t.Errorf("%d cases", n)
	}
}
