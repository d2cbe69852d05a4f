package querylog

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
	"time"
)

// A segment is the signature, then frames. A frame is what was written at once:
//
//	length  4 bytes, little endian, of the body
//	crc     4 bytes, little endian, CRC-32C of length and body
//	body
//
// The body has what its records share in tables before them. Numbers are
// uvarints, strings are places in the first table, where 0 is the empty one:
//
//	first, time       id of the first record; milliseconds since 1970
//	n, strings        each with its length before it
//	n, told           see builder.told
//	n, clients        bits (0: none), address, device
//	n, records        told, client, proto, milliseconds after time (varint), µs taken
const (
	signature = "picqlog1"
	frameHead = 8
	maxBody   = 1 << 20
	// A frame is full after so many records or bytes.
	frameRecords = 8192
	frameBytes   = 256 << 10
	maxString    = 1100 // a name with all its escapes
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errFrame says that there is no whole frame.
var errFrame = errors.New("no whole frame")

type clientKey struct {
	addr   netip.Addr
	device string
}

// A builder makes a frame, record by record, and counts what it has.
type builder struct {
	first uint64
	time  int64
	n     int

	words   map[string]uint64
	toldAt  map[*Told]int
	clients map[clientKey]int

	wordBytes, toldBytes, clientBytes, recordBytes []byte

	tally     tally
	anonymous bool
}

func (b *builder) reset(first uint64, ms int64, anonymise bool) {
	if b.words == nil || len(b.words) > frameRecords {
		b.words, b.toldAt, b.clients = map[string]uint64{}, map[*Told]int{}, map[clientKey]int{}
	}
	clear(b.words)
	clear(b.toldAt)
	clear(b.clients)
	clear(b.tally.told)
	*b = builder{
		first: first, time: ms, anonymous: anonymise,
		words: b.words, toldAt: b.toldAt, clients: b.clients,
		wordBytes: b.wordBytes[:0], toldBytes: b.toldBytes[:0], clientBytes: b.clientBytes[:0], recordBytes: b.recordBytes[:0],
		tally: tally{told: b.tally.told[:0], toldN: b.tally.toldN[:0], who: b.tally.who[:0], whoN: b.tally.whoN[:0]},
	}
}

func (b *builder) full() bool {
	return b.n >= frameRecords || len(b.wordBytes)+len(b.toldBytes)+len(b.clientBytes)+len(b.recordBytes) >= frameBytes
}

// add takes in one entry, whose Time is set.
func (b *builder) add(e *Entry) {
	t, ok := b.toldAt[e.Told]
	if !ok {
		t = len(b.tally.told)
		b.toldAt[e.Told] = t
		b.tally.told = append(b.tally.told, e.Told)
		b.tally.toldN = append(b.tally.toldN, 0)
		b.told(e.Told)
	}
	b.tally.toldN[t]++
	k := clientKey{e.Client.Unmap(), e.Device}
	if b.anonymous {
		k = clientKey{addr: mask(k.addr).Addr()}
	}
	c, ok := b.clients[k]
	if !ok {
		c = len(b.tally.who)
		b.clients[k] = c
		b.tally.who = append(b.tally.who, spell(b.network(k.addr)))
		b.tally.whoN = append(b.tally.whoN, 0)
		b.client(k)
	}
	b.tally.whoN[c]++
	r := binary.AppendUvarint(b.recordBytes, uint64(t))
	r = binary.AppendUvarint(r, uint64(c))
	r = append(r, byte(e.Proto))
	r = binary.AppendVarint(r, max(e.Time, 0)/1000-b.time)
	b.recordBytes = binary.AppendUvarint(r, uint64(min(max(e.Took, 0), time.Hour)/time.Microsecond))
	b.n++
}

func (b *builder) word(s string) uint64 {
	if s == "" {
		return 0
	}
	s = s[:min(len(s), maxString)]
	n, ok := b.words[s]
	if !ok {
		n = uint64(len(b.words)) + 1
		b.words[s] = n
		b.wordBytes = binary.AppendUvarint(b.wordBytes, uint64(len(s)))
		b.wordBytes = append(b.wordBytes, s...)
	}
	return n
}

func (b *builder) told(t *Told) {
	var secure byte
	if t.Secure {
		secure = 1
	}
	w := append(b.toldBytes, byte(t.Source), byte(t.Verdict), secure)
	w = binary.AppendUvarint(w, uint64(t.Type))
	w = binary.AppendUvarint(w, uint64(t.Rcode))
	for _, s := range [...]string{t.Name, t.List, t.Rule, t.Reason, t.Upstream, t.Answer} {
		w = binary.AppendUvarint(w, b.word(s))
	}
	b.toldBytes = w
}

func (b *builder) client(k clientKey) {
	bits := max(b.network(k.addr).Bits(), 0)
	w := append(b.clientBytes, byte(bits))
	if bits > 0 {
		a := k.addr.As16() // an IPv4 address is the end of it
		six := byte(0)
		if k.addr.Is6() {
			six = 1
		}
		w = append(append(w, six), a[:]...)
	}
	b.clientBytes = binary.AppendUvarint(w, b.word(k.device))
}

// network returns what is kept of an address; of none, none.
func (b *builder) network(a netip.Addr) netip.Prefix {
	if b.anonymous {
		return mask(a)
	}
	p, _ := a.Prefix(a.BitLen())
	return p
}

// mask returns the network that an anonymous log keeps of an address.
func mask(a netip.Addr) netip.Prefix {
	bits := 56
	if a.Is4() {
		bits = 24
	}
	p, _ := a.Prefix(bits)
	return p
}

// frame returns the whole frame, in buf if that is large enough.
func (b *builder) frame(buf []byte) []byte {
	w := append(buf[:0], make([]byte, frameHead)...)
	w = binary.AppendUvarint(w, b.first)
	w = binary.AppendUvarint(w, uint64(b.time))
	for _, t := range [...]struct {
		n     int
		bytes []byte
	}{{len(b.words), b.wordBytes}, {len(b.tally.told), b.toldBytes}, {len(b.tally.who), b.clientBytes}, {b.n, b.recordBytes}} {
		w = binary.AppendUvarint(w, uint64(t.n))
		w = append(w, t.bytes...)
	}
	binary.LittleEndian.PutUint32(w, uint32(len(w)-frameHead))
	binary.LittleEndian.PutUint32(w[4:], checksum(w))
	return w
}

func checksum(frame []byte) uint32 {
	return crc32.Update(crc32.Checksum(frame[:4], castagnoli), castagnoli, frame[frameHead:])
}
