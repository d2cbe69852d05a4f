package transfer

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	fudge = 300 // seconds that clocks may differ (RFC 8945 §10)
	// maxUnsigned is how many messages of a transfer may follow each other without
	// a signature (RFC 8945 §5.3.1).
	maxUnsigned = 99
	headerLen   = 12
	maxMessage  = 65535
)

// A Key is a secret that is shared with another server or a program.
type Key struct {
	Name      string // in lower case, with the last dot
	algorithm string // the same
	secret    []byte
	hash      func() hash.Hash
}

// NewKey makes a key of what both sides write: its name, an algorithm such as
// hmac-sha256, and the secret in base64, as tsig-keygen and keymgr print it. The
// error holds nothing of the secret.
func NewKey(name, algorithm, secret string) (Key, error) {
	k := Key{Name: dns.CanonicalName(name), algorithm: dns.CanonicalName(algorithm)}
	switch k.algorithm {
	case dns.HmacSHA224:
		k.hash = sha256.New224
	case dns.HmacSHA256:
		k.hash = sha256.New
	case dns.HmacSHA384:
		k.hash = sha512.New384
	case dns.HmacSHA512:
		k.hash = sha512.New
	default:
		return Key{}, fmt.Errorf("%q is not an algorithm for keys; use hmac-sha256", algorithm)
	}
	var err error
	k.secret, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(secret), ""))
	if err != nil || len(k.secret) < 8 {
		return Key{}, errors.New("the secret is not base64 of at least 8 bytes, as tsig-keygen prints it")
	}
	return k, nil
}

// Keys are the keys that a server knows, by name.
type Keys map[string]Key

// A SignatureError says why a signature does not count. Its code is for the
// answer (RFC 8945 §5.2).
type SignatureError struct {
	Code  int // dns.RcodeBadKey, BadSig, BadTime, BadTrunc or FormatError
	claim *dns.TSIG
}

func (e *SignatureError) Error() string {
	switch e.Code {
	case dns.RcodeBadKey:
		return "the message is signed with a key that is not known here"
	case dns.RcodeBadTime:
		return "the message was signed at another time; compare the clocks of both sides"
	case dns.RcodeBadSig, dns.RcodeBadTrunc:
		return "the signature does not match; compare the secrets of both sides"
	}
	return "the signature is malformed"
}

// errUnsigned: a message that must be signed is not.
var errUnsigned = errors.New("the other side does not sign its answers")

// Signed reports whether the last record of the message b is a TSIG.
func Signed(b []byte) bool {
	at, ok := last(b)
	if !ok {
		return false
	}
	end := skipName(b, at) // which may be a pointer
	return end+2 <= len(b) && binary.BigEndian.Uint16(b[end:]) == dns.TypeTSIG
}

// Verify checks the signature of a request. It returns the request without its
// signature and a session that signs the answer; on a [*SignatureError] that is
// a session to be used with [Session.Refuse] only. b is not changed.
func (k Keys) Verify(b []byte, now time.Time) (*Session, []byte, error) {
	bare, t, err := strip(b)
	if err != nil {
		return nil, nil, err
	}
	s := &Session{}
	key, ok := k[dns.CanonicalName(t.Hdr.Name)]
	if !ok || dns.CanonicalName(t.Algorithm) != key.algorithm {
		return s, nil, &SignatureError{dns.RcodeBadKey, t}
	}
	s.key = key
	if err := s.check(bare, t, now); err != nil {
		return s, nil, err
	}
	return s, bare, nil
}

// A Session signs, or checks, the messages of one side that belong to a request.
// It must not be used by several goroutines at once.
type Session struct {
	key      Key
	prior    []byte    // the signature before
	sum      hash.Hash // of prior and of messages without a signature since
	timers   bool      // RFC 8945 §5.3.1: what is not the first
	unsigned int
}

// Key returns the name of the key, in lower case with the last dot. A nil
// session has none.
func (s *Session) Key() string {
	if s == nil {
		return ""
	}
	return s.key.Name
}

