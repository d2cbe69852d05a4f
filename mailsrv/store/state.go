package store

import (
	"slices"
	"strings"
)

// Flags are what is known of a message, as bits. The lower ones are the system
// flags, those from firstKeyword on are the account's keywords.
type Flags uint64

const (
	Seen Flags = 1 << iota
	Answered
	Flagged
	Deleted
	Draft
)

const (
	firstKeyword = 8
	maxKeywords  = 64 - firstKeyword
	maxBoxes     = 10000
)

// A Message is one message in one mailbox.
type Message struct {
	UID    uint32
	Size   uint32 // bytes
	seg    uint32 // where the frame with the body is
	off    uint32
	Flags  Flags
	ModSeq uint64 // of the latest change of Flags, or of the arrival
	Date   int64  // internal date, Unix seconds
	Saved  uint32 // when it came into this mailbox, Unix seconds
	ID     uint32 // of the content: copies share it, and nothing else of the account
}

// A box is a mailbox in memory.
type box struct {
	id       uint32
	name     string
	use      string
	validity uint32
	next     uint32 // UID
	rows     []Message
	modseq   uint64 // of the latest change
	expunged uint64 // of the latest expunge
	unseen   int
	deleted  int
	bytes    int64
	gone     []gone // messages that left, in that order
	forgot   uint64 // those up to here are not all in gone
}

// A state is an account in memory: what the log comes down to.
type state struct {
	seq      uint64
	boxes    map[uint32]*box
	byName   map[string]*box
	subs     map[string]bool
	keywords [64]string // by bit
	nextBox  uint32
	validity uint32 // the highest given out
	bytes    int64  // of the messages in mailboxes, copies counted each
	stored   int64  // of all bodies in the log
	changed  map[uint32]bool
	meta     map[uint32]map[string]string // annotations by mailbox, 0 is the account
}

func newState() *state {
	return &state{
		boxes: map[uint32]*box{}, byName: map[string]*box{}, subs: map[string]bool{},
		nextBox: 1, changed: map[uint32]bool{}, meta: map[uint32]map[string]string{},
	}
}

// find returns the index of the row with that UID, or where it would be.
func (b *box) find(uid uint32) (int, bool) {
	return slices.BinarySearchFunc(b.rows, uid, func(m Message, uid uint32) int {
		switch {
		case m.UID < uid:
			return -1
		case m.UID > uid:
			return 1
		}
		return 0
	})
}

func (b *box) count(f Flags, by int) {
	if f&Seen == 0 {
		b.unseen += by
	}
	if f&Deleted != 0 {
		b.deleted += by
	}
}

// apply carries out one operation of the frame seq. It has no errors: what
// refers to something that is not there, because its frame was lost or because
// somebody else was faster, has no effect, but for messages, which are never
// dropped.
func (st *state) apply(o *op, seq uint64) {
	switch o.verb {
	case opCreate:
		st.create(o, seq)
		return
	case opSubscribe:
		if o.on {
			st.subs[o.name] = true
		} else {
			delete(st.subs, o.name)
		}
		return
	case opKeyword:
		st.keywords[o.num] = o.name
		return
	case opRenew:
		st.renew(o.num, seq)
		return
	case opHold:
		return
	case opMeta:
		st.annotate(o)
		return
	}
	b := st.boxes[o.box]
	if b == nil {
		if o.verb != opAdd {
			return
		}
		// The frame with its opCreate was lost, or it was deleted while this
		// message was on its way, which a batch does not allow.
		b = st.create(&op{box: o.box, name: st.free("Recovered"), num: st.validity + 1}, seq)
	}
	switch o.verb {
	case opAdd:
		m := o.msg
		if o.here {
			m.ID = uint32(seq)
		}
		st.add(b, m, seq)
	case opFlags:
		st.flag(b, o, seq)
	case opExpunge:
		st.expunge(b, o.uids, seq)
	case opDelete:
		st.bytes -= b.bytes
		delete(st.boxes, b.id)
		delete(st.byName, b.name)
		delete(st.meta, b.id)
	case opRename:
		delete(st.byName, b.name)
		b.name = st.free(o.name)
		st.byName[b.name] = b
		b.modseq = seq
	}
	st.changed[b.id] = true
}

