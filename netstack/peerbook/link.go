package peerbook

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"pic/core/state"
)

var (
	// ErrLink says that a link opens nothing.
	ErrLink = errors.New("this link is not valid: it was used or replaced, or its time is over; ask for a new one")
	// ErrTries says that somebody tried too many links.
	ErrTries = errors.New("too many links were tried from here; wait ten minutes")
)

// A Link lets a device enrol, once, without signing in.
type Link struct {
	PublicKey string    `json:"publicKey"` // the peer's when the link was made
	By        string    `json:"by"`        // who made it
	Endpoint  string    `json:"endpoint,omitempty"`
	Created   time.Time `json:"created"`
	Expires   time.Time `json:"expires"`
	Used      time.Time `json:"used,omitzero"`
}

func linkKey(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return []byte("l/" + hex.EncodeToString(sum[:]))
}

// NewLink makes a link for the peer with l's public key, in place of one that it
// had. The token, 260 random bits, is returned this once.
func (b *Book) NewLink(ctx context.Context, l Link) (token string, err error) {
	token = strings.ToLower(rand.Text() + rand.Text())
	err = b.Space.Update(ctx, func(w state.Writer) error {
		if err := dropLinks(w, func(o Link) bool { return o.PublicKey == l.PublicKey }); err != nil {
			return err
		}
		return put(w, linkKey(token), l)
	})
	if err != nil {
		return "", fmt.Errorf("keeping the link: %w", err)
	}
	return token, nil
}

// Link returns the link of a token that from shows, without using it up. The error
// is [ErrLink], [ErrTries], or what went wrong.
func (b *Book) Link(token string, from netip.Addr) (Link, error) {
	now := time.Now()
	if !b.links.open(from, now) {
		return Link{}, ErrTries
	}
	var l Link
	err := b.Space.View(func(r state.Reader) (err error) {
		l, err = good(r, token, now)
		return err
	})
	if errors.Is(err, ErrLink) {
		b.links.fail(from)
	}
	return l, err
}

// UseLink uses a link up. Of all who try, one gets it; that it is used is kept when
// UseLink returns. Errors are as those of [Book.Link].
func (b *Book) UseLink(ctx context.Context, token string, from netip.Addr) (Link, error) {
	if l, err := b.Link(token, from); err != nil {
		return l, err // a wrong token is not worth a transaction
	}
	now := time.Now()
	var l Link
	err := b.Space.Update(ctx, func(w state.Writer) (err error) {
		if l, err = good(w, token, now); err != nil {
			return err
		}
		l.Used = now
		return put(w, linkKey(token), l)
	})
	if errors.Is(err, ErrLink) {
		b.links.fail(from)
	}
	return l, err
}

// FreeLink takes back that a link was used, where the device could not be let in
// after all.
func (b *Book) FreeLink(ctx context.Context, token string) error {
	return b.Space.Update(ctx, func(w state.Writer) error {
		var l Link
		if err := json.Unmarshal(w.Get(linkKey(token)), &l); err != nil {
			return ErrLink
		}
		l.Used = time.Time{}
		return put(w, linkKey(token), l)
	})
}

// OpenLinks returns when the links end that are still good, by the public keys of
// their peers.
func (b *Book) OpenLinks() (map[string]time.Time, error) {
	now, out := time.Now(), map[string]time.Time{}
	err := b.Space.View(func(r state.Reader) error {
		for _, v := range r.Scan([]byte("l/"), nil) {
			var l Link
			if err := json.Unmarshal(v, &l); err == nil && l.Used.IsZero() && now.Before(l.Expires) {
				out[l.PublicKey] = l.Expires
			}
		}
		return nil
	})
	return out, err
}

// DropLink makes the link of a peer worthless.
func (b *Book) DropLink(ctx context.Context, publicKey string) error {
	return b.Space.Update(ctx, func(w state.Writer) error {
		return dropLinks(w, func(l Link) bool { return l.PublicKey == publicKey })
	})
}

func dropLinks(w state.Writer, is func(Link) bool) error {
	for k, v := range w.Scan([]byte("l/"), nil) {
		var l Link
		if err := json.Unmarshal(v, &l); err != nil || is(l) {
			if err := w.Delete(slices.Clone(k)); err != nil {
				return err
			}
		}
	}
	return nil
}

// good finds the link of a token, if it is good. What a token hashes to tells
// nothing about others, so looking it up needs no constant time.
func good(r state.Reader, token string, now time.Time) (Link, error) {
	v := r.Get(linkKey(token))
	if v == nil {
		return Link{}, ErrLink
	}
	var l Link
	if err := json.Unmarshal(v, &l); err != nil || !l.Used.IsZero() || !now.Before(l.Expires) {
		return Link{}, ErrLink
	}
	return l, nil
}

const (
	freeTries  = 20               // of one source
	mostTrying = 2048             // sources that are counted
	window     = 10 * time.Minute // in which they count
)

// A door counts wrong tokens, each source's by themselves. No one guesses 260 bits;
// it keeps who tries from costing the cell more than a look at a table. There is no
// limit for all together: whoever has many addresses would shut the door for the
// household with it. Of more sources than the table has room for, the later ones
// are not counted in this window; a wrong token of theirs is a look in vain.
type door struct {
	mu    sync.Mutex
	began time.Time
	tries map[netip.Prefix]int
}

// sourceOf is what counts as one source: whoever has one IPv6 address usually has
// its whole /64.
func sourceOf(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // none for no address: the cell's own socket
	return p
}

func (d *door) open(from netip.Addr, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Sub(d.began) > window {
		d.began = now
		clear(d.tries)
	}
	return d.tries[sourceOf(from)] < freeTries
}

func (d *door) fail(from netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	source := sourceOf(from)
	if _, known := d.tries[source]; known || len(d.tries) < mostTrying {
		d.tries[source]++
	}
}
