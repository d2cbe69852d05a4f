package imapd

import "strings"

// idle tells what happens until the client says DONE (RFC 2177).
func (s *session) idle(bool) error {
	p := &s.p
	if err := p.end(); err != nil {
		return err
	}
	s.str("+ idling\r\n")
	if s.view != nil {
		defer s.acct.OnChange(s.view.box, s.wake)()
		s.view.update(s, true)
	}
	line := ""
	for {
		b := p.buf
		if p.buf = nil; len(b) == 0 {
			var err error
			b, err = s.park()
			if err == errWoken {
				if s.view != nil {
					s.view.update(s, true)
				}
				continue
			}
			if err != nil {
				p.err, p.io = err, err
				return err
			}
		}
		i := strings.IndexByte(string(b), '\n')
		if i < 0 {
			if line += string(b); len(line) > 100 {
				return p.back(line, nil)
			}
			continue
		}
		if !strings.EqualFold(strings.TrimSuffix(line+string(b[:i]), "\r"), "DONE") {
			return p.back(line, b)
		}
		p.buf = b[i+1:]
		return nil
	}
}

// back has a line that cannot be understood taken as the rest of the command.
func (p *parser) back(line string, rest []byte) error {
	p.ended = false
	p.buf = append([]byte(line), rest...)
	return bad("Only DONE can end IDLE")
}
