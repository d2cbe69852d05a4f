package message

import (
	"bufio"
	"bytes"
	"io"
	"strings"
)

// Scan reads a whole message. The only errors are those of r.
func Scan(r io.Reader) (*Message, error) {
	s := &scanner{r: bufio.NewReaderSize(r, 16<<10), m: &Message{Root: &Part{}}, parts: 1, budget: MaxHeader}
	s.begin(s.m.Root, false)
	s.cur.Envelope = &Envelope{}
	for {
		line, err := s.next()
		if len(line) > 0 {
			s.line(line)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	for s.inHeader {
		s.endHeader(s.off)
	}
	s.closeTo(0, s.off, s.lf)
	s.finish(s.off, s.lf)
	return s.m, nil
}

// A scanner is in the middle of a message.
type scanner struct {
	r *bufio.Reader
	m *Message

	off     int64 // of what comes next
	lineOff int64 // of the line at hand
	lf      int64 // line ends so far
	midLine bool  // the line at hand began in an earlier piece
	lastNL  int64 // bytes of the line end before the line at hand

	open     []level // multiparts and messages that are not over yet
	cur      *Part   // the part being read; nil between parts
	curLF    int64   // lf where its body began
	inHeader bool
	header   header
	digest   bool // cur is a part of a multipart/digest

	parts  int
	budget int // bytes of header that may still be kept
}

// A level is a multipart, which has a boundary until that was last seen, or a
// message/rfc822.
type level struct {
	part     *Part
	boundary string
	lf       int64 // where its body began
}

// next returns the next piece of a line: up to its end or as much as the buffer
// holds.
func (s *scanner) next() ([]byte, error) {
	piece, err := s.r.ReadSlice('\n')
	if !s.midLine {
		s.lineOff = s.off
	}
	s.off += int64(len(piece))
	if err == bufio.ErrBufferFull {
		err = nil
	}
	return piece, err
}

func (s *scanner) line(piece []byte) {
	first := !s.midLine
	ended := piece[len(piece)-1] == '\n'
	s.midLine = !ended
	switch {
	case first && s.delimiter(piece):
		// The parts have been begun and ended there.
	case s.inHeader:
		if first && (len(piece) == 1 && ended || len(piece) == 2 && piece[0] == '\r' && ended) {
			s.lf++
			s.endHeader(s.off)
			s.lastNL = int64(len(piece))
			return
		}
		s.header.line(piece, first, ended)
	}
	if ended {
		s.lf++
		s.lastNL = 1
		if n := len(piece); n > 1 && piece[n-2] == '\r' {
			s.lastNL = 2
		}
	}
}

// delimiter ends and begins parts if the line is a boundary of an open
// multipart (RFC 2046 §5.1.1).
func (s *scanner) delimiter(line []byte) bool {
	if len(s.open) == 0 || len(line) < 3 || line[0] != '-' || line[1] != '-' || len(line) > 2*maxBoundary {
		return false
	}
	text := bytes.TrimRight(line[2:], " \t\r\n")
	for i := len(s.open) - 1; i >= 0; i-- {
		b := s.open[i].boundary
		if b == "" || len(text) != len(b) && len(text) != len(b)+2 || string(text[:len(b)]) != b {
			continue
		}
		final := len(text) > len(b)
		if final && string(text[len(b):]) != "--" {
			continue
		}
		s.boundary(i, final)
		return true
	}
	return false
}

// boundary ends what is within level i. Unless it is the final one, the next
// line begins another part.
func (s *scanner) boundary(i int, final bool) {
	end, lf := s.lineOff-s.lastNL, s.lf-1 // the line end before belongs to it
	if s.inHeader {
		end, lf = s.lineOff, s.lf // no body at all: it ends a field instead
	}
	for s.inHeader { // a message without anything in it may begin here
		s.endHeader(s.lineOff)
	}
	s.closeTo(i+1, end, lf)
	s.finish(end, lf)
	m := s.open[i]
	if final {
		s.open[i].boundary = "" // what follows, its epilogue, is still within it
		return
	}
	if s.parts >= MaxParts {
		s.m.Partial = true
		return
	}
	s.parts++
	p := &Part{}
	m.part.Parts = append(m.part.Parts, p)
	s.begin(p, m.part.Subtype == "digest")
	p.Start = s.off
}

// finish ends the part being read.
func (s *scanner) finish(end, lf int64) {
	if s.cur != nil {
		s.cur.end(end, lf-s.curLF)
		s.cur = nil
	}
}

// end ends a part. The empty line after its header may be the line end that
// belongs to the boundary.
func (p *Part) end(end, lines int64) {
	p.Body = max(min(p.Body, end), p.Start)
	p.End = max(end, p.Body)
	p.Lines = max(lines, 0)
}

// closeTo ends all levels from i on.
func (s *scanner) closeTo(i int, end, lf int64) {
	for len(s.open) > i {
		l := s.open[len(s.open)-1]
		l.part.end(end, lf-l.lf)
		s.open = s.open[:len(s.open)-1]
	}
}

func (s *scanner) begin(p *Part, digest bool) {
	s.cur, s.inHeader, s.digest = p, true, digest
	s.header = header{budget: &s.budget, top: p == s.m.Root, partial: &s.m.Partial}
}

// endHeader goes on to the body of the part being read, which begins at off.
func (s *scanner) endHeader(off int64) {
	s.inHeader = false
	p := s.cur
	p.Body, p.End = off, off
	s.curLF = s.lf
	s.header.fill(p, s.digest)
	if p == s.m.Root {
		s.m.Received = s.header.received
	}
	deep := len(s.open) >= MaxDepth
	switch {
	case p.Type == "multipart":
		b := p.Param("boundary")
		b = strings.TrimRight(b, " \t")
		if b == "" || len(b) > maxBoundary {
			return
		}
		if deep {
			s.m.Partial = true
			return
		}
		s.open = append(s.open, level{p, b, s.lf})
		s.cur = nil
	case p.Type == "message" && (p.Subtype == "rfc822" || p.Subtype == "global"):
		if deep || s.parts >= MaxParts {
			s.m.Partial = true
			return
		}
		s.parts++
		in := &Part{Start: off, Envelope: &Envelope{}}
		p.Parts = []*Part{in}
		s.open = append(s.open, level{p, "", s.lf})
		s.begin(in, false)
	}
}
