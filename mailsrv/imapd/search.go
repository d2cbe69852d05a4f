package imapd

import (
	"slices"
	"strings"

	"pic/mailsrv/store"
)

// returns are what RETURN can ask of a search (RFC 4731).
type returns struct {
	extended             bool // RETURN was said
	min, max, all, count bool
	save                 bool // for $ (RFC 5182)
}

// A result is what a search came to.
type result struct {
	uids   []uint32 // in their order
	nums   []uint32 // the same as sequence numbers, or as UIDs where those are asked for
	modseq uint64   // the highest of them
}

func (p *parser) returns() returns {
	r := returns{extended: true}
	n := 0
	p.list(func() {
		n++
		switch w := p.verb(); w {
		case "MIN":
			r.min = true
		case "MAX":
			r.max = true
		case "ALL":
			r.all = true
		case "COUNT":
			r.count = true
		case "SAVE":
			r.save = true
		default:
			p.fail("SEARCH does not return " + w)
		}
	})
	r.all = r.all || n == 0
	return r
}

// charset takes what may be before the keys of a search.
func (p *parser) charset(name string) {
	switch strings.ToUpper(name) {
	case "UTF-8", "US-ASCII":
	default:
		if p.err == nil {
			p.err = no("BADCHARSET (UTF-8 US-ASCII)", "Only UTF-8 is understood")
		}
	}
}

func (s *session) search(uid bool) error {
	p := &s.p
	p.sp()
	var ret returns
	r := reading{p: p}
	first, word := "", false
	if c := p.peek(); c == 'R' || c == 'r' || c == 'C' || c == 'c' {
		first, word = p.verb(), true
	}
	if first == "RETURN" {
		p.sp()
		ret = p.returns()
		p.sp()
		if c := p.peek(); c == 'C' || c == 'c' {
			first = p.verb()
		} else {
			word = false
		}
	}
	if first == "CHARSET" {
		p.sp()
		p.charset(p.astring())
		p.sp()
		word = false
	}
	var k key
	if word {
		k = r.rest(r.named(first))
	} else {
		k = r.all()
	}
	if err := p.end(); err != nil {
		return err
	}
	if r.modseq {
		s.condstore = true
	}
	found, err := s.find(&k, uid)
	if ret.save {
		s.view.saved = ret.saves(found)
	}
	if err != nil {
		return err
	}
	if s.rev2 && !ret.extended {
		ret = returns{extended: true, all: true}
	}
	if !r.modseq {
		found.modseq = 0
	}
	if !ret.save || ret.min || ret.max || ret.all || ret.count {
		s.found(found, uid, ret)
	}
	return nil
}

// saves are the UIDs that $ means from now on.
func (r returns) saves(f result) []uint32 {
	if len(f.uids) == 0 || r.all || r.count || !r.min && !r.max {
		return f.uids
	}
	var out []uint32
	if r.min {
		out = append(out, f.uids[0])
	}
	if last := f.uids[len(f.uids)-1]; r.max && (!r.min || len(f.uids) > 1) {
		out = append(out, last)
	}
	return out
}

// find returns the messages that meet a condition.
func (s *session) find(k *key, uid bool) (result, error) {
	t, err := k.ready(s)
	if err != nil {
		return result{}, err
	}
	q := &query{s: s}
	var out result
	s.view.each(s.view.uids, func(seq uint32, row store.Message) bool {
		if q.err = s.ctx.Err(); q.err != nil {
			return false
		}
		q.seq, q.row = seq, row
		if q.matches(&t) && q.err == nil {
			out.uids = append(out.uids, row.UID)
			if !uid {
				out.nums = append(out.nums, seq)
			}
			out.modseq = max(out.modseq, row.ModSeq)
		}
		q.done()
		return q.err == nil
	})
	if uid {
		out.nums = out.uids
	}
	if q.err != nil {
		return result{}, q.err
	}
	return out, nil
}

// found tells what a search came to.
func (s *session) found(f result, uid bool, ret returns) {
	nums := f.nums
	if !ret.extended {
		s.str("* SEARCH")
		for _, n := range nums {
			s.str(" ")
			s.num(int64(n))
		}
		if f.modseq > 0 {
			s.str(" (MODSEQ ")
			s.num(int64(f.modseq))
			s.str(")")
		}
		s.str("\r\n")
		return
	}
	s.str("* ESEARCH (TAG ")
	s.quote(s.tag)
	s.str(")")
	if uid {
		s.str(" UID")
	}
	one := func(name string, n uint32) {
		s.str(" " + name + " ")
		s.num(int64(n))
	}
	if len(nums) > 0 {
		if ret.min {
			one("MIN", slices.Min(nums))
		}
		if ret.max {
			one("MAX", slices.Max(nums))
		}
		if ret.all {
			s.str(" ALL ")
			s.set(setOf(nums))
		}
	}
	if ret.count {
		one("COUNT", uint32(len(nums)))
	}
	if f.modseq > 0 {
		s.str(" MODSEQ ")
		s.num(int64(f.modseq))
	}
	s.str("\r\n")
}
