package dhcpsrv

import (
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// A verdict is what to do about a message.
type verdict struct {
	answer dhcpv4.MessageType // silence: say nothing
	give   netip.Addr
	probe  *offer // ask the LAN for it before it is offered; nil: no need
	save   []byte // before the answer leaves
	named  bool   // the set of names changed
	why    string // for the log
}

const silence = dhcpv4.MessageTypeNone

// decide applies RFC 2131 §4.3 to one message. It changes the pool and does no
// I/O.
func decide(now time.Time, p *pool, m *message) verdict {
	server := p.conf.Server
	if relay := addr(m.GatewayIPAddr); relay.IsValid() && !server.Contains(relay) {
		return verdict{why: "a relay of another network"}
	}
	switch m.kind {
	case dhcpv4.MessageTypeDiscover:
		return discover(now, p, m)
	case dhcpv4.MessageTypeRequest:
		return request(now, p, m)
	case dhcpv4.MessageTypeDecline:
		if m.server != server.Addr() || p.last(m.who) != m.want && p.held(now, m.who) != m.want {
			return verdict{why: "declines what it does not have"}
		}
		return verdict{save: p.decline(now, m.want), named: true, why: "declined"}
	case dhcpv4.MessageTypeRelease:
		rec, ok := p.release(now, m.who, m.ciaddr)
		return verdict{save: rec, named: ok, why: "released"}
	case dhcpv4.MessageTypeInform:
		if !server.Contains(m.ciaddr) {
			return verdict{why: "informs from another network"}
		}
		return verdict{answer: dhcpv4.MessageTypeAck}
	}
	return verdict{why: "unknown message"}
}

func discover(now time.Time, p *pool, m *message) verdict {
	o, probe, busy, ok := p.offer(now, m.who, m.want)
	switch {
	case !ok:
		return verdict{why: "no address is free"}
	case busy:
		return verdict{why: "its address is being asked for"}
	}
	v := verdict{answer: dhcpv4.MessageTypeOffer, give: o.addr}
	if probe {
		v.probe = o
	}
	return v
}

// request tells the states of a client apart (RFC 2131 §4.3.2, table 4).
func request(now time.Time, p *pool, m *message) verdict {
	nak := func(why string) verdict { return verdict{answer: dhcpv4.MessageTypeNak, why: why} }
	server, last := p.conf.Server, p.last(m.who)
	if r, ok := p.reserved[m.who.mac]; ok && !last.IsValid() {
		last = r.Address // as good as known
	}
	a := m.want
	switch {
	case m.server.IsValid() && m.server != server.Addr(): // SELECTING another server
		p.unoffer(m.who)
		return verdict{why: "it took the offer of " + m.server.String()}
	case m.server.IsValid(): // SELECTING
		if !a.IsValid() {
			return verdict{why: "it names no address"}
		}
		if p.held(now, m.who) != a && p.last(m.who) != a {
			return nak("not what was offered")
		}
	case a.IsValid(): // INIT-REBOOT
		switch {
		case !server.Contains(a):
			return nak("it comes from another network")
		case !last.IsValid():
			return verdict{why: "it is not known here"}
		case last != a:
			return nak("it has another address")
		}
	case m.ciaddr.IsValid(): // RENEWING, REBINDING
		a = m.ciaddr
		if !server.Contains(a) {
			return nak("it comes from another network")
		}
		if last.IsValid() && last != a {
			return nak("it has another address")
		}
		if !last.IsValid() && m.toAll { // REBINDING: another server's, perhaps
			return verdict{why: "it is not known here"}
		}
	default:
		return verdict{why: "it names no address"}
	}
	rec, renamed, ok := p.lease(now, m.who, a)
	if !ok {
		return nak("the address is not for it")
	}
	return verdict{answer: dhcpv4.MessageTypeAck, give: a, save: rec, named: renamed}
}
