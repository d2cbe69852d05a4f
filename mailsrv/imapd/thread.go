package imapd

import (
	"cmp"

	inorder "pic/internal/order"
	"pic/mailsrv/message"
)

// A node is a message in a thread, or the place of one that is not there.
type node struct {
	entry    *entry // nil if it is not there
	parent   *node
	children []*node
}

// date is when the first message of the node was sent.
func (n *node) date() int64 {
	if n.entry == nil && len(n.children) > 0 {
		return n.children[0].date()
	}
	return n.entry.date
}

// num orders messages that were sent at the same time.
func (n *node) num() uint32 {
	if n.entry == nil {
		return n.children[0].num()
	}
	return n.entry.num
}

func byDate(a, b *node) int {
	return cmp.Or(cmp.Compare(a.date(), b.date()), cmp.Compare(a.num(), b.num()))
}

func (s *session) thread(uid bool) error {
	p := &s.p
	p.sp()
	how := p.verb()
	p.sp()
	if how != "REFERENCES" && how != "ORDEREDSUBJECT" {
		p.fail("THREAD knows ORDEREDSUBJECT and REFERENCES")
	}
	k, err := p.searchIn()
	if err != nil {
		return err
	}
	all, err := s.entries(&k, uid, true)
	if err != nil {
		return err
	}
	roots := bySubject(all)
	if how == "REFERENCES" {
		roots = byReferences(all)
	}
	s.str("* THREAD")
	if len(roots) > 0 {
		s.str(" ")
	}
	for _, r := range roots {
		s.str("(")
		s.writeThread(r)
		s.str(")")
	}
	s.str("\r\n")
	return nil
}

// writeThread writes a node and what is below it. A chain of single answers is
// written without going deeper.
func (s *session) writeThread(n *node) {
	for {
		if n.entry != nil {
			s.num(int64(n.entry.num))
			if len(n.children) > 0 {
				s.str(" ")
			}
		}
		if len(n.children) != 1 || n.entry == nil {
			break
		}
		n = n.children[0]
	}
	for _, c := range n.children {
		s.str("(")
		s.writeThread(c)
		s.str(")")
	}
}

// bySubject is the algorithm of that name (RFC 5256 §3).
func bySubject(all []entry) []*node {
	first := map[string]*node{}
	var roots []*node
	sorted := make([]*node, len(all))
	for i := range all {
		sorted[i] = &node{entry: &all[i]}
	}
	inorder.By(sorted, byDate)
	for _, n := range sorted {
		base, _ := baseSubject(n.entry.m.Subject)
		if root := first[base]; root != nil {
			root.children = append(root.children, n)
			continue
		}
		first[base] = n
		roots = append(roots, n)
	}
	return roots
}

const (
	maxReferences = 200  // of one message; the last ones count
	maxThread     = 1000 // messages, each an answer to the one before
)

// byReferences is the algorithm of that name (RFC 5256 §3).
func byReferences(all []entry) []*node {
	ids := map[string]*node{}
	at := func(id string) *node {
		if ids[id] == nil {
			ids[id] = &node{}
		}
		return ids[id]
	}
	var nodes []*node // in a fixed order
	for i := range all {
		e := &all[i]
		own := message.IDs(e.m.MessageID)
		n := &node{}
		if len(own) > 0 && at(own[0]).entry == nil {
			n = at(own[0])
		}
		n.entry = e
		nodes = append(nodes, n)
		refs := message.IDs(e.m.References)
		if len(refs) == 0 {
			refs = message.IDs(e.m.InReplyTo)
			refs = refs[:min(len(refs), 1)]
		}
		var up *node
		for _, id := range refs[max(0, len(refs)-maxReferences):] {
			r := at(id)
			if up != nil && r.parent == nil && !r.above(up) {
				r.parent = up
			}
			up = r
		}
		// What a message says of itself counts more than what others say.
		if n.parent = nil; up != nil && !n.above(up) {
			n.parent = up
		}
	}
	var roots []*node
	seen := map[*node]bool{}
	for _, n := range nodes {
		for !seen[n] {
			seen[n] = true
			if n.parent == nil {
				roots = append(roots, n)
				break
			}
			n.parent.children = append(n.parent.children, n)
			n = n.parent
		}
	}
	roots = pruneAll(roots, true)
	inorder.By(roots, byDate)
	roots = gather(roots)
	return roots
}

// above reports whether n is x or above it, or x is so deep that this is not
// worth to be found out.
func (n *node) above(x *node) bool {
	for range maxThread {
		if x == nil {
			return false
		}
		if x == n {
			return true
		}
		x = x.parent
	}
	return true
}

// pruneAll takes out places without messages, except at the top where several
// would fall apart, and sorts what is below each node.
func pruneAll(list []*node, top bool) []*node {
	var out []*node
	for _, n := range list {
		n.children = pruneAll(n.children, false)
		inorder.By(n.children, byDate)
		switch {
		case n.entry != nil, top && len(n.children) > 1:
			out = append(out, n)
		default:
			out = append(out, n.children...)
		}
	}
	return out
}

// gather puts threads of the same subject together.
func gather(roots []*node) []*node {
	subject := func(n *node) (string, bool) {
		if n.entry == nil {
			n = n.children[0]
		}
		return baseSubject(n.entry.m.Subject)
	}
	table := map[string]*node{}
	for _, n := range roots {
		base, reply := subject(n)
		if base == "" {
			continue
		}
		old := table[base]
		if old == nil {
			table[base] = n
			continue
		}
		_, oldReply := subject(old)
		if n.entry == nil && old.entry != nil || old.entry != nil && oldReply && !reply {
			table[base] = n
		}
	}
	var out []*node
	for _, n := range roots {
		base, reply := subject(n)
		into := table[base]
		if into == nil || into == n {
			out = append(out, n)
			continue
		}
		_, intoReply := subject(into)
		switch {
		case into.entry == nil && n.entry == nil:
			into.children = append(into.children, n.children...)
		case into.entry == nil, !intoReply && reply:
			into.children = append(into.children, n)
		default: // as siblings below a new place, which takes the name
			old := *into
			*into = node{children: []*node{&old, n}}
		}
	}
	for _, n := range out {
		inorder.By(n.children, byDate)
	}
	inorder.By(out, byDate)
	return out
}
