package exit

import (
	"net/netip"
	"time"
)

// A Status is how an exit is doing.
type Status struct {
	Name      string
	Link      string // the linked cell it is, else empty
	Up        bool
	Since     time.Time
	Trouble   string // why it cannot be had at all
	Interface string
	Handshake time.Time      // the last; zero: never
	Endpoint  netip.AddrPort // of the other end; zero: not known
	Rx, Tx    uint64         // bytes, through a provider; of a linked cell all there is with it
	Four, Six bool           // families that it carries
	DNS       []netip.Addr
}

// Status returns how the exits are doing, in the order of the document.
func (s *Server) Status() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Status, 0, len(s.lines))
	for _, l := range s.lines {
		st, _ := s.peerState(l)
		e := Status{
			Name: l.exit.Name, Link: l.exit.Link, Up: l.up, Since: l.since, Interface: l.exit.Interface,
			Handshake: st.Handshake, Endpoint: st.Endpoint, Rx: st.Rx, Tx: st.Tx, Four: l.exit.four(), Six: l.exit.Six, DNS: l.exit.DNS,
		}
		if l.err != nil && l.dev == nil {
			e.Trouble = l.err.Error()
		}
		out = append(out, e)
	}
	return out
}
