package dhcp4

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// A State is one of RFC 2131, figure 5. Checking is the time in which an address
// that was given is looked for on the link.
type State string

const (
	Init       State = "init"
	Selecting  State = "selecting"
	Requesting State = "requesting"
	Checking   State = "checking"
	Bound      State = "bound"
	Renewing   State = "renewing"
	Rebinding  State = "rebinding"
	Rebooting  State = "rebooting"
)

const (
	firstWait = 4 * time.Second // RFC 2131 §4.1
	mostWait  = 64 * time.Second
	leastWait = 60 * time.Second // between renewals, §4.4.5
	requests  = 4                // of one offer, before it is given up
	reboots   = 3
	declined  = 10 * time.Second // before a new try, §3.1.5
)

// An action is something that the machine wants done.
type action struct {
	send  *dhcpv4.DHCPv4
	to    netip.Addr // of send; not valid: everybody
	probe netip.Addr // ask the link who has it, then call checked
	bind  *Lease     // it is in force now
	fresh bool       // with bind: a new address
	lost  string     // the lease is no longer in force, for this reason
}

// A machine is the client's state, without sockets and clocks. Its methods
// return what is to be done, in order.
type machine struct {
	mac  net.HardwareAddr
	rand func() float64 // in [0, 1)

	state State
	xid   dhcpv4.TransactionID
	began time.Time // of this state's request
	next  time.Time // when to call tick; zero: not at all
	wait  time.Duration
	tries int
	nacks int

	lease *Lease // in force, or remembered while Rebooting
	live  bool   // lease is in force
	offer *Lease // of Requesting and Checking
}

func newMachine(mac net.HardwareAddr) *machine {
	return &machine{mac: mac, rand: rand.Float64, state: Init}
}

// begin starts or, after the cable was plugged in, starts over: with a lease that
// is good still by asking for it again (INIT-REBOOT), else from nothing. live
// tells that the lease's address is in use.
func (m *machine) begin(now time.Time, l *Lease, live bool) []action {
	m.nacks = 0
	if l == nil || !now.Before(l.Until) {
		return m.reset(now, 0, "")
	}
	m.lease, m.live, m.offer = l, live, nil
	m.state, m.began, m.wait, m.tries = Rebooting, now, firstWait/2, 0
	m.xid = m.newXID()
	var out []action
	if live {
		out = append(out, action{bind: l})
	}
	return append(out, m.again(now, m.request(now, func(d *dhcpv4.DHCPv4) {
		d.UpdateOption(dhcpv4.OptRequestedIPAddress(l.Address.Addr().AsSlice()))
	}), netip.Addr{}))
}

// reset forgets the lease and asks anew after a while.
func (m *machine) reset(now time.Time, after time.Duration, why string) []action {
	var out []action
	if m.live {
		out = append(out, action{lost: why})
	}
	m.lease, m.live, m.offer = nil, false, nil
	m.state, m.next = Init, now.Add(after)
	if after == 0 {
		return append(out, m.tick(now)...)
	}
	return out
}

// tick does what is due at next.
func (m *machine) tick(now time.Time) []action {
	if m.live && !now.Before(m.lease.Until) {
		return m.reset(now, 0, "the lease has ended and no server renewed it")
	}
	if m.next.IsZero() || now.Before(m.next) {
		return nil
	}
	switch m.state {
	case Init:
		m.state, m.began, m.wait = Selecting, now, firstWait
		m.xid = m.newXID()
		return []action{m.again(now, m.discover(now), netip.Addr{})}
	case Selecting:
		return []action{m.again(now, m.discover(now), netip.Addr{})}
	case Requesting:
		if m.tries == requests {
			return m.reset(now, 0, "")
		}
		return []action{m.again(now, m.choose(now), netip.Addr{})}
	case Rebooting:
		if m.tries == reboots {
			return m.carryOn(now)
		}
		return []action{m.again(now, m.request(now, func(d *dhcpv4.DHCPv4) {
			d.UpdateOption(dhcpv4.OptRequestedIPAddress(m.lease.Address.Addr().AsSlice()))
		}), netip.Addr{})}
	case Bound, Renewing, Rebinding:
		return m.renew(now)
	}
	m.next = time.Time{} // Checking ends by checked
	return nil
}

