package dnssrv

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/miekg/dns"

	"pic/dnssrv/iterate"
	"pic/dnssrv/validate"
)

// A verdict is what whoever checks answers says of one.
type verdict struct {
	secure bool // its signatures lead to a trust anchor
	bogus  bool // it must not be believed
	ede    *ede // why
}

var errNoAnswerCame = errors.New("no upstream resolver answers")

// fetch asks for name, in presentation format, with signatures and without
// anybody's checks (DO and CD), through the same upstreams, cache and flights as
// questions of clients. The message has answer and authority; it belongs to the
// caller. An error means that nobody answered: NXDOMAIN is none.
func (f *forwarder) fetch(ctx context.Context, name string, typ uint16) (*dns.Msg, error) {
	n, err := parseName(name)
	if err != nil {
		return nil, err
	}
	q := question{name: n, typ: typ, do: true, cd: true}
	r, ok := f.cached(q)
	if !ok {
		r = f.resolve(within(ctx), q)
	}
	if r.rcode != dns.RcodeSuccess && r.rcode != dns.RcodeNameError {
		if iterate.Spent(ctx) {
			return nil, fmt.Errorf("asking for %s %s: %w", name, typeName(typ), validate.ErrSpent)
		}
		if r.ede != nil && r.ede.text != "" {
			return nil, fmt.Errorf("asking for %s %s: %s", name, typeName(typ), r.ede.text)
		}
		return nil, fmt.Errorf("asking for %s %s: %w", name, typeName(typ), errNoAnswerCame)
	}
	f.relieve()
	return r.unpack(q)
}

// unpack makes a message of r, the answer to q.
func (r *reply) unpack(q question) (*dns.Msg, error) {
	b := make([]byte, headerLen, headerLen+len(q.name)+4+len(r.tail))
	b[2], b[3] = flagQR>>8|flagRD>>8, flagRA|byte(r.rcode&15)
	b[5] = 1
	for i, n := range r.counts {
		binary.BigEndian.PutUint16(b[6+2*i:], n)
	}
	b = append(b, q.name...)
	b = binary.BigEndian.AppendUint16(b, q.typ)
	b = binary.BigEndian.AppendUint16(b, dns.ClassINET)
	m := new(dns.Msg)
	if err := m.Unpack(append(b, r.tail...)); err != nil {
		return nil, fmt.Errorf("%w: %w", errNonsense, err)
	}
	return m, nil
}

// question2wire writes the message that asks q, with a random id.
func question2wire(q question, edns bool) []byte {
	b := make([]byte, headerLen, headerLen+len(q.name)+4+11)
	_, _ = rand.Read(b[:2]) // never fails
	b[2] = flagRD >> 8
	if q.cd {
		b[3] = flagCD
	}
	b[5] = 1
	b = append(b, q.name...)
	b = binary.BigEndian.AppendUint16(b, q.typ)
	b = binary.BigEndian.AppendUint16(b, dns.ClassINET)
	if !edns {
		return b
	}
	b[11] = 1
	opt := [11]byte{2: byte(dns.TypeOPT), 3: udpSize >> 8, 4: udpSize & 0xff}
	if q.do {
		opt[7] = 0x80
	}
	return append(b, opt[:]...)
}

// signedKeys reports whether m has DNSKEY records and signatures over them.
func signedKeys(m *dns.Msg) bool {
	keys, sigs := false, false
	for _, rr := range m.Answer {
		switch rr := rr.(type) {
		case *dns.DNSKEY:
			keys = true
		case *dns.RRSIG:
			sigs = sigs || rr.TypeCovered == dns.TypeDNSKEY
		}
	}
	return keys && sigs
}
