package davsrv

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

const berlinRule = "DTSTART;TZID=Europe/Berlin:20260328T090000\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=3\n"

// The table of the RFC (4791 §9.9), and what calendars in the wild hold.
func TestTimeRange(t *testing.T) {
	const timed = "DTSTART:20260310T100000Z\nDTEND:20260310T110000Z\n"
	for name, tt := range map[string]struct {
		lines    string // of the component
		from, to string
		want     bool
	}{
		"inside":                      {timed, "20260310T000000Z", "20260311T000000Z", true},
		"equal to the range":          {"DTSTART:20260310T000000Z\nDTEND:20260311T000000Z\n", "20260310T000000Z", "20260311T000000Z", true},
		"ends at the start":           {timed, "20260310T110000Z", "20260310T120000Z", false},
		"starts at the end":           {timed, "20260310T090000Z", "20260310T100000Z", false},
		"covers the range":            {timed, "20260310T101500Z", "20260310T103000Z", true},
		"starts with it, ends after":  {"DTSTART:20260310T000000Z\nDTEND:20260312T000000Z\n", "20260310T000000Z", "20260311T000000Z", true},
		"only an end, before":         {timed, "", "20260101T000000Z", false},
		"only an end, after":          {timed, "", "20270101T000000Z", true},
		"only a start, before":        {timed, "20260101T000000Z", "", true},
		"only a start, after":         {timed, "20270101T000000Z", "", false},
		"no end":                      {"DTSTART:20260310T100000Z\n", "20260310T100000Z", "20260310T100001Z", true},
		"no end, just past":           {"DTSTART:20260310T100000Z\n", "20260310T100001Z", "20260310T110000Z", false},
		"zero length":                 {"DTSTART:20260310T100000Z\nDURATION:PT0S\n", "20260310T100000Z", "20260310T110000Z", true},
		"end before start":            {"DTSTART:20260310T100000Z\nDTEND:20260309T100000Z\n", "20260310T000000Z", "20260311T000000Z", true},
		"all day, that day":           {"DTSTART;VALUE=DATE:20260310\n", "20260310T000000Z", "20260311T000000Z", true},
		"all day, the next day":       {"DTSTART;VALUE=DATE:20260310\n", "20260311T000000Z", "20260312T000000Z", false},
		"all day, with its end":       {"DTSTART;VALUE=DATE:20260310\nDTEND;VALUE=DATE:20260312\n", "20260311T120000Z", "20260311T130000Z", true},
		"all day, end is exclusive":   {"DTSTART;VALUE=DATE:20260310\nDTEND;VALUE=DATE:20260312\n", "20260312T000000Z", "20260313T000000Z", false},
		"all day, end equals start":   {"DTSTART;VALUE=DATE:20260310\nDTEND;VALUE=DATE:20260310\n", "20260310T120000Z", "20260310T130000Z", true},
		"all day, P2D":                {"DTSTART;VALUE=DATE:20260310\nDURATION:P2D\n", "20260311T120000Z", "20260311T130000Z", true},
		"P1W":                         {"DTSTART:20260310T100000Z\nDURATION:P1W\n", "20260316T000000Z", "20260316T010000Z", true},
		"negative duration":           {"DTSTART:20260310T100000Z\nDURATION:-PT1H\n", "20260310T093000Z", "20260310T094000Z", false},
		"value without VALUE":         {"DTSTART:20260310\n", "20260310T000000Z", "20260311T000000Z", true},
		"24 o'clock":                  {"DTSTART:20260310T230000Z\nDTEND:20260310T240000Z\n", "20260310T233000Z", "20260311T000000Z", true},
		"year 9999":                   {"DTSTART:99991231T100000Z\n", "20260310T000000Z", "", true},
		"year 1601":                   {"DTSTART:16010101T000000Z\nDTEND:16010101T010000Z\n", "20260310T000000Z", "", false},
		"not a time at all":           {"DTSTART:soon\n", "20260310T000000Z", "20260311T000000Z", true},
		"floating":                    {"DTSTART:20260310T100000\nDTEND:20260310T110000\n", "20260310T103000Z", "20260310T104000Z", true},
		"folded value":                {"DTSTART:2026031\n 0T100000Z\nDTEND:20260310T110000Z\n", "20260310T103000Z", "20260310T104000Z", true},
		"in winter":                   {"DTSTART;TZID=Europe/Berlin:20260310T100000\nDURATION:PT1H\n", "20260310T090000Z", "20260310T093000Z", true},
		"in winter, an hour later":    {"DTSTART;TZID=Europe/Berlin:20260310T100000\nDURATION:PT1H\n", "20260310T100000Z", "20260310T103000Z", false},
		"Windows' name":               {"DTSTART;TZID=W. Europe Standard Time:20260310T100000\nDURATION:PT1H\n", "20260310T090000Z", "20260310T093000Z", true},
		"Windows' name, later":        {"DTSTART;TZID=W. Europe Standard Time:20260310T100000\nDURATION:PT1H\n", "20260310T103000Z", "20260310T110000Z", false},
		"vendor's prefix":             {"DTSTART;TZID=/freeassociation.sourceforge.net/Tzfile/Europe/Berlin:20260310T100000\nDURATION:PT1H\n", "20260310T103000Z", "20260310T110000Z", false},
		"three-part name":             {"DTSTART;TZID=/x/America/Argentina/Buenos_Aires:20260310T100000\nDURATION:PT1H\n", "20260310T130000Z", "20260310T133000Z", true},
		"trailing space":              {"DTSTART;TZID=Europe/Berlin :20260310T100000\nDURATION:PT1H\n", "20260310T103000Z", "20260310T110000Z", false},
		"zone in quotes":              {"DTSTART;TZID=\"Europe/Berlin\":20260310T100000\nDURATION:PT1H\n", "20260310T103000Z", "20260310T110000Z", false},
		"unknown zone floats":         {"DTSTART;TZID=Nowhere:20260310T100000\nDURATION:PT1H\n", "20260310T100000Z", "20260310T103000Z", true},
		"in the gap of the clock":     {"DTSTART;TZID=Europe/Berlin:20260329T023000\nDURATION:PT1M\n", "20260329T013000Z", "20260329T013001Z", true},
		"twice on the clock":          {"DTSTART;TZID=Europe/Berlin:20261025T023000\nDURATION:PT1M\n", "20261025T003000Z", "20261025T003001Z", true},
		"twice, not the second":       {"DTSTART;TZID=Europe/Berlin:20261025T023000\nDURATION:PT1M\n", "20261025T013000Z", "20261025T013001Z", false},
		"daily over the clock change": {berlinRule, "20260329T070000Z", "20260329T073000Z", true},
		"daily, wrong by the hour":    {berlinRule, "20260329T080000Z", "20260329T083000Z", false},
		"COUNT ends it":               {berlinRule, "20260331T000000Z", "20260401T000000Z", false},
		"recurring, only a start":     {timed + "RRULE:FREQ=DAILY;COUNT=5\n", "20260311T000000Z", "", true},
		"recurring, start after":      {timed + "RRULE:FREQ=DAILY;COUNT=5\n", "20260315T000000Z", "", false},
		"recurring, only an end":      {timed + "RRULE:FREQ=DAILY;COUNT=5\n", "", "20260310T000000Z", false},
		"instance overlaps the start": {"DTSTART:20260310T230000Z\nDTEND:20260311T020000Z\nRRULE:FREQ=DAILY;COUNT=2\n", "20260312T010000Z", "20260312T013000Z", true},
		"instance at exclusive end":   {timed + "RRULE:FREQ=DAILY;COUNT=1\n", "20260310T090000Z", "20260310T100000Z", false},
		"EXDATE":                      {timed + "RRULE:FREQ=DAILY;COUNT=3\nEXDATE:20260311T100000Z\n", "20260311T000000Z", "20260312T000000Z", false},
		"EXDATE list":                 {timed + "RRULE:FREQ=DAILY;COUNT=5\nEXDATE:20260311T100000Z,20260312T100000Z\n", "20260312T000000Z", "20260313T000000Z", false},
		"EXDATE in another zone":      {timed + "RRULE:FREQ=DAILY;COUNT=3\nEXDATE;TZID=Europe/Berlin:20260311T110000\n", "20260311T000000Z", "20260312T000000Z", false},
		"EXDATE as a date":            {timed + "RRULE:FREQ=DAILY;COUNT=3\nEXDATE;VALUE=DATE:20260311\n", "20260311T000000Z", "20260312T000000Z", false},
		"EXDATE of the first":         {timed + "RRULE:FREQ=DAILY;COUNT=3\nEXDATE:20260310T100000Z\n", "20260310T000000Z", "20260311T000000Z", false},
		"EXDATE counts in COUNT":      {timed + "RRULE:FREQ=DAILY;COUNT=3\nEXDATE:20260311T100000Z\n", "20260313T000000Z", "20260314T000000Z", false},
		"RDATE with a rule":           {timed + "RRULE:FREQ=DAILY;COUNT=1\nRDATE:20260401T100000Z\n", "20260401T000000Z", "20260402T000000Z", true},
		"RDATE alone":                 {timed + "RDATE:20260401T100000Z\n", "20260401T000000Z", "20260402T000000Z", true},
		"RDATE alone, not between":    {timed + "RDATE:20260401T100000Z\n", "20260320T000000Z", "20260321T000000Z", false},
		"RDATE as a period":           {timed + "RDATE;VALUE=PERIOD:20260401T100000Z/PT2H\n", "20260401T000000Z", "20260402T000000Z", true},
		"RDATE before the start":      {timed + "RDATE:20260101T100000Z\n", "20260101T000000Z", "20260102T000000Z", true},
		"UNTIL as a date":             {"DTSTART;TZID=Europe/Berlin:20260310T100000\nDURATION:PT1H\nRRULE:FREQ=DAILY;UNTIL=20260312\n", "20260312T000000Z", "20260313T000000Z", true},
		"UNTIL as a date, after":      {"DTSTART;TZID=Europe/Berlin:20260310T100000\nDURATION:PT1H\nRRULE:FREQ=DAILY;UNTIL=20260312\n", "20260313T000000Z", "20260314T000000Z", false},
		"UNTIL in UTC, inclusive":     {timed + "RRULE:FREQ=DAILY;UNTIL=20260312T100000Z\n", "20260312T000000Z", "20260313T000000Z", true},
		"for ever, far ahead":         {timed + "RRULE:FREQ=WEEKLY\n", "20910306T000000Z", "20910313T000000Z", true},
		"for ever, the wrong weekday": {timed + "RRULE:FREQ=WEEKLY\n", "20910307T000000Z", "20910308T000000Z", false},
		"fortnightly, on":             {timed + "RRULE:FREQ=WEEKLY;INTERVAL=2\n", "20260324T000000Z", "20260325T000000Z", true},
		"fortnightly, off":            {timed + "RRULE:FREQ=WEEKLY;INTERVAL=2\n", "20260317T000000Z", "20260318T000000Z", false},
		"fortnightly, years on":       {timed + "RRULE:FREQ=WEEKLY;INTERVAL=2\n", "20360304T000000Z", "20360305T000000Z", false},
		"every third day, years on":   {timed + "RRULE:FREQ=DAILY;INTERVAL=3\n", "20310310T000000Z", "20310311T000000Z", false},
		"last day of the month":       {"DTSTART:20260131T100000Z\nRRULE:FREQ=MONTHLY;BYMONTHDAY=-1\n", "20280229T000000Z", "20280301T000000Z", true},
		"second Tuesday":              {timed + "RRULE:FREQ=MONTHLY;BYDAY=2TU\n", "20260414T000000Z", "20260415T000000Z", true},
		"third by position":           {timed + "RRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE;BYSETPOS=3\n", "20260407T000000Z", "20260408T000000Z", true},
		"the 29th of February":        {"DTSTART;VALUE=DATE:20240229\nRRULE:FREQ=YEARLY\n", "20270228T000000Z", "20270302T000000Z", false},
		"birthday":                    {"DTSTART;VALUE=DATE:19800310\nRRULE:FREQ=YEARLY\n", "20260310T000000Z", "20260311T000000Z", true},
		"all day, weekly":             {"DTSTART;VALUE=DATE:20260310\nRRULE:FREQ=WEEKLY\n", "20260317T230000Z", "20260317T233000Z", true},
		"start that breaks the rule":  {timed + "RRULE:FREQ=WEEKLY;BYDAY=WE\n", "20260310T000000Z", "20260311T000000Z", true},
		"hourly":                      {"DTSTART:20260310T000000Z\nDURATION:PT5M\nRRULE:FREQ=HOURLY;INTERVAL=6\n", "20260312T060000Z", "20260312T060100Z", true},
		"hourly, between":             {"DTSTART:20260310T000000Z\nDURATION:PT5M\nRRULE:FREQ=HOURLY;INTERVAL=6\n", "20260312T070000Z", "20260312T080000Z", false},
		"a rule nobody understands":   {timed + "RRULE:FREQ=FORTNIGHTLY\n", "20300101T000000Z", "20300102T000000Z", true},
		"rule in lower case":          {timed + "RRULE:freq=daily;count=2\n", "20260311T000000Z", "20260312T000000Z", true},
		"rule with a last semicolon":  {timed + "RRULE:FREQ=DAILY;COUNT=2;\n", "20260312T000000Z", "20260313T000000Z", false},
		"INTERVAL=0 is one":           {timed + "RRULE:FREQ=DAILY;INTERVAL=0;COUNT=3\n", "20260312T000000Z", "20260313T000000Z", true},
	} {
		t.Run(name, func(t *testing.T) { checkRange(t, event("u", tt.lines), "VEVENT", tt.from, tt.to, tt.want) })
	}
}

