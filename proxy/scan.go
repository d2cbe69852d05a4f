package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"math"
)

var (
	// errMalformed reports a request that is not HTTP/1 to the letter.
	errMalformed = errors.New("malformed request")
	// errMidway reports one whose beginning was passed on already.
	errMidway = fmt.Errorf("%w body", errMalformed)
)

// maxLine is the longest line that is waited for within a body.
const maxLine = 4 << 10

// maxHead is the longest head that is read before it is left to net/http, which
// refuses it for its length.
const maxHead = maxHeaderBytes + 16<<10

// A phase is what a scanner expects next.
type phase byte

const (
	headLine  phase = iota // a line of the head
	body                   // bytes of a body whose length is known
	chunkLine              // the size of a chunk
	chunkData              // bytes of a chunk
	chunkEnd               // the CRLF behind a chunk
	trailer                // a line behind the last chunk
	raw                    // whatever comes; no more requests on this connection
)

// A scanner follows the requests in a stream of bytes by RFC 9112 and refuses
// what two readers could understand differently: lines that end in a bare LF,
// folded lines, space before the colon, control characters, more than one Host,
// Content-Length, or Transfer-Encoding, lengths that are no plain number,
// Transfer-Encoding other than chunked, beside a Content-Length, or in HTTP/1.0.
//
// net/http repairs some of these and passes the message on, which is how
// requests are smuggled past a proxy.
type scanner struct {
	phase phase
	left  int64 // of the body or chunk
	head  head

	at   int // how much of the beginning of the next bytes is understood already
	seen int // and how much was searched for a line end

	messages int64 // that were complete
}

// A head is what the head being scanned has said so far.
type head struct {
	started bool
	old     bool // HTTP/1.0
	host    bool
	upgrade bool
	chunk   bool
	length  int64 // -1: none said
	trailer int   // its length
}

// line consumes one line, which b is with its line end.
func (s *scanner) line(b []byte) error {
	if len(b) < 2 || b[len(b)-2] != '\r' {
		return errMalformed // bare LF
	}
	b = b[:len(b)-2]
	switch s.phase {
	case headLine:
		if !s.head.started {
			s.head = head{started: true, length: -1}
			return s.requestLine(b)
		}
		if len(b) > 0 {
			return s.field(b, true)
		}
		return s.headDone()
	case chunkLine:
		return s.chunkSize(b)
	case chunkEnd:
		if len(b) != 0 {
			return errMalformed
		}
		s.phase = chunkLine
		return nil
	default: // trailer
		if s.head.trailer += len(b) + 2; s.head.trailer > maxHead {
			return errMalformed
		}
		if len(b) > 0 {
			return s.field(b, false)
		}
		s.done()
		return nil
	}
}

func (s *scanner) requestLine(b []byte) error {
	method, rest, ok := bytes.Cut(b, space)
	target, version, ok2 := bytes.Cut(rest, space)
	if !ok || !ok2 || !token(method) || len(target) == 0 {
		return errMalformed
	}
	for _, c := range target {
		if c <= ' ' || c == 0x7f {
			return errMalformed
		}
	}
	switch string(version) {
	case "HTTP/1.1":
	case "HTTP/1.0":
		s.head.old = true
	default:
		return errMalformed
	}
	return nil
}

var space = []byte{' '}

// field consumes a header field, or one of a trailer.
func (s *scanner) field(b []byte, inHead bool) error {
	name, value, ok := bytes.Cut(b, colon)
	if !ok || !token(name) { // a folded line begins with a space, which is in no token
		return errMalformed
	}
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return errMalformed
		}
	}
	h := &s.head
	switch {
	case is(name, "host"):
		if h.host || !inHead {
			return errMalformed
		}
		h.host = true
	case is(name, "content-length"):
		n, ok := decimal(bytes.Trim(value, " \t"))
		if !ok || h.length >= 0 || h.chunk || !inHead {
			return errMalformed
		}
		h.length = n
	case is(name, "transfer-encoding"):
		if h.chunk || h.length >= 0 || h.old || !inHead || !is(bytes.Trim(value, " \t"), "chunked") {
			return errMalformed
		}
		h.chunk = true
	case is(name, "upgrade"):
		h.upgrade = true
	}
	return nil
}

