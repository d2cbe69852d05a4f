package policy

import (
	"slices"
	"strings"
	"sync"
)

// shared are the sets of names and ports that many peers have alike.
type shared struct {
	lists map[string]map[string]bool
	ports map[offer]map[service]bool
}

// An offer is a list of services.
type offer struct {
	names  string
	always bool // DNS is among them
}

func (s shared) names(list []string) map[string]bool {
	key := strings.Join(list, " ")
	out, ok := s.lists[key]
	if !ok {
		out = map[string]bool{}
		for _, n := range list {
			out[n] = true
		}
		s.lists[key] = out
	}
	return out
}

// offered are the ports of the services of these names, DNS among them if always;
// every reports that they are all, which includes whatever else the host listens
// on.
func (s shared) offered(r *Rules, list []string, always bool) (ports map[service]bool, every bool) {
	key := offer{strings.Join(list, " "), always}
	ports, ok := s.ports[key]
	if !ok {
		ports = map[service]bool{}
		for _, o := range r.Services {
			if !slices.Contains(list, o.Name) && (!always || o.Name != dns) {
				continue
			}
			for _, p := range o.Ports {
				ports[service{p.Proto, p.Number}] = true
			}
		}
		s.ports[key] = ports
	}
	return ports, slices.Contains(list, all)
}

// A say makes its sentences once, when the first is asked for.
type say struct {
	who  string
	once sync.Once
	made *sentences
}

func (s *say) words() *sentences {
	s.once.Do(func() { s.made = sayings(s.who) })
	return s.made
}

type sentences struct {
	ping, service, noService, lan, noLAN, internet, noInternet, peers, noPeers, cells, noCells string
}

func sayings(who string) *sentences {
	return &sentences{
		ping: who + " may ping the cell", service: who + " may use this service of the cell",
		noService: who + " may not use this service of the cell",
		lan:       who + " may reach the LAN", noLAN: who + " may not reach the LAN",
		internet: who + " may reach the internet", noInternet: who + " may not reach the internet",
		peers: who + " may reach this device", noPeers: who + " may not reach this device",
		cells: who + " may reach this linked cell", noCells: who + " may not reach this linked cell",
	}
}