// checkRange evaluates a time-range as a stored object would be: by its span
// first, then in full.
func checkRange(t *testing.T, text, comp, from, to string, want bool) {
	t.Helper()
	x := newExpander()
	d, err := readEvent([]byte(text), defaultComps(shelfCalendar), x)
	if err != nil {
		t.Fatal(err)
	}
	f, err := readCalFilter(rangeQuery(t, comp, from, to))
	if err != nil {
		t.Fatal(err)
	}
	f.deadline = time.Now().Add(time.Minute)
	o := &object{comp: d.comp, span: d.span, raw: d.raw}
	got := f.glance(o.comp, o.span) != differs && f.matchRaw(o, x)
	if got != want {
		t.Errorf("found: %v, want %v (span %+v)", got, want, d.span)
	}
}

func rangeQuery(t *testing.T, comp, from, to string) *node {
	t.Helper()
	attrs := ""
	if from != "" {
		attrs += ` start="` + from + `"`
	}
	if to != "" {
		attrs += ` end="` + to + `"`
	}
	return query(t, `<C:comp-filter name="VCALENDAR"><C:comp-filter name="`+comp+`"><C:time-range`+attrs+`/></C:comp-filter></C:comp-filter>`)
}

func query(t testing.TB, filter string) *node {
	t.Helper()
	n, err := readXML(strings.NewReader(`<C:calendar-query xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:D="DAV:"><D:prop><D:getetag/></D:prop><C:filter>`+filter+`</C:filter></C:calendar-query>`), maxXMLBody)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTimeRangeOfOverridesAndZones(t *testing.T) {
	const master = "DTSTART:20260310T100000Z\nDTEND:20260310T110000Z\nRRULE:FREQ=DAILY;COUNT=3\n"
	join := func(first, second string) string {
		_, more, _ := strings.Cut(event("u", second), "PRODID:-//test//EN\r\n")
		return strings.TrimSuffix(event("u", first), "END:VCALENDAR\r\n") + more
	}
	moved := join(master, "RECURRENCE-ID:20260311T100000Z\nDTSTART:20260320T100000Z\nDTEND:20260320T110000Z\n")
	future := join(master, "RECURRENCE-ID;RANGE=THISANDFUTURE:20260311T100000Z\nDTSTART:20260320T100000Z\nDTEND:20260320T110000Z\n")
	mine := strings.Replace(event("u", "DTSTART;TZID=Mine:20260710T100000\nDURATION:PT1H\n"), "BEGIN:VEVENT", "BEGIN:VTIMEZONE\r\nTZID:Mine\r\n"+
		"BEGIN:STANDARD\r\nDTSTART:19700101T000000\r\nTZOFFSETFROM:+0300\r\nTZOFFSETTO:+0200\r\nRRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU\r\nEND:STANDARD\r\n"+
		"BEGIN:DAYLIGHT\r\nDTSTART:19700329T000000\r\nTZOFFSETFROM:+0200\r\nTZOFFSETTO:+0300\r\nRRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU\r\nEND:DAYLIGHT\r\n"+
		"END:VTIMEZONE\r\nBEGIN:VEVENT", 1)
	winter := strings.Replace(mine, "20260710T", "20260110T", 1)
	for name, tt := range map[string]struct {
		object   string
		from, to string
		want     bool
	}{
		"moved away":             {moved, "20260311T000000Z", "20260312T000000Z", false},
		"moved here":             {moved, "20260320T000000Z", "20260321T000000Z", true},
		"the others stay":        {moved, "20260312T000000Z", "20260313T000000Z", true},
		"this and future":        {future, "20260321T000000Z", "20260322T000000Z", true},
		"override without all":   {event("u", "RECURRENCE-ID:20260311T100000Z\nDTSTART:20260320T100000Z\nDTEND:20260320T110000Z\n"), "20260320T000000Z", "20260321T000000Z", true},
		"own zone in summer":     {mine, "20260710T070000Z", "20260710T073000Z", true},
		"own zone, hour too far": {mine, "20260710T080000Z", "20260710T083000Z", false},
		"own zone in winter":     {winter, "20260110T080000Z", "20260110T083000Z", true},
		"own zone, too early":    {winter, "20260110T070000Z", "20260110T073000Z", false},
	} {
		t.Run(name, func(t *testing.T) { checkRange(t, tt.object, "VEVENT", tt.from, tt.to, tt.want) })
	}
}

func TestTimeRangeOfTasksAndJournals(t *testing.T) {
	for name, tt := range map[string]struct {
		comp, lines string
		from, to    string
		want        bool
	}{
		"due within":            {"VTODO", "DUE:20260310T100000Z\n", "20260310T000000Z", "20260311T000000Z", true},
		"due at the end":        {"VTODO", "DUE:20260311T000000Z\n", "20260310T000000Z", "20260311T000000Z", true},
		"due at the start":      {"VTODO", "DUE:20260310T000000Z\n", "20260310T000000Z", "20260311T000000Z", false},
		"due before":            {"VTODO", "DUE:20260309T100000Z\n", "20260310T000000Z", "20260311T000000Z", false},
		"start and due":         {"VTODO", "DTSTART:20260301T000000Z\nDUE:20260320T000000Z\n", "20260310T000000Z", "20260311T000000Z", true},
		"due before it starts":  {"VTODO", "DTSTART:20260320T000000Z\nDUE:20260301T000000Z\n", "20260305T000000Z", "20260306T000000Z", false},
		"start and duration":    {"VTODO", "DTSTART:20260301T000000Z\nDURATION:P2D\n", "20260303T000000Z", "20260304T000000Z", true},
		"start only":            {"VTODO", "DTSTART:20260310T000000Z\n", "20260310T000000Z", "20260311T000000Z", true},
		"completed":             {"VTODO", "COMPLETED:20260310T100000Z\n", "20260310T000000Z", "20260311T000000Z", true},
		"completed before":      {"VTODO", "COMPLETED:20260309T100000Z\n", "20260310T000000Z", "20260311T000000Z", false},
		"created and completed": {"VTODO", "CREATED:20260301T000000Z\nCOMPLETED:20260320T000000Z\n", "20260310T000000Z", "20260311T000000Z", true},
		"created":               {"VTODO", "CREATED:20260301T000000Z\n", "20260310T000000Z", "20260311T000000Z", true},
		"created after":         {"VTODO", "CREATED:20260401T000000Z\n", "20260310T000000Z", "20260311T000000Z", false},
		"nothing at all":        {"VTODO", "SUMMARY:some day\n", "20260310T000000Z", "20260311T000000Z", true},
		"weekly task":           {"VTODO", "DTSTART:20260310T100000Z\nDUE:20260310T110000Z\nRRULE:FREQ=WEEKLY\n", "20260317T000000Z", "20260318T000000Z", true},
		"weekly task, between":  {"VTODO", "DTSTART:20260310T100000Z\nDUE:20260310T110000Z\nRRULE:FREQ=WEEKLY\n", "20260318T000000Z", "20260319T000000Z", false},
		"journal":               {"VJOURNAL", "DTSTART:20260310T100000Z\n", "20260310T000000Z", "20260311T000000Z", true},
		"journal of a day":      {"VJOURNAL", "DTSTART;VALUE=DATE:20260310\n", "20260310T230000Z", "20260311T000000Z", true},
		"journal of no day":     {"VJOURNAL", "SUMMARY:x\n", "20260310T000000Z", "20260311T000000Z", false},
		"task asked for events": {"VEVENT", "", "20260310T000000Z", "20260311T000000Z", false},
	} {
		t.Run(name, func(t *testing.T) {
			comp := tt.comp
			if comp == "VEVENT" {
				comp = "VTODO"
			}
			checkRange(t, strings.ReplaceAll(event("u", tt.lines), "VEVENT", comp), tt.comp, tt.from, tt.to, tt.want)
		})
	}
}

// Floating times and days are meant in the zone of the query.
func TestFloatingTimesFollowTheQuery(t *testing.T) {
	x := newExpander()
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	c, err := readCalendar([]byte(event("u", "DTSTART;VALUE=DATE:20260310\n")))
	if err != nil {
		t.Fatal(err)
	}
	f, err := readCalFilter(rangeQuery(t, "VEVENT", "20260309T150000Z", "20260309T160000Z"))
	if err != nil {
		t.Fatal(err)
	}
	for loc, want := range map[*time.Location]bool{time.UTC: false, tokyo: true} {
		f.floating = loc
		if f.match(c, x) != want {
			t.Errorf("in %v: found is %v", loc, !want)
		}
	}
}

func TestAlarmsAreFoundByTheirTime(t *testing.T) {
	alarm := func(trigger string) string {
		return event("u", "DTSTART:20260310T100000Z\nDTEND:20260310T110000Z\nRRULE:FREQ=DAILY;COUNT=3\nBEGIN:VALARM\nACTION:DISPLAY\n"+trigger+"END:VALARM\n")
	}
	for name, tt := range map[string]struct {
		trigger  string
		from, to string
		want     bool
	}{
		"before the start":     {"TRIGGER:-PT1H\n", "20260311T085900Z", "20260311T090100Z", true},
		"not at the start":     {"TRIGGER:-PT1H\n", "20260311T095900Z", "20260311T100100Z", false},
		"after the end":        {"TRIGGER;RELATED=END:PT15M\n", "20260312T111400Z", "20260312T111600Z", true},
		"at a time":            {"TRIGGER;VALUE=DATE-TIME:20260101T000000Z\n", "20260101T000000Z", "20260101T000001Z", true},
		"at another time":      {"TRIGGER;VALUE=DATE-TIME:20260101T000000Z\n", "20260102T000000Z", "20260103T000000Z", false},
		"repeated":             {"TRIGGER:-PT1H\nREPEAT:2\nDURATION:PT10M\n", "20260310T092000Z", "20260310T092100Z", true},
		"repeated enough":      {"TRIGGER:-PT1H\nREPEAT:2\nDURATION:PT10M\n", "20260310T093000Z", "20260310T093100Z", false},
		"after the last event": {"TRIGGER:-PT1H\n", "20260313T000000Z", "20260314T000000Z", false},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := readEvent([]byte(alarm(tt.trigger)), defaultComps(shelfCalendar), newExpander())
			if err != nil {
				t.Fatal(err)
			}
			f, err := readCalFilter(query(t, fmt.Sprintf(`<C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"><C:comp-filter name="VALARM"><C:time-range start="%s" end="%s"/></C:comp-filter></C:comp-filter></C:comp-filter>`, tt.from, tt.to)))
			if err != nil {
				t.Fatal(err)
			}
			f.deadline = time.Now().Add(time.Minute)
			o := &object{comp: d.comp, span: d.span, raw: d.raw}
			if got := f.glance(o.comp, o.span) != differs && f.matchRaw(o, newExpander()); got != tt.want {
				t.Errorf("found: %v", got)
			}
		})
	}
}

