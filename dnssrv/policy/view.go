package policy

import (
	"github.com/miekg/dns"
)

// A View is what counts for one client. It does not change and is safe for
// concurrent use.
type View struct {
	*rules
	client string
	logged bool
}

// A rules is what counts for all clients for whom the same counts.
type rules struct {
	id          uint32
	set         *Set
	off, paused bool
	safe        bool
	use         bits // lists
	services    bits // that groups block
	groups      []int
	schedules   []timed // that are active
	user, conds bits    // conditions that hold, of the document's rules and of lists'
	gone        func(key string) bool
}

// A timed is a schedule of a group, by their numbers.
type timed struct{ group, schedule int }

// ID tells apart, within one Set, what counts; it is never 0.
func (v *View) ID() uint32 { return v.id }

// Client is the name of the document's client, or empty.
func (v *View) Client() string { return v.client }

// Logged reports whether queries of the client may be in the query log.
func (v *View) Logged() bool { return v.logged }

// Rewrite says where a name leads, if it leads elsewhere: by the household's
// rewrites, or for a safe search. The name is in wire form and lower case. It
// comes before everything else, the cell's own names included.
func (v *View) Rewrite(name string, typ uint16) (Decision, bool) {
	c := v.set.c
	for _, i := range v.groups {
		if r := c.groups[i].rewrites.find(name); r != nil {
			return v.rewritten(r, name, typ, c.groups[i].name)
		}
	}
	if r := c.rewrites.find(name); r != nil {
		return v.rewritten(r, name, typ, "")
	}
	if !v.safe {
		return Decision{}, false
	}
	switch typ {
	case dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS, dns.TypeSVCB: // mail goes on
	default:
		return Decision{}, false
	}
	to := c.safeNames[name]
	if to == "" || v.Decide(name, typ).Action == Block {
		return Decision{}, false
	}
	return Decision{Action: Rewrite, Reason: BySafeSearch, Rule: textOf(to), Target: to}, true
}

func (v *View) rewritten(r *rewrite, name string, typ uint16, group string) (Decision, bool) {
	if r.target == name || !r.about(typ) {
		return Decision{}, false
	}
	d := r.decision(typ)
	d.Reason, d.List, d.Rule = ByRewrite, group, textOf(name)
	return d, true
}

// Decide says what becomes of a question for a name that goes beyond the cell.
// The name is in wire form and lower case.
func (v *View) Decide(name string, typ uint16) Decision {
	switch {
	case v.paused:
		return Decision{Reason: ByPause}
	case v.off:
		return Decision{}
	}
	q := &asked{name: name, typ: typ}
	c := v.set.c
	var b best
	for _, i := range v.groups {
		v.offer(&b, c.groups[i].rules, q)
	}
	if b.strength != 0 {
		return b.decision(typ, ByRule, b.rule.group)
	}
	if d, ok := v.timed(name); ok {
		return d
	}
	if i := c.serviceOf.find(name, &v.services); i >= 0 {
		return Decision{Action: Block, Reason: ByService, Rule: services[i].Name}
	}
	if v.offer(&b, c.rules, q); b.strength != 0 {
		return b.decision(typ, ByRule, "")
	}
	if i := c.serviceOf.find(name, &c.services); i >= 0 {
		return Decision{Action: Block, Reason: ByService, Rule: services[i].Name}
	}
	b = v.set.lib.find(&search{q: q, use: v.use, allow: v.set.allow, lead: v.set.lead, conds: v.conds, gone: v.gone})
	if b.strength != 0 {
		return b.decision(typ, ByList, v.set.lists[b.list])
	}
	return Decision{}
}

// offer lets the rules of the document that are about q take part.
func (v *View) offer(b *best, rs *ruleset, q *asked) {
	rs.each(q, &v.user, func(r *rule, _ int) {
		if v.gone == nil || !v.gone(r.key()) {
			b.offer(r, r.strength)
		}
	})
}

func (b *best) decision(typ uint16, reason, list string) Decision {
	d := Decision{Action: b.strength.action()}
	if d.Action == Rewrite {
		d = b.to.decision(typ)
	}
	d.Reason, d.List, d.Rule = reason, list, b.text()
	return d
}

// timed says what the schedules of this hour block.
func (v *View) timed(name string) (Decision, bool) {
	for _, t := range v.schedules {
		g := &v.set.c.groups[t.group]
		s := &g.schedules[t.schedule]
		d := Decision{Action: Block, Reason: BySchedule, List: g.name, Rule: s.text}
		if len(s.services) == 0 {
			return d, true
		}
		var use bits
		for _, i := range s.services {
			use.set(i)
		}
		if i := v.set.c.serviceOf.find(name, &use); i >= 0 {
			d.Rule = services[i].Name + ", " + s.text
			return d, true
		}
	}
	return Decision{}, false
}
