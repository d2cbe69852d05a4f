package imapd

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"pic/mailsrv/message"
	"pic/mailsrv/store"
)

const maxKeys = 200 // of one search, counted with those within others

func (s *session) Search(kind imapserver.NumKind, c *imap.SearchCriteria, o *imap.SearchOptions) (*imap.SearchData, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := &query{s: s}
	if err := q.check(c, 0); err != nil {
		return nil, err
	}
	if o.ReturnSave {
		return nil, &imap.Error{Type: imap.StatusResponseTypeBad, Text: "SEARCHRES is not offered"}
	}
	var seqs imap.SeqSet
	var uids imap.UIDSet
	d := &imap.SearchData{}
	var err error
	s.view.each(s.view.all(), func(seq uint32, row store.Message) bool {
		if err = s.ctx.Err(); err != nil {
			return false
		}
		q.seq, q.row = seq, row
		ok := q.matches(c)
		q.done()
		if err = q.err; err != nil || !ok {
			return err == nil
		}
		n := seq
		if kind == imapserver.NumKindUID {
			n = row.UID
			uids.AddNum(imap.UID(n))
		} else {
			seqs.AddNum(n)
		}
		if d.Count++; d.Count == 1 {
			d.Min = n
		}
		d.Max = n
		return true
	})
	if d.All = seqs; kind == imapserver.NumKindUID {
		d.All = uids
	}
	return d, fail(err)
}

// A query is a search that looks at one message.
type query struct {
	s    *session
	keys int
	seq  uint32
	row  store.Message
	err  error

	content *store.Content // opened when it is needed
	m       *message.Message
	header  []byte
}

// check refuses what is too much, and sets of numbers that mean nothing.
func (q *query) check(c *imap.SearchCriteria, depth int) error {
	q.keys += 1 + len(c.Header) + len(c.Body) + len(c.Text) + len(c.Flag) + len(c.NotFlag) + len(c.SeqNum) + len(c.UID)
	if q.keys > maxKeys || depth > 50 {
		return no(imap.ResponseCodeLimit, "Too many conditions")
	}
	if c.ModSeq != nil {
		return &imap.Error{Type: imap.StatusResponseTypeBad, Text: "CONDSTORE is not offered"}
	}
	for _, u := range c.UID {
		if imap.IsSearchRes(u) {
			return &imap.Error{Type: imap.StatusResponseTypeBad, Text: "SEARCHRES is not offered"}
		}
	}
	for i := range c.Not {
		if err := q.check(&c.Not[i], depth+1); err != nil {
			return err
		}
	}
	for i := range c.Or {
		for j := range c.Or[i] {
			if err := q.check(&c.Or[i][j], depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// matches tries what is cheap first.
func (q *query) matches(c *imap.SearchCriteria) bool {
	return q.numbers(c) && q.flags(c) && q.times(c) &&
		(c.Larger == 0 || int64(q.row.Size) > c.Larger) && (c.Smaller == 0 || int64(q.row.Size) < c.Smaller) &&
		q.others(c) && q.fields(c) && q.text(c)
}

func (q *query) numbers(c *imap.SearchCriteria) bool {
	v := q.s.view
	in := func(from, to, n uint32) bool { return from <= n && n <= to }
	for _, set := range c.SeqNum {
		if !slices.ContainsFunc(set, func(r imap.SeqRange) bool {
			from, to := ends(r.Start, r.Stop, uint32(len(v.uids)))
			return in(from, to, q.seq)
		}) {
			return false
		}
	}
	for _, set := range c.UID {
		if !slices.ContainsFunc(set, func(r imap.UIDRange) bool {
			from, to := ends(uint32(r.Start), uint32(r.Stop), v.uids[len(v.uids)-1])
			return in(from, to, q.row.UID)
		}) {
			return false
		}
	}
	return true
}

func (q *query) flags(c *imap.SearchCriteria) bool {
	has := func(f imap.Flag) bool {
		bit, known := q.s.acct.FlagBits(string(f))
		return known && q.row.Flags&bit != 0
	}
	return !slices.ContainsFunc(c.Flag, func(f imap.Flag) bool { return !has(f) }) && !slices.ContainsFunc(c.NotFlag, has)
}

// times compares dates without regard to time and zone (RFC 9051 §6.4.4).
func (q *query) times(c *imap.SearchCriteria) bool {
	if !within(date(q.row), c.Since, c.Before) {
		return false
	}
	if c.SentSince.IsZero() && c.SentBefore.IsZero() {
		return true
	}
	if !q.open() {
		return false
	}
	t := sent(q.m.Root.Envelope)
	return !t.IsZero() && within(t, c.SentSince, c.SentBefore)
}

func within(t, since, before time.Time) bool {
	day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	return (since.IsZero() || !day.Before(since.Truncate(24*time.Hour))) && (before.IsZero() || day.Before(before))
}

func (q *query) others(c *imap.SearchCriteria) bool {
	for i := range c.Not {
		if q.matches(&c.Not[i]) {
			return false
		}
	}
	for i := range c.Or {
		if !q.matches(&c.Or[i][0]) && !q.matches(&c.Or[i][1]) {
			return false
		}
	}
	return true
}

func (q *query) fields(c *imap.SearchCriteria) bool {
	for _, f := range c.Header {
		if !q.open() {
			return false
		}
		found := false
		for name, value := range message.Fields(q.header) {
			if strings.EqualFold(name, f.Key) && contains(message.DecodeWords(value), f.Value) {
				found = true
				break
			}
		}
		if !found {
			return false
		}
	}
	return true
}

func contains(text, key string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(key))
}

// text looks for the keys of BODY, and for those of TEXT in headers as well.
func (q *query) text(c *imap.SearchCriteria) bool {
	if len(c.Body) == 0 && len(c.Text) == 0 {
		return true
	}
	if !q.open() {
		return false
	}
	for _, key := range c.Body {
		if !q.find(key, false) {
			return false
		}
	}
	for _, key := range c.Text {
		if !q.find(key, true) {
			return false
		}
	}
	return true
}

// find looks for key in all parts that are text, and in headers if they count.
func (q *query) find(key string, headers bool) bool {
	want := []byte(strings.ToLower(key))
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
			found = search(p.Text(q.content), want)
		}
	})
	return found
}

// search looks for want, which is in lower case, in what r has, in pieces. Text
// that is badly encoded ends it.
func search(r io.Reader, want []byte) bool {
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

// open opens the message.
func (q *query) open() bool {
	if q.m != nil || q.err != nil {
		return q.err == nil
	}
	var err error
	if q.content, err = q.s.acct.Open(q.row); err != nil {
		if !errors.Is(err, store.ErrDamaged) { // that one is found by nothing
			q.err = err
		}
		return false
	}
	if q.m, err = structure(q.content); err == nil {
		q.header = make([]byte, min(q.m.Root.Body, maxHeaderRead))
		if _, err = q.content.ReadAt(q.header, 0); err == io.EOF {
			err = nil
		}
	}
	q.err = err
	return err == nil
}

// done closes the message.
func (q *query) done() {
	if q.content != nil {
		q.content.Close()
	}
	q.content, q.m, q.header = nil, nil, nil
}
