package message

import (
	"encoding/binary"
	"errors"
)

// layout is the first byte of what Append makes.
const layout = 1

var errLayout = errors.New("not a message structure of this version")

// Append encodes the structure onto b.
func (m *Message) Append(b []byte) []byte {
	flags := byte(0)
	if m.Partial {
		flags = 1
	}
	b = append(b, layout, flags)
	b = binary.AppendUvarint(b, uint64(m.Received))
	return m.Root.append(b, 0)
}

// Parse decodes what Append made. The strings are copies.
func Parse(b []byte) (*Message, error) {
	d := decoder{b: b, s: string(b)}
	if d.byte() != layout {
		return nil, errLayout
	}
	m := &Message{Partial: d.byte() == 1, Received: int(d.num())}
	parts := 0
	m.Root = d.part(0, 0, &parts)
	if d.bad || d.i != len(b) || m.Received < 0 {
		return nil, errLayout
	}
	return m, nil
}

func (p *Part) append(b []byte, base int64) []byte {
	b = num(b, p.Start-base)
	b = num(b, p.Body-p.Start)
	b = num(b, p.End-p.Body)
	b = num(b, p.Lines)
	for _, s := range []string{p.Type, p.Subtype, p.ID, p.Description, p.Encoding, p.MD5, p.Disposition, p.Location} {
		b = str(b, s)
	}
	b = params(b, p.Params)
	b = params(b, p.DispParams)
	b = num(b, int64(len(p.Languages)))
	for _, l := range p.Languages {
		b = str(b, l)
	}
	if e := p.Envelope; e != nil {
		b = append(b, 1)
		for _, s := range e.strings() {
			b = str(b, *s)
		}
		for _, l := range e.lists() {
			b = num(b, int64(len(*l)))
			for _, a := range *l {
				b = str(str(str(b, a.Name), a.Mailbox), a.Host)
			}
		}
	} else {
		b = append(b, 0)
	}
	b = num(b, int64(len(p.Parts)))
	for _, c := range p.Parts {
		b = c.append(b, p.Start)
	}
	return b
}

func (e *Envelope) strings() []*string {
	return []*string{&e.Date, &e.Subject, &e.InReplyTo, &e.MessageID, &e.References}
}

func (e *Envelope) lists() []*[]Address {
	return []*[]Address{&e.From, &e.Sender, &e.ReplyTo, &e.To, &e.Cc, &e.Bcc, &e.ResentFrom}
}

func num(b []byte, n int64) []byte { return binary.AppendUvarint(b, uint64(n)) }

func str(b []byte, s string) []byte { return append(num(b, int64(len(s))), s...) }

func params(b []byte, all []Param) []byte {
	b = num(b, int64(len(all)))
	for _, p := range all {
		b = str(str(b, p.Name), p.Value)
	}
	return b
}

// A decoder takes values off what Append made. Once one was not there it is bad
// and all further ones are zero.
type decoder struct {
	b   []byte
	s   string // the same, so that strings need one copy in all
	i   int
	bad bool
}

func (d *decoder) byte() byte {
	if d.i >= len(d.b) {
		d.bad = true
		return 0
	}
	d.i++
	return d.b[d.i-1]
}

func (d *decoder) num() int64 {
	v, n := binary.Uvarint(d.b[d.i:])
	if n <= 0 || v > 1<<40 {
		d.bad, d.i = true, len(d.b)
		return 0
	}
	d.i += n
	return int64(v)
}

// count is the number of things that follow, each of at least size bytes.
func (d *decoder) count(size int) int {
	n := d.num()
	if n > int64(len(d.b)-d.i)/int64(size) {
		d.bad, d.i = true, len(d.b)
		return 0
	}
	return int(n)
}

func (d *decoder) string() string {
	n := d.count(1)
	d.i += n
	return d.s[d.i-n : d.i]
}

func (d *decoder) params() []Param {
	n := d.count(2)
	if n == 0 {
		return nil
	}
	out := make([]Param, 0, n)
	for range n {
		out = append(out, Param{d.string(), d.string()})
	}
	return out
}

func (d *decoder) part(base int64, depth int, parts *int) *Part {
	*parts++
	if depth > 2*MaxDepth || *parts > MaxParts {
		d.bad = true
		return nil
	}
	p := &Part{Start: base + d.num()}
	p.Body = p.Start + d.num()
	p.End = p.Body + d.num()
	p.Lines = d.num()
	for _, s := range []*string{&p.Type, &p.Subtype, &p.ID, &p.Description, &p.Encoding, &p.MD5, &p.Disposition, &p.Location} {
		*s = d.string()
	}
	p.Params = d.params()
	p.DispParams = d.params()
	for range d.count(1) {
		p.Languages = append(p.Languages, d.string())
	}
	switch d.byte() {
	case 0:
	case 1:
		e := &Envelope{}
		for _, s := range e.strings() {
			*s = d.string()
		}
		for _, l := range e.lists() {
			if n := d.count(3); n > 0 {
				*l = make([]Address, n)
			}
			for i := range *l {
				(*l)[i] = Address{d.string(), d.string(), d.string()}
			}
		}
		p.Envelope = e
	default:
		d.bad = true
	}
	for range d.count(10) {
		c := d.part(p.Start, depth+1, parts)
		if d.bad {
			return p
		}
		p.Parts = append(p.Parts, c)
	}
	return p
}
