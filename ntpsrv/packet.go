package ntpsrv

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
)

// packetLen is the length of a header, RFC 5905 §7.3. Extension fields and
// message authentication codes of queries are ignored, and never sent.
const packetLen = 48

const (
	modeClient = 3
	modeServer = 4
)

// Leap indicators.
const (
	leapNone   = 0
	leapInsert = 1
	leapDelete = 2
	leapUnsync = 3
)

// A timestamp is seconds since 1900 in 32.32 fixed point, modulo 2^32 seconds.
type timestamp uint64

// epoch is how many seconds after 1900 the Unix epoch is.
const epoch = 2208988800

func stamp(t time.Time) timestamp {
	frac := (uint64(t.Nanosecond())<<32 + 5e8) / 1e9
	return timestamp(uint64(t.Unix()+epoch)<<32 + frac)
}

// short is a duration in seconds in 16.16 fixed point, rounded up.
func short(d time.Duration) uint32 {
	s := math.Ceil(max(d, 0).Seconds() * (1 << 16))
	return uint32(min(s, math.MaxUint32))
}

// A header is what a reply says besides the times of the exchange.
type header struct {
	leap      uint8
	stratum   uint8
	precision int8
	refID     [4]byte
	refTime   timestamp
	delay     uint32 // root delay
	disp      uint32 // root dispersion
}

var errNotQuery = errors.New("not a client's query of version 1 to 4")

// check reports whether b is a query that may be answered.
func check(b []byte) error {
	if len(b) < packetLen || len(b)%4 != 0 {
		return errNotQuery
	}
	if v := b[0] >> 3 & 7; v < 1 || v > 4 || b[0]&7 != modeClient {
		return errNotQuery // to answer a server's mode would start a loop
	}
	return nil
}

// answer writes the reply to the query b, which arrived at rx, into out. The
// transmit timestamp is left for [depart].
func answer(out *[packetLen]byte, b []byte, h header, rx timestamp) {
	out[0] = h.leap<<6 | b[0]&0x38 | modeServer
	out[1] = h.stratum
	out[2] = b[2] // their poll interval
	out[3] = byte(h.precision)
	binary.BigEndian.PutUint32(out[4:], h.delay)
	binary.BigEndian.PutUint32(out[8:], h.disp)
	copy(out[12:16], h.refID[:])
	binary.BigEndian.PutUint64(out[16:], uint64(h.refTime))
	copy(out[24:32], b[40:48]) // their transmit timestamp, our origin
	binary.BigEndian.PutUint64(out[32:], uint64(rx))
}

// depart sets the transmit timestamp, as the last thing before sending.
func depart(out *[packetLen]byte, tx timestamp) {
	binary.BigEndian.PutUint64(out[40:], uint64(tx))
}

// kiss is the header that tells a client to ask less often.
var kiss = header{leap: leapUnsync, refID: [4]byte{'R', 'A', 'T', 'E'}}

// precision returns the least difference between two readings of the clock, as
// a power of two of seconds.
func precision(now func() time.Time) int8 {
	best := time.Second
	for range 50 {
		a := now()
		d := now().Sub(a)
		for range 100 {
			if d > 0 {
				break
			}
			d = now().Sub(a)
		}
		if d > 0 {
			best = min(best, d)
		}
	}
	return int8(math.Round(math.Log2(best.Seconds())))
}
