package fw

import (
	"fmt"
	"strings"
)

// String writes the table as `nft list table` would, with counters at zero and
// without the time that elements have left.
func (t Table) String() string {
	if len(t.chains) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "table inet %s {\n", tableName)
	for i, s := range t.sets {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(s.String())
	}
	for _, c := range t.chains {
		b.WriteString("\n")
		b.WriteString(c.String())
	}
	b.WriteString("}\n")
	return b.String()
}

// NAT says in words what is translated on the way out.
func (t Table) NAT() []string {
	ch := t.chain("postrouting")
	if ch == nil {
		return nil
	}
	var out []string
	for _, r := range ch.rules {
		via, ok := leaving(r)
		if !ok {
			continue
		}
		for _, c := range r.when {
			l, ok := c.(lookup)
			if !ok || l.parts[0] != src {
				continue
			}
			s := t.set(l.set)
			for e := range s.all {
				out = append(out, fmt.Sprintf("%s leaves by %s with the address that the cell has there", s.text(e), via))
			}
		}
	}
	return out
}

// leaving is the interface by which what the rule translates leaves.
func leaving(r rule) (string, bool) {
	c, ok := r.when[0].(card)
	switch {
	case !ok || !c.out || len(r.when) != 2:
		return "", false
	case c.not:
		return "any interface but " + c.name, true
	}
	return c.name, true
}
