package dhcp6

import (
	"bytes"
	"math/rand/v2"
	"net"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// A State is where the client is in the exchanges of RFC 8415 §18.2.
type State string

const (
	Idle       State = "idle"
	Soliciting State = "soliciting"
	Requesting State = "requesting"
	Bound      State = "bound"
	Renewing   State = "renewing"
	Rebinding  State = "rebinding"
)

// iaid is the same at every start (RFC 9096, WPD-10).
var iaid = [4]byte{0, 0, 0, 1}

// pace is how a message is repeated (RFC 8415 §15 and §7.6).
type pace struct {
	first, most time.Duration
	tries       int // 0: without end
}

var (
	paceSolicit = pace{time.Second, time.Hour, 0} // SOL_MAX_RT
	paceRequest = pace{time.Second, 30 * time.Second, 10}
	paceRenew   = pace{10 * time.Second, 600 * time.Second, 0}
	paceRebind  = pace{10 * time.Second, 600 * time.Second, 0}
	paceReplug  = pace{time.Second, 600 * time.Second, 6} // a Rebind that asks after a new link
)

type action struct {
	send *dhcpv6.Message
	bind *Lease // it is in force now
	lost string
}

// A machine is the client's state, without sockets and clocks.
type machine struct {
	mac  net.HardwareAddr
	rand func() float64

	state   State
	xid     dhcpv6.TransactionID
	pace    pace
	began   time.Time // of the exchange
	next    time.Time // when to call tick
	wait    time.Duration
	tries   int
	limit   time.Duration // SOL_MAX_RT that the server asked for; 0: our own
	collect time.Time     // until when advertisements are collected
	best    *Lease        // of the advertisements
	rank    int           // its preference
	refused int           // exchanges in a row that servers ended, for pauses
	lease   *Lease        // in force
}

func newMachine(mac net.HardwareAddr) *machine {
	return &machine{mac: mac, rand: rand.Float64, state: Idle}
}

func (m *machine) duid() dhcpv6.DUID {
	return &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: m.mac}
}

// begin starts, or starts over after the cable was plugged in: with a lease that
// is good still by Rebind, which any server may answer (RFC 8415 §18.2.12).
func (m *machine) begin(now time.Time, l *Lease) []action {
	if l == nil || !now.Before(l.Until()) {
		return m.solicit(now)
	}
	m.lease = l.without(now)
	m.enter(Rebinding, paceReplug, now)
	return []action{{bind: m.lease}, m.again(now)}
}

func (m *machine) solicit(now time.Time) []action {
	m.best, m.rank = nil, -1
	m.enter(Soliciting, paceSolicit, now)
	return []action{m.again(now)}
}

// refuse starts over after a server has offered what it then did not give. The
// pause grows: such a server must not be asked in a circle (RFC 8415 §18.2.10.1).
func (m *machine) refuse(now time.Time) []action {
	pause := firstPause << m.refused
	m.refused = min(m.refused+1, morePauses)
	m.best, m.rank = nil, -1
	m.enter(Soliciting, paceSolicit, now.Add(pause))
	m.next = m.began
	return nil
}

// Pauses are from 1 s to 64.
const (
	firstPause = time.Second
	morePauses = 6
)

func (m *machine) enter(s State, p pace, now time.Time) {
	m.state, m.pace, m.began, m.wait, m.tries = s, p, now, 0, 0
	for i := range m.xid {
		m.xid[i] = byte(m.rand() * 256)
	}
}

