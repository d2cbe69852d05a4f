package davsrv

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"time"
)

// Keys of the state, by their first byte. Numbers are big-endian, so that rows
// come in their order.
const (
	keyName      = 'n' // owner 0 shelf name -> id
	keyMeta      = 'c' // id -> meta as JSON
	keyCounters  = 'r' // id -> counters
	keyObject    = 'i' // id name -> object
	keyRaw       = 'o' // id name -> the client's bytes
	keyUID       = 'u' // id uid -> name
	keyChange    = 'l' // id rev -> name, of what is there
	keyGone      = 'x' // id rev -> Unix time, name, of what was deleted
	keyGoneName  = 'p' // id name -> rev of its keyGone
	keyProperty  = 'd' // place 0 namespace 0 local -> XML
	keyFurnished = 'f' // owner 0 shelf -> nothing; the first collection was made
	keyLock      = 'k' // token -> lock as JSON
)

// key builds a row's key out of numbers and strings.
func key(kind byte, id uint64, rest string) []byte {
	b := make([]byte, 9, 9+len(rest))
	b[0] = kind
	binary.BigEndian.PutUint64(b[1:], id)
	return append(b, rest...)
}

func keyRev(kind byte, id, rev uint64) []byte {
	return binary.BigEndian.AppendUint64(key(kind, id, ""), rev)
}

func keyOwner(kind byte, owner string, s shelf, name string) []byte {
	return append([]byte{kind}, owner+"\x00"+string(s.letter())+name...)
}

// counters are what changes with every object of a collection.
type counters struct {
	rev   uint64 // of the last change
	floor uint64 // changes up to this one are forgotten
	count uint64 // objects
}

func (c counters) encode() []byte {
	b := binary.AppendUvarint(nil, c.rev)
	b = binary.AppendUvarint(b, c.floor)
	return binary.AppendUvarint(b, c.count)
}

var errRow = errors.New("a row of the state cannot be read")

func decodeCounters(b []byte) (counters, error) {
	d := decoder{b: b}
	c := counters{rev: d.uvarint(), floor: d.uvarint(), count: d.uvarint()}
	return c, d.err
}

// An etagSum is the first half of the SHA-256 of an object's bytes.
type etagSum [16]byte

func sumOf(raw []byte) etagSum {
	full := sha256.Sum256(raw)
	return etagSum(full[:16])
}

// String is the entity tag, quotes included.
func (e etagSum) String() string {
	var b [34]byte
	b[0], b[33] = '"', '"'
	hex.Encode(b[1:], e[:])
	return string(b[:])
}

// An object is a row of a collection: what is known without its bytes.
type object struct {
	name     string
	sum      etagSum
	size     int64
	modified time.Time
	rev      uint64
	comp     string
	uid      string
	span     span
	raw      []byte // only where asked for
}

const rowVersion = 1

func (o *object) encode() []byte {
	b := append([]byte{rowVersion, byte(o.span.flags)}, o.sum[:]...)
	b = binary.AppendUvarint(b, uint64(o.size))
	b = binary.AppendVarint(b, o.modified.UnixNano())
	b = binary.AppendUvarint(b, o.rev)
	b = binary.AppendVarint(b, o.span.first)
	b = binary.AppendVarint(b, o.span.last)
	b = binary.AppendUvarint(b, uint64(len(o.comp)))
	b = append(b, o.comp...)
	return append(b, o.uid...)
}

func decodeObject(name string, b []byte) (*object, error) {
	if len(b) < 18 || b[0] != rowVersion {
		return nil, errRow
	}
	o := &object{name: name, sum: etagSum(b[2:18])}
	d := decoder{b: b[18:]}
	o.size = int64(d.uvarint())
	o.modified = time.Unix(0, d.varint())
	o.rev = d.uvarint()
	o.span = span{d.varint(), d.varint(), spanFlags(b[1])}
	n := d.uvarint()
	if d.err != nil || n > uint64(len(d.b)) {
		return nil, errRow
	}
	o.comp, o.uid = component(d.b[:n]), string(d.b[n:])
	return o, nil
}

// component avoids an allocation for the usual names.
func component(b []byte) string {
	switch string(b) {
	case "VEVENT":
		return "VEVENT"
	case "VTODO":
		return "VTODO"
	case "VCARD":
		return "VCARD"
	}
	return string(b)
}

// A decoder takes numbers off the front of b until one is malformed.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	d.advance(n)
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	d.advance(n)
	return v
}

func (d *decoder) advance(n int) {
	if n <= 0 {
		d.b, d.err = nil, errRow
		return
	}
	d.b = d.b[n:]
}