// Request signs a request; the session then checks its answers.
func (k Key) Request(b []byte, now time.Time) (*Session, []byte) {
	s := &Session{key: k}
	out := s.Sign(b, now)
	s.timers = false // the first answer has the long form too
	return s, out
}

// Sign returns b with a signature, for which it must leave room.
func (s *Session) Sign(b []byte, now time.Time) []byte {
	t := s.stub(b, now)
	mac := s.mac(b, t)
	t.MAC, t.MACSize = hex.EncodeToString(mac), uint16(len(mac))
	s.prior, s.timers = mac, true
	return attach(b, t)
}

// Overhead is how many bytes Sign adds at most.
func (s *Session) Overhead() int {
	if s == nil {
		return 0
	}
	return len(s.key.Name) + len(s.key.algorithm) + 32 + 64
}

// Refuse returns the answer b with the reason of e in it, signed where the
// reason allows for it (RFC 8945 §5.3.2).
func (s *Session) Refuse(b []byte, e *SignatureError, now time.Time) []byte {
	if e.claim == nil {
		return b
	}
	t := *e.claim
	t.MAC, t.MACSize, t.OtherLen, t.OtherData = "", 0, 0, ""
	t.OrigId, t.Error = binary.BigEndian.Uint16(b), uint16(e.Code)
	if e.Code == dns.RcodeBadTime {
		t.OtherLen, t.OtherData = 6, fmt.Sprintf("%012x", now.Unix())
		mac := s.mac(b, &t)
		t.MAC, t.MACSize = hex.EncodeToString(mac), uint16(len(mac))
	}
	return attach(b, &t)
}

// Check checks an answer and returns it without its signature. Answers of a
// transfer may be unsigned now and then; [Session.Done] says whether the last
// was not.
func (s *Session) Check(b []byte, now time.Time) ([]byte, error) {
	if !Signed(b) {
		if !s.timers {
			return nil, errUnsigned
		}
		if s.unsigned++; s.unsigned > maxUnsigned {
			return nil, errUnsigned
		}
		s.start().Write(b)
		return b, nil
	}
	bare, t, err := strip(b)
	if err != nil {
		return nil, err
	}
	if dns.CanonicalName(t.Hdr.Name) != s.key.Name || dns.CanonicalName(t.Algorithm) != s.key.algorithm {
		return nil, &SignatureError{dns.RcodeBadKey, nil}
	}
	if t.MACSize == 0 && t.Error != 0 {
		return nil, &SignatureError{int(t.Error), nil} // what the other side says of our request
	}
	if err := s.check(bare, t, now); err != nil {
		return nil, err
	}
	s.timers, s.unsigned = true, 0
	return bare, nil
}

// Done reports an error if messages came after the last signature.
func (s *Session) Done() error {
	if s != nil && (s.unsigned > 0 || !s.timers) {
		return errUnsigned
	}
	return nil
}

// check compares the signature t of the message bare, and remembers it.
func (s *Session) check(bare []byte, t *dns.TSIG, now time.Time) error {
	mac, err := hex.DecodeString(t.MAC)
	if err != nil {
		return &SignatureError{dns.RcodeFormatError, nil}
	}
	want := s.mac(bare, t)
	if len(mac) != len(want) {
		return &SignatureError{dns.RcodeBadSig, t} // cut short: nobody who means well does
	}
	if !hmac.Equal(mac, want) {
		return &SignatureError{dns.RcodeBadSig, t}
	}
	s.prior = mac
	// After the signature: only who has the key learns of our clock.
	if d := now.Unix() - int64(t.TimeSigned); d > int64(t.Fudge) || -d > int64(t.Fudge) {
		return &SignatureError{dns.RcodeBadTime, t}
	}
	return nil
}

// start returns the sum of what came since the last signature.
func (s *Session) start() hash.Hash {
	if s.sum == nil {
		s.sum = hmac.New(s.key.hash, s.key.secret)
		if s.prior != nil {
			s.sum.Write(binary.BigEndian.AppendUint16(nil, uint16(len(s.prior))))
			s.sum.Write(s.prior)
		}
	}
	return s.sum
}

