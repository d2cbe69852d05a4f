package policy

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"runtime"
)

// A Table holds the names of lists, exactly and compactly: a name takes its wire
// form, three bytes for who says what of it, and five for where it is. Names
// that several lists have are there once. A Table never changes and is safe for
// concurrent use. Use a [Builder].
//
// Its memory is not the garbage collector's; it is given back once nothing refers
// to the Table.
type Table struct {
	seed  maphash.Seed
	pages [][]byte
	slots []byte // each a tag and the place of a record, 0 where free
	names int

	// says[starts[i]:starts[i+1]] are the rules about the names with note i.
	starts []uint32
	says   []said
}

// A said is one rule: which list has it, in which form.
type said struct {
	list uint8
	form form
}

const (
	pageBits  = 20
	pageSize  = 1 << pageBits
	placeBits = 28 // the other bits of a slot are its tag
	maxPages  = 1 << (placeBits - pageBits)
	head      = 3 // bytes of the note before a name
	maxNotes  = 1 << (8 * head)
)

// ErrFull says that lists hold more names than a table takes, about 10 million.
var ErrFull = errors.New("the lists hold more names than fit; use fewer or shorter ones")

// Len is the number of names.
func (t *Table) Len() int { return t.names }

// Bytes is how much memory the table takes.
func (t *Table) Bytes() int {
	return len(t.pages)*pageSize + len(t.slots) + 4*len(t.starts) + 2*len(t.says)
}

// at returns where a hash is looked for first, and its tag.
func (t *Table) at(h uint64) (i int, tag uint32) {
	return int((h >> 32) * uint64(len(t.slots)/4) >> 32), uint32(h) << placeBits
}

func (t *Table) slot(i int) uint32 { return binary.LittleEndian.Uint32(t.slots[4*i:]) }

// record returns what is at a place, to the end of its page.
func (t *Table) record(place uint32) []byte {
	return t.pages[place>>pageBits][place&(pageSize-1):]
}

// note returns what is noted of a name in wire form.
func (t *Table) note(wire string) (n uint32, ok bool) {
	if t.names == 0 {
		return 0, false
	}
	i, tag := t.at(maphash.String(t.seed, wire))
	for {
		s := t.slot(i)
		if s == 0 {
			return 0, false
		}
		if s&^(1<<placeBits-1) == tag {
			if r := t.record(s & (1<<placeBits - 1)); len(r) >= head+len(wire) && string(r[head:head+len(wire)]) == wire {
				return noteOf(r), true
			}
		}
		if i++; i == len(t.slots)/4 {
			i = 0
		}
	}
}

func noteOf(r []byte) uint32 { return uint32(r[0]) | uint32(r[1])<<8 | uint32(r[2])<<16 }

// each yields the rules about a name in wire form and the names above it, the
// closest first: the name of the rule, how many labels it is above, and what is
// said. It does not allocate.
func (t *Table) each(wire string, yield func(name string, depth int, says []said) bool) {
	for depth, name := 0, wire; len(name) > 1; depth, name = depth+1, parent(name) {
		if n, ok := t.note(name); ok && !yield(name, depth, t.says[t.starts[n]:t.starts[n+1]]) {
			break
		}
	}
	runtime.KeepAlive(t) // or its memory could be given back meanwhile
}
