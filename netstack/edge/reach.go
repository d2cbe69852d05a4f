package edge

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"pic/netstack/ddns"
	"pic/netstack/igd"
)

// An Outcome is how a step of the self-test came out.
type Outcome string

const (
	Good    Outcome = "ok"
	Bad     Outcome = "bad"
	Unknown Outcome = "unknown" // the cell cannot find out from where it is
)

// A Step of the self-test, in sentences for a person.
type Step struct {
	Name    string // endpoint, address, port or calls
	Outcome Outcome
	Text    string
	Fix     string // what to do, where it is not ok
}

// Evidence is what the self-test goes by.
type Evidence struct {
	Endpoint string       // host:port that devices dial
	Port     uint16       // of WireGuard here
	Resolved []netip.Addr // of the endpoint's host
	Failure  string       // why it did not resolve
	Public   []netip.Addr // addresses of the host itself that are the internet's
	Asked    bool         // the router upstream was asked for the port
	Upstream igd.State
	Line     netip.Addr // of the WAN, where the cell is the router; not valid: not known
	Knock    *Knock     // what a try by an exit came to; nil: there was none
	Caller   string     // a device that called from outside, the last
	From     netip.Addr // and from where
	At       time.Time  // when; zero: none ever did
}

// A Knock is a datagram that left by an exit and was to come in by the line.
type Knock struct {
	Exit string
	To   netip.AddrPort
	Port uint16 // at which it came in; 0: it did not
}

// Judge says whether devices on the road find the cell, and why not. It is pure.
// Proof is a datagram that came in from outside, by way of an exit, and a device
// that has called from there; the rest are the reasons for and against.
func Judge(e Evidence, now time.Time) []Step {
	host, port, err := net.SplitHostPort(e.Endpoint)
	if err != nil {
		host, port = e.Endpoint, strconv.Itoa(int(e.Port))
	}
	steps := []Step{e.endpoint(host)}
	if steps[0].Outcome == Good {
		steps = append(steps, e.address(host))
	}
	steps = append(steps, e.way(port))
	return append(steps, e.calls(now))
}

func (e Evidence) endpoint(host string) Step {
	s := Step{Name: "endpoint", Outcome: Good, Text: "Devices dial " + e.Endpoint + "."}
	const give = "Give wireguard.endpoint a public name or address; network.dynamic keeps a name at an address that changes."
	if host == "" {
		return Step{"endpoint", Bad, "Nobody said what devices dial.", give}
	}
	if a, err := netip.ParseAddr(host); err == nil && !ddns.Public(a) {
		return Step{"endpoint", Bad, "Devices dial " + e.Endpoint + ", an address of the household's own network: at home that works, on the road it does not.", give}
	}
	return s
}

func (e Evidence) address(host string) Step {
	known := slices.Clone(e.Public)
	if a := e.Upstream.External.Addr(); a.IsValid() && ddns.Public(a) {
		known = append(known, a)
	}
	switch {
	case e.Failure != "":
		return Step{"address", Bad, "The name " + host + " leads nowhere: " + e.Failure + ".", "Correct the name, or have network.dynamic keep it."}
	case len(e.Resolved) == 0:
		return Step{"address", Bad, "The name " + host + " has no address.", "Correct the name, or have network.dynamic keep it."}
	}
	if home := func(a netip.Addr) bool { return !ddns.Public(a) }; !slices.ContainsFunc(e.Resolved, ddns.Public) && slices.ContainsFunc(e.Resolved, home) {
		return Step{
			"address", Unknown, fmt.Sprintf("Seen from here, %s is %s, an address of the household's own network; seen from outside it may be another.", host, e.Resolved[0]),
			"Look the name up with a phone whose Wi-Fi and VPN are off. It must be the line's public address; network.dynamic keeps a name there.",
		}
	}
	for _, a := range e.Resolved {
		if slices.Contains(known, a) {
			return Step{"address", Good, fmt.Sprintf("%s is %s, an address of this cell's line.", host, a), ""}
		}
	}
	if len(known) == 0 {
		return Step{
			"address", Unknown, fmt.Sprintf("%s is %s. Whether that is this line's address, the cell cannot see: the router upstream does not tell.", host, e.Resolved[0]),
			"Compare it with what the router shows, or switch wireguard.openPort on so that the router is asked.",
		}
	}
	return Step{
		"address", Bad, fmt.Sprintf("%s is %s, but this cell's line has %s.", host, e.Resolved[0], known[0]),
		"Correct the name's address, or have network.dynamic keep it.",
	}
}

