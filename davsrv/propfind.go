package davsrv

import (
	"encoding/xml"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// A propRequest is what a PROPFIND or REPORT wants to know of each resource.
type propRequest struct {
	mode    propMode
	names   []xml.Name // of wantNamed
	minimal bool       // leave out what is not found (RFC 8144)
	dead    map[kind]bool
}

type propMode int

const (
	wantAll propMode = iota
	wantNames
	wantNamed
)

// maxPropNames bounds how many properties one request may name.
const maxPropNames = 500

// readProps reads DAV:prop, DAV:allprop or DAV:propname out of a request's root
// element; def holds where there is none of them.
func (q *request) readProps(root *node, def propMode) (*propRequest, error) {
	p := &propRequest{mode: def, dead: make(map[kind]bool), minimal: q.prefersMinimal()}
	n := 0
	for k := range root.elements {
		switch k.name {
		case dav("allprop"):
			p.mode = wantAll
			n++
		case dav("propname"):
			p.mode = wantNames
			n++
		case dav("prop"):
			p.mode = wantNamed
			n++
			for name := range k.elements {
				p.names = append(p.names, name.name)
			}
		case dav("include"):
			for name := range k.elements {
				p.names = append(p.names, name.name)
			}
		}
	}
	if n > 1 {
		return nil, badXML("it asks for properties in more than one way")
	}
	if len(p.names) > maxPropNames {
		return nil, badXML("it names too many properties")
	}
	return p, nil
}

func (q *request) prefersMinimal() bool {
	for _, v := range q.r.Header.Values("Prefer") {
		if strings.Contains(v, "return=minimal") || strings.Contains(v, "return-minimal") {
			return true
		}
	}
	return strings.EqualFold(q.r.Header.Get("Brief"), "t")
}

// wantsDead reports whether a kind's own properties must be read for p.
func (p *propRequest) wantsDead(q *request, k kind) bool {
	want, ok := p.dead[k]
	if ok {
		return want
	}
	want = k&(kindCollection|kindObject|kindStored) != 0
	if want && p.mode == wantNamed {
		want = slices.ContainsFunc(p.names, func(n xml.Name) bool {
			if isData(n) {
				return false
			}
			live, ok := q.s.live[n]
			return !ok || !live.guarded
		})
	}
	p.dead[k] = want
	return want
}

// wantsData reports whether the objects' bytes are asked for.
func (p *propRequest) wantsData() bool { return slices.ContainsFunc(p.names, isData) }

func isData(n xml.Name) bool {
	return n == cal("calendar-data") || n == card("address-data")
}

// load reads the resources' own properties where p needs them.
func (p *propRequest) load(q *request, rs []*resource) error {
	var places []place
	var want []*resource
	for _, r := range rs {
		if !r.hasDead && p.wantsDead(q, r.kind) {
			places, want = append(places, r.place()), append(want, r)
		}
	}
	if len(want) == 0 {
		return nil
	}
	props, err := q.s.store.props(places...)
	if err != nil {
		return err
	}
	for i, r := range want {
		r.dead, r.hasDead = props[i], true
	}
	return nil
}

// respond answers for each resource.
func (p *propRequest) respond(q *request, m *multistatus, rs []*resource) error {
	if err := p.load(q, rs); err != nil {
		return err
	}
	for _, r := range rs {
		x := m.open(r.href)
		p.write(x, q, r)
		m.done()
		if m.err != nil {
			return m.err
		}
	}
	return q.r.Context().Err()
}

// write appends the propstats of one resource.
func (p *propRequest) write(x *xmlWriter, q *request, r *resource) {
	var missing []xml.Name
	opened := false
	found := func() {
		if !opened {
			opened = true
			x.open(dav("propstat"))
			x.open(dav("prop"))
		}
	}
	switch p.mode {
	case wantNames, wantAll:
		found()
		p.writeAll(x, q, r)
	case wantNamed:
		for _, n := range p.names {
			if !p.writeOne(x, q, r, n, found) {
				missing = append(missing, n)
			}
		}
	}
	if opened {
		x.close(dav("prop"))
		x.element(dav("status"), statusLine(http.StatusOK))
		x.close(dav("propstat"))
	}
	if !p.minimal || !opened {
		propstat(x, missing, http.StatusNotFound, xml.Name{})
	}
	if !opened && len(missing) == 0 { // a response cannot be empty
		x.element(dav("status"), statusLine(http.StatusOK))
	}
}

// writeOne appends one property after calling found, or reports that r lacks it.
func (p *propRequest) writeOne(x *xmlWriter, q *request, r *resource, n xml.Name, found func()) bool {
	if isData(n) {
		if r.object == nil || r.object.raw == nil {
			return false
		}
		found()
		x.element(n, string(r.object.raw))
		return true
	}
	live, ok := q.s.live[n]
	ok = ok && live.of(r)
	if !ok || !live.guarded {
		for _, d := range r.dead {
			if d.name == n {
				found()
				x.buf.WriteString(d.xml)
				return true
			}
		}
	}
	if !ok {
		return false
	}
	found()
	x.live(n, live, q, r)
	return true
}

// of reports whether r has the property.
func (l *liveProp) of(r *resource) bool { return r.is(l.on) && (l.has == nil || l.has(r)) }

func (x *xmlWriter) live(n xml.Name, l liveProp, q *request, r *resource) {
	x.open(n)
	l.write(x, q, r)
	x.close(n)
}

// writeAll appends all that allprop means, or the names of all there is.
func (p *propRequest) writeAll(x *xmlWriter, q *request, r *resource) {
	done := make(map[xml.Name]bool)
	for _, d := range r.dead {
		if live, ok := q.s.live[d.name]; ok && live.guarded && live.of(r) {
			continue
		}
		done[d.name] = true
		if p.mode == wantNames {
			x.empty(d.name)
		} else {
			x.buf.WriteString(d.xml)
		}
	}
	for _, n := range q.s.liveNames {
		live := q.s.live[n]
		if done[n] || !live.of(r) {
			continue
		}
		switch {
		case p.mode == wantNames:
			x.empty(n)
		case live.all || slices.Contains(p.names, n):
			x.live(n, live, q, r)
		}
	}
}

// sortedNames fixes the order in which allprop lists properties.
func sortedNames(props map[xml.Name]liveProp) []xml.Name {
	return slices.SortedFunc(maps.Keys(props), func(a, b xml.Name) int {
		if c := strings.Compare(a.Space, b.Space); c != 0 {
			return c
		}
		return strings.Compare(a.Local, b.Local)
	})
}

// A depth is the value of a Depth header.
type depth int

const (
	depth0 depth = iota
	depth1
	depthInfinity
)

func (q *request) depth(def depth) (depth, error) {
	switch strings.ToLower(strings.TrimSpace(q.r.Header.Get("Depth"))) {
	case "":
		return def, nil
	case "0":
		return depth0, nil
	case "1":
		return depth1, nil
	case "infinity":
		return depthInfinity, nil
	}
	return 0, refuse(http.StatusBadRequest, "The Depth header must be 0, 1 or infinity.")
}

var errFiniteDepth = violates(http.StatusForbidden, dav("propfind-finite-depth"), "This tree is too large for Depth: infinity; ask with Depth: 1.")

// propfind answers PROPFIND (RFC 4918 §9.1).
func (q *request) propfind() error {
	how, err := q.depth(depthInfinity)
	if err != nil {
		return err
	}
	root, err := q.xml(maxXMLBody)
	if errors.Is(err, errNoXML) {
		root, err = &node{name: dav("propfind")}, nil
	}
	if err != nil {
		return err
	}
	if root.name != dav("propfind") {
		return badXML("its root is not DAV:propfind")
	}
	p, err := q.readProps(root, wantAll)
	if err != nil {
		return err
	}
	r, err := q.lookup(q.at)
	if err != nil {
		return err
	}
	if how == depthInfinity && !r.is(kindStored|kindPlain) {
		return errFiniteDepth
	}
	var tree []*resource
	if how == depthInfinity && r.is(kindFolder) {
		if tree, err = q.descend(r); err != nil {
			return err
		}
	}
	m := newMultistatus(q.w)
	err = p.respond(q, m, []*resource{r})
	if err == nil && how == depth1 {
		err = q.children(r, func(rs []*resource) error { return p.respond(q, m, rs) })
	}
	for batch := range slices.Chunk(tree, pageRows) {
		if err == nil {
			err = p.respond(q, m, batch)
		}
	}
	return m.finish(err)
}

// children yields the members of a collection in batches.
func (q *request) children(r *resource, emit func([]*resource) error) error {
	switch r.kind {
	case kindRoot:
		var out []*resource
		for _, t := range []tree{treePrincipals, treeCalendars, treeContacts, treeFiles} {
			out = append(out, branch(t))
		}
		return emit(out)
	case kindBranch:
		own, err := q.lookup(target{tree: tree(r.name), owner: q.user})
		if err != nil {
			return err
		}
		return emit([]*resource{own})
	case kindCalendars, kindContacts:
		s := shelfCalendar
		if r.kind == kindContacts {
			s = shelfContacts
		}
		cs, err := q.s.store.collections(q.r.Context(), r.owner, s)
		if err != nil {
			return err
		}
		var out []*resource
		for _, c := range cs {
			out = append(out, collectionResource(c))
		}
		return emit(out)
	case kindCalendar, kindBook:
		return q.members(r.coll, func(*object) pick { return rowOnly }, emit)
	case kindFolder:
		return q.entries(r, emit)
	}
	return nil
}

// members yields the objects of a collection that choose picks.
func (q *request) members(c *collection, choose func(*object) pick, emit func([]*resource) error) error {
	for after := ""; ; {
		objects, next, err := q.s.store.page(c.id, after, choose)
		if err != nil {
			return err
		}
		rs := make([]*resource, len(objects))
		for i, o := range objects {
			rs[i] = objectResource(c, o)
		}
		if err := emit(rs); err != nil || next == "" {
			return err
		}
		after = next
	}
}
