package imapd

import (
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"

	"pic/mailsrv/message"
)

// num writes a number.
func (c *conn) num(n int64) {
	var mem [20]byte
	c.Write(strconv.AppendInt(mem[:0], n, 10))
}

// text writes what a person or a client is to read: one line of it.
func (c *conn) text(s string) {
	c.str(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s))
}

// quotable reports whether s can be a quoted string (RFC 9051 §4.3).
func quotable(s string, allow8 bool) bool {
	if len(s) > 1000 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7F || c >= 0x80 && !allow8 {
			return false
		}
	}
	return !allow8 || utf8.ValidString(s)
}

// quote writes a string, as a literal where it has to be one.
func (s *session) quote(v string) {
	if !quotable(v, s.utf8) {
		v = strings.ReplaceAll(v, "\x00", "")
		s.literal(int64(len(v)))
		s.str(v)
		return
	}
	s.str(`"`)
	for {
		i := strings.IndexAny(v, `"\`)
		if i < 0 {
			break
		}
		s.str(v[:i])
		s.str(`\`)
		s.str(v[i : i+1])
		v = v[i+1:]
	}
	s.str(v)
	s.str(`"`)
}

// literal announces one of n bytes.
func (s *session) literal(n int64) {
	s.str("{")
	s.num(n)
	s.str("}\r\n")
}

// orNil writes a string, or NIL for an empty one.
func (s *session) orNil(v string) {
	if v == "" {
		s.str("NIL")
		return
	}
	s.quote(v)
}

// mailbox writes the name of one.
func (s *session) mailbox(name string) {
	switch {
	case name == "INBOX":
		s.str("INBOX")
	case s.utf8:
		s.quote(name)
	default:
		s.quote(utf7.encode(name))
	}
}

// writeWords writes a list in parentheses.
func writeWords[T ~string](s *session, all []T) {
	s.str("(")
	for i, w := range all {
		if i > 0 {
			s.str(" ")
		}
		s.str(string(w))
	}
	s.str(")")
}

// moment writes a time, as of the internal date.
func (s *session) moment(t time.Time) {
	s.str(t.Format(`"_2-Jan-2006 15:04:05 -0700"`))
}

func (s *session) set(x set) {
	s.Write(x.append(nil))
}

// copyOut writes n bytes of r, which are a literal that has been announced. If r
// has fewer, the connection is closed: there is no other way to say it.
func (s *session) copyOut(r io.Reader, n int64) error {
	for n > 0 && s.conn.err == nil {
		b := s.room()
		b = b[:min(int64(len(b)), n)]
		k, err := r.Read(b)
		s.wrote(k)
		n -= int64(k)
		if err != nil && n > 0 {
			s.conn.err = err
			return err
		}
	}
	return s.conn.err
}

// envelope writes an ENVELOPE (RFC 9051 §7.5.2).
func (s *session) envelope(e *message.Envelope) {
	s.str("(")
	s.orNil(e.Date)
	s.str(" ")
	s.orNil(e.Subject)
	from, sender, reply := e.From, e.Sender, e.ReplyTo
	if len(sender) == 0 {
		sender = from
	}
	if len(reply) == 0 {
		reply = from
	}
	for _, l := range [][]message.Address{from, sender, reply, e.To, e.Cc, e.Bcc} {
		s.str(" ")
		s.addresses(l)
	}
	s.str(" ")
	s.orNil(e.InReplyTo)
	s.str(" ")
	s.orNil(e.MessageID)
	s.str(")")
}

func (s *session) addresses(all []message.Address) {
	if len(all) == 0 {
		s.str("NIL")
		return
	}
	s.str("(")
	for _, a := range all {
		s.str("(")
		s.orNil(a.Name)
		s.str(" NIL ")
		s.orNil(a.Mailbox)
		s.str(" ")
		s.orNil(a.Host)
		s.str(")")
	}
	s.str(")")
}

// structure writes a BODYSTRUCTURE, or without extended data a BODY.
func (s *session) structure(p *message.Part, extended bool) {
	s.str("(")
	defer s.str(")")
	if p.Multipart() {
		for _, c := range p.Parts {
			s.structure(c, extended)
		}
		s.str(" ")
		s.quote(p.Subtype)
		if extended {
			s.str(" ")
			s.params(p.Params)
			s.extension(p)
		}
		return
	}
	typ, sub, par, in := p.Type, p.Subtype, p.Params, p.Inner()
	switch {
	case typ == "multipart": // with nothing in it, which the grammar does not know
		typ, sub, par = "text", "plain", nil
	case typ == "message" && (sub == "rfc822" || sub == "global") && in == nil: // too deep to be described
		typ, sub = "application", "octet-stream"
	}
	s.quote(typ)
	s.str(" ")
	s.quote(sub)
	s.str(" ")
	s.params(par)
	s.str(" ")
	s.orNil(p.ID)
	s.str(" ")
	s.orNil(p.Description)
	s.str(" ")
	if p.Encoding == "" {
		s.str(`"7bit"`)
	} else {
		s.quote(p.Encoding)
	}
	s.str(" ")
	s.num(p.End - p.Body)
	if in != nil {
		s.str(" ")
		s.envelope(in.Envelope)
		s.str(" ")
		s.structure(in, extended)
	}
	if in != nil || typ == "text" {
		s.str(" ")
		s.num(p.Lines)
	}
	if extended {
		s.str(" ")
		s.orNil(p.MD5)
		s.extension(p)
	}
}

// extension writes what the extended data of all parts ends in.
func (s *session) extension(p *message.Part) {
	if p.Disposition == "" {
		s.str(" NIL")
	} else {
		s.str(" (")
		s.quote(p.Disposition)
		s.str(" ")
		s.params(p.DispParams)
		s.str(")")
	}
	switch len(p.Languages) {
	case 0:
		s.str(" NIL")
	case 1:
		s.str(" ")
		s.quote(p.Languages[0])
	default:
		s.str(" (")
		for i, l := range p.Languages {
			if i > 0 {
				s.str(" ")
			}
			s.quote(l)
		}
		s.str(")")
	}
	s.str(" ")
	s.orNil(p.Location)
}

func (s *session) params(all []message.Param) {
	if len(all) == 0 {
		s.str("NIL")
		return
	}
	s.str("(")
	for i, p := range all {
		if i > 0 {
			s.str(" ")
		}
		s.quote(p.Name)
		s.str(" ")
		s.quote(p.Value)
	}
	s.str(")")
}

// status writes an untagged response of the kind of OK.
func (s *session) status(kind imap.StatusResponseType, code, text string) {
	s.str("* ")
	s.result(kind, code, text)
}

func (s *session) result(kind imap.StatusResponseType, code, text string) {
	s.str(string(kind))
	s.str(" ")
	if code != "" {
		s.str("[")
		s.str(code)
		s.str("] ")
	}
	s.text(text)
	s.str("\r\n")
}
