package policy

import "errors"

const (
	maxIndexed  = 100_000  // rules about one name that need more than a form, of all lists
	maxScanned  = 5_000    // rules with * within, which every name is held against
	maxPatterns = 1_000    // regular expressions
	maxSteps    = 50_000   // instructions of all of them
	maxRoom     = 32 << 20 // bytes of all rules in full, about
)

var (
	errIndexed  = errors.New("there are more rules with options than the cell takes")
	errScanned  = errors.New("there are more rules with * than the cell takes")
	errPatterns = errors.New("there are more regular expressions than the cell takes")
	errRoom     = errors.New("rules with options take more memory than the cell has for them")
	errClients  = errors.New("there are more $client options than the cell takes")
)

// A ruleset is rules in full, to be matched. It does not change once it is made.
type ruleset struct {
	by       map[string][]*rule // by name in wire form
	scanned  []*rule            // with patterns
	bad      map[string]bits    // keys of rules that are taken back, by lists that do
	conds    *conditions
	count    int
	patterns int
	steps    int
	room     int
}

func newRuleset(conds *conditions) *ruleset {
	return &ruleset{by: map[string][]*rule{}, bad: map[string]bits{}, conds: conds}
}

func (rs *ruleset) empty() bool { return rs == nil || rs.count == 0 && len(rs.bad) == 0 }

// add takes a rule in.
func (rs *ruleset) add(p *parsed) error {
	r := p.rule
	room := 400 + 4*len(r.text)
	if rs.room+room > maxRoom {
		return errRoom
	}
	rs.room += room
	if p.bad {
		b := rs.bad[r.key()]
		b.set(int(r.list))
		rs.bad[r.key()] = b
		return nil
	}
	if p.cond != nil {
		if r.cond = rs.conds.index(p.cond); r.cond == 0 {
			return errClients
		}
	}
	switch {
	case r.pattern != nil:
		if rs.patterns == maxPatterns || rs.steps+r.pattern.size > maxSteps {
			return errPatterns
		}
		rs.patterns++
		rs.steps += r.pattern.size
		rs.scanned = append(rs.scanned, &r)
	case r.glob != nil:
		if len(rs.scanned)-rs.patterns == maxScanned {
			return errScanned
		}
		rs.scanned = append(rs.scanned, &r)
	default:
		if rs.count-len(rs.scanned) == maxIndexed {
			return errIndexed
		}
		rs.by[r.name] = append(rs.by[r.name], &r)
	}
	rs.count++
	return nil
}

// each yields the rules about q that hold for who fulfills conds, those about
// the closest names first.
func (rs *ruleset) each(q *asked, conds *bits, yield func(r *rule, depth int)) {
	if rs.empty() {
		return
	}
	ok := func(r *rule) bool { return (r.cond == 0 || conds.has(r.cond-1)) && r.applies(q) }
	if len(rs.by) > 0 {
		for depth, name := 0, q.name; len(name) > 1; depth, name = depth+1, parent(name) {
			for _, r := range rs.by[name] {
				if (depth == 0 && r.self || depth > 0 && r.below) && ok(r) {
					yield(r, depth)
				}
			}
		}
	}
	for _, r := range rs.scanned {
		if !ok(r) {
			continue
		}
		if r.pattern != nil && r.pattern.match(q.text()) || r.glob != nil && r.glob.match(q.text()) {
			yield(r, 0)
		}
	}
}

// A best is the strongest rule so far.
type best struct {
	strength strength
	rule     *rule  // or:
	list     uint8  // the list that has it,
	form     form   // in this form,
	name     string // about this name
	to       rewrite
}

func (b *best) offer(r *rule, s strength) {
	switch {
	case s > b.strength:
		*b = best{strength: s, rule: r, list: r.list, to: r.to}
	case s == b.strength && b.rule != nil && s.action() == Rewrite && r.list == b.list && r.name == b.rule.name && r.name != "":
		b.to.add(&r.to)
	}
}

func (b *best) text() string {
	if b.rule != nil {
		return b.rule.text
	}
	return b.form.text(b.name)
}
