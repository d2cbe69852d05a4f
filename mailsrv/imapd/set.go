package imapd

import (
	"cmp"
	"strconv"

	inorder "pic/internal/order"
)

// A span is a range of numbers with both ends, in which 0 stands for *.
type span struct{ from, to uint32 }

// A set is message numbers or UIDs as a client writes them.
type set struct {
	spans []span
	saved bool // $, the result of a search (RFC 5182)
}

// set takes one. Its length does not count as that of the line, so that a client
// can name any messages of a large mailbox.
func (p *parser) set() set {
	if p.take('$') {
		return set{saved: true}
	}
	var out set
	size := p.size
	for p.err == nil {
		s := span{from: p.setNum()}
		s.to = s.from
		if p.take(':') {
			s.to = p.setNum()
		}
		if p.ranges++; p.ranges > maxRanges {
			p.fail("The set has too many ranges")
		}
		out.spans = append(out.spans, s)
		p.size = size
		if !p.take(',') {
			break
		}
	}
	p.size = size
	return out
}

func (p *parser) setNum() uint32 {
	if p.take('*') {
		return 0
	}
	n := uint64(0)
	digits := 0
	for {
		c := p.peek()
		if p.err != nil || c < '0' || c > '9' {
			break
		}
		p.skip()
		n = n*10 + uint64(c-'0')
		if digits++; digits > 10 {
			break
		}
	}
	if digits == 0 || n == 0 || n > 1<<32-1 {
		p.fail("Syntax error: message number expected")
	}
	return uint32(n)
}

// append writes the set as a client would.
func (s set) append(b []byte) []byte {
	if s.saved {
		return append(b, '$')
	}
	num := func(n uint32) {
		if n == 0 {
			b = append(b, '*')
		} else {
			b = strconv.AppendUint(b, uint64(n), 10)
		}
	}
	for i, r := range s.spans {
		if i > 0 {
			b = append(b, ',')
		}
		num(r.from)
		if r.from != r.to {
			b = append(b, ':')
			num(r.to)
		}
	}
	return b
}

// setOf is the set of numbers in their order, rising ones as ranges.
func setOf(nums []uint32) set {
	var out set
	for _, u := range nums {
		if n := len(out.spans); n > 0 && out.spans[n-1].to+1 == u {
			out.spans[n-1].to = u
		} else {
			out.spans = append(out.spans, span{u, u})
		}
	}
	return out
}

// ranges are those of the set if last is what * stands for: ascending, and
// without any number twice.
func (s set) ranges(last uint32) []span {
	out := make([]span, 0, len(s.spans))
	for _, r := range s.spans {
		from, to := ends(r.from, r.to, last)
		out = append(out, span{from, to})
	}
	inorder.By(out, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	n := 0
	for _, r := range out {
		if n > 0 && r.from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, r.to)
			continue
		}
		out[n] = r
		n++
	}
	return out[:n]
}

// ends are the ends of a range in which 0 stands for the last.
func ends(from, to, last uint32) (uint32, uint32) {
	if from == 0 {
		from = last
	}
	if to == 0 {
		to = last
	}
	return min(from, to), max(from, to)
}
