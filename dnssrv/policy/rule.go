package policy

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// A rule is one that says more than a [form] can: of a list, or of the document.
type rule struct {
	text     string // as written
	list     uint8  // of a list
	group    string // the group's name, of a rule of a group
	strength strength

	// What it is about: a name in wire form and those below it, or a pattern.
	name        string
	self, below bool
	glob        *glob
	pattern     *pattern

	types  []uint16 // none: all
	except bool     // types are those that it is not about
	spare  []string // names in wire form that are let out with all below them
	cond   int      // index of the condition on the client + 1; 0: everybody
	zone   bool     // of a response policy zone

	to rewrite
}

// A rewrite is what a name leads to.
type rewrite struct {
	addrs  []netip.Addr
	target string // in wire form
	rcode  int
}

// leads reports whether r sends whoever asks to somebody: an error, nothing, and
// the addresses of nobody and of the client itself (0.0.0.0, ::1) do not.
func (r *rewrite) leads() bool {
	return r.target != "" || slices.ContainsFunc(r.addrs, func(a netip.Addr) bool { return !a.IsUnspecified() && !a.IsLoopback() })
}

// about reports whether a question for that type can be answered by r: who
// knows addresses only knows nothing of mail.
func (r *rewrite) about(typ uint16) bool {
	if r.target != "" || len(r.addrs) == 0 {
		return true
	}
	switch typ {
	case dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS, dns.TypeSVCB:
		return true
	}
	return false
}

// decision is what r says of a question for that type.
func (r *rewrite) decision(typ uint16) Decision {
	d := Decision{Action: Rewrite, Target: r.target, Rcode: r.rcode}
	for _, a := range r.addrs {
		if typ == dns.TypeA && a.Is4() || typ == dns.TypeAAAA && a.Is6() {
			d.Addrs = append(d.Addrs, a)
		}
	}
	return d
}

// add takes in what another rule of the same strength says.
func (r *rewrite) add(o *rewrite) {
	if len(r.addrs) == 0 || r.target != "" {
		return
	}
	for _, a := range o.addrs {
		if !slices.Contains(r.addrs, a) {
			r.addrs = append(r.addrs[:len(r.addrs):len(r.addrs)], a)
		}
	}
}

// An asked is a question as rules see it.
type asked struct {
	name string // in wire form
	typ  uint16
	line string // as text, once somebody wanted it
}

func (q *asked) text() string {
	if q.line == "" {
		q.line = textOf(q.name)
	}
	return q.line
}

// leads reports whether r sends names to somebody.
func (r *rule) leads() bool { return r.strength.action() == Rewrite && r.to.leads() }

// applies reports whether r is about the question, as far as its options say.
func (r *rule) applies(q *asked) bool {
	if len(r.types) > 0 && slices.Contains(r.types, q.typ) == r.except {
		return false
	}
	for _, s := range r.spare {
		if q.name == s || belowOf(q.name, s) {
			return false
		}
	}
	if r.strength.action() == Rewrite && !r.to.about(q.typ) {
		return false
	}
	return true
}

// belowOf reports whether a name is below another; both are in wire form.
func belowOf(name, top string) bool {
	for len(name) > len(top) {
		if name = parent(name); name == top {
			return true
		}
	}
	return false
}

// key is r as one that takes it back ($badfilter) would name it.
func (r *rule) key() string { return keyOf(r.text) }

// keyOf puts the options of a rule in order, without badfilter.
func keyOf(text string) string {
	pattern, options, ok := cutOptions(text)
	if !ok {
		return strings.ToLower(text)
	}
	all := slices.DeleteFunc(splitOptions(options), func(s string) bool { return s == "badfilter" })
	slices.Sort(all)
	if len(all) == 0 {
		return strings.ToLower(pattern)
	}
	return strings.ToLower(pattern) + "$" + strings.Join(all, ",")
}
