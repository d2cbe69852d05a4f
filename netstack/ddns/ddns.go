// Package ddns keeps public names at the cell's public address: by the dyndns2
// protocol, which most services of that kind speak, or by an update of a zone
// (RFC 2136) signed with TSIG (RFC 8945).
//
// A [Keeper] sends an update when the address has changed, and else once in 25
// days, for services forget names that nobody renews; never more often. Where a
// service says that the account is wrong, or that it was misused, nothing more is
// sent until the document changes, as those services ask for. Passwords travel in
// the Authorization header over https alone, never in a URL.
package ddns

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// A Name is a name to keep.
type Name struct {
	Name     string // host name, without a final dot
	Protocol string // dyndns2 or rfc2136
	Server   string // URL of dyndns2, or host or host:port
	User     string
	Password string // or the TSIG key, base64
	Zone     string
	Four     bool
	Six      bool
	Interval time.Duration // of looks at the address
}

// Addresses are the cell's public ones; either may be missing.
type Addresses struct{ Four, Six netip.Addr }

// A Status is how a name stands.
type Status struct {
	Name    string
	Four    netip.Addr // that the service has, as far as we told it
	Six     netip.Addr
	Updated time.Time // last success
	Error   string    // why it is not up to date, in a sentence
	Stopped bool      // nothing more is tried until the document changes
}

const (
	renewal   = 25 * 24 * time.Hour
	firstWait = time.Minute // after a failure; doubled each time
	mostWait  = 2 * time.Hour
	asking    = 30 * time.Second
)

// A stop is an error after which nothing more may be sent.
type stop struct{ error }

// A Keeper keeps one name. Use [NewKeeper].
type Keeper struct {
	log    *slog.Logger
	name   Name
	where  func() (Addresses, error)
	client *http.Client
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error) // nil: the name is not looked up
	poke   chan struct{}

	mu     sync.Mutex
	status Status
}

// NewKeeper returns a keeper of n. where tells the public addresses; it is asked
// each interval, and after [Keeper.Again]. roots, if not nil, replaces what the
// host trusts.
func NewKeeper(log *slog.Logger, n Name, where func() (Addresses, error), roots *tls.Config) *Keeper {
	tr := &http.Transport{TLSClientConfig: roots, DisableKeepAlives: true, ResponseHeaderTimeout: asking}
	return &Keeper{
		log: log, name: n, where: where, lookup: net.DefaultResolver.LookupNetIP, poke: make(chan struct{}, 1), status: Status{Name: n.Name},
		client: &http.Client{Transport: tr, Timeout: asking, CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("the service redirects; use the address that it redirects to")
		}},
	}
}

// Status returns how the name stands.
func (k *Keeper) Status() Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.status
}

// Again has the address looked at soon.
func (k *Keeper) Again() {
	select {
	case k.poke <- struct{}{}:
	default:
	}
}

// Run keeps the name until ctx is done.
func (k *Keeper) Run(ctx context.Context) {
	var at time.Time  // of the last success
	var not time.Time // nothing is sent before
	var last error    // of the last update
	wait := firstWait
	had := k.found(ctx)
	if had != (Addresses{}) {
		at = time.Now()
	}
	for ctx.Err() == nil {
		next := k.name.Interval
		now, err := k.where()
		now = k.wanted(now)
		switch {
		case err != nil:
		case now == (Addresses{}):
			err = errors.New("the public address is not known yet")
		case now == had && time.Since(at) <= renewal:
		case time.Now().Before(not):
			next, err = time.Until(not), last
		default:
			if err = k.update(ctx, now); err == nil {
				had, at, wait = now, time.Now(), firstWait
				k.log.Info("public name updated", "name", k.name.Name, "a", now.Four, "aaaa", now.Six)
			} else {
				next, wait, not = wait, min(2*wait, mostWait), time.Now().Add(wait)
			}
			last = err
		}
		if ctx.Err() != nil {
			return
		}
		halt := errors.As(err, new(stop))
		k.tell(had, at, err, halt)
		if halt {
			<-ctx.Done()
			return
		}
		t := time.NewTimer(next)
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-k.poke:
		}
		t.Stop()
	}
}

// found is what the name leads to now, if it leads to the address that it should:
// a restart of the cell is no reason to tell the service anew.
func (k *Keeper) found(ctx context.Context) Addresses {
	want, err := k.where()
	if want = k.wanted(want); err != nil || want == (Addresses{}) || k.lookup == nil {
		return Addresses{}
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	all, err := k.lookup(ctx, "ip", k.name.Name)
	if err != nil {
		return Addresses{}
	}
	var got Addresses
	for _, a := range all {
		switch a = a.Unmap(); {
		case a.Is4() && !got.Four.IsValid():
			got.Four = a
		case a.Is6() && !got.Six.IsValid():
			got.Six = a
		}
	}
	if k.wanted(got) != want {
		return Addresses{}
	}
	return want
}

// wanted leaves the families that the name is to have.
func (k *Keeper) wanted(a Addresses) Addresses {
	if !k.name.Four {
		a.Four = netip.Addr{}
	}
	if !k.name.Six {
		a.Six = netip.Addr{}
	}
	return a
}

func (k *Keeper) tell(had Addresses, at time.Time, err error, halt bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.status = Status{Name: k.name.Name, Four: had.Four, Six: had.Six, Updated: at, Stopped: halt}
	if err != nil {
		k.status.Error = err.Error()
		k.log.Warn("public name not up to date", "name", k.name.Name, "err", err)
	}
}

func (k *Keeper) update(ctx context.Context, a Addresses) error {
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	if k.name.Protocol == "rfc2136" {
		return updateZone(ctx, k.name, a)
	}
	return k.updateService(ctx, a)
}

func (a Addresses) list() []netip.Addr {
	return slices.DeleteFunc([]netip.Addr{a.Four, a.Six}, func(x netip.Addr) bool { return !x.IsValid() })
}

// Public reports whether the internet can reach an address.
func Public(a netip.Addr) bool {
	return a.IsValid() && a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a) &&
		!slices.ContainsFunc(reserved, func(p netip.Prefix) bool { return p.Contains(a) })
}

var (
	shared   = netip.MustParsePrefix("100.64.0.0/10")
	reserved = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("2001:db8::/32")}
)

func sayf(format string, args ...any) error { return stop{fmt.Errorf(format, args...)} }
