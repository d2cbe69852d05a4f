package router

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"pic/core/service"
	"pic/internal/order"
	"pic/netstack/router/dhcp6"
)

const (
	codeNoCard   = "router/no-card"
	codeDrift    = "router/not-in-force"
	codeForeign  = "router/other-program"
	codeNoLease  = "router/no-lease"
	codeRefused  = "router/no-address"
	codeNoPrefix = "router/no-delegation"
	codeNoRA     = "router/no-advertisements"
	codeShort    = "router/prefix-too-small"
	codeShape    = "router/not-shaped"
	codeClash    = "router/claims"
)

func missing(err error) *service.Problem {
	return &service.Problem{
		Code: codeNoCard, Severity: service.Failure, Title: "A network card of the router is missing", Text: err.Error() + ".",
		Fix: "Plug it in, or name another as network.wan.name, network.lan.name or in network.bridge. It is looked for every few seconds.",
	}
}

func drifted(err error) *service.Problem {
	return &service.Problem{
		Code: codeDrift, Severity: service.Failure, Title: "The network is not as the document says", Text: err.Error(),
		Fix: "It is tried again by itself; the text says what stands in the way.",
	}
}

func clientFailed(code string, err error) *service.Problem {
	title := map[string]string{
		codeNoLease:  "The WAN cannot ask the provider for an address",
		codeNoPrefix: "The WAN cannot ask the provider for an IPv6 prefix",
		codeNoRA:     "The provider's IPv6 advertisements are not read",
	}[code]
	p := &service.Problem{Code: code, Severity: service.Failure, Title: title, Text: err.Error(), Fix: "It is tried again by itself; the text says what stands in the way."}
	if code == codeNoRA {
		p.Severity = service.Warning
	}
	if errors.Is(err, unix.EADDRINUSE) {
		p.Fix = "Stop the other DHCP client on that card (`ss -ulnp` names it); " + otherPrograms
	}
	return p
}

const otherPrograms = "dhclient is started by /etc/network/interfaces or NetworkManager (`nmcli device set CARD managed no`); " +
	"systemd-networkd by a file in /etc/systemd/network (`Unmanaged=yes` in its [Link] section)."

func noLease(why string) *service.Problem {
	return &service.Problem{
		Code: codeRefused, Severity: service.Failure, Title: "The WAN has no address", Text: why,
		Fix: "Look at the cable to the modem and at the modem itself. The cell goes on asking.",
	}
}

// problem is nil without a foreign route.
func (f *foreign) problem() *service.Problem {
	if f == nil {
		return nil
	}
	who := map[int]string{16: "a DHCP client", 3: "a script at start, such as ifupdown or dhclient", 4: "an administrator", 9: "an IPv6 daemon"}[int(f.origin)]
	if who == "" {
		who = fmt.Sprintf("another program (protocol %d)", int(f.origin))
	}
	via := "without a gateway"
	if f.via.IsValid() {
		via = "by " + f.via.String()
	}
	return &service.Problem{
		Code: codeForeign, Severity: service.Warning, Title: "Another program manages the WAN, too",
		Text: fmt.Sprintf("The WAN has a default route %s that %s has set. The cell leaves it alone, but two cannot care for one line: one takes away what the other gave.", via, who),
		Fix:  "Take the card away from that program: " + otherPrograms + " Then remove the route with `ip route del default` or restart the machine.",
	}
}

func shortPrefix(l *dhcp6.Lease) *service.Problem {
	if l == nil {
		return nil
	}
	for _, p := range l.Prefixes {
		if p.Net.Bits() > 64 {
			return &service.Problem{
				Code: codeShort, Severity: service.Warning, Title: "The provider's IPv6 prefix is too small for a LAN",
				Text: fmt.Sprintf("%s was delegated; a LAN needs a /64.", p.Net),
				Fix:  "Ask the provider for a /56. Until then the LAN has no public IPv6 addresses.",
			}
		}
	}
	return nil
}

// troubles are the problems at hand, by code. The server's mutex guards them.
type troubles struct{ all []service.Problem }

// set adds or replaces a problem. Its time is that of its first showing.
func (t *troubles) set(p *service.Problem) {
	p.Since = time.Now()
	i := slices.IndexFunc(t.all, func(o service.Problem) bool { return o.Code == p.Code })
	if i < 0 {
		t.all = append(t.all, *p)
		return
	}
	p.Since = t.all[i].Since
	t.all[i] = *p
}

// put sets a problem, or clears its code where there is none.
func (t *troubles) put(code string, p *service.Problem) {
	if p == nil {
		t.clear(code)
		return
	}
	t.set(p)
}

func (t *troubles) clear(codes ...string) {
	t.all = slices.DeleteFunc(t.all, func(p service.Problem) bool { return slices.Contains(codes, p.Code) })
}

func (t *troubles) list() []service.Problem {
	out := slices.Clone(t.all)
	order.Stable(out, func(a, b service.Problem) int {
		return strings.Compare(string(a.Severity), string(b.Severity)) // failure before warning
	})
	return out
}
