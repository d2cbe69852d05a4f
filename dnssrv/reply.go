package dnssrv

import (
	"encoding/binary"
	"time"

	"github.com/miekg/dns"

	"pic/dnssrv/policy"
)

// A reply is what a client is told, before it is a message.
type reply struct {
	rcode int
	aa    bool
	tail  []byte // answer and authority in wire format, after the question; or:

	answer, ns, extra []dns.RR

	counts [3]uint16 // of tail
	ede    *ede
	via    via              // where it came from
	judged *policy.Decision // what was said of a name on the way; nil: nothing
	// fleeting: it is of this moment, and not to be kept.
	fleeting bool

	secure   bool   // checked by its signatures
	stale    bool   // told after its time, for want of a better one
	upstream string // who said it, if anybody
	aliases  []name // where the CNAMEs of tail lead

	born      time.Time     // when tail came, where it is from the cache
	age, life time.Duration // of tail, then
}

// An ede is an extended DNS error (RFC 8914), which says why in words.
type ede struct {
	code uint16
	text string
}

var (
	edeProhibited  = &ede{dns.ExtendedErrorCodeProhibited, "this resolver serves its own household only"}
	edeNoUpstream  = &ede{dns.ExtendedErrorCodeNotReady, "no upstream resolver is configured"}
	edeUnreachable = &ede{dns.ExtendedErrorCodeNoReachableAuthority, "no upstream resolver answers"}
	edeRefused     = &ede{dns.ExtendedErrorCodeNetworkError, "the upstream resolvers refuse or fail"}
	edeInvalid     = &ede{dns.ExtendedErrorCodeInvalidData, "the upstream resolvers answer nonsense"}
	edeLaden       = &ede{dns.ExtendedErrorCodeDNSBogus, "the answer has more signatures than anybody needs"}
	edeBusy        = &ede{dns.ExtendedErrorCodeNotReady, "too many questions are waiting for an answer"}
	edeTunnel      = &ede{dns.ExtendedErrorCodeNoReachableAuthority, "the VPN through which to ask is down"}
	edeStale       = &ede{dns.ExtendedErrorCodeStaleAnswer, "no upstream resolver answers; this is what was known"}
	edeStaleNX     = &ede{dns.ExtendedErrorCodeStaleNXDOMAINAnswer, "no upstream resolver answers; this is what was known"}
	edeAbsent      = &ede{dns.ExtendedErrorCodeNotReady, "the primaries of the zone do not tell it"}
	edeNotHere     = &ede{dns.ExtendedErrorCodeNotSupported, ""}
	edeType        = &ede{dns.ExtendedErrorCodeInvalidQueryType, ""}
)

func failure(why *ede) reply { return reply{rcode: dns.RcodeServerFailure, ede: why} }

// message writes r as the answer to q, in at most limit bytes: what is longer
// is replaced by the flag that tells the client to ask over TCP.
func message(q *query, r reply, limit int) []byte {
	b := make([]byte, headerLen, 256)
	b = append(b, q.raw...)
	counts := r.counts
	switch {
	case r.tail != nil:
		b = append(b, r.tail...)
	case len(r.answer)+len(r.ns)+len(r.extra) > 0:
		packed, err := pack(q, r)
		if err == nil && r.aa && len(r.extra) > 0 && len(packed)+len(options(q, r)) > limit {
			// Addresses that go with an answer are a favour; glue is not (RFC 9471).
			r.extra = nil
			packed, err = pack(q, r)
		}
		if err != nil {
			r = failure(nil)
			break
		}
		b = packed
		counts = [3]uint16{uint16(len(r.answer)), uint16(len(r.ns)), uint16(len(r.extra))}
	}
	opt := options(q, r)
	flags := q.flags&(0x7800|flagRD|flagCD) | flagQR | flagRA | uint16(r.rcode&15)
	if r.aa {
		flags |= flagAA
	}
	if r.secure && !r.stale && q.flags&flagCD == 0 && (q.flags&flagAD != 0 || q.edns && q.do) {
		flags |= flagAD // RFC 6840 §5.7, 5.8
	}
	if len(b)+len(opt) > limit {
		b = b[:headerLen+len(q.raw)]
		counts = [3]uint16{}
		flags |= flagTC
	}
	if opt != nil {
		at := len(b)
		b = q.pad(append(b, opt...), at, q.proto, limit)
		counts[2]++
	}
	binary.BigEndian.PutUint16(b, q.id)
	binary.BigEndian.PutUint16(b[2:], flags)
	binary.BigEndian.PutUint16(b[4:], uint16(min(len(q.raw), 1)))
	for i, n := range counts {
		binary.BigEndian.PutUint16(b[6+2*i:], n)
	}
	return b
}

// pack writes the sections of r after the question of q.
func pack(q *query, r reply) ([]byte, error) {
	m := dns.Msg{Compress: true, Answer: r.answer, Ns: r.ns, Extra: r.extra}
	m.Question = []dns.Question{{Name: q.presented(), Qtype: q.typ, Qclass: q.class}}
	return m.Pack()
}

// options returns the OPT record of a reply without padding, nil where the client
// sent none.
func options(q *query, r reply) []byte { return q.record(nil, r.rcode, r.ede.option(), q.ready) }

// option is the reason as an option of the OPT record; nil for none.
func (e *ede) option() []byte {
	if e == nil {
		return nil
	}
	text := e.text[:min(len(e.text), 80)]
	b := make([]byte, 0, 6+len(text))
	b = binary.BigEndian.AppendUint16(b, dns.EDNS0EDE)
	b = binary.BigEndian.AppendUint16(b, uint16(2+len(text)))
	b = binary.BigEndian.AppendUint16(b, e.code)
	return append(b, text...)
}
