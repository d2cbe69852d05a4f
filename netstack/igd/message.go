package igd

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// Port is where gateways are asked, over UDP.
const Port = 5351

// Versions of the protocol: NAT-PMP (RFC 6886) is 0, PCP (RFC 6887) is 2.
const (
	versionPMP = 0
	versionPCP = 2

	// servicePort is where gateways are asked; announcePort is where they tell of
	// themselves.
	servicePort  = Port
	announcePort = 5350

	response = 0x80 // in the operation of answers

	headPCP  = 24
	mapPCP   = 36
	maxPCP   = 1100 // RFC 6887 §7
	reqPMP   = 12
	replyPMP = 16
)

// Operations.
const (
	opAddress  = 0 // of NAT-PMP: what is the external address
	opUDP      = 1
	opTCP      = 2
	opAnnounce = 0 // of PCP
	opMap      = 1
)

// Results that both protocols share, and those of PCP alone (RFC 6887 §7.4).
const (
	success         = 0
	unsuppVersion   = 1
	notAuthorized   = 2 // REFUSED in NAT-PMP
	malformed       = 3 // PCP
	networkFailed   = 3 // NAT-PMP: there is no external address
	outOfResources  = 4 // NAT-PMP
	unsuppOpPMP     = 5
	unsuppOpcode    = 4
	unsuppOption    = 5
	malformedOption = 6
	netFailure      = 7
	noResources     = 8
	unsuppProtocol  = 9
	exQuota         = 10 // USER_EX_QUOTA
	cannotExternal  = 11
	addressMismatch = 12
)

// Options of PCP (RFC 6887 §13).
const (
	optThirdParty    = 1
	optPreferFailure = 2
	optFilter        = 3
)

// Protocols of transport, by their IP numbers.
const (
	TCP = 6
	UDP = 17
)

var errShort = errors.New("the message is cut short")

// A Nonce ties a mapping of PCP to who asked for it.
type Nonce [12]byte

// A pmpRequest is a request of NAT-PMP.
type pmpRequest struct {
	op       byte
	internal uint16
	external uint16 // wished for
	life     uint32 // seconds
}

func (r pmpRequest) bytes() []byte {
	if r.op == opAddress {
		return []byte{versionPMP, opAddress}
	}
	b := make([]byte, reqPMP)
	b[1] = r.op
	binary.BigEndian.PutUint16(b[4:], r.internal)
	binary.BigEndian.PutUint16(b[6:], r.external)
	binary.BigEndian.PutUint32(b[8:], r.life)
	return b
}

// readPMP reads a request of NAT-PMP.
func readPMP(b []byte) (pmpRequest, error) {
	if len(b) < 2 {
		return pmpRequest{}, errShort
	}
	r := pmpRequest{op: b[1]}
	if r.op != opUDP && r.op != opTCP {
		return r, nil
	}
	if len(b) < reqPMP {
		return r, errShort
	}
	r.internal = binary.BigEndian.Uint16(b[4:])
	r.external = binary.BigEndian.Uint16(b[6:])
	r.life = binary.BigEndian.Uint32(b[8:])
	return r, nil
}

// A pmpReply is an answer of NAT-PMP.
type pmpReply struct {
	op       byte // of the request
	result   uint16
	epoch    uint32
	address  netip.Addr // for opAddress
	internal uint16
	external uint16
	life     uint32
}

func (r pmpReply) bytes() []byte {
	b := make([]byte, 8, replyPMP)
	b[1] = r.op | response
	binary.BigEndian.PutUint16(b[2:], r.result)
	binary.BigEndian.PutUint32(b[4:], r.epoch)
	switch r.op {
	case opAddress:
		a := [4]byte{}
		if r.address.Is4() {
			a = r.address.As4()
		}
		return append(b, a[:]...)
	case opUDP, opTCP:
		b = binary.BigEndian.AppendUint16(b, r.internal)
		b = binary.BigEndian.AppendUint16(b, r.external)
		return binary.BigEndian.AppendUint32(b, r.life)
	}
	return b
}