func (st *state) create(o *op, seq uint64) *box {
	if b := st.boxes[o.box]; b != nil {
		return b
	}
	b := &box{id: o.box, name: st.free(o.name), use: o.use, validity: o.num, next: 1, modseq: seq}
	st.boxes[b.id] = b
	st.byName[b.name] = b
	st.nextBox = max(st.nextBox, b.id+1)
	st.validity = max(st.validity, b.validity)
	st.changed[b.id] = true
	return b
}

// free returns name, or one made of it where it is taken.
func (st *state) free(name string) string {
	for st.byName[name] != nil {
		name += "_"
	}
	return name
}

func (st *state) renew(from uint32, seq uint64) {
	ids := make([]uint32, 0, len(st.boxes))
	for id := range st.boxes {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for i, id := range ids {
		b := st.boxes[id]
		b.validity = from + uint32(i)
		b.modseq = seq
		st.validity = max(st.validity, b.validity)
		st.changed[id] = true
	}
}

func (st *state) add(b *box, m Message, seq uint64) {
	m.ModSeq = seq
	b.next = max(b.next, m.UID+1)
	b.modseq = seq
	i, there := b.find(m.UID)
	if there {
		return
	}
	b.rows = slices.Insert(b.rows, i, m)
	b.count(m.Flags, 1)
	b.bytes += int64(m.Size)
	st.bytes += int64(m.Size)
}

// each calls f for every row within the spans.
func (b *box) each(spans []span, f func(i int)) {
	for _, s := range spans {
		i, _ := b.find(s.from)
		for ; i < len(b.rows) && b.rows[i].UID <= s.to; i++ {
			f(i)
		}
	}
}

// change returns what an operation makes of flags.
func (o *op) change(f Flags) Flags {
	switch o.how {
	case AddFlags:
		return f | o.mask
	case RemoveFlags:
		return f &^ o.mask
	}
	return o.mask
}

func (st *state) flag(b *box, o *op, seq uint64) {
	b.each(o.uids, func(i int) {
		m := &b.rows[i]
		f := o.change(m.Flags)
		if f == m.Flags {
			return
		}
		b.count(m.Flags, -1)
		b.count(f, 1)
		m.Flags, m.ModSeq, b.modseq = f, seq, seq
	})
}

func (st *state) expunge(b *box, spans []span, seq uint64) {
	had, i := len(b.rows), 0
	b.rows = slices.DeleteFunc(b.rows, func(m Message) bool {
		for i < len(spans) && spans[i].to < m.UID {
			i++
		}
		if i == len(spans) || m.UID < spans[i].from {
			return false
		}
		b.count(m.Flags, -1)
		b.bytes -= int64(m.Size)
		st.bytes -= int64(m.Size)
		b.left(m.UID, seq)
		return true
	})
	if len(b.rows) < had {
		b.modseq, b.expunged = seq, seq
	}
}

// bits turns names of flags into bits. Those without one come back as missing.
func (st *state) bits(names []string) (f Flags, missing []string) {
	for _, n := range names {
		if b, ok := systemFlag(n); ok {
			f |= b
			continue
		}
		i := slices.IndexFunc(st.keywords[:], func(k string) bool { return k != "" && strings.EqualFold(k, n) })
		if i < 0 {
			missing = append(missing, n)
			continue
		}
		f |= 1 << i
	}
	return f, missing
}

// names turns bits into names.
func (st *state) names(f Flags) []string {
	out := make([]string, 0, 4)
	for i, n := range systemFlags {
		if f&(1<<i) != 0 {
			out = append(out, n)
		}
	}
	for i := firstKeyword; i < 64 && f>>i != 0; i++ {
		if f&(1<<i) != 0 && st.keywords[i] != "" {
			out = append(out, st.keywords[i])
		}
	}
	return out
}

var systemFlags = [...]string{`\Seen`, `\Answered`, `\Flagged`, `\Deleted`, `\Draft`}

func systemFlag(name string) (Flags, bool) {
	for i, n := range systemFlags {
		if strings.EqualFold(n, name) {
			return 1 << i, true
		}
	}
	return 0, false
}
