package davsrv

import (
	"context"
	"encoding/xml"
	"errors"
	"net/http"
	"time"
)

// A patch is what a PROPPATCH, MKCALENDAR or extended MKCOL wants to set: the
// changes in document order, and which of them are refused: what the server
// computes anywhere can be set nowhere.
type patch struct {
	changes []propChange
	refused map[xml.Name]bool
}

// readPatch collects the DAV:set and DAV:remove of a request's root element,
// without the properties that aside takes.
func (q *request) readPatch(root *node, aside func(*node) bool) patch {
	p := patch{refused: make(map[xml.Name]bool)}
	lang := langOf(root)
	for op := range root.elements {
		if op.name != dav("set") && op.name != dav("remove") {
			continue
		}
		for prop := range op.elements {
			if prop.name != dav("prop") {
				continue
			}
			for n := range prop.elements {
				if aside != nil && aside(n) {
					continue
				}
				c := propChange{name: n.name}
				if op.name == dav("set") {
					inherit(n, langOf(prop), langOf(op), lang)
					c = setNode(n)
				}
				if live, ok := q.s.live[n.name]; ok && live.guarded {
					p.refused[n.name] = true
				}
				p.changes = append(p.changes, c)
			}
		}
	}
	return p
}

// langOf is the xml:lang attribute of n itself.
func langOf(n *node) string {
	for _, a := range n.attrs {
		if a.Name == (xml.Name{Space: nsXML, Local: "lang"}) {
			return a.Value
		}
	}
	return ""
}

// inherit keeps the language that is in scope for a property (RFC 4918 §4.3).
func inherit(n *node, langs ...string) {
	if langOf(n) != "" {
		return
	}
	for _, l := range langs {
		if l != "" {
			n.attrs = append(n.attrs, xml.Attr{Name: xml.Name{Space: nsXML, Local: "lang"}, Value: l})
			return
		}
	}
}

// names are the properties that the patch is about, each once.
func (p *patch) names(refused bool) []xml.Name {
	var out []xml.Name
	seen := make(map[xml.Name]bool)
	for _, c := range p.changes {
		if !seen[c.name] && p.refused[c.name] == refused {
			seen[c.name] = true
			out = append(out, c.name)
		}
	}
	return out
}

// proppatch answers PROPPATCH (RFC 4918 §9.2): all changes or none.
func (q *request) proppatch() error {
	root, err := q.xml(maxXMLBody)
	if errors.Is(err, errNoXML) {
		err = badXML("there is none")
	}
	if err != nil {
		return err
	}
	if root.name != dav("propertyupdate") {
		return badXML("its root is not DAV:propertyupdate")
	}
	r, err := q.lookup(q.at)
	if err != nil {
		return err
	}
	if r.place() == "" {
		return refuse(http.StatusForbidden, "The properties of this resource cannot be changed.")
	}
	p := q.readPatch(root, nil)
	var sizes *refusal
	if len(p.refused) == 0 {
		err := q.apply(r, p.changes)
		if errors.As(err, &sizes) && sizes.status != http.StatusInsufficientStorage || err != nil && sizes == nil {
			return err
		}
	}
	m := newMultistatus(q.w)
	x := m.open(r.href)
	switch {
	case sizes != nil:
		propstat(x, p.names(false), sizes.status, xml.Name{})
	case len(p.refused) > 0:
		propstat(x, p.names(true), http.StatusForbidden, dav("cannot-modify-protected-property"))
		propstat(x, p.names(false), http.StatusFailedDependency, xml.Name{})
	default:
		propstat(x, p.names(false), http.StatusOK, xml.Name{})
	}
	m.done()
	return m.close()
}

// apply stores changes of r's properties, if its conditions and locks allow.
func (q *request) apply(r *resource, changes []propChange) error {
	ctx := q.r.Context()
	switch {
	case r.is(kindCollection):
		if err := q.unconditional(); err != nil {
			return err
		}
		return q.s.store.setCollectionProps(ctx, r.coll.id, changes)
	case r.is(kindStored):
		return q.applyToFile(ctx, r, changes)
	}
	if err := checkConditions(q.r.Header, r.state()); err != nil {
		return err
	}
	return q.s.store.setProps(ctx, r.place(), changes)
}

func (q *request) applyToFile(ctx context.Context, r *resource, changes []propChange) error {
	h := q.s.home(r.owner)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := q.mayChange(r.state(), modifies(q.at)); err != nil {
		return err
	}
	if t, ok := modifiedTime(changes); ok && r.kind == kindFile {
		if err := q.touch(r.file, t); err != nil {
			return err
		}
	}
	return q.s.store.setProps(ctx, r.place(), changes)
}

// modifiedTime finds the time that Windows' explorer gives a file it copied.
func modifiedTime(changes []propChange) (time.Time, bool) {
	for _, c := range changes {
		if c.name == (xml.Name{Space: "urn:schemas-microsoft-com:", Local: "Win32LastModifiedTime"}) && c.xml != "" {
			t, err := http.ParseTime(deadProp(c).text())
			return t, err == nil
		}
	}
	return time.Time{}, false
}
