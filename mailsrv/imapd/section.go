package imapd

import (
	"bytes"
	"io"
	"slices"
	"strconv"
	"strings"

	"pic/mailsrv/message"
	"pic/mailsrv/store"
)

const (
	maxHeaderRead = 1 << 20 // of a header that fields are picked from
	maxItems      = 100     // of a FETCH
)

// A section is a piece of a message: what BODY[…] says (RFC 9051 §6.4.5.1).
type section struct {
	part   []int
	what   string // HEADER, HEADER.FIELDS, HEADER.FIELDS.NOT, TEXT, MIME or nothing
	fields []string

	cut          bool // only a range of it
	offset, size int64
}

// section takes one from the opening bracket on. only says that just a part can
// be named.
func (p *parser) section(only bool) section {
	var x section
	p.need('[')
	for c := p.peek(); p.err == nil && c >= '0' && c <= '9'; c = p.peek() {
		n := p.num32()
		if n == 0 || len(x.part) == message.MaxDepth*2 || n > 1<<30 {
			p.fail("There is no such part")
		}
		x.part = append(x.part, int(n))
		if !p.take('.') {
			break
		}
		if c := p.peek(); c < '0' || c > '9' {
			x.word(p, only)
			break
		}
	}
	if len(x.part) == 0 && !p.is(']') {
		x.word(p, only)
	}
	p.need(']')
	if p.is('<') {
		p.skip()
		x.cut = true
		x.offset = p.num64()
		p.need('.')
		if x.size = p.num64(); x.size == 0 {
			p.fail("Syntax error: a range of nothing")
		}
		p.need('>')
	}
	return x
}

// word takes what follows the numbers of a section.
func (x *section) word(p *parser, only bool) {
	w := strings.ToUpper(p.word("section", func(c byte) bool { return atomChar(c) && c != ']' && c != '<' }))
	switch w {
	case "HEADER", "TEXT":
	case "MIME":
		if len(x.part) == 0 {
			p.fail("MIME is of a part")
		}
	case "HEADER.FIELDS", "HEADER.FIELDS.NOT":
		p.sp()
		p.list(func() { x.fields = append(x.fields, p.astring()) })
		if len(x.fields) == 0 {
			p.fail("Syntax error: which fields?")
		}
	default:
		p.fail("There is no such section")
	}
	if only {
		p.fail("Only parts can be named")
	}
	x.what = w
}

// write writes it as in an answer.
func (x *section) write(s *session) {
	s.str("[")
	for i, n := range x.part {
		if i > 0 {
			s.str(".")
		}
		s.num(int64(n))
	}
	if x.what != "" {
		if len(x.part) > 0 {
			s.str(".")
		}
		s.str(x.what)
	}
	for i, f := range x.fields {
		if i == 0 {
			s.str(" (")
		} else {
			s.str(" ")
		}
		if f != "" && strings.IndexFunc(f, func(r rune) bool { return r >= 0x80 || !atomChar(byte(r)) }) < 0 {
			s.str(f)
		} else {
			s.quote(f)
		}
	}
	if len(x.fields) > 0 {
		s.str(")")
	}
	s.str("]")
	if x.cut {
		s.str("<" + strconv.FormatInt(x.offset, 10) + ">")
	}
}

// open returns the text that it means and its length. What does not exist is
// empty.
func (x *section) open(c *store.Content, m *message.Message) (io.Reader, int64, error) {
	from, to := x.span(m)
	if len(x.fields) > 0 {
		h := make([]byte, min(to-from, maxHeaderRead))
		if _, err := io.ReadFull(io.NewSectionReader(c, from, int64(len(h))), h); err != nil {
			return nil, 0, err
		}
		h = x.pick(h)
		lo, hi := x.partial(int64(len(h)))
		return bytes.NewReader(h[lo:hi]), hi - lo, nil
	}
	lo, hi := x.partial(to - from)
	return io.NewSectionReader(c, from+lo, hi-lo), hi - lo, nil
}

func (x *section) span(m *message.Message) (from, to int64) {
	p := m.Find(x.part)
	if p == nil {
		return 0, 0
	}
	if len(x.part) > 0 {
		switch x.what {
		case "":
			return p.Body, p.End
		case "MIME":
			return p.Start, p.Body
		}
		if p = p.Inner(); p == nil { // HEADER and TEXT are of messages
			return 0, 0
		}
	}
	switch x.what {
	case "HEADER", "HEADER.FIELDS", "HEADER.FIELDS.NOT":
		return p.Start, p.Body
	case "TEXT":
		return p.Body, p.End
	}
	return p.Start, p.End
}

// partial cuts the range out of size bytes.
func (x *section) partial(size int64) (lo, hi int64) {
	if !x.cut {
		return 0, size
	}
	lo = min(x.offset, size)
	return lo, lo + min(x.size, size-lo)
}

// pick returns the fields asked for, with the empty line that ends a header.
func (x *section) pick(h []byte) []byte {
	var out []byte
	for f := range message.RawFields(h) {
		name, _, ok := bytes.Cut(f, []byte(":"))
		if !ok {
			continue
		}
		n := string(bytes.TrimRight(name, " \t"))
		in := slices.ContainsFunc(x.fields, func(f string) bool { return strings.EqualFold(f, n) })
		if in == (x.what == "HEADER.FIELDS") {
			out = append(out, f...)
		}
	}
	return append(out, "\r\n"...)
}
