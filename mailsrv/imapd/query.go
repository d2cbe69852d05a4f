package imapd

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"net/mail"
	"slices"
	"strings"
	"time"

	"pic/mailsrv/message"
	"pic/mailsrv/store"
)

// A query is a search that looks at one message.
type query struct {
	s   *session
	seq uint32
	row store.Message
	err error

	content *store.Content // opened when it is needed
	m       *message.Message
	header  []byte
}

func (q *query) matches(t *test) bool {
	switch t.kind {
	case keyAll:
		return true
	case keySeq, keyUID:
		_, ok := slices.BinarySearch(t.uids, q.row.UID)
		return ok
	case keyFlag:
		return q.row.Flags&t.bits != 0
	case keyNoFlag:
		return q.row.Flags&t.bits == 0
	case keySince:
		return q.row.Date >= t.limit
	case keyBefore:
		return q.row.Date < t.limit
	case keyLarger:
		return int64(q.row.Size) > t.limit
	case keySmaller:
		return int64(q.row.Size) < t.limit
	case keyModSeq:
		return q.row.ModSeq >= uint64(t.limit)
	case keySavedSince:
		return int64(q.row.Saved) >= t.limit
	case keySavedBefore:
		return int64(q.row.Saved) < t.limit
	case keyOlder:
		return q.row.Date <= t.limit
	case keyYounger:
		return q.row.Date >= t.limit
	case keyEmail:
		return emailID(q.row) == t.text
	case keyThread:
		return q.open() && threadID(q.row, q.m) == t.text
	case keySentSince, keySentBefore:
		day, ok := q.sent()
		return ok && (day >= t.limit) == (t.kind == keySentSince)
	case keyField:
		return q.open() && q.field(t)
	case keyHeader:
		return q.open() && q.fields(t)
	case keyBody:
		return q.open() && q.find(t.text, false)
	case keyText:
		return q.open() && q.find(t.text, true)
	case keyAnd:
		for i := range t.subs {
			if !q.matches(&t.subs[i]) {
				return false
			}
		}
		return true
	case keyOr:
		return q.matches(&t.subs[0]) || q.matches(&t.subs[1])
	case keyNot:
		return !q.matches(&t.subs[0])
	}
	return false
}

// sent is the day of the field Date, without regard to its zone (RFC 9051 §6.4.4),
// in Unix seconds.
func (q *query) sent() (int64, bool) {
	if !q.open() {
		return 0, false
	}
	t, err := mail.ParseDate(q.m.Root.Envelope.Date)
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC).Unix(), err == nil
}

// field looks into a field that was kept with the message.
func (q *query) field(t *test) bool {
	e := q.m.Root.Envelope
	var list []message.Address
	switch t.name {
	case "SUBJECT":
		return contains(message.DecodeWords(e.Subject), t.text)
	case "FROM":
		list = e.From
	case "TO":
		list = e.To
	case "CC":
		list = e.Cc
	case "BCC":
		list = e.Bcc
	}
	return t.text == "" && len(list) > 0 || slices.ContainsFunc(list, func(a message.Address) bool {
		return contains(message.DecodeWords(a.Name)+" <"+a.Mailbox+"@"+a.Host+">", t.text)
	})
}

func (q *query) fields(t *test) bool {
	if !q.head() {
		return false
	}
	for name, value := range message.Fields(q.header) {
		if strings.EqualFold(name, t.name) && contains(message.DecodeWords(value), t.text) {
			return true
		}
	}
	return false
}

// contains looks for a key in lower case.
func contains(text, key string) bool {
	return strings.Contains(strings.ToLower(text), key)
}

// find looks for a key in all parts that are text, and in headers if they count.
func (q *query) find(key string, headers bool) bool {
	want := []byte(key)
	found := false
	q.m.Root.Each(func(p *message.Part) {
		if found || q.err != nil {
			return
		}
		if headers {
			h := make([]byte, min(p.Body-p.Start, maxHeaderRead))
			if _, err := q.content.ReadAt(h, p.Start); err != nil && err != io.EOF {
				q.err = err
				return
			}
			for name, value := range message.Fields(h) {
				found = found || contains(name+": "+message.DecodeWords(value), key)
			}
		}
		if p.Type == "text" && len(p.Parts) == 0 && !found {
			found = look(p.Text(q.content), want)
		}
	})
	return found
}

// look looks for want, which is in lower case, in what r has, in pieces. Text
// that is badly encoded ends it.
func look(r io.Reader, want []byte) bool {
	if len(want) == 0 {
		return true
	}
	buf := make([]byte, 0, 32<<10)
	for {
		n, err := io.ReadFull(r, buf[len(buf):min(cap(buf), len(buf)+16<<10)])
		buf = buf[:len(buf)+n]
		if low := bytes.ToLower(buf); bytes.Contains(low, want) {
			return true
		}
		if err != nil {
			return false
		}
		// A character may be cut in two, and lower case may be longer.
		keep := min(2*len(want)+8, 16<<10, len(buf))
		buf = append(buf[:0], buf[len(buf)-keep:]...)
	}
}

// open opens the message. One that is damaged is found by nothing.
func (q *query) open() bool {
	if q.m != nil || q.err != nil {
		return q.err == nil
	}
	var err error
	if q.content, err = q.s.acct.Open(q.row); err != nil {
		if !errors.Is(err, store.ErrDamaged) {
			q.err = err
		}
		return false
	}
	q.m, q.err = structure(q.content)
	return q.err == nil
}

// head reads the header.
func (q *query) head() bool {
	if q.header != nil {
		return true
	}
	q.header = make([]byte, min(q.m.Root.Body, maxHeaderRead))
	if _, err := q.content.ReadAt(q.header, 0); err != nil && err != io.EOF {
		q.err = cmp.Or(q.err, err)
	}
	return q.err == nil
}

// done closes the message.
func (q *query) done() {
	if q.content != nil {
		q.content.Close()
	}
	q.content, q.m, q.header = nil, nil, nil
}