var colon = []byte{':'}

func (s *scanner) headDone() error {
	h := s.head
	switch {
	case !h.host && !h.old:
		return errMalformed
	case h.upgrade && (h.chunk || h.length > 0):
		return errMalformed // whose bytes would follow?
	case h.upgrade:
		s.done()
		s.phase = raw // [Server.ServeHTTP] closes the connection unless it is switched
	case h.chunk:
		s.phase = chunkLine
	case h.length > 0:
		s.phase, s.left = body, h.length
	default:
		s.done()
	}
	return nil
}

func (s *scanner) done() {
	s.phase, s.head = headLine, head{}
	s.messages++
}

func (s *scanner) chunkSize(b []byte) error {
	size, ext, _ := bytes.Cut(b, []byte{';'})
	size = bytes.TrimRight(size, " \t")
	if len(size) == 0 || len(size) > 15 || len(ext) > 256 {
		return errMalformed
	}
	for _, c := range ext {
		if c < ' ' && c != '\t' || c == 0x7f {
			return errMalformed
		}
	}
	var n int64
	for _, c := range size {
		switch {
		case '0' <= c && c <= '9':
			n = n<<4 | int64(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			n = n<<4 | int64(c|0x20-'a'+10)
		default:
			return errMalformed
		}
	}
	s.phase, s.left = chunkData, n
	if n == 0 {
		s.phase = trailer
	}
	return nil
}

// scan follows b and returns how much of it may be passed on. The rest is the
// beginning of a head or of a line and must be the beginning of the next b. With
// errMalformed, what may be passed on ends before the malformed message, with
// errMidway within it.
func (s *scanner) scan(b []byte) (n int, err error) {
	msg, pos, from := 0, s.at, s.seen // where the message begins; what is understood
	begun := s.phase != headLine
	s.at, s.seen = 0, 0
	for pos < len(b) && s.phase != raw {
		if s.phase == body || s.phase == chunkData {
			take := min(s.left, int64(len(b)-pos))
			pos += int(take)
			if s.left -= take; s.left > 0 {
				break
			}
			if s.phase == chunkData {
				s.phase = chunkEnd
				continue
			}
			s.done()
			msg, begun = pos, false
			continue
		}
		from = max(from, pos)
		end := bytes.IndexByte(b[from:], '\n')
		if end < 0 {
			if s.phase != headLine && len(b)-pos > maxLine {
				return refuse(begun, msg, pos)
			}
			break
		}
		end += from + 1
		before := s.messages
		if err := s.line(b[pos:end]); err != nil {
			return refuse(begun, msg, pos)
		}
		if pos = end; s.messages > before {
			msg, begun = pos, false
		}
	}
	if s.phase == raw {
		return len(b), nil
	}
	n = pos
	if s.phase == headLine { // heads are passed on whole
		n = msg
	}
	s.at, s.seen = pos-n, len(b)-n
	return n, nil
}

func refuse(begun bool, msg, pos int) (int, error) {
	if begun {
		return pos, errMidway
	}
	return msg, errMalformed
}

// token reports whether b is a token (RFC 9110 §5.6.2).
func token(b []byte) bool {
	for _, c := range b {
		if !tokens[c] {
			return false
		}
	}
	return len(b) > 0
}

var tokens = func() (t [256]bool) {
	for _, c := range "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		t[c] = true
	}
	return t
}()

// is reports whether b is the word, which is in lower case.
func is(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

func decimal(b []byte) (int64, bool) {
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' || n > (math.MaxInt64-9)/10 {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, len(b) > 0
}
