package davsrv

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/emersion/go-ical"
	"github.com/emersion/go-webdav/caldav"
)

// Limits of calendar and address objects.
const (
	maxObject    = 4 << 20 // bytes
	maxCompDepth = 8
	maxUID       = 1 << 10
)

// readCalendar parses an iCalendar stream of exactly one VCALENDAR into
// go-ical's model. go-ical's own decoder recurses without limit and copies
// quadratically, so it never sees what a client sent.
func readCalendar(data []byte) (*ical.Calendar, error) {
	var stack []*ical.Component
	var root *ical.Component
	err := contentLines(data, func(cl contentLine) error {
		switch cl.name {
		case "BEGIN":
			c := &ical.Component{Name: strings.ToUpper(strings.TrimSpace(cl.value)), Props: make(ical.Props)}
			switch {
			case len(stack) == maxCompDepth:
				return fmt.Errorf("components are nested deeper than %d", maxCompDepth)
			case len(stack) > 0:
				top := stack[len(stack)-1]
				top.Children = append(top.Children, c)
			case root != nil:
				return errors.New("it holds more than one calendar")
			default:
				root = c
			}
			stack = append(stack, c)
		case "END":
			top := len(stack) - 1
			if top < 0 || !strings.EqualFold(strings.TrimSpace(cl.value), stack[top].Name) {
				return fmt.Errorf("END:%.40s closes nothing", cl.value)
			}
			stack = stack[:top]
		default:
			if len(stack) == 0 {
				return errors.New("it does not begin with BEGIN:VCALENDAR")
			}
			p := stack[len(stack)-1].Props
			p[cl.name] = append(p[cl.name], ical.Prop{Name: cl.name, Params: cl.params, Value: cl.value})
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case root == nil || root.Name != ical.CompCalendar:
		return nil, errors.New("it does not begin with BEGIN:VCALENDAR")
	case len(stack) > 0:
		return nil, fmt.Errorf("%s is not closed", stack[len(stack)-1].Name)
	}
	return &ical.Calendar{Component: root}, nil
}

// A draft is what is known of an object before it is stored.
type draft struct {
	raw  []byte
	uid  string
	comp string // VEVENT, VTODO, VJOURNAL; VCARD for contacts
	span span
}

// readEvent checks what a client wants to put into a calendar that takes the
// components comps (RFC 4791 §4.1, §5.3.2.1).
func readEvent(data []byte, comps []string, x *expander) (*draft, error) {
	if bytes.IndexByte(data, 0) >= 0 {
		return nil, violates(http.StatusForbidden, cal("valid-calendar-data"), "The object holds NUL bytes.")
	}
	c, err := readCalendar(data)
	if err != nil {
		return nil, violates(http.StatusForbidden, cal("valid-calendar-data"), "This is no iCalendar object: "+err.Error()+".")
	}
	invalid := cal("valid-calendar-object-resource")
	comp, _, err := caldav.ValidateCalendarObject(c)
	uid := uidOf(c) // the library cuts a UID at its first comma
	switch {
	case err != nil:
		return nil, violates(http.StatusForbidden, invalid, "This is no calendar object: "+err.Error()+".")
	case comp == "":
		return nil, violates(http.StatusForbidden, invalid, "The object holds no event, task or journal entry.")
	case uid == "" || len(uid) > maxUID || slices.ContainsFunc(c.Children, lacksUID):
		return nil, violates(http.StatusForbidden, invalid, "Every component of the object needs the same UID of at most 1024 bytes.")
	case !slices.Contains(comps, comp):
		return nil, violates(http.StatusForbidden, cal("supported-calendar-component"), "This calendar does not take "+comp+" components.")
	}
	return &draft{raw: data, uid: uid, comp: comp, span: spanOf(c, x)}, nil
}

func uidOf(c *ical.Calendar) string {
	for _, k := range c.Children {
		if p := k.Props.Get(ical.PropUID); p != nil && k.Name != ical.CompTimezone {
			return unescape(p.Value)
		}
	}
	return ""
}

func lacksUID(c *ical.Component) bool {
	if c.Name == ical.CompTimezone {
		return false
	}
	p := c.Props.Get(ical.PropUID)
	return p == nil || p.Value == ""
}
