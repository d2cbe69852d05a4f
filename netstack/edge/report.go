package edge

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"pic/core/service"
	"pic/netstack/ddns"
	"pic/netstack/igd"
)

// Upstream returns what the router upstream gave; the zero State where nothing
// was asked for.
func (s *Server) Upstream() igd.State {
	s.mu.Lock()
	k := s.keeper
	s.mu.Unlock()
	if k == nil {
		return igd.State{}
	}
	return k.State()
}

// Mappings lists the ports that devices have opened.
func (s *Server) Mappings() []igd.Mapping { return s.ports.Mappings() }

// Names tells how the public names stand.
func (s *Server) Names() []ddns.Status {
	s.mu.Lock()
	all := s.names
	s.mu.Unlock()
	out := make([]ddns.Status, 0, len(all))
	for _, k := range all {
		out = append(out, k.Status())
	}
	return out
}

// Sockets lists where devices ask for ports.
func (s *Server) Sockets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.serving {
		return nil
	}
	return []string{"udp " + netip.AddrPortFrom(s.conf.Mapping.On, igd.Port).String()}
}

// Facts are for the page of services.
func (s *Server) Facts() []service.Fact {
	var out []service.Fact
	if st := s.Upstream(); st.Method != "" {
		out = append(out, service.Fact{Name: "port upstream", Value: fmt.Sprintf("%s by %s", st.External, st.Method)})
	}
	if n := len(s.Mappings()); n > 0 {
		out = append(out, service.Fact{Name: "mappings", Value: strconv.Itoa(n)})
	}
	for _, n := range s.Names() {
		if !n.Updated.IsZero() {
			out = append(out, service.Fact{Name: n.Name, Value: fmt.Sprint(n.Four, " ", n.Six)})
		}
	}
	return out
}

// Public tells how the ports of public services stand at the router upstream; empty
// where none was asked for.
func (s *Server) Public() []igd.Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []igd.Result
	for _, k := range s.public {
		out = append(out, k.Result())
	}
	return out
}

// notPublic is what the router upstream does not open of what should be public.
func (s *Server) notPublic() *service.Problem {
	var closed []string
	why := ""
	for _, p := range s.Public() {
		if p.State.Error != "" {
			closed, why = append(closed, p.Wish.String()), p.State.Error
		}
	}
	if len(closed) == 0 {
		return nil
	}
	return &service.Problem{
		Code: "edge/not-public", Severity: service.Warning,
		Title: "The router upstream did not open what network.public names", Text: "Not open: " + strings.Join(closed, ", ") + ". " + why,
		Fix: "Forward these ports there to the same ports of the cell by hand, and switch wireguard.openPort off, which asks for them.",
	}
}

// Problems lists what is wrong now.
func (s *Server) Problems() []service.Problem {
	var out []service.Problem
	switch st := s.Upstream(); {
	case st.Error != "":
		out = append(out, service.Problem{
			Code: "edge/no-port", Severity: service.Warning,
			Title: "The router upstream did not open the VPN's port", Text: st.Error,
			Fix: "Switch UPnP, NAT-PMP or PCP on in that router, or forward UDP port there to the cell by hand and switch wireguard.openPort off.",
		})
	case st.Shared():
		out = append(out, service.Problem{
			Code: "edge/shared-address", Severity: service.Warning,
			Title: "The line has no public IPv4 address of its own",
			Text:  fmt.Sprintf("The router upstream has the address %s, which many share: nobody from outside can call in by IPv4.", st.External.Addr()),
			Fix:   "Ask the provider for a public address, use IPv6, or link a cell that has one.",
		})
	}
	if p := s.notPublic(); p != nil {
		out = append(out, *p)
	}
	s.mu.Lock()
	texts := map[string][2]string{
		"mapping": {"Devices cannot open ports", "Another program listens on UDP port 5351, or the LAN's address is not there yet; it is tried again by itself."},
		"reflect": {"Devices in the VPN do not find printers and players of the LAN", "It is tried again by itself; the text says what stands in the way."},
		"names":   {"Public names are not kept", "Give the password again with `pic set`."},
	}
	for _, task := range []string{"mapping", "reflect", "names"} {
		if f, ok := s.failing[task]; ok {
			out = append(out, service.Problem{
				Code: "edge/" + task, Severity: service.Warning, Title: texts[task][0], Text: f.err.Error(), Fix: texts[task][1], Since: f.since,
			})
		}
	}
	s.mu.Unlock()
	for _, n := range s.Names() {
		if n.Error != "" {
			fix := "It is tried again by itself."
			if n.Stopped {
				fix = "Correct network.dynamic; nothing more is sent until then."
			}
			out = append(out, service.Problem{
				Code: "edge/name/" + n.Name, Severity: service.Warning, Title: "The public name " + n.Name + " is not up to date", Text: n.Error, Fix: fix,
			})
		}
	}
	return out
}