// mac is the signature of the message bare with the facts of t (RFC 8945 §4.3).
func (s *Session) mac(bare []byte, t *dns.TSIG) []byte {
	h := s.start()
	s.sum = nil
	h.Write(binary.BigEndian.AppendUint16(nil, t.OrigId))
	h.Write(bare[2:])
	var vars []byte
	if !s.timers {
		vars = appendName(vars, s.key.Name)
		vars = binary.BigEndian.AppendUint16(vars, dns.ClassANY)
		vars = binary.BigEndian.AppendUint32(vars, 0)
		vars = appendName(vars, s.key.algorithm)
	}
	vars = binary.BigEndian.AppendUint16(vars, uint16(t.TimeSigned>>32))
	vars = binary.BigEndian.AppendUint32(vars, uint32(t.TimeSigned))
	vars = binary.BigEndian.AppendUint16(vars, t.Fudge)
	if !s.timers {
		other, _ := hex.DecodeString(t.OtherData)
		vars = binary.BigEndian.AppendUint16(vars, t.Error)
		vars = binary.BigEndian.AppendUint16(vars, t.OtherLen)
		vars = append(vars, other...)
	}
	h.Write(vars)
	return h.Sum(nil)
}

func (s *Session) stub(b []byte, now time.Time) *dns.TSIG {
	return &dns.TSIG{
		Hdr:        dns.RR_Header{Name: s.key.Name, Rrtype: dns.TypeTSIG, Class: dns.ClassANY},
		Algorithm:  s.key.algorithm,
		TimeSigned: uint64(now.Unix()), Fudge: fudge, OrigId: binary.BigEndian.Uint16(b),
	}
}

// attach returns b with t as its last record.
func attach(b []byte, t *dns.TSIG) []byte {
	rr := make([]byte, 1024)
	n, err := dns.PackRR(t, rr, 0, nil, false)
	if err != nil {
		return b // a name of a request that came in packs
	}
	out := append(b[:len(b):len(b)], rr[:n]...)
	binary.BigEndian.PutUint16(out[10:], binary.BigEndian.Uint16(out[10:])+1)
	return out
}

// strip returns a copy of b without its last record, which must be a TSIG.
func strip(b []byte) ([]byte, *dns.TSIG, error) {
	at, ok := last(b)
	if !ok {
		return nil, nil, errFormat
	}
	rr, end, err := dns.UnpackRR(b, at)
	t, is := rr.(*dns.TSIG)
	if err != nil || !is || end != len(b) || t.Hdr.Class != dns.ClassANY || t.Hdr.Ttl != 0 {
		return nil, nil, &SignatureError{dns.RcodeFormatError, nil}
	}
	bare := append([]byte(nil), b[:at]...)
	binary.BigEndian.PutUint16(bare[10:], binary.BigEndian.Uint16(bare[10:])-1)
	return bare, t, nil
}

// last returns where the last record of the message b begins, if it has one in
// its additional section and nothing behind it.
func last(b []byte) (int, bool) {
	if len(b) < headerLen {
		return 0, false
	}
	var counts [4]int
	for i := range counts {
		counts[i] = int(binary.BigEndian.Uint16(b[4+2*i:]))
	}
	off, at := headerLen, 0
	for range counts[0] {
		if off = skipName(b, off); off < 0 || off+4 > len(b) {
			return 0, false
		}
		off += 4
	}
	for range counts[1] + counts[2] + counts[3] {
		at = off
		if off = skipName(b, off); off < 0 || off+10 > len(b) {
			return 0, false
		}
		off += 10 + int(binary.BigEndian.Uint16(b[off+8:]))
	}
	return at, counts[3] > 0 && off == len(b)
}

// skipName returns the end of the name at off, or -1.
func skipName(b []byte, off int) int {
	for off < len(b) {
		n := int(b[off])
		switch {
		case n == 0:
			return off + 1
		case n >= 0xc0:
			return off + 2
		case n > 63:
			return -1
		}
		off += 1 + n
	}
	return -1
}

func appendName(b []byte, name string) []byte {
	var wire [256]byte
	n, err := dns.PackDomainName(name, wire[:], 0, nil, false)
	if err != nil {
		return b
	}
	return append(b, wire[:n]...)
}
