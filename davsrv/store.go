package davsrv

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"pic/core/state"
)

// A shelf is a kind of collection.
type shelf string

const (
	shelfCalendar shelf = "calendar"
	shelfContacts shelf = "contacts"
)

func (s shelf) letter() byte { return s[2] } // l and n

// tree is where collections of this kind live.
func (s shelf) tree() tree {
	if s == shelfCalendar {
		return treeCalendars
	}
	return treeContacts
}

// first is the name of the collection that everybody gets.
func (s shelf) first() string {
	if s == shelfCalendar {
		return "personal"
	}
	return "contacts"
}

// Bounds of what one user keeps.
const (
	maxCollections = 100     // of one kind
	maxObjects     = 100_000 // of one collection
)

// A store keeps calendars, address books and their objects in the state. One
// change of an object is one transaction: bytes, row, UID and change log can
// never disagree.
type store struct {
	space *state.Space
}

// A collection is a calendar or an address book at one moment.
type collection struct {
	id      uint64
	Owner   string    `json:"owner"`
	Shelf   shelf     `json:"shelf"`
	Name    string    `json:"name"`            // last segment of its URL
	Comps   []string  `json:"comps,omitempty"` // components that a calendar takes
	Created time.Time `json:"created"`
	counters
}

func (c *collection) href() string { return hrefDir(string(c.Shelf.tree()), c.Owner, c.Name) }

func (c *collection) place() place { return placeOf(c.id, "") }

// syncToken names the state of the collection after the change rev.
func (c *collection) syncToken(rev uint64) string {
	return fmt.Sprintf("urn:x-pic:sync:%d:%d", c.id, rev)
}

var errNoCollection = refuse(http.StatusNotFound, "There is no such collection.")

func readCollection(r state.Reader, id uint64) (*collection, error) {
	c := &collection{id: id}
	if err := json.Unmarshal(r.Get(key(keyMeta, id, "")), c); err != nil {
		return nil, fmt.Errorf("collection %d: %w", id, err)
	}
	var err error
	c.counters, err = decodeCounters(r.Get(key(keyCounters, id, "")))
	return c, err
}

// collection returns the collection at a place or errNoCollection.
func (st *store) collection(owner string, s shelf, name string) (*collection, error) {
	var c *collection
	err := st.space.View(func(r state.Reader) error {
		id := r.Get(keyOwner(keyName, owner, s, name))
		if len(id) != 8 {
			return errNoCollection
		}
		var err error
		c, err = readCollection(r, binary.BigEndian.Uint64(id))
		return err
	})
	return c, err
}

// collections lists those of one owner and kind, by name. A user's first look
// makes the first of them.
func (st *store) collections(ctx context.Context, owner string, s shelf) ([]*collection, error) {
	if err := st.furnish(ctx, owner, s); err != nil {
		return nil, err
	}
	var out []*collection
	err := st.space.View(func(r state.Reader) error {
		var err error
		out, err = list(r, keyOwner(keyName, owner, s, ""))
		return err
	})
	return out, err
}

// all lists every collection of the cell, by owner, kind and name.
func (st *store) all() ([]*collection, error) {
	var out []*collection
	err := st.space.View(func(r state.Reader) error {
		var err error
		out, err = list(r, []byte{keyName})
		return err
	})
	return out, err
}

func list(r state.Reader, prefix []byte) ([]*collection, error) {
	var out []*collection
	for _, id := range r.Scan(prefix, nil) {
		if len(id) != 8 {
			return nil, errRow
		}
		c, err := readCollection(r, binary.BigEndian.Uint64(id))
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// furnish gives a user the first collection of a kind, once.
func (st *store) furnish(ctx context.Context, owner string, s shelf) error {
	flag := keyOwner(keyFurnished, owner, s, "")
	done := false
	if err := st.space.View(func(r state.Reader) error {
		done = r.Get(flag) != nil
		return nil
	}); err != nil || done {
		return err
	}
	return st.space.Update(ctx, func(w state.Writer) error {
		if w.Get(flag) != nil {
			return nil
		}
		if err := w.Put(flag, []byte{1}); err != nil {
			return err
		}
		c := &collection{Owner: owner, Shelf: s, Name: s.first(), Comps: defaultComps(s)}
		var props []propChange
		if s == shelfCalendar {
			props = []propChange{setText(dav("displayname"), "Personal"), setText(calendarColor, "#1E7E5AFF")}
		} else {
			props = []propChange{setText(dav("displayname"), "Contacts")}
		}
		return create(w, c, props)
	})
}

// defaultComps are the components that a calendar takes unless its maker said
// which.
func defaultComps(s shelf) []string {
	if s == shelfCalendar {
		return []string{"VEVENT", "VTODO", "VJOURNAL"}
	}
	return nil
}

// create makes a collection with properties.
func (st *store) create(ctx context.Context, c *collection, props []propChange) error {
	return st.space.Update(ctx, func(w state.Writer) error { return create(w, c, props) })
}

func create(w state.Writer, c *collection, props []propChange) error {
	at := keyOwner(keyName, c.Owner, c.Shelf, c.Name)
	if w.Get(at) != nil {
		return violates(http.StatusMethodNotAllowed, dav("resource-must-be-null"), "There is something at this address already.")
	}
	n := 0
	for range w.Scan(keyOwner(keyName, c.Owner, c.Shelf, ""), nil) {
		n++
	}
	if n >= maxCollections {
		return refuse(http.StatusInsufficientStorage, "There are too many collections; delete one first.")
	}
	var err error
	if c.id, err = w.Next(); err != nil {
		return err
	}
	c.Created = time.Now().UTC().Truncate(time.Second)
	c.counters = counters{rev: 1}
	meta, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := w.Put(at, binary.BigEndian.AppendUint64(nil, c.id)); err != nil {
		return err
	}
	if err := w.Put(key(keyMeta, c.id, ""), meta); err != nil {
		return err
	}
	if err := w.Put(key(keyCounters, c.id, ""), c.encode()); err != nil {
		return err
	}
	return changeProps(w, c.place(), props)
}

// remove deletes a collection and all that is in it, unless check refuses.
func (st *store) remove(ctx context.Context, c *collection, check func(*collection) error) error {
	return st.space.Update(ctx, func(w state.Writer) error {
		at := keyOwner(keyName, c.Owner, c.Shelf, c.Name)
		id := w.Get(at)
		if len(id) != 8 || binary.BigEndian.Uint64(id) != c.id {
			return errNoCollection
		}
		now, err := readCollection(w, c.id)
		if err != nil {
			return err
		}
		if err := check(now); err != nil {
			return err
		}
		if err := w.Delete(at); err != nil {
			return err
		}
		for _, kind := range []byte{keyMeta, keyCounters, keyObject, keyRaw, keyUID, keyChange, keyGone, keyGoneName} {
			if err := clear(w, key(kind, c.id, "")); err != nil {
				return err
			}
		}
		return clear(w, append([]byte{keyProperty}, c.place()...))
	})
}

// clear deletes all rows whose key begins with prefix.
func clear(w state.Writer, prefix []byte) error {
	for k := range w.Scan(prefix, nil) {
		if err := w.Delete(bytes.Clone(k)); err != nil {
			return err
		}
	}
	return nil
}

// touched counts a change of the collection itself, so that its tags differ.
func touched(w state.Writer, id uint64) error {
	at := key(keyCounters, id, "")
	n, err := decodeCounters(w.Get(at))
	if err != nil {
		return errNoCollection
	}
	n.rev++
	return w.Put(at, n.encode())
}