// tick does what is due at next.
func (m *machine) tick(now time.Time) []action {
	if m.lease != nil {
		if left := m.lease.without(now); left.empty() {
			m.lease = nil
			return append([]action{{lost: "the lease has ended and no server renewed it"}}, m.solicit(now)...)
		} else if len(left.Prefixes)+len(left.Addresses) < len(m.lease.Prefixes)+len(m.lease.Addresses) {
			m.lease = left
			return []action{{bind: left}}
		}
	}
	switch m.state {
	case Soliciting:
		if m.best != nil && !now.Before(m.collect) {
			return m.request(now)
		}
	case Requesting:
		if m.tries == m.pace.tries && !now.Before(m.next) {
			return m.refuse(now)
		}
	case Rebinding:
		if m.tries == m.pace.tries && !now.Before(m.next) { // a line to another provider, perhaps
			return m.solicit(now)
		}
	case Bound, Renewing:
		switch {
		case !now.Before(m.lease.Rebind) && m.state != Rebinding:
			m.enter(Rebinding, paceRebind, now)
			return []action{m.again(now)}
		case m.state == Bound && !now.Before(m.lease.Renew):
			m.enter(Renewing, paceRenew, now)
			return []action{m.again(now)}
		case m.state == Bound:
			return nil
		}
	}
	if now.Before(m.next) {
		return nil
	}
	return []action{m.again(now)}
}

// due is when tick has something to do.
func (m *machine) due() time.Time {
	t := m.next
	earlier := func(u time.Time) {
		if t.IsZero() || u.Before(t) {
			t = u
		}
	}
	if m.state == Bound {
		t = m.lease.Renew
	}
	if m.state == Renewing {
		earlier(m.lease.Rebind)
	}
	if m.state == Soliciting && m.best != nil {
		earlier(m.collect)
	}
	if m.lease != nil {
		for _, p := range m.lease.Prefixes {
			earlier(p.Valid)
		}
		for _, a := range m.lease.Addresses {
			earlier(a.Valid)
		}
	}
	return t
}

func (m *machine) request(now time.Time) []action {
	m.enter(Requesting, paceRequest, now)
	return []action{m.again(now)}
}

// message takes an answer; the error says why it was not taken.
func (m *machine) message(now time.Time, d *dhcpv6.Message) ([]action, error) {
	if err := m.mine(d); err != nil {
		return nil, err
	}
	if v := d.GetOneOption(dhcpv6.OptionSolMaxRT); v != nil { // RFC 8415 §21.24
		if b := v.ToBytes(); len(b) == 4 {
			if t := time.Duration(uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8|uint32(b[3])) * time.Second; t >= time.Minute && t <= 24*time.Hour {
				m.limit = t
			}
		}
	}
	switch {
	case m.state == Soliciting && d.MessageType == dhcpv6.MessageTypeAdvertise:
		l, err := lease(d, m.began)
		if err != nil {
			return nil, err
		}
		return m.advertised(now, l, int(d.Options.Preference())), nil
	case d.MessageType != dhcpv6.MessageTypeReply:
		return nil, errNotForUs
	case m.state == Requesting && !bytes.Equal(d.Options.ServerID().ToBytes(), m.best.Server):
		return nil, errNotForUs
	case m.state == Renewing && !bytes.Equal(d.Options.ServerID().ToBytes(), m.lease.Server):
		return nil, errNotForUs
	case m.state == Requesting, m.state == Renewing, m.state == Rebinding:
		l, err := lease(d, m.began)
		switch {
		case err == errNoBind && m.state != Requesting: // RFC 8415 §18.2.10.1: who said so is asked
			own := *m.lease
			own.Server = d.Options.ServerID().ToBytes()
			m.best = &own
			return m.request(now), nil
		case err != nil && m.state == Requesting:
			return m.refuse(now), err
		case err != nil && d.Options.Status() == nil:
			return m.withdraw(now, d, err)
		case err != nil:
			return nil, err
		}
		m.lease, m.best, m.refused = m.keep(l, d, now), nil, 0
		m.state, m.next = Bound, time.Time{}
		return []action{{bind: m.lease}}, nil
	}
	return nil, errNotForUs
}

// mine checks that a message answers this client and this exchange.
func (m *machine) mine(d *dhcpv6.Message) error {
	id := d.Options.ClientID()
	if d.TransactionID != m.xid || id == nil || !bytes.Equal(id.ToBytes(), m.duid().ToBytes()) || d.Options.ServerID() == nil {
		return errNotForUs
	}
	return nil
}

