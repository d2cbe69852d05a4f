package policy

import (
	"encoding/binary"
	"hash/maphash"
	"runtime"
)

// A Builder gathers rules for one [Table]. It is for one goroutine. Use
// [NewBuilder], and end with Table or Drop.
type Builder struct {
	t     *Table
	used  int               // bytes of the last page
	notes map[uint64]uint32 // the note that a note becomes with one more rule
	chain []step            // by note: how it was made
	buf   [maxWire + 1]byte
}

// A step is how a note was made: of another, with one more rule.
type step struct {
	before uint32
	said   said
}

// load is the part of the slots that is used at most, in percent.
const load = 86

// NewBuilder returns a builder without rules that expects about so many names.
func NewBuilder(names int) (*Builder, error) {
	b := &Builder{t: &Table{seed: maphash.MakeSeed()}, notes: map[uint64]uint32{}, chain: make([]step, 1)}
	return b, b.resize(max(names+names/100, 1000) * 100 / load)
}

// Add notes a rule about a name in text form. It reports false for what is no
// name. The error, if any, is [ErrFull] or want of memory.
func (b *Builder) Add(name []byte, f form, list uint8) (bool, error) {
	wire, ok := appendWire(b.buf[:0], name)
	if !ok {
		return false, nil
	}
	return true, b.add(wire, said{list, f})
}

func (b *Builder) add(wire []byte, s said) error {
	t := b.t
	i, tag := t.at(maphash.Bytes(t.seed, wire))
	for {
		v := t.slot(i)
		if v == 0 {
			break
		}
		if v&^(1<<placeBits-1) == tag {
			r := t.record(v & (1<<placeBits - 1))
			if len(r) >= head+len(wire) && string(r[head:head+len(wire)]) == string(wire) {
				n, err := b.extend(noteOf(r), s)
				if err == nil {
					r[0], r[1], r[2] = byte(n), byte(n>>8), byte(n>>16)
				}
				return err
			}
		}
		if i++; i == len(t.slots)/4 {
			i = 0
		}
	}
	n, err := b.extend(0, s)
	if err != nil {
		return err
	}
	place, err := b.store(n, wire)
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint32(t.slots[4*i:], tag|place)
	if t.names++; t.names > len(t.slots)/4*load/100 {
		return b.resize(len(t.slots) / 4 * 8 / 5)
	}
	return nil
}

// extend returns the note of a name of which s is said too.
func (b *Builder) extend(n uint32, s said) (uint32, error) {
	for at := n; at != 0; at = b.chain[at].before {
		if b.chain[at].said == s {
			return n, nil
		}
	}
	key := uint64(n)<<16 | uint64(s.list)<<8 | uint64(s.form)
	if next, ok := b.notes[key]; ok {
		return next, nil
	}
	if len(b.chain) == maxNotes {
		return 0, ErrFull
	}
	next := uint32(len(b.chain))
	b.chain = append(b.chain, step{n, s})
	b.notes[key] = next
	return next, nil
}

// store appends a record and returns its place. Places begin at 1.
func (b *Builder) store(n uint32, wire []byte) (uint32, error) {
	t := b.t
	if last := len(t.pages) - 1; last < 0 || b.used+head+len(wire) > pageSize {
		if len(t.pages) == maxPages {
			return 0, ErrFull
		}
		page, err := mapped(pageSize)
		if err != nil {
			return 0, err
		}
		t.pages = append(t.pages, page)
		b.used = 1
	}
	place := uint32(len(t.pages)-1)<<pageBits | uint32(b.used)
	page := t.pages[len(t.pages)-1][b.used:]
	page[0], page[1], page[2] = byte(n), byte(n>>8), byte(n>>16)
	copy(page[head:], wire)
	b.used += head + len(wire)
	return place, nil
}

// resize gives the table n slots.
func (b *Builder) resize(n int) error {
	t := b.t
	slots, err := mapped(4 * n)
	if err != nil {
		return err
	}
	unmapped(t.slots)
	t.slots = slots
	for p, page := range t.pages {
		for at := 1; at+head < pageSize && page[at+head] != 0; {
			end := at + head
			for page[end] != 0 {
				end += 1 + int(page[end])
			}
			wire := page[at+head : end+1]
			i, tag := t.at(maphash.Bytes(t.seed, wire))
			for t.slot(i) != 0 {
				if i++; i == n {
					i = 0
				}
			}
			binary.LittleEndian.PutUint32(t.slots[4*i:], tag|uint32(p)<<pageBits|uint32(at))
			at = end + 1
		}
	}
	return nil
}

// Table ends the building; the Builder must not be used afterwards.
func (b *Builder) Table() (*Table, error) {
	t := b.t
	if want := t.names*100/load + 1; want < len(t.slots)/4*9/10 {
		if err := b.resize(want); err != nil {
			b.Drop()
			return nil, err
		}
	}
	b.t = nil
	t.starts = make([]uint32, 0, len(b.chain)+1)
	for n := range b.chain {
		t.starts = append(t.starts, uint32(len(t.says)))
		for at := uint32(n); at != 0; at = b.chain[at].before {
			t.says = append(t.says, b.chain[at].said)
		}
	}
	t.starts = append(t.starts, uint32(len(t.says)))
	runtime.AddCleanup(t, func(mem [][]byte) { unmapped(mem...) }, append(t.pages[:len(t.pages):len(t.pages)], t.slots))
	return t, nil
}

// Drop ends the building without a table.
func (b *Builder) Drop() {
	if b.t != nil {
		unmapped(b.t.slots)
		unmapped(b.t.pages...)
		b.t = nil
	}
}
