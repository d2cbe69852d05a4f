package transfer

import (
	"encoding/binary"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// messageSize is about how large the messages of a transfer are: large enough
// that framing and signatures cost little, small enough for a client's buffer.
const messageSize = 16 << 10

// A Sender answers one AXFR or IXFR question. Write is called for each message
// and must send it before it returns.
type Sender struct {
	Write func([]byte) error

	id       uint16
	question []byte // one, in wire format
	zone     string // its name, in wire format
	session  *Session
	buf      []byte
	records  int
}

// NewSender answers the question of the request b, which holds one in full.
// session signs; nil sends without signatures.
func NewSender(b []byte, session *Session, write func([]byte) error) (*Sender, error) {
	end := -1
	if len(b) > headerLen {
		end = ownerEnd(string(b[headerLen:])) + headerLen
	}
	if end < 0 || end+4 > len(b) {
		return nil, errFormat
	}
	s := &Sender{
		Write: write, id: binary.BigEndian.Uint16(b), question: append([]byte(nil), b[headerLen:end+4]...), session: session,
	}
	owner := append([]byte(nil), b[headerLen:end]...)
	lowerOwner(owner)
	s.zone = string(owner)
	return s, nil
}

// Whole sends a version from its SOA to its SOA again (RFC 5936 §2.2).
func (s *Sender) Whole(c *Content) error {
	return s.send([]string{c.SOA}, c.Records, []string{c.SOA})
}

// Steps sends the differences (RFC 1995 §4), which must not be empty.
func (s *Sender) Steps(steps []Delta) error {
	newest := []string{steps[len(steps)-1].To}
	parts := [][]string{newest}
	for _, d := range steps {
		parts = append(parts, []string{d.From}, d.Removed, []string{d.To}, d.Added)
	}
	return s.send(append(parts, newest)...)
}

// Current sends the SOA alone: the client has that version, or must ask again
// over TCP.
func (s *Sender) Current(soa string) error { return s.send([]string{soa}) }

// Reply sends the SOA for IXFR to a client that knows the version have, by the
// shortest way.
func (s *Sender) Reply(c *Content, h *History, have uint32) error {
	if have == c.Serial() || Newer(have, c.Serial()) {
		return s.Current(c.SOA)
	}
	steps, ok := h.Since(have)
	n := 0
	for i := range steps {
		n += steps[i].size()
	}
	if !ok || n > c.Size() || serialOf(steps[len(steps)-1].To) != c.Serial() {
		return s.Whole(c)
	}
	return s.Steps(steps)
}

func (s *Sender) send(parts ...[]string) error {
	s.begin()
	for _, part := range parts {
		for _, r := range part {
			if len(s.buf)+len(r) > messageSize && s.records > 0 {
				if err := s.flush(); err != nil {
					return err
				}
				s.begin()
			}
			s.add(r)
		}
	}
	return s.flush()
}

func (s *Sender) begin() {
	s.buf = make([]byte, headerLen, headerLen+messageSize)
	s.buf = append(s.buf, s.question...)
	s.records = 0
}

// add writes a record whose owner ends in a pointer to the zone's name, which is
// in the question.
func (s *Sender) add(r string) {
	s.records++
	end := ownerEnd(r)
	if rest, ok := strings.CutSuffix(r[:end], s.zone); ok && labels(rest) {
		s.buf = append(s.buf, rest...)
		s.buf = append(s.buf, 0xc0, headerLen)
		s.buf = append(s.buf, r[end:]...)
		return
	}
	s.buf = append(s.buf, r...)
}

// labels reports whether s is a sequence of whole labels.
func labels(s string) bool {
	for len(s) > 0 {
		n := 1 + int(s[0])
		if n > len(s) {
			return false
		}
		s = s[n:]
	}
	return true
}

func (s *Sender) flush() error {
	b := s.buf
	binary.BigEndian.PutUint16(b, s.id)
	b[2] = 0x84 // QR, AA
	binary.BigEndian.PutUint16(b[4:], 1)
	binary.BigEndian.PutUint16(b[6:], uint16(s.records))
	if s.session != nil {
		b = s.session.Sign(b, time.Now())
	}
	return s.Write(b)
}

// HaveSerial returns the serial that the IXFR request b says its sender has.
func HaveSerial(b []byte) (uint32, bool) {
	var m dns.Msg
	if m.Unpack(b) != nil || len(m.Ns) != 1 {
		return 0, false
	}
	soa, ok := m.Ns[0].(*dns.SOA)
	if !ok {
		return 0, false
	}
	return soa.Serial, true
}
