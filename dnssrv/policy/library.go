package policy

import (
	"fmt"
	"io"
)

// A library is the rules of all lists that are in use. It does not change once
// it is made. Lists have numbers in it; what they are called, and whether their
// names are let through, is the document's to say.
type library struct {
	urls  []string // by number
	table *Table   // nil: no names
	full  *ruleset
	conds conditions
}

// A shelf is a library that is being made.
type shelf struct {
	lib  *library
	b    *Builder
	list uint8
}

// maxLists is how many lists there may be in a library.
const maxLists = 256

// newShelf begins a library of about so many names.
func newShelf(names int) (*shelf, error) {
	b, err := NewBuilder(names)
	if err != nil {
		return nil, err
	}
	s := &shelf{lib: &library{}, b: b}
	s.lib.full = newRuleset(&s.lib.conds)
	return s, nil
}

// add reads one list. After an error the shelf can still be used; what was read
// before stays. A list that breaks the reader is an error too: its copy is on
// disk, and would end the process at each start.
func (s *shelf) add(url string, in io.Reader) (st Stats, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it breaks the reader: %v", p)
		}
	}()
	s.list = uint8(len(s.lib.urls))
	s.lib.urls = append(s.lib.urls, url)
	return read(in, s)
}

func (s *shelf) simple(name []byte, f form) (bool, error) { return s.b.Add(name, f, s.list) }

func (s *shelf) full(p *parsed) error {
	p.list = s.list
	return s.lib.full.add(p)
}

// library ends the making.
func (s *shelf) library() (*library, error) {
	t, err := s.b.Table()
	if err != nil {
		return nil, err
	}
	s.lib.table = t
	return s.lib, nil
}

// names is how many names the library has.
func (l *library) names() int {
	if l == nil || l.table == nil {
		return 0
	}
	return l.table.Len()
}

// A search is what a library is asked.
type search struct {
	q     *asked
	use   bits                  // lists that count
	allow bits                  // lists whose names are let through
	lead  bits                  // lists that may send names to somebody
	conds bits                  // conditions that hold
	gone  func(key string) bool // rules that somebody took back
}

// A zoneMatch is a rule of a response policy zone about a name. Of one zone, the
// closest counts.
type zoneMatch struct {
	best
	depth int
}

// find returns the strongest rule of the lists about a name.
func (l *library) find(s *search) (b best) {
	if l == nil {
		return b
	}
	var zones []zoneMatch
	if l.table != nil {
		l.table.each(s.q.name, func(name string, depth int, says []said) bool {
			for _, w := range says {
				if !s.use.has(int(w.list)) || !w.form.covers(depth) {
					continue
				}
				traits := &formTraits[w.form]
				st := traits.strength
				if s.allow.has(int(w.list)) {
					st = st.allowed()
				}
				m := best{strength: st, list: w.list, form: w.form, name: name}
				switch {
				case traits.zone:
					zones = append(zones, zoneMatch{m, depth})
				case st > b.strength && !(s.gone != nil && s.gone(keyOf(m.text()))):
					b = m
				}
			}
			return true
		})
	}
	l.full.each(s.q, &s.conds, func(r *rule, depth int) {
		if !s.use.has(int(r.list)) || !s.lead.has(int(r.list)) && r.leads() || s.gone != nil && s.gone(r.key()) {
			return
		}
		st := r.strength
		if s.allow.has(int(r.list)) {
			st = st.allowed()
		}
		if r.zone {
			zones = append(zones, zoneMatch{best{strength: st, rule: r, list: r.list, to: r.to}, depth})
			return
		}
		b.offer(r, st)
	})
	for _, z := range zones {
		closest := true
		for _, o := range zones {
			closest = closest && (o.list != z.list || o.depth >= z.depth)
		}
		switch {
		case !closest:
		case z.rule != nil:
			b.offer(z.rule, z.strength)
		case z.strength > b.strength:
			b = z.best
		}
	}
	return b
}
