package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const eventCount = 500

// calendar compares CalDAV servers.
func calendar() contest {
	return contest{
		name: "caldav", title: "CalDAV: a calendar of 500 events, beside Radicale", packages: []string{"radicale"},
		what: `One client, one kept connection, plain HTTP with a password. PUT of 500 events into a new calendar, durable on both
sides (Radicale with its fsync, as by default); PROPFIND of the whole at depth 1; calendar-query of one week with its data.
Every status and the number of results are checked. Every 50th event recurs. Radicale compares passwords as plain text,
which favours it; the cell remembers a verified one for a while. How long a PUT takes depends on the disk.`,
		run: calendarRun,
	}
}

func calendarRun(ctx context.Context, l *lab) (string, error) {
	m := &match{unit: "request", cpu: time.Millisecond, works: []string{"PUT", "PROPFIND of 500", "calendar-query, a week"}}
	err := m.enter("pic", func() (*rival, error) {
		c, err := l.trial(ctx, nil)
		if err != nil {
			return nil, err
		}
		return newDiary("http://127.0.0.1:5232/dav/calendars/"+user+"/", c.proc), nil
	})
	if err != nil {
		return "", err
	}
	err = m.enter("radicale", func() (*rival, error) {
		port, err := closedPort()
		if err != nil {
			return nil, err
		}
		p, err := l.radicale(port)
		if err != nil {
			return nil, err
		}
		if err := p.wait(ctx, func() bool { return listening([]uint16{port}, nil) }); err != nil {
			return nil, err
		}
		return newDiary(fmt.Sprintf("http://127.0.0.1:%d/%s/", port, user), p), nil
	})
	if err != nil {
		return "", err
	}
	return m.play(ctx, l)
}

func (l *lab) radicale(port uint16) (*process, error) {
	conf, secrets := filepath.Join(l.dir, "radicale.conf"), filepath.Join(l.dir, "radicale.users")
	text := fmt.Sprintf(`[server]
hosts = 127.0.0.1:%d
[auth]
type = htpasswd
htpasswd_filename = %s
htpasswd_encryption = plain
[storage]
filesystem_folder = %s
`, port, secrets, filepath.Join(l.dir, "radicale"))
	if err := errors.Join(
		os.WriteFile(conf, []byte(text), 0o644),
		os.WriteFile(secrets, []byte(user+":"+password+"\n"), 0o600),
	); err != nil {
		return nil, err
	}
	return l.start(nil, "radicale", "--config", conf)
}

// A diary is a client of a CalDAV server.
type diary struct {
	base   string // of the user's calendars
	client *http.Client
	made   int    // calendars so far
	last   string // the newest
}

func newDiary(base string, p *process) *rival {
	d := &diary{base: base, client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableCompression: true}}}
	return &rival{procs: []*process{p}, jobs: []job{d.put, d.list, d.week}}
}

// send makes one request and returns the answer's body.
func (d *diary) send(ctx context.Context, method, url, kind, body string, want int) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(user, password)
	req.Header.Set("Content-Type", kind)
	if want == http.StatusMultiStatus {
		req.Header.Set("Depth", "1")
	}
	res, err := d.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != want {
		err = fmt.Errorf("%s %s: %s: %s", method, url, res.Status, oneLine(string(b)))
	}
	return b, err
}

const xmlKind = "application/xml; charset=utf-8"

// put fills a new calendar.
func (d *diary) put(ctx context.Context, m *meter) error {
	d.made++
	d.last = fmt.Sprintf("%sbench%d/", d.base, d.made)
	body := `<?xml version="1.0" encoding="utf-8"?><C:mkcalendar xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">` +
		`<D:set><D:prop><D:displayname>Bench</D:displayname></D:prop></D:set></C:mkcalendar>`
	if _, err := d.send(ctx, "MKCALENDAR", d.last, xmlKind, body, http.StatusCreated); err != nil {
		return err
	}
	m.begin()
	for i := range eventCount {
		url := fmt.Sprintf("%sev%03d.ics", d.last, i)
		if _, err := d.send(ctx, http.MethodPut, url, "text/calendar; charset=utf-8", event(i), http.StatusCreated); err != nil {
			return err
		}
	}
	m.end(eventCount)
	return nil
}

// list asks for the tags of all that is in the newest calendar.
func (d *diary) list(ctx context.Context, m *meter) error {
	body := `<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop><D:getetag/><D:getcontenttype/>` +
		`<D:resourcetype/></D:prop></D:propfind>`
	return d.repeat(ctx, m, "PROPFIND", body, ".ics", eventCount)
}

// week asks for what happens in the tenth week, with its data.
func (d *diary) week(ctx context.Context, m *meter) error {
	from := firstEvent.AddDate(0, 0, 63)
	to := from.AddDate(0, 0, 7)
	body := fmt.Sprintf(`<?xml version="1.0" encoding="utf-8"?><C:calendar-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">`+
		`<D:prop><D:getetag/><C:calendar-data/></D:prop><C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT">`+
		`<C:time-range start="%s" end="%s"/></C:comp-filter></C:comp-filter></C:filter></C:calendar-query>`,
		from.Format(stampForm), to.Format(stampForm))
	return d.repeat(ctx, m, "REPORT", body, "BEGIN:VEVENT", happening(from, to))
}

// repeat asks the newest calendar until the turn is over; each answer must have
// so many of what is to be found.
func (d *diary) repeat(ctx context.Context, m *meter, method, body, find string, want int) error {
	m.begin()
	n := 0
	for ; n == 0 || !m.over(); n++ {
		b, err := d.send(ctx, method, d.last, xmlKind, body, http.StatusMultiStatus)
		if err != nil {
			return err
		}
		if got := bytes.Count(b, []byte(find)); got != want {
			return fmt.Errorf("%s found %d of %d", method, got, want)
		}
	}
	m.end(float64(n))
	return nil
}

const stampForm = "20060102T150405Z"

var firstEvent = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// Event i is an hour long and begins 3·i hours after the first.
func begins(i int) time.Time { return firstEvent.Add(time.Duration(i) * 3 * time.Hour) }

// repeats is how often an event takes place, a week apart.
func repeats(i int) int {
	if i%50 == 49 {
		return 10
	}
	return 1
}

// happening counts the events that take place within a time.
func happening(from, to time.Time) int {
	n := 0
	for i := range eventCount {
		for k := range repeats(i) {
			if t := begins(i).AddDate(0, 0, 7*k); t.Before(to) && t.Add(time.Hour).After(from) {
				n++
				break
			}
		}
	}
	return n
}

func event(i int) string {
	rule := ""
	if n := repeats(i); n > 1 {
		rule = fmt.Sprintf("RRULE:FREQ=WEEKLY;COUNT=%d\r\n", n)
	}
	return "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//bench//EN\r\nBEGIN:VEVENT\r\n" +
		fmt.Sprintf("UID:ev%03d@bench\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:%s\r\nDTEND:%s\r\n%sSUMMARY:Event %d\r\nLOCATION:Room %d\r\n",
			i, begins(i).Format(stampForm), begins(i).Add(time.Hour).Format(stampForm), rule, i, i%17) +
		"DESCRIPTION:Some words about it\\, so that it has a usual size.\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
}
