package h2

import (
	"golang.org/x/net/http2/hpack"
)

const (
	tableSize = 4096 // of the dynamic table, as by default; see RFC 7541 §4
	overhead  = 32   // of each entry of it
)

// A decoder reads header blocks (RFC 7541), without making memory: net/http's
// makes a string of each field.
type decoder struct {
	size, most int // of the table, now and at most
	// Entries are in a ring, the newest at last-1; their bytes in text.
	entries     []entry
	first, last int
	text        []byte

	began bool // a field of this block was read
	huff  [2]sink
	moved sink // a name while text is packed
}

// An entry is a field of the dynamic table: where in text it begins, and the
// lengths of name and value.
type entry struct{ at, name, value uint16 }

// A sink takes in what was compressed.
type sink []byte

func (s *sink) Write(b []byte) (int, error) {
	*s = append(*s, b...)
	return len(b), nil
}

const (
	ring    = tableSize / overhead
	textLen = 2 * tableSize
)

func newDecoder() *decoder { return &decoder{most: tableSize} }

var errBlock = bad(codeCompression, "a header block is malformed")

// begin begins a block.
func (d *decoder) begin() { d.began = false }

// field takes the first field off b. It is good until the next call. more is
// false where b held no field.
func (d *decoder) field(b []byte) (name, value, rest []byte, more bool, err error) {
	for updates := 0; len(b) > 0; {
		switch c := b[0]; {
		case c&0x80 != 0: // indexed
			i, b, ok := integer(b, 7)
			if !ok || i == 0 {
				return nil, nil, nil, false, errBlock
			}
			d.began = true
			name, value, ok = d.at(i)
			if !ok {
				return nil, nil, nil, false, errBlock
			}
			return name, value, b, true, nil
		case c&0xc0 == 0x40: // literal, and to be remembered
			name, value, b, err = d.literal(b, 6)
			if err == nil {
				name, value = d.add(name, value)
			}
			return name, value, b, err == nil, err
		case c&0xe0 == 0x20: // the table changes its size
			n, after, ok := integer(b, 5)
			if updates++; !ok || d.began || updates > 2 || n > tableSize {
				return nil, nil, nil, false, errBlock
			}
			d.most, b = n, after
			d.shrink(d.most)
		default:
			name, value, b, err = d.literal(b, 4)
			return name, value, b, err == nil, err
		}
	}
	return nil, nil, nil, false, nil
}

// literal reads a field whose value is written out, and perhaps its name.
func (d *decoder) literal(b []byte, bits int) (name, value, rest []byte, err error) {
	d.began = true
	i, b, ok := integer(b, bits)
	switch {
	case !ok:
		return nil, nil, nil, errBlock
	case i != 0:
		name, _, ok = d.at(i)
	default:
		name, b, ok = d.text1(b, 0)
	}
	if !ok {
		return nil, nil, nil, errBlock
	}
	if value, b, ok = d.text1(b, 1); !ok {
		return nil, nil, nil, errBlock
	}
	return name, value, b, nil
}

// text1 reads a string (RFC 7541 §5.2); one that is compressed into room of its
// own.
func (d *decoder) text1(b []byte, room int) (s, rest []byte, ok bool) {
	if len(b) == 0 {
		return nil, nil, false
	}
	packed := b[0]&0x80 != 0
	n, b, ok := integer(b, 7)
	if !ok || n > len(b) {
		return nil, nil, false
	}
	s, rest = b[:n:n], b[n:]
	if !packed {
		return s, rest, true
	}
	h := &d.huff[room]
	*h = (*h)[:0]
	if _, err := hpack.HuffmanDecode(h, s); err != nil {
		return nil, nil, false
	}
	return *h, rest, true
}

// integer reads a number that begins in the last bits of a byte (RFC 7541 §5.1).
func integer(b []byte, bits int) (n int, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, nil, false
	}
	most := 1<<bits - 1
	if n = int(b[0]) & most; n < most {
		return n, b[1:], true
	}
	for i, c := range b[1:] {
		if i == 4 { // beyond all that can be meant
			return 0, nil, false
		}
		n += int(c&0x7f) << (7 * i)
		if c&0x80 == 0 {
			return n, b[i+2:], true
		}
	}
	return 0, nil, false
}

// at returns the field of an index (RFC 7541 §2.3.3).
func (d *decoder) at(i int) (name, value []byte, ok bool) {
	if i < len(static) {
		return static[i].name, static[i].value, true
	}
	i -= len(static)
	if i >= d.last-d.first {
		return nil, nil, false
	}
	e := d.entries[(d.last-1-i)%ring]
	v := e.at + e.name
	return d.text[e.at:v:v], d.text[v : v+e.value : v+e.value], true
}

// add puts a field into the table, and returns it as it is there.
func (d *decoder) add(name, value []byte) (n, v []byte) {
	need := len(name) + len(value)
	if need+overhead > d.most {
		d.shrink(0)
		return name, value
	}
	if d.entries == nil {
		d.entries, d.text = make([]entry, ring), make([]byte, 0, textLen)
	}
	// name may be that of an entry that goes now; its bytes stay until they are
	// copied.
	d.shrink(d.most - need - overhead)
	if len(d.text)+need > textLen {
		name = d.pack(name)
	}
	e := entry{uint16(len(d.text)), uint16(len(name)), uint16(len(value))}
	d.text = append(append(d.text, name...), value...)
	d.entries[d.last%ring] = e
	d.last++
	d.size += need + overhead
	n, v, _ = d.at(len(static))
	return n, v
}

// pack moves what is in use to the beginning of text, and name, which may be
// there too, out of it.
func (d *decoder) pack(name []byte) []byte {
	d.moved = append(d.moved[:0], name...)
	at := 0
	for i := d.first; i < d.last; i++ {
		e := &d.entries[i%ring]
		size := int(e.name) + int(e.value)
		copy(d.text[at:], d.text[e.at:int(e.at)+size])
		e.at = uint16(at)
		at += size
	}
	d.text = d.text[:at]
	return d.moved
}

// shrink lets the oldest entries go until the table has that size.
func (d *decoder) shrink(to int) {
	for d.size > to {
		e := d.entries[d.first%ring]
		d.size -= int(e.name) + int(e.value) + overhead
		d.first++
	}
	if d.first == d.last {
		d.text = d.text[:0] // whoever holds a name of it copies it before the next is written
	}
}