// advertised keeps the best offer: a prefix counts most, then preference. One of
// the highest preference is taken at once, others after the first second.
func (m *machine) advertised(now time.Time, l *Lease, preference int) []action {
	rank := preference
	if len(l.Prefixes) > 0 {
		rank += 256
	}
	if rank > m.rank {
		m.best, m.rank = l, rank
	}
	if m.collect.Before(m.began) {
		m.collect = m.began.Add(paceSolicit.first)
	}
	if preference == 255 && len(l.Prefixes) > 0 || !now.Before(m.collect) {
		return m.request(now)
	}
	return nil
}

// release gives the lease back.
func (m *machine) release(now time.Time) []action {
	if m.lease == nil {
		return nil
	}
	m.enter(Idle, pace{}, now)
	d := m.blank(dhcpv6.MessageTypeRelease, now)
	m.addIAs(d, m.lease)
	m.addServer(d, m.lease)
	return []action{{send: d}}
}

// again builds the message of the state and says when the next one is due:
// RFC 8415 §15.
func (m *machine) again(now time.Time) action {
	m.tries++
	most := m.pace.most
	if m.state == Soliciting && m.limit > 0 {
		most = m.limit
	}
	jitter := func(d time.Duration) time.Duration { return time.Duration((m.rand()*0.2 - 0.1) * float64(d)) }
	if m.wait == 0 {
		m.wait = m.pace.first + jitter(m.pace.first)
		if m.state == Soliciting { // never less than the second of the collection
			m.wait = m.pace.first + max(jitter(m.pace.first), -jitter(m.pace.first), 0)
		}
	} else {
		m.wait = 2*m.wait + jitter(m.wait)
	}
	if m.wait > most {
		m.wait = most + jitter(most)
	}
	m.next = now.Add(m.wait)
	kind := map[State]dhcpv6.MessageType{
		Soliciting: dhcpv6.MessageTypeSolicit, Requesting: dhcpv6.MessageTypeRequest,
		Renewing: dhcpv6.MessageTypeRenew, Rebinding: dhcpv6.MessageTypeRebind,
	}[m.state]
	d := m.blank(kind, now)
	d.AddOption(dhcpv6.OptRequestedOption(dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionSolMaxRT))
	switch m.state {
	case Soliciting:
		m.addIAs(d, &Lease{})
	case Requesting:
		m.addIAs(d, m.best)
		m.addServer(d, m.best)
	case Renewing:
		m.addIAs(d, m.lease)
		m.addServer(d, m.lease)
	case Rebinding:
		m.addIAs(d, m.lease)
	}
	return action{send: d}
}

func (m *machine) blank(kind dhcpv6.MessageType, now time.Time) *dhcpv6.Message {
	d := &dhcpv6.Message{MessageType: kind, TransactionID: m.xid}
	d.AddOption(dhcpv6.OptClientID(m.duid()))
	elapsed := min(max(now.Sub(m.began), 0), 655350*time.Millisecond)
	d.AddOption(dhcpv6.OptElapsedTime(elapsed))
	return d
}

// addIAs asks for a prefix and an address, those of l if it has any.
func (m *machine) addIAs(d *dhcpv6.Message, l *Lease) {
	pd := &dhcpv6.OptIAPD{IaId: iaid}
	for _, p := range l.Prefixes {
		b := p.Net.Addr().As16()
		pd.Options.Add(&dhcpv6.OptIAPrefix{Prefix: &net.IPNet{IP: b[:], Mask: net.CIDRMask(p.Net.Bits(), 128)}})
	}
	na := &dhcpv6.OptIANA{IaId: iaid}
	for _, a := range l.Addresses {
		na.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: a.Addr.AsSlice()})
	}
	d.AddOption(pd)
	d.AddOption(na)
}

func (m *machine) addServer(d *dhcpv6.Message, l *Lease) {
	id, err := dhcpv6.DUIDFromBytes(l.Server)
	if err == nil { // it was read from a message, or from our file
		d.AddOption(dhcpv6.OptServerID(id))
	}
}
