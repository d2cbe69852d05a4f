package imapd

import (
	"slices"

	"pic/mailsrv/store"
)

// known is what a client says that it knows of a mailbox from earlier (RFC 7162
// §3.2.5).
type known struct {
	validity uint32
	modseq   uint64
	uids     *set // all if nil
}

// known takes it, after QRESYNC.
func (p *parser) known() *known {
	k := &known{}
	p.sp()
	p.need('(')
	k.validity = p.num32()
	p.sp()
	k.modseq = uint64(p.num64())
	if p.take(' ') {
		if !p.is('(') {
			set := p.set()
			k.uids = &set
		}
		// Which message had which number helps where history is short. Here
		// UIDs that vanished are told anyway.
		if k.uids == nil || p.take(' ') {
			p.need('(')
			p.set()
			p.sp()
			p.set()
			p.need(')')
		}
	}
	p.need(')')
	return k
}

// vanished tells which messages left after since, of those in a set of UIDs or,
// if that is nil, of all.
func (s *session) vanished(since uint64, of *set) {
	all, err := s.acct.Vanished(s.view.box, since)
	if err != nil {
		return
	}
	var out []span
	for _, r := range all {
		out = append(out, span{r.From, r.To})
	}
	if of != nil {
		out = both(out, of.ranges(1<<32-1))
	}
	if len(out) == 0 {
		return
	}
	s.str("* VANISHED (EARLIER) ")
	s.set(set{spans: out})
	s.str("\r\n")
}

// both is what is in a and in b, which ascend.
func both(a, b []span) []span {
	var out []span
	for len(a) > 0 && len(b) > 0 {
		if from, to := max(a[0].from, b[0].from), min(a[0].to, b[0].to); from <= to {
			out = append(out, span{from, to})
		}
		if a[0].to < b[0].to {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return out
}

// resync tells a client that comes back what has changed meanwhile.
func (s *session) resync(k *known) {
	v := s.view
	s.vanished(k.modseq, k.uids)
	uids := v.uids
	if k.uids != nil {
		var err error
		if uids, err = v.resolve(*k.uids, true); err != nil {
			return
		}
	}
	v.each(v.changed(uids, k.modseq), func(seq uint32, row store.Message) bool {
		s.flagsOf(seq, row, true)
		return s.conn.err == nil
	})
}

// changed are those of the ascending uids whose messages changed after since.
func (v *view) changed(uids []uint32, since uint64) []uint32 {
	rows, _, err := v.acct.Changed(v.box, since)
	if err != nil {
		return nil
	}
	out := make([]uint32, 0, min(len(rows), len(uids)))
	for _, r := range rows {
		if _, ok := slices.BinarySearch(uids, r.UID); ok {
			out = append(out, r.UID)
		}
	}
	return out
}

// modifiers takes what may follow the items of FETCH.
func (p *parser) modifiers() (since *uint64, vanished bool) {
	if !p.take(' ') {
		return nil, false
	}
	p.list(func() {
		switch w := p.verb(); w {
		case "CHANGEDSINCE":
			p.sp()
			since = new(uint64(p.num64()))
		case "VANISHED":
			vanished = true
		default:
			p.fail("FETCH does not know " + w)
		}
	})
	return since, vanished
}
