package imapd

import (
	"cmp"
	"net/mail"
	"slices"
	"strings"

	inorder "pic/internal/order"
	"pic/mailsrv/message"
	"pic/mailsrv/store"
)

// A criterion is something to sort by (RFC 5256 §3, RFC 5957).
type criterion struct {
	what    string
	reverse bool
}

func (p *parser) criteria() []criterion {
	var out []criterion
	reverse := false
	p.list(func() {
		w := p.verb()
		switch w {
		case "REVERSE":
			if reverse {
				p.fail("Syntax error: REVERSE twice")
			}
			reverse = true
			return
		case "ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO", "DISPLAYFROM", "DISPLAYTO":
		default:
			p.fail("SORT does not know " + w)
		}
		if out = append(out, criterion{w, reverse}); len(out) > 20 {
			p.fail("Too many things to sort by")
		}
		reverse = false
	})
	if len(out) == 0 || reverse {
		p.fail("Syntax error: sort by what?")
	}
	return out
}

// A value is what one message is sorted by: a number or a text.
type value struct {
	n int64
	s string
}

// An entry is a message in a sort or thread.
type entry struct {
	num    uint32 // as it is told
	row    store.Message
	values []value
	date   int64 // sent, Unix seconds
	m      *message.Envelope
}

func (s *session) sort(uid bool) error {
	p := &s.p
	p.sp()
	by := p.criteria()
	p.sp()
	k, err := p.searchIn()
	if err != nil {
		return err
	}
	all, err := s.entries(&k, uid, slices.ContainsFunc(by, func(c criterion) bool { return c.what != "ARRIVAL" && c.what != "SIZE" }))
	if err != nil {
		return err
	}
	for i := range all {
		for _, c := range by {
			all[i].values = append(all[i].values, all[i].value(c.what))
		}
		all[i].m = nil
	}
	inorder.By(all, func(a, b entry) int {
		for i, c := range by {
			d := cmp.Or(cmp.Compare(a.values[i].n, b.values[i].n), cmp.Compare(a.values[i].s, b.values[i].s))
			if c.reverse {
				d = -d
			}
			if d != 0 {
				return d
			}
		}
		return cmp.Compare(a.num, b.num)
	})
	s.str("* SORT")
	for _, e := range all {
		s.str(" ")
		s.num(int64(e.num))
	}
	s.str("\r\n")
	return nil
}

// searchIn takes what SORT and THREAD share: a character set, keys and the end.
func (p *parser) searchIn() (key, error) {
	p.charset(p.astring())
	p.sp()
	r := reading{p: p}
	k := r.all()
	return k, p.end()
}

// entries returns the messages that meet a condition, with their envelopes if
// they are needed.
func (s *session) entries(k *key, uid, envelopes bool) ([]entry, error) {
	found, err := s.find(k, uid)
	if err != nil {
		return nil, err
	}
	out := make([]entry, 0, len(found.uids))
	i := 0
	q := &query{s: s}
	s.view.each(found.uids, func(_ uint32, row store.Message) bool {
		for found.uids[i] != row.UID { // gone meanwhile
			i++
		}
		e := entry{num: found.nums[i], row: row, m: &message.Envelope{}}
		i++
		if envelopes {
			q.row = row
			if q.open() {
				e.m = q.m.Root.Envelope
			}
			q.done()
			e.date = e.sent()
		}
		out = append(out, e)
		return q.err == nil && s.ctx.Err() == nil
	})
	return out, cmp.Or(q.err, s.ctx.Err())
}

// sent is the date of a message, that of its arrival if it has none.
func (e *entry) sent() int64 {
	t, err := mail.ParseDate(e.m.Date)
	if err != nil {
		return e.row.Date
	}
	return t.Unix()
}

func (e *entry) value(what string) value {
	switch what {
	case "ARRIVAL":
		return value{n: e.row.Date}
	case "SIZE":
		return value{n: int64(e.row.Size)}
	case "DATE":
		return value{n: e.date}
	case "SUBJECT":
		s, _ := baseSubject(e.m.Subject)
		return value{s: s}
	case "FROM":
		return value{s: mailboxOf(e.m.From)}
	case "TO":
		return value{s: mailboxOf(e.m.To)}
	case "CC":
		return value{s: mailboxOf(e.m.Cc)}
	case "DISPLAYFROM":
		return value{s: displayOf(e.m.From)}
	case "DISPLAYTO":
		return value{s: displayOf(e.m.To)}
	}
	return value{}
}

func mailboxOf(all []message.Address) string {
	if len(all) == 0 {
		return ""
	}
	return strings.ToUpper(all[0].Mailbox)
}

func displayOf(all []message.Address) string {
	if len(all) == 0 {
		return ""
	}
	a := all[0]
	if a.Name != "" {
		return strings.ToUpper(message.DecodeWords(a.Name))
	}
	if a.Host == "" { // a group
		return strings.ToUpper(a.Mailbox)
	}
	return strings.ToUpper(a.Mailbox + "@" + a.Host)
}

// baseSubject is what a subject is about, without what answers and lists put
// before and behind it (RFC 5256 §2.1), in capitals, and whether there was a sign
// of an answer or of a forwarded message.
func baseSubject(subject string) (base string, reply bool) {
	s := strings.ToUpper(strings.Join(strings.Fields(message.DecodeWords(subject)), " "))
	for {
		for {
			if t, ok := strings.CutSuffix(s, "(FWD)"); ok {
				s, reply = t, true
			} else if t := strings.TrimRight(s, " "); t != s {
				s = t
			} else {
				break
			}
		}
		for {
			if t, ok := leader(s); ok {
				s, reply = t, true
				continue
			}
			t, ok := blob(s)
			if !ok || t == "" {
				break
			}
			s = t
		}
		if t, ok := strings.CutPrefix(s, "[FWD:"); ok && strings.HasSuffix(t, "]") {
			s, reply = strings.TrimSuffix(t, "]"), true
			continue
		}
		return strings.TrimSpace(s), reply
	}
}

// blob takes off something in brackets.
func blob(s string) (string, bool) {
	if !strings.HasPrefix(s, "[") {
		return s, false
	}
	in, rest, ok := strings.Cut(s[1:], "]")
	if !ok || strings.Contains(in, "[") || strings.HasPrefix(in, "FWD:") {
		return s, false
	}
	return strings.TrimLeft(rest, " "), true
}

// leader takes off a space, or RE:, FW: or FWD: with what may be before it and
// within.
func leader(s string) (string, bool) {
	if t, ok := strings.CutPrefix(s, " "); ok {
		return t, true
	}
	t := s
	for {
		rest, ok := blob(t)
		if !ok {
			break
		}
		t = rest
	}
	for _, w := range []string{"RE", "FWD", "FW"} {
		rest, ok := strings.CutPrefix(t, w)
		if !ok {
			continue
		}
		rest = strings.TrimLeft(rest, " ")
		if after, ok := blob(rest); ok {
			rest = after
		}
		if rest, ok = strings.CutPrefix(rest, ":"); ok {
			return rest, true
		}
	}
	return s, false
}
