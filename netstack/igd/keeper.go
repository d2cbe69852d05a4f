package igd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

// A Method is how the router upstream was asked.
type Method string

const (
	ByPCP  Method = "PCP"
	ByPMP  Method = "NAT-PMP"
	ByUPnP Method = "UPnP"
)

// A Wish is the port that a [Keeper] is to keep open.
type Wish struct {
	Protocol uint8  // TCP or UDP
	Port     uint16 // here, and there if it is free
	Name     string // shown by the router
	Exact    bool   // another port there is of no use
}

// String is the port as people write it.
func (w Wish) String() string {
	if w.Protocol == TCP {
		return fmt.Sprintf("TCP %d", w.Port)
	}
	return fmt.Sprintf("UDP %d", w.Port)
}

// A Result is a wish, and what became of it.
type Result struct {
	Wish  Wish
	State State
}

// A Way is how the cell reaches the router.
type Way struct {
	Gateway netip.Addr
	Local   netip.Addr // the cell's address in that network
}

// A State is what a [Keeper] has reached.
type State struct {
	Method   Method         // empty: no port is open
	Gateway  netip.Addr     // that was asked
	External netip.AddrPort // where the internet finds the port; the address may be missing
	Until    time.Time
	Error    string // why there is none, in a sentence
}

// Shared reports whether the router's own address is none of the internet's: a
// provider's NAT (RFC 6598) or another router is before it, and an open port
// there opens nothing.
func (s State) Shared() bool {
	a := s.External.Addr()
	return a.IsValid() && (a.IsPrivate() || shared.Contains(a) || a.IsLinkLocalUnicast() || a.IsLoopback())
}

// Carrier reports whether a is one of those that providers share between customers
// (RFC 6598).
func Carrier(a netip.Addr) bool { return shared.Contains(a) }

var shared = netip.MustParsePrefix("100.64.0.0/10")

const (
	life      = 2 * time.Hour // what is asked for
	retryOpen = 5 * time.Minute
	retryMost = time.Hour
	leastHold = 30 * time.Second
)

// A Keeper keeps a port of the router upstream open. Use [NewKeeper].
type Keeper struct {
	log  *slog.Logger
	way  func() (Way, error)
	wish Wish
	poke chan struct{}

	mu    sync.Mutex
	state State
}

// NewKeeper returns a keeper of a port. way tells how the router is reached now.
func NewKeeper(log *slog.Logger, wish Wish, way func() (Way, error)) *Keeper {
	return &Keeper{log: log, wish: wish, way: way, poke: make(chan struct{}, 1)}
}

// State returns what has been reached.
func (k *Keeper) State() State {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state
}

// Result returns what is kept, and what has been reached.
func (k *Keeper) Result() Result { return Result{k.wish, k.State()} }

// Again has the router asked anew soon, as after a change of addresses.
func (k *Keeper) Again() {
	select {
	case k.poke <- struct{}{}:
	default:
	}
}

// A grip is a port that is open by one of the methods.
type grip interface {
	// renew asks for it once more.
	renew(ctx context.Context) (external netip.AddrPort, life time.Duration, err error)
	release(ctx context.Context)
}

// Run keeps the port open until ctx is done, and then gives it back.
func (k *Keeper) Run(ctx context.Context) {
	var hold grip
	var at Way
	defer func() {
		if hold != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			hold.release(ctx)
		}
	}()
	wait := retryOpen
	for {
		way, err := k.way()
		if err == nil && hold != nil && way != at {
			hold = nil // another network: nothing to give back there
		}
		var st State
		if err == nil {
			at = way
			st, hold, err = k.hold(ctx, way, hold)
		}
		if ctx.Err() != nil {
			return
		}
		next := wait
		if err != nil {
			st = State{Gateway: way.Gateway, External: netip.AddrPortFrom(st.External.Addr(), 0), Error: err.Error()}
			wait = min(2*wait, retryMost)
		} else {
			next, wait = max(time.Until(st.Until)/2, leastHold), retryOpen
		}
		k.set(st)
		t := time.NewTimer(next)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		case <-k.poke:
			t.Stop()
		}
	}
}

func (k *Keeper) set(st State) {
	k.mu.Lock()
	old := k.state
	k.state = st
	k.mu.Unlock()
	if old.Method != st.Method || old.External != st.External || old.Error != st.Error {
		k.log.Info("port at the router upstream", "method", string(st.Method), "external", st.External, "err", st.Error)
	}
}

// hold renews what is held, or finds a way to open the port.
func (k *Keeper) hold(ctx context.Context, way Way, have grip) (State, grip, error) {
	if have != nil {
		if ext, d, err := k.ask(ctx, have); err == nil {
			return k.reached(way, have, ext, d), have, nil
		}
	}
	var errs []error
	for _, open := range []func(context.Context, Way, Wish) (grip, error){openPCP, openPMP, openUPnP} {
		g, err := open(ctx, way, k.wish)
		if err == nil {
			var ext netip.AddrPort
			var d time.Duration
			if ext, d, err = k.ask(ctx, g); err == nil {
				return k.reached(way, g, ext, d), g, nil
			}
		}
		if ctx.Err() != nil {
			return State{}, nil, ctx.Err()
		}
		errs = append(errs, err)
	}
	return State{}, nil, fmt.Errorf("the router %s opens no port by itself: %w", way.Gateway, errors.Join(errs...))
}

// ask renews a grip. A port other than the wish's is given back where it is of no
// use.
func (k *Keeper) ask(ctx context.Context, g grip) (netip.AddrPort, time.Duration, error) {
	ext, d, err := g.renew(ctx)
	if err == nil && k.wish.Exact && ext.Port() != k.wish.Port {
		g.release(ctx)
		err = fmt.Errorf("%s: it gives port %d instead of %d", methodOf(g), ext.Port(), k.wish.Port)
	}
	return ext, d, err
}

func (k *Keeper) reached(way Way, g grip, ext netip.AddrPort, d time.Duration) State {
	return State{Method: methodOf(g), Gateway: way.Gateway, External: ext, Until: time.Now().Add(d)}
}

func methodOf(g grip) Method {
	switch g.(type) {
	case *pcpGrip:
		return ByPCP
	case *pmpGrip:
		return ByPMP
	}
	return ByUPnP
}
