package davsrv

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/xml"
	"net/http"
	"path"
	"strings"

	"pic/core/state"
)

// Bounds of the properties that clients keep on one resource.
const (
	maxProps     = 100
	maxPropName  = 1 << 10 // bytes, namespace and local name
	maxPropValue = 64 << 10
)

// Properties that clients may set and that mean something here.
var (
	calendarColor = xml.Name{Space: nsApple, Local: "calendar-color"}
	calendarZone  = cal("calendar-timezone")
)

// A place is where a resource's properties are kept: it begins with c for
// members of collections, f for files.
type place string

// placeOf is the place of an object; of the collection itself where name is
// empty.
func placeOf(id uint64, name string) place {
	return place(binary.BigEndian.AppendUint64([]byte{'c'}, id)) + place(name)
}

// placeOfFile is the place of a path below a user's files, "." for all of them.
func placeOfFile(owner, name string) place {
	return place("f" + owner + "\x00" + path.Clean("/"+name))
}

// key is the row of a property; without a name the prefix of all.
func (p place) key(name string) []byte {
	return append([]byte{keyProperty}, string(p)+"\x00"+name...)
}

func (p place) property(n xml.Name) []byte { return p.key(n.Space + "\x00" + n.Local) }

// A deadProp is a property as its client set it: an element that stands by
// itself.
type deadProp struct {
	name xml.Name
	xml  string
}

// text is the character data of the property.
func (p deadProp) text() string {
	n, err := readXML(strings.NewReader(p.xml), maxPropValue)
	if err != nil {
		return ""
	}
	return n.content()
}

// readProps returns the properties of one place.
func readProps(r state.Reader, p place) []deadProp {
	var out []deadProp
	prefix := p.key("")
	for k, v := range r.Scan(prefix, nil) {
		space, local, _ := bytes.Cut(k[len(prefix):], []byte{0})
		out = append(out, deadProp{xml.Name{Space: string(space), Local: string(local)}, string(v)})
	}
	return out
}

// props returns the properties of several places in one view.
func (st *store) props(places ...place) ([][]deadProp, error) {
	out := make([][]deadProp, len(places))
	err := st.space.View(func(r state.Reader) error {
		for i, p := range places {
			out[i] = readProps(r, p)
		}
		return nil
	})
	return out, err
}

// A propChange sets a property, or removes it where xml is empty.
type propChange struct {
	name xml.Name
	xml  string
}

func setNode(n *node) propChange {
	x := newXMLWriter()
	defer x.free()
	x.standalone(n)
	return propChange{n.name, x.buf.String()}
}

func setText(name xml.Name, text string) propChange {
	return setNode(&node{name: name, kids: []*node{{text: text}}})
}

func asChanges(props []deadProp) []propChange {
	var out []propChange
	for _, p := range props {
		out = append(out, propChange(p))
	}
	return out
}

var errPropSpace = refuse(http.StatusInsufficientStorage, "The properties of the resource are too many or too large.")

// checkProps refuses changes out of bounds.
func checkProps(changes []propChange) error {
	for _, c := range changes {
		if len(c.xml) > maxPropValue || len(c.name.Space)+len(c.name.Local) > maxPropName {
			return errPropSpace
		}
	}
	return nil
}

// changeProps applies all changes to one place, in order.
func changeProps(w state.Writer, p place, changes []propChange) error {
	if len(changes) == 0 {
		return nil
	}
	if err := checkProps(changes); err != nil {
		return err
	}
	for _, c := range changes {
		var err error
		if c.xml == "" {
			err = w.Delete(p.property(c.name))
		} else {
			err = w.Put(p.property(c.name), []byte(c.xml))
		}
		if err != nil {
			return err
		}
	}
	n := 0
	for range w.Scan(p.key(""), nil) {
		if n++; n > maxProps {
			return errPropSpace
		}
	}
	return nil
}

// setProps changes the properties of a place.
func (st *store) setProps(ctx context.Context, p place, changes []propChange) error {
	return st.space.Update(ctx, func(w state.Writer) error { return changeProps(w, p, changes) })
}

// setCollectionProps changes those of a collection, whose tags change with them.
func (st *store) setCollectionProps(ctx context.Context, id uint64, changes []propChange) error {
	return st.space.Update(ctx, func(w state.Writer) error {
		if err := touched(w, id); err != nil {
			return err
		}
		return changeProps(w, placeOf(id, ""), changes)
	})
}

// below yields the prefixes of all property rows at a file's place and beneath.
func (p place) below() [][]byte {
	return [][]byte{p.key(""), append([]byte{keyProperty}, strings.TrimSuffix(string(p), "/")+"/"...)}
}

// hasProps reports whether a file or anything beneath it has properties.
func (st *store) hasProps(p place) (bool, error) {
	found := false
	err := st.space.View(func(r state.Reader) error {
		for _, prefix := range p.below() {
			for range r.Scan(prefix, nil) {
				found = true
				return nil
			}
		}
		return nil
	})
	return found, err
}

// dropProps forgets the properties of a file and all beneath it.
func (st *store) dropProps(ctx context.Context, p place) error {
	if has, err := st.hasProps(p); err != nil || !has {
		return err
	}
	return st.space.Update(ctx, func(w state.Writer) error { return dropBelow(w, p) })
}

func dropBelow(w state.Writer, p place) error {
	for _, prefix := range p.below() {
		if err := clear(w, prefix); err != nil {
			return err
		}
	}
	return nil
}

// A reach says how much of a tree an operation is about.
type reach int

const (
	alone   reach = iota // the resource itself
	beneath              // and all below it
)

// A verb is what becomes of the source of a transfer.
type verb int

const (
	copies verb = iota
	moves
)

// carryProps replaces the properties at the place to with those from the place
// from.
func (st *store) carryProps(ctx context.Context, from, to place, how reach, what verb) error {
	a, err := st.hasProps(from)
	if err != nil {
		return err
	}
	b, err := st.hasProps(to)
	if err != nil || !a && !b {
		return err
	}
	return st.space.Update(ctx, func(w state.Writer) error {
		type row struct{ k, v []byte }
		var rows []row
		prefixes := from.below()
		if how == alone {
			prefixes = prefixes[:1]
		}
		for _, prefix := range prefixes {
			for k, v := range w.Scan(prefix, nil) {
				tail := k[1+len(from):]
				rows = append(rows, row{append([]byte{keyProperty}, string(to)+string(tail)...), bytes.Clone(v)})
			}
		}
		if err := dropBelow(w, to); err != nil {
			return err
		}
		if what == moves {
			if err := dropBelow(w, from); err != nil {
				return err
			}
		}
		for _, r := range rows {
			if err := w.Put(r.k, r.v); err != nil {
				return err
			}
		}
		return nil
	})
}