// readPMPReply reads an answer of NAT-PMP.
func readPMPReply(b []byte) (pmpReply, error) {
	if len(b) < 8 || b[0] != versionPMP || b[1]&response == 0 {
		return pmpReply{}, errShort
	}
	r := pmpReply{op: b[1] &^ response, result: binary.BigEndian.Uint16(b[2:]), epoch: binary.BigEndian.Uint32(b[4:])}
	switch {
	case r.result != success:
	case r.op == opAddress:
		if len(b) < 12 {
			return r, errShort
		}
		r.address = netip.AddrFrom4([4]byte(b[8:12]))
	case r.op == opUDP, r.op == opTCP:
		if len(b) < replyPMP {
			return r, errShort
		}
		r.internal = binary.BigEndian.Uint16(b[8:])
		r.external = binary.BigEndian.Uint16(b[10:])
		r.life = binary.BigEndian.Uint32(b[12:])
	}
	return r, nil
}

// A pcpMessage is a request or an answer of PCP with the MAP operation, or the
// head of another.
type pcpMessage struct {
	op       byte
	answer   bool
	result   byte
	life     uint32
	client   netip.Addr // of requests
	epoch    uint32     // of answers
	nonce    Nonce
	protocol byte
	internal uint16
	external uint16     // wished for, or given
	address  netip.Addr // the same
	options  []option
}

type option struct {
	code byte
	data []byte
}

func (m pcpMessage) bytes() []byte {
	b := make([]byte, headPCP, headPCP+mapPCP)
	b[0], b[1] = versionPCP, m.op
	binary.BigEndian.PutUint32(b[4:], m.life)
	if m.answer {
		b[1] |= response
		b[3] = m.result
		binary.BigEndian.PutUint32(b[8:], m.epoch)
	} else {
		a := sixteen(m.client)
		copy(b[8:], a[:])
	}
	if m.op != opMap {
		return b
	}
	b = append(b, m.nonce[:]...)
	b = append(b, m.protocol, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, m.internal)
	b = binary.BigEndian.AppendUint16(b, m.external)
	a := sixteen(m.address)
	b = append(b, a[:]...)
	for _, o := range m.options {
		b = append(b, o.code, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(len(o.data)))
		b = append(b, o.data...)
		b = append(b, make([]byte, -len(o.data)&3)...)
	}
	return b
}

// sixteen is an address in the form of PCP: IPv4 as mapped into IPv6, none as
// zeros.
func sixteen(a netip.Addr) [16]byte {
	if !a.IsValid() {
		return [16]byte{}
	}
	return a.As16()
}

// readPCP reads a message of PCP. Where it fails after the head, the head is in
// the message, for the refusal.
func readPCP(b []byte) (pcpMessage, error) {
	if len(b) < headPCP || len(b) > maxPCP || len(b)%4 != 0 {
		return pcpMessage{}, errShort
	}
	m := pcpMessage{op: b[1] &^ response, answer: b[1]&response != 0, life: binary.BigEndian.Uint32(b[4:])}
	if m.answer {
		m.result, m.epoch = b[3], binary.BigEndian.Uint32(b[8:])
	} else {
		m.client = netip.AddrFrom16([16]byte(b[8:24])).Unmap()
	}
	if m.op != opMap {
		return m, nil
	}
	b = b[headPCP:]
	if len(b) < mapPCP {
		return m, errShort
	}
	m.nonce = Nonce(b[:12])
	m.protocol = b[12]
	m.internal = binary.BigEndian.Uint16(b[16:])
	m.external = binary.BigEndian.Uint16(b[18:])
	m.address = netip.AddrFrom16([16]byte(b[20:36])).Unmap()
	for b = b[mapPCP:]; len(b) > 0; {
		n := int(binary.BigEndian.Uint16(b[2:]))
		whole := 4 + n + -n&3
		if whole > len(b) {
			return m, errShort
		}
		m.options = append(m.options, option{b[0], b[4 : 4+n]})
		b = b[whole:]
	}
	return m, nil
}