// way judges what is between the internet and the port.
func (e Evidence) way(port string) Step {
	here := strconv.Itoa(int(e.Port))
	four := slices.ContainsFunc(e.Public, netip.Addr.Is4)
	switch k, st := e.Knock, e.Upstream; {
	case k != nil && k.Port == e.Port:
		return Step{"port", Good, fmt.Sprintf("A datagram that left by the exit %s for %s came in at port %s: what is before the cell lets it in.", k.Exit, k.To, here), ""}
	case k != nil && k.Port != 0:
		return Step{
			"port", Bad, fmt.Sprintf("A datagram that left by the exit %s for %s came in at port %d, and the VPN listens on %s.", k.Exit, k.To, k.Port, here),
			"Have the router upstream forward the port to " + here + " of this cell.",
		}
	case four && port != here:
		return Step{"port", Bad, "Devices dial port " + port + ", and the VPN listens on " + here + ".", "Make the port in wireguard.endpoint that of wireguard.port."}
	case four && k != nil:
		return Step{
			"port", Bad, fmt.Sprintf("The host has a public address of its own, but a datagram that left by the exit %s for %s did not come in.", k.Exit, k.To),
			"Look whether the provider of the line, or a firewall before the host such as that of a hosting company, lets UDP port " + port + " in.",
		}
	case four:
		return Step{"port", Good, "The host has a public address of its own, and the VPN listens on port " + here + " there.", ""}
	case st.Shared() && st.External.Addr().IsPrivate():
		return Step{
			"port", Bad, fmt.Sprintf("The router upstream has the address %s: it stands behind another router itself (double NAT), and a port that it lets in leads nowhere.", st.External.Addr()),
			"Forward UDP port " + port + " on that other router to the first one, or have one of the two be a bridge. If the other one is the provider's, ask for a public address, or use IPv6.",
		}
	case st.Shared(), st.Method == "" && igd.Carrier(e.Line):
		at, who := st.External.Addr(), "The router upstream"
		if !st.Shared() {
			at, who = e.Line, "The line"
		}
		return Step{
			"port", Bad, fmt.Sprintf("%s has the address %s, which the provider shares between customers: no call from outside comes through by IPv4.", who, at),
			"Ask the provider for a public address, or use IPv6, or link a cell that has one.",
		}
	case st.Method != "" && port != strconv.Itoa(int(st.External.Port())):
		return Step{
			"port", Bad, fmt.Sprintf("The router upstream lets port %d in, but devices dial %s.", st.External.Port(), port),
			fmt.Sprintf("Make the port in wireguard.endpoint %d.", st.External.Port()),
		}
	case k != nil:
		return Step{
			"port", Bad, fmt.Sprintf("A datagram that left by the exit %s for %s did not come in: the router upstream does not let it in.", k.Exit, k.To),
			"Forward UDP port " + port + " there to this cell's port " + here + ". If it is forwarded already, compare its address in the internet with what devices dial.",
		}
	case st.Method != "":
		return Step{"port", Good, fmt.Sprintf("The router upstream lets port %s in (%s).", port, st.Method), ""}
	case e.Asked && st.Error != "":
		return Step{"port", Unknown, "The router upstream was asked for the port and gave none: " + st.Error + ".", "Forward UDP port " + port + " there to this cell's port " + here + " by hand."}
	case e.Asked:
		return Step{"port", Unknown, "The router upstream is being asked for the port.", "Look again in a minute."}
	}
	if e.Line.IsPrivate() {
		return Step{
			"port", Unknown, fmt.Sprintf("The cell is a router, but its line has the address %s: it stands behind another router (double NAT). Whether that lets the port in, the cell cannot see.", e.Line),
			"Forward UDP port " + port + " there to " + e.Line.String() + ", port " + here + "; or have that router be a bridge, so that the line's address is the cell's own.",
		}
	}
	return Step{
		"port", Unknown, "The cell stands behind a router. Whether that lets the port in, the cell cannot see.",
		"Forward UDP port " + port + " there to this cell's port " + here + ", or switch wireguard.openPort on.",
	}
}

// recent is how long a call from outside proves something.
const recent = 7 * 24 * time.Hour

func (e Evidence) calls(now time.Time) Step {
	switch {
	case e.At.IsZero():
		return Step{"calls", Unknown, "No device has called from outside yet.", "Switch a phone's Wi-Fi off and its VPN on; then look again."}
	case now.Sub(e.At) > recent:
		return Step{"calls", Unknown, fmt.Sprintf("%s called from outside, from %s, on %s.", e.Caller, e.From, e.At.Format("2 January 2006")), "Try again with a phone whose Wi-Fi is off."}
	}
	return Step{"calls", Good, fmt.Sprintf("%s called from outside, from %s, on %s: devices do find the cell.", e.Caller, e.From, e.At.Format("2 January 15:04")), ""}
}
