package querylog

import (
	"encoding/binary"
	"iter"
	"net/netip"
	"time"
)

// cut splits the first frame off b. Where it is damaged, whole is false and rest
// is where the next one would be; nil: nobody knows.
func cut(b []byte) (body, rest []byte, whole bool) {
	if len(b) < frameHead {
		return nil, nil, false
	}
	n := int(binary.LittleEndian.Uint32(b))
	if n == 0 || n > maxBody || n > len(b)-frameHead {
		return nil, nil, false
	}
	frame, rest := b[:frameHead+n], b[frameHead+n:]
	return frame[frameHead:], rest, checksum(frame) == binary.LittleEndian.Uint32(b[4:])
}

// A decoded frame has its tables; its records are read one by one.
type decoded struct {
	first   uint64
	time    int64
	told    []Told
	clients []client
	n       int
	records reader
}

type client struct {
	net    netip.Prefix
	device string
}

// A reader reads numbers; once it failed, it fails.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.bytes(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

// count reads how many things follow, each of least bytes at least.
func (r *reader) count(least int) int {
	n := r.uvarint()
	if n > uint64(len(r.b)/least) {
		r.bad, r.b = true, nil
		return 0
	}
	return int(n)
}

// decode reads the tables of a body and all records once, so that what it
// returns is sound. The memory that it takes is at most about thirty times b.
func decode(b []byte) (d decoded, err error) {
	r := reader{b: b}
	d.first = r.uvarint()
	d.time = int64(r.uvarint())
	words := make([]string, 1, 1+r.count(1))
	for range cap(words) - 1 {
		words = append(words, string(r.bytes(r.uvarint())))
	}
	word := func() string {
		n := r.uvarint()
		if n >= uint64(len(words)) {
			r.bad = true
			return ""
		}
		return words[n]
	}
	d.told = make([]Told, r.count(11))
	for i := range d.told {
		t := &d.told[i]
		t.Source, t.Verdict, t.Secure = Source(r.byte()), Verdict(r.byte()), r.byte() == 1
		t.Type, t.Rcode = uint16(r.uvarint()), uint16(r.uvarint())
		for _, s := range [...]*string{&t.Name, &t.List, &t.Rule, &t.Reason, &t.Upstream, &t.Answer} {
			*s = word()
		}
	}
	d.clients = make([]client, r.count(2))
	for i := range d.clients {
		if bits := int(r.byte()); bits > 0 {
			six := r.byte() == 1
			a, _ := netip.AddrFromSlice(r.bytes(16))
			if !six {
				a = a.Unmap()
			}
			if d.clients[i].net = netip.PrefixFrom(a, bits); !d.clients[i].net.IsValid() {
				r.bad = true
			}
		}
		d.clients[i].device = word()
	}
	d.n = r.count(5)
	d.records = r
	for range d.n {
		d.record(&r)
	}
	if r.bad || len(r.b) > 0 {
		return decoded{}, errFrame
	}
	return d, nil
}

// latestTime bounds times, in milliseconds since 1970, so that none overflows.
const latestTime = 1 << 50

// A row is a record as it stands in a frame.
type row struct {
	told, client int
	proto        Proto
	at           int64 // milliseconds since 1970
	took         time.Duration
}

func (d *decoded) record(r *reader) row {
	told, who := r.uvarint(), r.uvarint()
	x := row{proto: Proto(r.byte()), at: d.time + r.varint()}
	took := r.uvarint()
	if x.at < 0 || x.at > latestTime || told >= uint64(len(d.told)) || who >= uint64(len(d.clients)) || took > uint64(time.Hour/time.Microsecond) {
		r.bad = true
		return row{}
	}
	x.told, x.client, x.took = int(told), int(who), time.Duration(took)*time.Microsecond
	return x
}

// whole makes a Record of a row.
func (d *decoded) whole(id uint64, x row) Record {
	c := d.clients[x.client]
	return Record{
		ID: id, Time: time.UnixMilli(x.at), Client: c.net, Device: c.device, Proto: x.proto, Took: x.took, Told: d.told[x.told],
	}
}

// frames yields the sound frames of a segment. What is damaged is left out; where
// nobody knows how long that is, the rest is too.
func frames(b []byte) iter.Seq[*decoded] {
	return func(yield func(*decoded) bool) {
		if len(b) < len(signature) || string(b[:len(signature)]) != signature {
			return
		}
		for b = b[len(signature):]; len(b) > 0; {
			body, rest, whole := cut(b)
			b = rest
			if !whole {
				continue
			}
			if d, err := decode(body); err == nil && !yield(&d) {
				return
			}
		}
	}
}
