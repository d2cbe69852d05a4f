package fw

import "slices"

// A difference is what must be done to one table to get another.
type difference struct {
	goneSets, newSets                    []*set
	goneChains, newChains, changedChains []*chain
	elements                             []elementChange
}

type elementChange struct {
	set         *set
	gone, fresh []elem
}

// small reports whether only elements differ.
func (d *difference) small() bool {
	return len(d.goneSets)+len(d.newSets)+len(d.goneChains)+len(d.newChains)+len(d.changedChains) == 0
}

func (d *difference) empty() bool { return d.small() && len(d.elements) == 0 }

// differ compares two tables. A set or a base chain of another kind goes and
// comes anew; the rules that speak of such a set do too.
func differ(old, t *Table) difference {
	var d difference
	was := map[string]*set{}
	for _, s := range old.sets {
		was[s.name] = s
	}
	renewed := map[string]bool{}
	for _, s := range t.sets {
		o := was[s.name]
		delete(was, s.name)
		switch {
		case o == nil:
			d.newSets = append(d.newSets, s)
		case o.head() != s.head():
			renewed[s.name] = true
			d.goneSets = append(d.goneSets, o)
			d.newSets = append(d.newSets, s)
		case !s.isRuntime():
			if e := changes(o, s); len(e.gone)+len(e.fresh) > 0 {
				d.elements = append(d.elements, e)
			}
		}
	}
	for _, s := range old.sets {
		if was[s.name] != nil {
			d.goneSets = append(d.goneSets, s)
		}
	}
	d.chains(old, t, renewed)
	return d
}

func (d *difference) chains(old, t *Table, renewed map[string]bool) {
	for _, c := range t.chains {
		o := old.chain(c.name)
		switch {
		case o == nil:
			d.newChains = append(d.newChains, c)
		case o.hook != c.hook:
			d.goneChains = append(d.goneChains, o)
			d.newChains = append(d.newChains, c)
		case c.speaksOf(renewed) || !slices.EqualFunc(o.rules, c.rules, func(a, b rule) bool { return a.String() == b.String() }):
			d.changedChains = append(d.changedChains, c)
		}
	}
	for _, c := range old.chains {
		if t.chain(c.name) == nil {
			d.goneChains = append(d.goneChains, c)
		}
	}
}

func (c *chain) speaksOf(sets map[string]bool) bool {
	if len(sets) == 0 {
		return false
	}
	return slices.ContainsFunc(c.rules, func(r rule) bool {
		return slices.ContainsFunc(slices.Concat(r.when, r.do), func(c condition) bool { return sets[speaks(c)] })
	})
}

// speaks is the set that a condition or an action refers to.
func speaks(c condition) string {
	switch c := c.(type) {
	case lookup:
		return c.set
	case lead:
		return c.ports
	case mapped:
		return c.v.set("mapped")
	case note:
		return c.set
	case pings:
		return words6("icmp", c.six)
	case through:
		return "icmp6_through"
	}
	return ""
}

func words6(name string, six bool) string { return family{six}.set(name) }

// changes compares sorted elements. One with other data or another end goes and
// comes again.
func changes(o, s *set) elementChange {
	if len(o.elems)+len(s.elems) == 0 {
		return crowds(o, s)
	}
	e := elementChange{set: s}
	was, is := slices.Collect(o.all), slices.Collect(s.all)
	i, j := 0, 0
	for i < len(was) || j < len(is) {
		switch {
		case j == len(is) || i < len(was) && compare(was[i], is[j]) < 0:
			e.gone = append(e.gone, was[i])
			i++
		case i == len(was) || compare(was[i], is[j]) > 0:
			e.fresh = append(e.fresh, is[j])
			j++
		default:
			if !was[i].sameAs(is[j]) {
				e.gone = append(e.gone, was[i])
				e.fresh = append(e.fresh, is[j])
			}
			i, j = i+1, j+1
		}
	}
	return e
}

// crowds compares sets of peers, of which there may be thousands.
func crowds(o, s *set) elementChange {
	e, n := elementChange{set: s}, s.record()
	was, is := o.crowd, s.crowd
	if was == is {
		return e
	}
	for was != "" || is != "" {
		switch {
		case is == "" || was != "" && was[:n] < is[:n]:
			e.gone = append(e.gone, s.of(was[:n]))
			was = was[n:]
		case was == "" || was[:n] > is[:n]:
			e.fresh = append(e.fresh, s.of(is[:n]))
			is = is[n:]
		default:
			was, is = was[n:], is[n:]
		}
	}
	return e
}
