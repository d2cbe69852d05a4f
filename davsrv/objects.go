package davsrv

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/http"
	"time"

	"pic/core/state"
)

var errNoObject = refuse(http.StatusNotFound, "There is nothing at this address.")

// readObject returns the row, or nil where there is none.
func readObject(r state.Reader, id uint64, name string) (*object, error) {
	b := r.Get(key(keyObject, id, name))
	if b == nil {
		return nil, nil
	}
	return decodeObject(name, b)
}

// object returns an object with its bytes, or errNoObject.
func (st *store) object(id uint64, name string) (*object, error) {
	var o *object
	err := st.space.View(func(r state.Reader) (err error) {
		if o, err = readObject(r, id, name); o == nil || err != nil {
			return orElse(err, errNoObject)
		}
		o.raw = bytes.Clone(r.Get(key(keyRaw, id, name)))
		return nil
	})
	return o, err
}

// orElse is err, or otherwise where that is nil.
func orElse(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// A pick says what of an object a listing needs.
type pick int

const (
	skip    pick = iota
	rowOnly      // what is known without its bytes
	whole
)

// Bounds of one page of a listing.
const (
	pageRows  = 500
	pageBytes = 1 << 20
)

// page lists objects by name from the one after on. It returns the name to go
// on after, empty at the end. Pages are separate views, so that a slow client
// never holds one.
func (st *store) page(id uint64, after string, choose func(*object) pick) (out []*object, next string, err error) {
	err = st.space.View(func(r state.Reader) error {
		prefix := key(keyObject, id, "")
		from := prefix
		if after != "" {
			from = key(keyObject, id, after+"\x00")
		}
		rows, size := 0, 0
		for k, v := range r.Scan(prefix, from) {
			if rows++; rows > pageRows*4 || len(out) >= pageRows || size >= pageBytes {
				return nil
			}
			o, err := decodeObject(string(k[9:]), v)
			if err != nil {
				return err
			}
			next = o.name
			switch choose(o) {
			case skip:
				continue
			case whole:
				o.raw = bytes.Clone(r.Get(key(keyRaw, id, o.name)))
				size += len(o.raw)
			}
			out = append(out, o)
		}
		next = ""
		return nil
	})
	return out, next, err
}

// A writing is one change of a collection's objects within a transaction.
type writing struct {
	w  state.Writer
	id uint64
	n  counters
}

func (st *store) writing(ctx context.Context, id uint64, fn func(*writing) error) error {
	return st.space.Update(ctx, func(w state.Writer) error {
		c, err := begin(w, id)
		if err != nil {
			return err
		}
		if err := fn(c); err != nil {
			return err
		}
		return c.end()
	})
}

func begin(w state.Writer, id uint64) (*writing, error) {
	n, err := decodeCounters(w.Get(key(keyCounters, id, "")))
	if err != nil {
		return nil, refuse(http.StatusConflict, "The collection was deleted meanwhile.")
	}
	return &writing{w, id, n}, nil
}

func (c *writing) end() error { return c.w.Put(key(keyCounters, c.id, ""), c.n.encode()) }

// put stores an object unless check refuses. check gets the object that is
// there, or nil. Bytes that are there already count as stored.
func (st *store) put(ctx context.Context, c *collection, name string, d *draft, check func(*object) error) (o *object, created bool, err error) {
	o = &object{
		name: name, sum: sumOf(d.raw), size: int64(len(d.raw)), modified: time.Now(),
		comp: d.comp, uid: d.uid, span: d.span, raw: d.raw,
	}
	err = st.writing(ctx, c.id, func(w *writing) error {
		old, err := readObject(w.w, c.id, name)
		if err != nil {
			return err
		}
		if err := check(old); err != nil {
			return err
		}
		created = old == nil
		if old != nil && old.sum == o.sum {
			o.modified, o.rev = old.modified, old.rev
			return nil
		}
		return w.put(c, o, old)
	})
	return o, created, err
}

// put writes o over old, which is nil where there is none.
func (c *writing) put(coll *collection, o, old *object) error {
	conflict := cal("no-uid-conflict")
	if coll.Shelf == shelfContacts {
		conflict = card("no-uid-conflict")
	}
	if other := c.w.Get(key(keyUID, c.id, o.uid)); other != nil && string(other) != o.name {
		return &refusal{http.StatusConflict, conflict, coll.href() + pathEscape(string(other)), "Another object of the collection has the same UID."}
	}
	if old != nil && old.uid != o.uid {
		return &refusal{http.StatusConflict, conflict, coll.href() + pathEscape(o.name), "An object cannot change its UID."}
	}
	if old == nil {
		if c.n.count >= maxObjects {
			return refuse(http.StatusInsufficientStorage, "The collection is full.")
		}
		c.n.count++
		if err := c.forgetGone(o.name); err != nil {
			return err
		}
	} else if err := c.w.Delete(keyRev(keyChange, c.id, old.rev)); err != nil {
		return err
	}
	c.n.rev++
	o.rev = c.n.rev
	for _, row := range [][2][]byte{
		{key(keyObject, c.id, o.name), o.encode()},
		{key(keyRaw, c.id, o.name), o.raw},
		{key(keyUID, c.id, o.uid), []byte(o.name)},
		{keyRev(keyChange, c.id, o.rev), []byte(o.name)},
	} {
		if err := c.w.Put(row[0], row[1]); err != nil {
			return err
		}
	}
	return nil
}

// forgetGone drops the note that an object of that name was deleted.
func (c *writing) forgetGone(name string) error {
	at := key(keyGoneName, c.id, name)
	rev := c.w.Get(at)
	if len(rev) != 8 {
		return nil
	}
	if err := c.w.Delete(keyRev(keyGone, c.id, binary.BigEndian.Uint64(rev))); err != nil {
		return err
	}
	return c.w.Delete(at)
}

// delete removes an object unless check refuses.
func (st *store) delete(ctx context.Context, id uint64, name string, check func(*object) error) error {
	return st.writing(ctx, id, func(w *writing) error {
		old, err := readObject(w.w, id, name)
		if err != nil {
			return err
		}
		if old == nil {
			return errNoObject
		}
		if err := check(old); err != nil {
			return err
		}
		return w.delete(old)
	})
}

func (c *writing) delete(o *object) error {
	for _, k := range [][]byte{
		key(keyObject, c.id, o.name), key(keyRaw, c.id, o.name), key(keyUID, c.id, o.uid), keyRev(keyChange, c.id, o.rev),
	} {
		if err := c.w.Delete(k); err != nil {
			return err
		}
	}
	if err := clear(c.w, placeOf(c.id, o.name).key("")); err != nil {
		return err
	}
	c.n.rev++
	c.n.count--
	now := time.Now()
	if err := c.w.Put(keyRev(keyGone, c.id, c.n.rev), append(binary.BigEndian.AppendUint64(nil, uint64(now.Unix())), o.name...)); err != nil {
		return err
	}
	if err := c.w.Put(key(keyGoneName, c.id, o.name), binary.BigEndian.AppendUint64(nil, c.n.rev)); err != nil {
		return err
	}
	return c.prune(now)
}

// Tombstones are kept for clients that come back after a holiday.
const (
	keepGone   = 180 * 24 * time.Hour
	pruneAtMax = 64
)

// prune forgets the oldest deletions; sync tokens from before them end.
func (c *writing) prune(now time.Time) error {
	n := 0
	for k, v := range c.w.Scan(key(keyGone, c.id, ""), nil) {
		if n++; n > pruneAtMax || len(v) < 8 || len(k) != 17 {
			return nil
		}
		if now.Sub(time.Unix(int64(binary.BigEndian.Uint64(v)), 0)) < keepGone {
			return nil
		}
		rev := binary.BigEndian.Uint64(k[9:])
		name := string(v[8:])
		c.n.floor = max(c.n.floor, rev)
		if err := c.w.Delete(bytes.Clone(k)); err != nil {
			return err
		}
		if err := c.w.Delete(key(keyGoneName, c.id, name)); err != nil {
			return err
		}
	}
	return nil
}
