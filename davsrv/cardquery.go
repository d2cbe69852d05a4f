package davsrv

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/emersion/go-vcard"
	"github.com/emersion/go-webdav/carddav"
)

// A cardFilter decides which contacts an addressbook-query finds (RFC 6352
// §10.5). It holds go-webdav's model and evaluates it itself: carddav.Match
// looks at the first property of a name only, knows no parameters and minds
// case.
type cardFilter struct {
	carddav.AddressBookQuery
	collation collation
}

// addressbookQuery answers addressbook-query (RFC 6352 §8.6).
func (q *request) addressbookQuery(root *node, c *collection) error {
	p, err := q.readProps(root, wantAll)
	if err != nil {
		return err
	}
	f, err := readCardFilter(root)
	if err != nil {
		return err
	}
	choose := func(*object) pick { return whole }
	if len(f.PropFilters) == 0 && !p.wantsData() {
		choose = func(*object) pick { return rowOnly }
	}
	m := newMultistatus(q.w)
	n := 0
	err = q.members(c, choose, func(rs []*resource) error {
		found := rs[:0]
		for _, r := range rs {
			if f.Limit > 0 && n > f.Limit {
				break
			}
			if len(f.PropFilters) > 0 && !f.matchRaw(r.object) {
				continue
			}
			if n++; f.Limit <= 0 || n <= f.Limit {
				found = append(found, r)
			}
		}
		return p.respond(q, m, found)
	})
	if err == nil && f.Limit > 0 && n > f.Limit {
		m.status(c.href(), http.StatusInsufficientStorage, dav("number-of-matches-within-limits"))
	}
	return m.finish(err)
}

func (f *cardFilter) matchRaw(o *object) bool {
	c, err := readCard(o.raw)
	return err == nil && f.match(c)
}

var errCardFilter = violates(http.StatusForbidden, card("supported-filter"), "The filter of the query cannot be read.")

// readCardFilter reads filter and limit of a query.
func readCardFilter(root *node) (*cardFilter, error) {
	f := &cardFilter{}
	if l := root.child(card("limit")); l != nil {
		n, err := strconv.Atoi(l.child(card("nresults")).content())
		if err != nil || n < 1 {
			return nil, badXML("its limit is not a number above zero")
		}
		f.Limit = n
	}
	n := root.child(card("filter"))
	if n == nil {
		return nil, badXML("it has no filter")
	}
	var err error
	if f.FilterTest, err = readTest(n); err != nil {
		return nil, err
	}
	for k := range n.elements {
		if k.name != card("prop-filter") {
			return nil, errCardFilter
		}
		p, err := f.readProp(k)
		if err != nil {
			return nil, err
		}
		f.PropFilters = append(f.PropFilters, p)
	}
	if f.collation == "" {
		f.collation = unicodeCasemap
	}
	return f, nil
}

func readTest(n *node) (carddav.FilterTest, error) {
	switch t := carddav.FilterTest(n.attr("test")); t {
	case "":
		return carddav.FilterAnyOf, nil
	case carddav.FilterAnyOf, carddav.FilterAllOf:
		return t, nil
	}
	return "", errCardFilter
}

func (f *cardFilter) readProp(n *node) (p carddav.PropFilter, err error) {
	p.Name = strings.ToUpper(n.attr("name"))
	if _, bare, ok := strings.Cut(p.Name, "."); ok {
		p.Name = bare // of item1.EMAIL
	}
	if p.Test, err = readTest(n); err != nil || p.Name == "" {
		return p, errCardFilter
	}
	for k := range n.elements {
		switch k.name {
		case card("is-not-defined"):
			p.IsNotDefined = true
		case card("text-match"):
			t, err := f.readText(k)
			if err != nil {
				return p, err
			}
			p.TextMatches = append(p.TextMatches, *t)
		case card("param-filter"):
			pf := carddav.ParamFilter{Name: strings.ToUpper(k.attr("name")), IsNotDefined: k.child(card("is-not-defined")) != nil}
			if t := k.child(card("text-match")); t != nil {
				if pf.TextMatch, err = f.readText(t); err != nil {
					return p, err
				}
			}
			p.Params = append(p.Params, pf)
		default:
			return p, errCardFilter
		}
	}
	return p, nil
}

func (f *cardFilter) readText(n *node) (*carddav.TextMatch, error) {
	c, ok := collationOf(n.attr("collation"), unicodeCasemap)
	if !ok {
		return nil, violates(http.StatusForbidden, card("supported-collation"), "The query names a collation that is not known.")
	}
	f.collation = looser(f.collation, c)
	t := &carddav.TextMatch{MatchType: carddav.MatchType(n.attr("match-type"))}
	switch t.MatchType {
	case "":
		t.MatchType = carddav.MatchContains
	case carddav.MatchContains, carddav.MatchEquals, carddav.MatchStartsWith, carddav.MatchEndsWith:
	default:
		return nil, errCardFilter
	}
	var err error
	t.Text, t.NegateCondition, err = readTextMatch(n)
	return t, err
}

// match evaluates the filter; one without conditions finds everything.
func (f *cardFilter) match(c vcard.Card) bool {
	if len(f.PropFilters) == 0 {
		return true
	}
	return combine(f.FilterTest, len(f.PropFilters), func(i int) bool { return f.prop(&f.PropFilters[i], c) })
}

// combine reports whether any or all of n conditions hold.
func combine(test carddav.FilterTest, n int, holds func(int) bool) bool {
	all := test == carddav.FilterAllOf
	for i := range n {
		if holds(i) != all {
			return !all
		}
	}
	return all
}

func (f *cardFilter) prop(p *carddav.PropFilter, c vcard.Card) bool {
	fields := c[p.Name]
	if p.IsNotDefined || len(fields) == 0 {
		return p.IsNotDefined && len(fields) == 0
	}
	n := len(p.TextMatches) + len(p.Params)
	if n == 0 {
		return true
	}
	for _, field := range fields {
		ok := combine(p.Test, n, func(i int) bool {
			if i < len(p.TextMatches) {
				return f.text(&p.TextMatches[i], field.Value)
			}
			return f.param(&p.Params[i-len(p.TextMatches)], field)
		})
		if ok {
			return true
		}
	}
	return false
}

func (f *cardFilter) param(p *carddav.ParamFilter, field *vcard.Field) bool {
	values := field.Params[p.Name]
	if p.IsNotDefined || p.TextMatch == nil {
		return p.IsNotDefined == (len(values) == 0)
	}
	for _, v := range values {
		if f.text(p.TextMatch, v) {
			return true
		}
	}
	return false
}

func (f *cardFilter) text(t *carddav.TextMatch, s string) bool {
	s, want := f.collation.fold(s), f.collation.fold(t.Text)
	var ok bool
	switch t.MatchType {
	case carddav.MatchEquals:
		ok = s == want
	case carddav.MatchStartsWith:
		ok = strings.HasPrefix(s, want)
	case carddav.MatchEndsWith:
		ok = strings.HasSuffix(s, want)
	default:
		ok = strings.Contains(s, want)
	}
	return ok != t.NegateCondition
}