func TestFiltersThatCannotBeRead(t *testing.T) {
	for name, filter := range map[string]string{
		"none":              ``,
		"no name":           `<C:comp-filter/>`,
		"unknown condition": `<C:comp-filter name="VCALENDAR"><C:magic/></C:comp-filter>`,
		"empty range":       `<C:comp-filter name="VCALENDAR"><C:time-range/></C:comp-filter>`,
		"range backwards":   `<C:comp-filter name="VCALENDAR"><C:time-range start="20260102T000000Z" end="20260101T000000Z"/></C:comp-filter>`,
		"no time":           `<C:comp-filter name="VCALENDAR"><C:time-range start="now"/></C:comp-filter>`,
		"collation":         `<C:comp-filter name="VCALENDAR"><C:prop-filter name="X"><C:text-match collation="i;klingon">x</C:text-match></C:prop-filter></C:comp-filter>`,
		"negation":          `<C:comp-filter name="VCALENDAR"><C:prop-filter name="X"><C:text-match negate-condition="maybe">x</C:text-match></C:prop-filter></C:comp-filter>`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readCalFilter(query(t, filter))
			var ref *refusal
			if !errors.As(err, &ref) || ref.status != http.StatusForbidden && ref.status != http.StatusBadRequest {
				t.Errorf("got %v, want a refusal", err)
			}
		})
	}
}