// carryOn uses a remembered lease though no server confirmed it (RFC 2131
// §3.2.4).
func (m *machine) carryOn(now time.Time) []action {
	var out []action
	if !m.live {
		m.live = true
		out = append(out, action{bind: m.lease})
	}
	m.bound()
	return append(out, m.tick(now)...)
}

func (m *machine) bound() {
	m.state, m.next, m.nacks = Bound, m.lease.Renew, 0
}

// renew asks for more time: the server that gave the lease, from T2 on any.
func (m *machine) renew(now time.Time) []action {
	l := m.lease
	to, end := l.Server, l.Rebind
	if now.Before(l.Rebind) {
		if m.state != Renewing {
			m.state, m.began, m.xid = Renewing, now, m.newXID()
		}
	} else {
		if m.state != Rebinding {
			m.state, m.began, m.xid = Rebinding, now, m.newXID()
		}
		to, end = netip.Addr{}, l.Until
	}
	m.next = now.Add(max(end.Sub(now)/2, leastWait))
	if m.next.After(end) {
		m.next = end
	}
	return []action{{to: to, send: m.request(now, func(d *dhcpv4.DHCPv4) { d.ClientIPAddr = l.Address.Addr().AsSlice() })}}
}

// message takes an answer. What is not for us, or not now, is dropped; the error
// says why an answer that was for us was not taken.
func (m *machine) message(now time.Time, d *dhcpv4.DHCPv4) ([]action, error) {
	if err := mine(d, m.xid, m.mac); err != nil {
		return nil, err
	}
	switch kind := d.MessageType(); {
	case m.state == Selecting && kind == dhcpv4.MessageTypeOffer:
		o, err := lease(d, now)
		if err != nil {
			return nil, err
		}
		m.state, m.offer, m.began, m.wait, m.tries = Requesting, o, now, firstWait, 0
		return []action{m.again(now, m.choose(now), netip.Addr{})}, nil
	case !m.asking():
		return nil, errNotForUs
	case m.state == Requesting && addr(d.ServerIdentifier()) != m.offer.Server:
		return nil, errNotForUs
	case m.state == Renewing && kind == dhcpv4.MessageTypeNak && addr(d.ServerIdentifier()) != m.lease.Server:
		return nil, errNotForUs
	case kind == dhcpv4.MessageTypeNak:
		// A server that refuses always must not be asked without a pause.
		m.nacks = min(m.nacks+1, 7)
		return m.reset(now, time.Second<<(m.nacks-1), "the server refused it: "+spoken(d.Message())), nil
	case kind == dhcpv4.MessageTypeAck:
		l, err := lease(d, m.began)
		if err != nil {
			return nil, err
		}
		return m.acked(now, l), nil
	}
	return nil, errNotForUs
}

func (m *machine) asking() bool {
	return m.state == Requesting || m.state == Renewing || m.state == Rebinding || m.state == Rebooting
}

func (m *machine) acked(now time.Time, l *Lease) []action {
	if m.lease != nil && m.live && m.lease.Address == l.Address {
		m.lease, m.offer = l, nil
		m.bound()
		return []action{{bind: l}}
	}
	m.state, m.offer, m.next = Checking, l, time.Time{}
	return []action{{probe: l.Address.Addr()}}
}

