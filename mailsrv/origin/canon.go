package origin

import "hash"

// A canon is a way to look past what changes on the way (RFC 6376 §3.4).
type canon byte

const (
	simple canon = iota
	relaxed
)

func (c canon) String() string {
	if c == relaxed {
		return "relaxed"
	}
	return "simple"
}

func parseCanon(s string) (c canon, ok bool) {
	switch s {
	case "", "simple":
		return simple, true
	case "relaxed":
		return relaxed, true
	}
	return simple, false
}

// header appends a field.
func (c canon) header(b []byte, f field) []byte {
	if c == simple {
		return append(b, f.raw...)
	}
	b = append(append(b, f.name...), ':')
	start, space := len(b), false
	for _, ch := range f.value() {
		switch ch {
		case '\r', '\n':
		case ' ', '\t':
			space = true
		default:
			if space && len(b) > start {
				b = append(b, ' ')
			}
			space = false
			b = append(b, ch)
		}
	}
	return append(b, "\r\n"...)
}

// A bodyHash hashes a body in one canon, as it comes. Lines end in CRLF: what
// came in otherwise was refused before.
type bodyHash struct {
	canon  canon
	sum    hash.Hash
	limit  int64 // bytes that count, -1 for all
	size   int64 // bytes that were to count, were there no limit
	empty  int   // lines without content that may be at the end
	space  bool  // white space that may be at the end of a line
	inLine bool  // the line has content
	cr     bool
	buf    []byte
}

func (h *bodyHash) put(b []byte) {
	h.size += int64(len(b))
	if h.limit >= 0 {
		b = b[:min(int64(len(b)), max(0, h.limit-h.size+int64(len(b))))]
	}
	h.sum.Write(b)
}

// Write takes some of the body.
func (h *bodyHash) Write(p []byte) (int, error) {
	n := len(p)
	h.buf = h.buf[:0]
	for len(p) > 0 {
		if h.cr {
			h.cr = false
			if p[0] == '\n' {
				h.endLine()
				p = p[1:]
				continue
			}
			h.content('\r')
		}
		// What stands between marks goes as one.
		i := 0
		for i < len(p) && p[i] != '\r' && (h.canon == simple || p[i] != ' ' && p[i] != '\t') {
			i++
		}
		if i > 0 {
			h.begin()
			h.buf = append(h.buf, p[:i]...)
			p = p[i:]
			continue
		}
		if p[0] == '\r' {
			h.cr = true
		} else {
			h.space = true
		}
		p = p[1:]
	}
	h.put(h.buf)
	return n, nil
}

func (h *bodyHash) content(c byte) {
	h.begin()
	h.buf = append(h.buf, c)
}

// begin writes what was held back, since something follows it.
func (h *bodyHash) begin() {
	for ; h.empty > 0; h.empty-- {
		h.buf = append(h.buf, "\r\n"...)
		if len(h.buf) > 4096 {
			h.put(h.buf)
			h.buf = h.buf[:0]
		}
	}
	if h.space {
		h.buf = append(h.buf, ' ')
		h.space = false
	}
	h.inLine = true
}

func (h *bodyHash) endLine() {
	h.space = false
	if !h.inLine {
		h.empty++
		return
	}
	h.inLine = false
	h.buf = append(h.buf, "\r\n"...)
}

// end returns the hash. Nothing may be written after it.
func (h *bodyHash) end() []byte {
	h.buf = h.buf[:0]
	if h.cr {
		h.cr = false
		h.content('\r')
	}
	if h.inLine {
		h.endLine()
	}
	// A simple body that is empty is one line (RFC 6376 §3.4.3).
	if h.canon == simple && h.size == 0 && len(h.buf) == 0 {
		h.buf = append(h.buf, "\r\n"...)
	}
	h.put(h.buf)
	return h.sum.Sum(nil)
}
