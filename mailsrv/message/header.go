package message

import (
	"bytes"
	"strings"
)

// A header collects the fields of one that matter, and passes over the rest.
type header struct {
	budget  *int  // bytes that may still be kept, of the whole message
	partial *bool // set when something was not kept
	top     bool  // it is that of the whole message

	seen     int // bytes looked at
	received int
	fields   map[string][]string
	name     string // of the field at hand, "" if it is not kept
	value    []byte
	limit    int
}

// kept says which fields matter, and of which there may be several that count
// as one.
var kept = map[string]bool{
	"content-type": false, "content-transfer-encoding": false, "content-id": false, "content-description": false,
	"content-disposition": false, "content-language": false, "content-location": false, "content-md5": false,
	"date": false, "subject": false, "in-reply-to": false, "message-id": false, "references": false,
	"from": true, "sender": true, "reply-to": true, "to": true, "cc": true, "bcc": true, "resent-from": true,
}

// line takes a piece of a line of the header.
func (h *header) line(piece []byte, first, ended bool) {
	h.seen += len(piece)
	if h.seen > MaxHeader {
		*h.partial = true
		h.flush()
		return
	}
	if first && piece[0] != ' ' && piece[0] != '\t' {
		h.flush()
		h.start(&piece)
	}
	if h.name != "" {
		h.keep(bytes.TrimRight(piece, "\r\n"))
	}
}

// start begins a field and leaves its value in piece.
func (h *header) start(piece *[]byte) {
	name, value, ok := bytes.Cut(*piece, []byte(":"))
	name = bytes.TrimRight(name, " \t")
	if !ok || len(name) > 40 {
		return
	}
	key := strings.ToLower(string(name))
	if key == "received" {
		h.received++
	}
	list, ok := kept[key]
	if !ok {
		return
	}
	if _, again := h.fields[key]; again && !list {
		return // the first one counts
	}
	h.name, h.value, h.limit = key, h.value[:0], maxField
	if list {
		h.limit = maxAddresses
	}
	*piece = value
}

func (h *header) keep(b []byte) {
	room := min(h.limit-len(h.value), *h.budget)
	if len(b) > room {
		b = b[:max(room, 0)]
		*h.partial = true
	}
	*h.budget -= len(b)
	h.value = append(h.value, b...)
}

// flush ends the field at hand.
func (h *header) flush() {
	if h.name == "" {
		return
	}
	v := clean(h.value)
	if h.fields == nil {
		h.fields = map[string][]string{}
	}
	if v != "" {
		h.fields[h.name] = append(h.fields[h.name], v)
	}
	h.name = ""
}

// clean makes a value fit to stand in one line.
func clean(b []byte) string {
	return strings.TrimSpace(string(bytes.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7F {
			return ' '
		}
		return r
	}, b)))
}

// fill sets what the header says of a part.
func (h *header) fill(p *Part, digest bool) {
	h.flush()
	f := func(name string) string { return strings.Join(h.fields[name], ", ") }
	p.Type, p.Subtype, p.Params = contentType(f("content-type"))
	if p.Type == "" {
		p.Type, p.Subtype, p.Params = "text", "plain", nil
		if digest && f("content-type") == "" {
			p.Type, p.Subtype = "message", "rfc822"
		}
	}
	p.ID = f("content-id")
	p.Description = f("content-description")
	p.Encoding = token(f("content-transfer-encoding"))
	p.MD5 = f("content-md5")
	p.Location = f("content-location")
	p.Disposition, p.DispParams = disposition(f("content-disposition"))
	for l := range strings.SplitSeq(f("content-language"), ",") {
		if l = token(l); l != "" && len(p.Languages) < maxParams {
			p.Languages = append(p.Languages, l)
		}
	}
	if e := p.Envelope; e != nil {
		e.Date, e.Subject, e.InReplyTo = f("date"), f("subject"), f("in-reply-to")
		e.MessageID, e.References = f("message-id"), f("references")
		e.From, e.Sender, e.ReplyTo = Addresses(f("from")), Addresses(f("sender")), Addresses(f("reply-to"))
		e.To, e.Cc, e.Bcc = Addresses(f("to")), Addresses(f("cc")), Addresses(f("bcc"))
		e.ResentFrom = Addresses(f("resent-from"))
	}
}

// contentType splits a Content-Type. No type means that it is none.
func contentType(s string) (typ, sub string, params []Param) {
	p := lexer{s: s}
	typ = strings.ToLower(p.token())
	p.space()
	if !p.take('/') {
		return "", "", nil
	}
	p.space()
	sub = strings.ToLower(p.token())
	if typ == "" || sub == "" {
		return "", "", nil
	}
	return typ, sub, p.params()
}

func disposition(s string) (string, []Param) {
	p := lexer{s: s}
	d := strings.ToLower(p.token())
	if d == "" {
		return "", nil
	}
	return d, p.params()
}

// token is the first token of a value, without comments.
func token(s string) string {
	p := lexer{s: s}
	return p.token()
}

// params reads ; name=value as often as there is one.
func (p *lexer) params() []Param {
	var out []Param
	for len(out) < maxParams {
		for p.i < len(p.s) && p.s[p.i] != ';' { // pass over what does not belong here
			if p.s[p.i] == '"' {
				p.quoted()
			} else if p.s[p.i] == '(' {
				p.comment()
			} else {
				p.i++
			}
		}
		if !p.take(';') {
			break
		}
		name := strings.ToLower(p.token())
		p.space()
		if name == "" || !p.take('=') {
			continue
		}
		p.space()
		var v string
		if p.peek() == '"' {
			v = p.quoted()
		} else {
			v = p.until(";( \t")
		}
		out = append(out, Param{name, v})
	}
	return out
}
