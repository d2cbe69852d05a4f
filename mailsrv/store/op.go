package store

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A verb says what an operation does. The numbers are on disk.
type verb byte

const (
	opAdd       verb = 1 // a message enters a mailbox
	opFlags     verb = 2 // flags of messages change
	opExpunge   verb = 3 // messages leave a mailbox
	opCreate    verb = 4 // a mailbox
	opDelete    verb = 5 // a mailbox with all that is in it
	opRename    verb = 6
	opSubscribe verb = 7
	opKeyword   verb = 8  // a flag's name gets a bit
	opRenew     verb = 9  // every mailbox gets a new UIDVALIDITY
	opHold      verb = 10 // nothing: the body of this frame is for a later one
	opMeta      verb = 11 // an annotation of a mailbox, or of the account
)

// A FlagOp says what happens to the flags of a message.
type FlagOp byte

const (
	SetFlags    FlagOp = 0 // these and no others
	AddFlags    FlagOp = 1
	RemoveFlags FlagOp = 2
)

// An op is one operation. Which fields count depends on the verb. Operations
// say what to do, not what comes out, so those of one batch can follow each
// other without having seen each other.
type op struct {
	verb verb
	box  uint32
	name string // of the mailbox, subscription or keyword
	use  string // special use, such as \Sent
	// uids are the messages concerned, ascending.
	uids []span
	how  FlagOp
	mask Flags
	on   bool   // subscribed or not, annotated or not
	text string // of the annotation
	num  uint32 // UIDVALIDITY, or bit of the keyword
	msg  Message
	here bool // the body of msg is in this very frame
}

// A span is a range of UIDs with both ends.
type span struct{ from, to uint32 }

var errOp = errors.New("operation not understood")

// append encodes the operation.
func (o *op) append(b []byte) []byte {
	b = append(b, byte(o.verb))
	b = binary.AppendUvarint(b, uint64(o.box))
	switch o.verb {
	case opAdd:
		m := &o.msg
		b = binary.AppendUvarint(b, uint64(m.UID))
		b = binary.AppendUvarint(b, uint64(m.Size))
		b = binary.AppendUvarint(b, uint64(m.Flags))
		b = binary.AppendVarint(b, m.Date)
		b = binary.AppendUvarint(b, uint64(m.Saved))
		if o.here {
			return append(b, 1)
		}
		b = append(b, 2)
		b = binary.AppendUvarint(b, uint64(m.seg))
		b = binary.AppendUvarint(b, uint64(m.off))
		return binary.AppendUvarint(b, uint64(m.ID))
	case opFlags:
		b = append(b, byte(o.how))
		b = binary.AppendUvarint(b, uint64(o.mask))
		return appendSpans(b, o.uids)
	case opExpunge:
		return appendSpans(b, o.uids)
	case opCreate:
		b = binary.AppendUvarint(b, uint64(o.num))
		b = appendString(b, o.name)
		return appendString(b, o.use)
	case opRename:
		return appendString(b, o.name)
	case opSubscribe:
		on := byte(0)
		if o.on {
			on = 1
		}
		return appendString(append(b, on), o.name)
	case opMeta:
		b = appendString(b, o.name)
		if !o.on {
			return append(b, 0)
		}
		return appendString(append(b, 1), o.text)
	case opKeyword:
		b = binary.AppendUvarint(b, uint64(o.num))
		return appendString(b, o.name)
	case opRenew:
		return binary.AppendUvarint(b, uint64(o.num))
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendSpans(b []byte, all []span) []byte {
	b = binary.AppendUvarint(b, uint64(len(all)))
	last := uint32(0)
	for _, s := range all {
		b = binary.AppendUvarint(b, uint64(s.from-last))
		b = binary.AppendUvarint(b, uint64(s.to-s.from))
		last = s.to
	}
	return b
}

// parseOps decodes the meta of the frame that begins at off of segment seg. An
// operation that it does not know is an error: a newer program wrote it, and to
// leave it out would be to invent another history.
func parseOps(b []byte, seg, off uint32) ([]op, error) {
	r := reader{b: b}
	var out []op
	for len(r.b) > 0 && !r.bad {
		o := op{verb: verb(r.byte()), box: r.u32()}
		switch o.verb {
		case opAdd:
			o.msg = Message{UID: r.u32(), Size: r.u32(), Flags: Flags(r.uvarint()), Date: r.varint(), Saved: r.u32()}
			switch r.byte() {
			case 0:
				o.msg.seg, o.msg.off = r.u32(), r.u32()
			case 1:
				o.here, o.msg.seg, o.msg.off = true, seg, off
			case 2:
				o.msg.seg, o.msg.off, o.msg.ID = r.u32(), r.u32(), r.u32()
			default:
				r.bad = true
			}
			r.bad = r.bad || o.msg.UID == 0
		case opFlags:
			o.how, o.mask, o.uids = FlagOp(r.byte()), Flags(r.uvarint()), r.spans()
			r.bad = r.bad || o.how > RemoveFlags
		case opExpunge:
			o.uids = r.spans()
		case opCreate:
			o.num, o.name, o.use = r.u32(), r.string(), r.string()
		case opRename:
			o.name = r.string()
		case opSubscribe:
			o.on, o.name = r.byte() == 1, r.string()
		case opKeyword:
			o.num, o.name = r.u32(), r.string()
			r.bad = r.bad || o.num < firstKeyword || o.num > 63
		case opRenew:
			o.num = r.u32()
		case opMeta:
			o.name = r.string()
			if o.on = r.byte() == 1; o.on {
				o.text = r.string()
			}
		case opDelete, opHold:
		default:
			return nil, fmt.Errorf("%w: verb %d; a newer version of this program wrote it", errOp, o.verb)
		}
		out = append(out, o)
	}
	if r.bad {
		return nil, errOp
	}
	return out, nil
}

// A reader takes values off a slice. Once one was not there it is bad, and all
// further ones are zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) u32() uint32 {
	v := r.uvarint()
	if v > 1<<32-1 {
		r.bad = true
	}
	return uint32(v)
}

func (r *reader) string() string {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *reader) spans() []span {
	n := r.uvarint()
	if n > uint64(len(r.b))/2 { // each takes two bytes at least
		r.b, r.bad = nil, true
		return nil
	}
	out := make([]span, 0, n)
	last := uint64(0)
	for range n {
		from := last + uint64(r.u32())
		to := from + uint64(r.u32())
		if r.bad || from == 0 || to > 1<<32-1 || to < from || len(out) > 0 && from == last {
			r.bad = true
			return nil
		}
		out = append(out, span{uint32(from), uint32(to)})
		last = to
	}
	return out
}

// spansOf turns ascending UIDs into ranges.
func spansOf(uids []uint32) []span {
	var out []span
	for _, u := range uids {
		if n := len(out); n > 0 && out[n-1].to+1 == u {
			out[n-1].to = u
		} else {
			out = append(out, span{u, u})
		}
	}
	return out
}
