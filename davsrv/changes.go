package davsrv

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"pic/core/state"
)

// A change is what became of a member of a collection.
type change struct {
	rev    uint64
	name   string
	object *object // nil: it was deleted
}

var errSyncToken = violates(http.StatusForbidden, dav("valid-sync-token"), "The sync token is not of this collection or too old; start again without one.")

// readSyncToken returns the change that a token of the collection names.
func (c *collection) readSyncToken(token string) (uint64, error) {
	var id, rev uint64
	if n, err := fmt.Sscanf(token, "urn:x-pic:sync:%d:%d", &id, &rev); n != 2 || err != nil || id != c.id || c.syncToken(rev) != strings.TrimSpace(token) {
		return 0, errSyncToken
	}
	return rev, nil
}

// changes lists what happened after the change since, oldest first, each member
// once with its last change; since 0 lists what is there. There are at most
// limit; more tells of further ones. rev is the change that the list reaches.
func (st *store) changes(id, since uint64, limit int, choose pick) (list []change, rev uint64, more bool, err error) {
	err = st.space.View(func(r state.Reader) error {
		n, err := decodeCounters(r.Get(key(keyCounters, id, "")))
		if err != nil {
			return errNoCollection
		}
		if since > n.rev || since > 0 && since < n.floor {
			return errSyncToken
		}
		for k, v := range r.Scan(key(keyChange, id, ""), keyRev(keyChange, id, since+1)) {
			if len(list) > limit {
				break
			}
			list = append(list, change{rev: binary.BigEndian.Uint64(k[9:]), name: string(v)})
		}
		if since > 0 {
			gone := 0
			for k, v := range r.Scan(key(keyGone, id, ""), keyRev(keyGone, id, since+1)) {
				if gone++; gone > limit+1 {
					break
				}
				list = append(list, change{rev: binary.BigEndian.Uint64(k[9:]), name: string(v[8:])})
			}
		}
		slices.SortFunc(list, func(a, b change) int { return cmp.Compare(a.rev, b.rev) })
		rev = n.rev
		if len(list) > limit {
			list, more = list[:limit], true
			rev = list[limit-1].rev
		}
		size := 0
		for i := range list {
			o, err := readObject(r, id, list[i].name)
			if err != nil {
				return err
			}
			if o == nil || o.rev != list[i].rev {
				continue
			}
			if choose == whole {
				o.raw = slices.Clone(r.Get(key(keyRaw, id, o.name)))
				if size += len(o.raw); size > pageBytes && i+1 < len(list) {
					list[i].object = o
					list, more, rev = list[:i+1], true, list[i].rev
					return nil
				}
			}
			list[i].object = o
		}
		return nil
	})
	return list, rev, more, err
}

// A transfer is a COPY or MOVE of one object.
type transfer struct {
	from, to         *collection
	fromName, toName string
	verb             verb
	// check refuses, given the source and what is at the destination or nil.
	check func(src, dst *object) error
}

// transfer copies or moves an object. It reports whether the destination is new.
func (st *store) transfer(ctx context.Context, t transfer) (created bool, err error) {
	err = st.space.Update(ctx, func(w state.Writer) error {
		src, err := readObject(w, t.from.id, t.fromName)
		if err != nil || src == nil {
			return orElse(err, errNoObject)
		}
		dst, err := readObject(w, t.to.id, t.toName)
		if err != nil {
			return err
		}
		if err := t.check(src, dst); err != nil {
			return err
		}
		created = dst == nil
		src.raw = slices.Clone(w.Get(key(keyRaw, t.from.id, src.name)))
		props := readProps(w, placeOf(t.from.id, src.name))
		if dst != nil {
			if err := within(w, t.to.id, func(c *writing) error { return c.delete(dst) }); err != nil {
				return err
			}
		}
		if t.verb == moves {
			if err := within(w, t.from.id, func(c *writing) error { return c.delete(src) }); err != nil {
				return err
			}
		}
		o := *src
		o.name = t.toName
		if err := within(w, t.to.id, func(c *writing) error { return c.put(t.to, &o, nil) }); err != nil {
			return err
		}
		return changeProps(w, placeOf(t.to.id, t.toName), asChanges(props))
	})
	return created, err
}

func within(w state.Writer, id uint64, fn func(*writing) error) error {
	c, err := begin(w, id)
	if err != nil {
		return err
	}
	if err := fn(c); err != nil {
		return err
	}
	return c.end()
}
