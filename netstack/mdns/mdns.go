// Package mdns repeats multicast DNS (RFC 6762) between the LAN and the VPN, so
// that a device on the road finds the printers and players at home, and they it.
//
// A tunnel carries no multicast to many peers, so peers are served one by one:
// what a peer asks, at 224.0.0.251, ff02::fb or an address of the cell, port 5353,
// is asked in the LAN, and what the LAN answers goes to those peers that have
// asked within the last seconds. Peers that answer questions themselves are asked
// by unicast what the LAN asks. Who asks from another port than 5353 gets plain
// DNS answers (RFC 6762 §6.7).
//
// Only peers that may reach the LAN take part. Messages are repeated as they came,
// each once, and not more than some hundred in a second: two reflectors in one
// network do not set each other on. Nothing is kept and nothing answered from
// memory.
package mdns

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
)

const (
	port      = 5353
	maxPacket = 9000 // RFC 6762 §17

	patience = 10 * time.Second // how long an asker gets answers
	speaks   = time.Hour        // how long a peer that answered is asked
	echo     = time.Second      // within which the same message is not repeated
	rate     = 300              // messages in a second
	maxKnown = 1024             // peers, and messages remembered
	maxPorts = 8                // from which one peer asks
)

var (
	group4 = netip.MustParseAddrPort("224.0.0.251:5353")
	group6 = netip.MustParseAddrPort("[ff02::fb]:5353")
)

// A side is where a message came from, or goes to.
type side int

const (
	lan side = iota
	vpn
)

// A letter is a message to send: into the LAN's group of both IP versions where
// to is not set, else to one peer.
type letter struct {
	to   netip.AddrPort
	body []byte
}

// A reflector knows who asked. It belongs to one goroutine.
type reflector struct {
	may    func(netip.Addr) bool // peer of that address takes part
	asked  map[netip.AddrPort]asker
	speak  map[netip.AddrPort]time.Time // peers that answer, and when they did
	seen   map[uint64]time.Time
	seed   maphash.Seed
	second time.Time // of the rate
	count  int
}

type asker struct {
	at       time.Time
	id       uint16
	question []dns.Question // of one that asks as plain DNS does
}

func newReflector(may func(netip.Addr) bool) *reflector {
	return &reflector{
		may: may, asked: map[netip.AddrPort]asker{}, speak: map[netip.AddrPort]time.Time{},
		seen: map[uint64]time.Time{}, seed: maphash.MakeSeed(),
	}
}

// take decides what becomes of a message that came in on one side.
func (r *reflector) take(from side, src netip.AddrPort, b []byte, now time.Time) []letter {
	if from == vpn && !r.may(src.Addr()) {
		return nil
	}
	var m dns.Msg
	if read(b, &m) != nil || m.Opcode != dns.OpcodeQuery || !r.fresh(from, b, now) {
		return nil
	}
	switch {
	case from == vpn && m.Response:
		r.note(src, now)
		return []letter{{body: b}}
	case from == vpn:
		a := asker{at: now, id: m.Id}
		if src.Port() != port {
			a.question = m.Question
		}
		if _, again := r.asked[src]; again || r.room(src.Addr(), now) {
			r.asked[src] = a
		}
		return []letter{{body: b}}
	case m.Response:
		return r.toAskers(&m, b, now)
	}
	var out []letter
	for p, at := range r.speak {
		if now.Sub(at) > speaks || !r.may(p.Addr()) {
			delete(r.speak, p)
			continue
		}
		out = append(out, letter{p, b})
	}
	return out
}

// room reports whether a peer may ask from one more port. Whose time is over makes
// room for others.
func (r *reflector) room(peer netip.Addr, now time.Time) bool {
	own := 0
	for p, a := range r.asked {
		switch {
		case now.Sub(a.at) > patience:
			delete(r.asked, p)
		case p.Addr() == peer:
			own++
		}
	}
	return own < maxPorts && len(r.asked) < maxKnown
}

// read reads a message. Devices put things into the additional section that are
// against the book; then the message is read without it.
func read(b []byte, m *dns.Msg) error {
	err := m.Unpack(b)
	if err == nil || len(b) < 12 {
		return err
	}
	short := slices.Clone(b)
	clear(short[8:12]) // the numbers of authority and additional records
	return m.Unpack(short)
}

func (r *reflector) note(src netip.AddrPort, now time.Time) {
	if _, known := r.speak[src]; known || len(r.speak) < maxKnown {
		r.speak[src] = now
	}
}

// toAskers gives an answer of the LAN to all that wait for one.
func (r *reflector) toAskers(m *dns.Msg, b []byte, now time.Time) []letter {
	var out []letter
	for p, a := range r.asked {
		switch {
		case now.Sub(a.at) > patience || !r.may(p.Addr()):
			delete(r.asked, p)
		case a.question == nil:
			out = append(out, letter{p, b})
		case concerns(m, a.question):
			if plain := legacy(m, a); plain != nil {
				out = append(out, letter{p, plain})
			}
		}
	}
	return out
}

// concerns reports whether an answer is one to the question.
func concerns(m *dns.Msg, q []dns.Question) bool {
	for _, rr := range m.Answer {
		for _, q := range q {
			h := rr.Header()
			if dns.CanonicalName(h.Name) == dns.CanonicalName(q.Name) && (h.Rrtype == q.Qtype || q.Qtype == dns.TypeANY || h.Rrtype == dns.TypeCNAME) {
				return true
			}
		}
	}
	return false
}

// legacy makes a plain answer of one for many: with the id and the question, short
// lives, and without the bit that only mDNS knows (RFC 6762 §6.7).
func legacy(m *dns.Msg, a asker) []byte {
	c := m.Copy()
	c.Id, c.Question = a.id, a.question
	c.Authoritative = true
	for _, rrs := range [][]dns.RR{c.Answer, c.Extra} {
		for _, rr := range rrs {
			h := rr.Header()
			if h.Rrtype == dns.TypeOPT {
				continue
			}
			h.Class &^= 1 << 15
			h.Ttl = min(h.Ttl, 10)
		}
	}
	c.Compress = true
	b, err := c.Pack()
	if err != nil || len(b) > maxPacket {
		return nil
	}
	return b
}

// fresh reports whether a message may be repeated: not one that was just now, on
// either side, and not too many.
func (r *reflector) fresh(from side, b []byte, now time.Time) bool {
	h := maphash.Bytes(r.seed, b)
	if now.Sub(r.seen[h]) < echo {
		if from == lan {
			return false
		}
		// A peer may ask once more what it just asked.
	}
	if now.Sub(r.second) >= time.Second {
		r.second, r.count = now, 0
		for k, at := range r.seen {
			if now.Sub(at) >= echo {
				delete(r.seen, k)
			}
		}
	}
	if r.count++; r.count > rate || len(r.seen) >= maxKnown {
		return false
	}
	r.seen[h] = now
	return true
}
