package netstack

import (
	"context"
	"net/netip"
	"slices"

	"pic/netstack/knock"
)

// A Knock is a try to reach the cell from outside by one of its exits.
type Knock struct {
	Exit string
	To   netip.AddrPort
	Port uint16 // of the host at which it came in; 0: it did not
}

// Knock sends a datagram to an address of the internet by an exit that is up, and
// looks whether it comes in at the host. It takes up to three seconds; callers wait
// for one another. It is not ok where there is no such exit, or no leave to look.
func (s *Server) Knock(ctx context.Context, to netip.AddrPort) (k Knock, ok bool) {
	s.knocking.Lock()
	defer s.knocking.Unlock()
	for _, d := range s.doors(to) {
		port, err := knock.At(ctx, d.Door)
		if err != nil {
			s.log.Debug("not knocked", "exit", d.exit, "err", err)
			continue
		}
		return Knock{Exit: d.exit, To: to, Port: port}, true
	}
	return Knock{}, false
}

type door struct {
	knock.Door
	exit string
}

// doors are the ways out that are up.
func (s *Server) doors(to netip.AddrPort) []door {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conf.Mode != TUN {
		return nil
	}
	var out []door
	for _, e := range s.conf.Exits {
		if !s.exits.Up(e.Name) {
			continue
		}
		own := e.Addresses
		if e.Link != "" { // by the tunnel, as the cell itself
			own = s.conf.Addresses
		}
		i := slices.IndexFunc(own, func(p netip.Prefix) bool { return p.Addr().Is4() })
		if i >= 0 {
			out = append(out, door{knock.Door{By: e.Interface, From: own[i].Addr(), To: to}, e.Name})
		}
	}
	return out
}