// checked tells whether somebody on the link has the address that was to be
// looked for.
func (m *machine) checked(now time.Time, a netip.Addr, taken bool) []action {
	if m.state != Checking || m.offer.Address.Addr() != a {
		return nil
	}
	if taken {
		d := m.blank(now, dhcpv4.MessageTypeDecline)
		d.UpdateOption(dhcpv4.OptRequestedIPAddress(a.AsSlice()))
		d.UpdateOption(dhcpv4.OptServerIdentifier(m.offer.Server.AsSlice()))
		return append([]action{{send: d}}, m.reset(now, declined, "another device has the address")...)
	}
	m.lease, m.live, m.offer = m.offer, true, nil
	m.bound()
	return []action{{bind: m.lease, fresh: true}}
}

// release gives the lease back.
func (m *machine) release(now time.Time) []action {
	if !m.live {
		return nil
	}
	m.xid = m.newXID()
	d := m.blank(now, dhcpv4.MessageTypeRelease)
	d.ClientIPAddr = m.lease.Address.Addr().AsSlice()
	d.UpdateOption(dhcpv4.OptServerIdentifier(m.lease.Server.AsSlice()))
	return []action{{send: d, to: m.lease.Server}}
}

// again sends, and sets when to do so once more if there is no answer: 4 s, then
// twice as long each time up to 64, ±1 s (RFC 2131 §4.1).
func (m *machine) again(now time.Time, d *dhcpv4.DHCPv4, to netip.Addr) action {
	m.tries++
	m.next = now.Add(m.wait + time.Duration((m.rand()*2-1)*float64(min(time.Second, m.wait/2))))
	m.wait = min(2*m.wait, mostWait)
	return action{send: d, to: to}
}

func (m *machine) discover(now time.Time) *dhcpv4.DHCPv4 {
	return m.blank(now, dhcpv4.MessageTypeDiscover, dhcpv4.WithRequestedOptions(wanted()...), dhcpv4.WithOption(size()))
}

// choose asks for the offer that was chosen.
func (m *machine) choose(now time.Time) *dhcpv4.DHCPv4 {
	return m.request(now, func(d *dhcpv4.DHCPv4) {
		d.UpdateOption(dhcpv4.OptRequestedIPAddress(m.offer.Address.Addr().AsSlice()))
		d.UpdateOption(dhcpv4.OptServerIdentifier(m.offer.Server.AsSlice()))
	})
}

func (m *machine) request(now time.Time, more func(*dhcpv4.DHCPv4)) *dhcpv4.DHCPv4 {
	d := m.blank(now, dhcpv4.MessageTypeRequest, dhcpv4.WithRequestedOptions(wanted()...), dhcpv4.WithOption(size()))
	more(d)
	return d
}

func wanted() []dhcpv4.OptionCode {
	return []dhcpv4.OptionCode{
		dhcpv4.OptionSubnetMask, dhcpv4.OptionClasslessStaticRoute, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer,
		dhcpv4.OptionDomainName, dhcpv4.OptionInterfaceMTU, dhcpv4.OptionNTPServers,
	}
}

func size() dhcpv4.Option { return dhcpv4.OptMaxMessageSize(1500) }

// blank is a message of this client without what depends on the state.
func (m *machine) blank(now time.Time, kind dhcpv4.MessageType, mods ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	id := append([]byte{1}, m.mac...) // of type Ethernet, as RFC 2132 §9.14 suggests
	d, err := dhcpv4.New(append([]dhcpv4.Modifier{
		dhcpv4.WithTransactionID(m.xid), dhcpv4.WithHwAddr(m.mac), dhcpv4.WithMessageType(kind),
		dhcpv4.WithOption(dhcpv4.OptClientIdentifier(id)),
	}, mods...)...)
	if err != nil { // New can fail only to draw a transaction, which we set
		return &dhcpv4.DHCPv4{}
	}
	d.NumSeconds = uint16(min(max(now.Sub(m.began)/time.Second, 0), 65535))
	return d
}

func (m *machine) newXID() (x dhcpv4.TransactionID) {
	for i := range x {
		x[i] = byte(m.rand() * 256)
	}
	return x
}
