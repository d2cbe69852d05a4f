package dnssrv

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

const (
	clientCookie = 8  // bytes that a client chose (RFC 7873 §4.1)
	serverCookie = 16 // bytes that we put behind (RFC 9018 §4)

	cookieLife  = time.Hour        // how old a server cookie may be
	cookieRenew = 30 * time.Minute // from when on another is given
	cookieAhead = 5 * time.Minute  // how far in the future it may be
	secretLife  = 24 * time.Hour
)

// A cookie is what a client sent in its COOKIE option: its own part, and perhaps
// what it believes is ours.
type cookie struct {
	n int // bytes, as they came; 0: no cookie
	b [clientCookie + serverCookie]byte
}

// read is false for lengths that no cookie has (RFC 7873 §5.2.2).
func (k *cookie) read(data []byte) bool {
	if n := len(data); n != clientCookie && (n < clientCookie+8 || n > clientCookie+32) {
		return false
	}
	k.n = len(data)
	copy(k.b[:], data)
	return true
}

// Cookies make and check server cookies as all servers do (RFC 9018), by secrets
// that live as long as the process and are renewed every day. The zero cookies
// are ready; their methods may be called from any goroutine.
type cookies struct{ secrets atomic.Pointer[secrets] }

type secrets struct {
	since       time.Time
	now, before [16]byte
}

// secret returns those of the moment.
func (cs *cookies) secret(now time.Time) *secrets {
	for {
		old := cs.secrets.Load()
		if old != nil && now.Sub(old.since) < secretLife {
			return old
		}
		fresh := &secrets{since: now}
		rand.Read(fresh.now[:]) // never fails
		fresh.before = fresh.now
		if old != nil {
			fresh.before = old.now
		}
		cs.secrets.CompareAndSwap(old, fresh)
	}
}

// ours reports whether k has a server cookie that we gave to the client at from,
// and whether it is time for another.
func (cs *cookies) ours(k *cookie, from netip.Addr, now time.Time) (ok, renew bool) {
	if k.n != clientCookie+serverCookie || k.b[clientCookie] != 1 {
		return false, true
	}
	age := time.Duration(int32(uint32(now.Unix())-binary.BigEndian.Uint32(k.b[12:]))) * time.Second
	if age > cookieLife || age < -cookieAhead {
		return false, true
	}
	s := cs.secret(now)
	if k.signed(&s.now, from) {
		return true, age > cookieRenew
	}
	return k.signed(&s.before, from), true
}

func (k *cookie) signed(secret *[16]byte, from netip.Addr) bool {
	var want [8]byte
	k.sign(want[:], secret, from)
	return subtle.ConstantTimeCompare(want[:], k.b[16:]) == 1
}

// sign writes the last 8 bytes of the server cookie: a hash of all before and of
// the client's address (RFC 9018 §4.4).
func (k *cookie) sign(to []byte, secret *[16]byte, from netip.Addr) {
	var text [32]byte
	n := copy(text[:], k.b[:16])
	if from = from.Unmap(); from.Is4() {
		a := from.As4()
		n += copy(text[n:], a[:])
	} else {
		a := from.As16()
		n += copy(text[n:], a[:])
	}
	binary.LittleEndian.PutUint64(to, siphash(secret, text[:n]))
}

// reply appends the COOKIE option that answers k.
func (cs *cookies) reply(b []byte, k *cookie, from netip.Addr, now time.Time) []byte {
	back := *k
	if ok, renew := cs.ours(k, from, now); !ok || renew {
		back.b[8], back.b[9], back.b[10], back.b[11] = 1, 0, 0, 0 // version 1, reserved
		binary.BigEndian.PutUint32(back.b[12:], uint32(now.Unix()))
		back.sign(back.b[16:], &cs.secret(now).now, from)
	}
	b = binary.BigEndian.AppendUint16(b, dns.EDNS0COOKIE)
	b = binary.BigEndian.AppendUint16(b, uint16(len(back.b)))
	return append(b, back.b[:]...)
}

// siphash is SipHash-2-4 (Aumasson and Bernstein, 2012).
func siphash(key *[16]byte, b []byte) uint64 {
	k0, k1 := binary.LittleEndian.Uint64(key[:8]), binary.LittleEndian.Uint64(key[8:])
	v0, v1 := k0^0x736f6d6570736575, k1^0x646f72616e646f6d
	v2, v3 := k0^0x6c7967656e657261, k1^0x7465646279746573
	round := func() {
		v0 += v1
		v2 += v3
		v1, v3 = bits.RotateLeft64(v1, 13)^v0, bits.RotateLeft64(v3, 16)^v2
		v0 = bits.RotateLeft64(v0, 32)
		v2 += v1
		v0 += v3
		v1, v3 = bits.RotateLeft64(v1, 17)^v2, bits.RotateLeft64(v3, 21)^v0
		v2 = bits.RotateLeft64(v2, 32)
	}
	last := uint64(len(b)) << 56
	for ; len(b) >= 8; b = b[8:] {
		m := binary.LittleEndian.Uint64(b)
		v3 ^= m
		round()
		round()
		v0 ^= m
	}
	for i, c := range b {
		last |= uint64(c) << (8 * i)
	}
	v3 ^= last
	round()
	round()
	v0 ^= last
	v2 ^= 0xff
	for range 4 {
		round()
	}
	return v0 ^ v1 ^ v2 ^ v3
}
