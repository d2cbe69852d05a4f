// Package peerbook remembers what the cell finds out about the devices of its VPN,
// and does what is due with them.
//
// It looks at the tunnel every second. From that it knows who is connected, how
// much each device carries now and carried by minute, hour and day, and where each
// was heard from last, over restarts of the cell. The timeline is told of devices
// that come and go, and of those whose time ends. A device that changes its keys
// has the next ones made its own when it first uses them, or when the time for
// that is over. It also keeps what each device was given last ([Book.Given]) and
// the one-time links by which devices enrol ([Book.NewLink]).
//
// Promises: a link and what was given are on stable storage when the method
// returns; a link is good once, whoever asks at the same time and whatever kills
// the cell. Only the hash of a link's token is kept, and nothing secret else. What
// was counted within the last minute is lost with kill -9.
//
// Everything is kept by the device's public key. A peer of the document that gets
// another key takes its history along. What belongs to no peer any more goes after
// 30 days.
//
// Layout of its key space, with KEY for the public key in base64:
//
//	p/KEY            the record of a peer, JSON
//	h/KEY/LEVEL TIME counts of a span of time, see history.go
//	l/HASH           a link, by the SHA-256 of its token in hexadecimal, JSON
package peerbook

import (
	"context"
	"log/slog"
	"net/netip"
	"reflect"
	"sync"
	"time"

	"pic/core/config"
	"pic/core/event"
	"pic/core/service"
	"pic/core/state"
)

// Config is what the book needs of the document. [From] derives it.
type Config struct {
	On    bool
	Peers []Peer
}

// A Peer is a device of the document.
type Peer struct {
	Name      string
	PublicKey string
	Disabled  bool      // it is shut out, by its owner or because its time is over
	Expires   time.Time // zero: never
	Next      string    // public key that is to take the place of the present one; empty: none
	Until     time.Time // when that happens in any case
}

// From picks the book's Config out of the resolved document.
func From(d *config.Document) Config {
	c := Config{On: config.On(d.WireGuard.Enabled)}
	for _, p := range d.Peers {
		c.Peers = append(c.Peers, Peer{p.Name, p.PublicKey, p.Disabled, p.Expires, p.Next.PublicKey, p.Next.Until})
	}
	return c
}

// Seen is what the tunnel tells of a device.
type Seen struct {
	PublicKey string
	Endpoint  netip.AddrPort
	Handshake time.Time // zero: none since the tunnel came up
	Rx, Tx    uint64    // bytes from and to the device since then
}

// Options are what a Book works with. All are required.
type Options struct {
	Log    *slog.Logger
	Space  *state.Space
	Events *event.Log
	// Look asks the tunnel for its devices.
	Look func() []Seen
	// Take makes the next keys of the peer of that name its own, where next still
	// is their public key.
	Take func(ctx context.Context, name, next string) error
}

// A Book is the memory of the VPN. Use [New]. It is a service.Server, and its
// methods are safe for concurrent use.
type Book struct {
	Options
	links door

	mu     sync.Mutex
	conf   Config
	loaded bool
	known  map[string]*entry // by public key
	minute time.Time         // being counted; zero before the first look
}

// An entry is what is known of one key: its record, and what is not kept.
type entry struct {
	record
	dirty   bool
	sampled bool      // what follows holds
	at      time.Time // of the last look
	rx, tx  uint64    // counters then
	rxRate  float64   // bytes a second
	txRate  float64
	sum     count     // of the minute, not yet kept
	seen    time.Time // the last handshake of this run
}

// New returns an empty book. It does no I/O.
func New(o Options) *Book {
	return &Book{Options: o, known: map[string]*entry{}, links: door{tries: map[netip.Prefix]int{}}}
}

// Check accepts everything.
func (b *Book) Check(context.Context, Config) error { return nil }

// Apply follows the document. A peer whose key is another takes along what was
// known of it.
func (b *Book) Apply(ctx context.Context, c Config) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.load(); err != nil {
		return err
	}
	if reflect.DeepEqual(b.conf, c) {
		return nil
	}
	before := map[string]string{}
	for _, p := range b.conf.Peers {
		before[p.Name] = p.PublicKey
	}
	moved := map[string]string{}
	kept := map[string]bool{}
	for _, p := range c.Peers {
		kept[p.PublicKey] = true
	}
	for _, p := range c.Peers {
		if old := before[p.Name]; old != "" && old != p.PublicKey && !kept[old] {
			moved[old] = p.PublicKey
		}
	}
	if len(moved) > 0 {
		if err := b.move(ctx, moved); err != nil {
			return err
		}
	}
	b.conf = c
	return nil
}

// pace is how often the tunnel is looked at, unless that takes long: then it is
// done less often, so that it costs at most a twentieth of a processor.
const pace = time.Second

// Run looks and counts until ctx is done.
func (b *Book) Run(ctx context.Context) error {
	wait := time.NewTimer(0)
	defer wait.Stop()
	swept := time.Time{}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-wait.C:
			began := time.Now()
			b.look(ctx, began)
			if began.Sub(swept) > 24*time.Hour {
				swept = began
				b.sweep(ctx, began)
			}
			wait.Reset(max(pace, 20*time.Since(began)))
		}
	}
	b.flush(context.WithoutCancel(ctx), time.Now())
	return nil
}

// Problems has none of its own; the tunnel has them.
func (b *Book) Problems() []service.Problem { return nil }

// Sockets is empty.
func (b *Book) Sockets() []string { return nil }

// Facts are none that the tunnel does not tell.
func (b *Book) Facts() []service.Fact { return nil }

// Known is what is known of a device.
type Known struct {
	Endpoint       netip.AddrPort // where it was heard from last, whenever that was
	Handshake      time.Time      // the last one, whenever that was
	Rx, Tx         uint64         // bytes from and to it, ever
	RxRate, TxRate float64        // bytes a second, now
}

// Known returns what is known of the device with that public key, zero where
// nothing is.
func (b *Book) Known(key string) Known {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.known[key]
	if e == nil {
		return Known{}
	}
	return Known{e.Endpoint, e.Handshake, e.Rx, e.Tx, e.rxRate, e.txRate}
}
