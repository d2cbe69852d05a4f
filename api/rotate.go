package api

import (
	"context"
	"fmt"
	"strings"
	"time"

	"pic/api/wire"
	"pic/core/config"
	"pic/netstack"
	"pic/netstack/handout"
)

// rotateLife is how long the former key of a device is good unless the new one is
// used before.
const rotateLife = 7 * 24 * time.Hour

type rotateInput struct {
	OnePeer
	Changing
	Body wire.Rotation
}

// rotatePeer gives a device its next keys. The book makes them its present ones
// when they are first used, or when the time is over.
func (a *API) rotatePeer(ctx context.Context, in *rotateInput) (*tagged[wire.PeerOutcome], error) {
	c := callerOf(ctx)
	p, err := owned(a.Store.Resolved(), c, in.Peer)
	if err != nil {
		return nil, err
	}
	if p.Key == "" && p.Next.Key == "" && in.Body.PublicKey == "" {
		return nil, wrong("publicKey", "the device made its key itself: give its new public key, or make a link for it")
	}
	life := rotateLife
	if in.Body.Hours != nil {
		life = time.Duration(*in.Body.Hours) * time.Hour
	}
	next := config.Keys{PublicKey: in.Body.PublicKey, Until: time.Now().Add(life).UTC().Truncate(time.Second)}
	keys := handout.Keys{Preshared: netstack.NewPreshared()}
	if next.PublicKey == "" {
		keys.Private, next.PublicKey = netstack.NewKey()
	}
	if _, err := handout.Of(a.Store.Resolved(), p.Name, in.Body.Endpoint); err != nil {
		return nil, wrong("endpoint", err.Error())
	}
	forget := func() {}
	if !in.DryRun {
		if forget, err = a.keep(ctx, p.Name, keys, &next.Key, &next.Preshared); err != nil {
			return nil, err
		}
	}
	_, out, err := a.change(ctx, edit{
		Changing: in.Changing,
		reason:   "new keys for peer " + in.Peer,
		do: func(d *config.Document) error {
			p, err := owned(d, c, in.Peer)
			if err != nil {
				return err
			}
			if life == 0 {
				p.PublicKey, p.Key, p.Preshared, p.Next = next.PublicKey, next.Key, next.Preshared, config.Keys{}
			} else {
				p.Next = next
			}
			return nil
		},
	})
	if err != nil {
		forget()
		return nil, err
	}
	body := wire.PeerOutcome{Outcome: out, Note: a.note(in.Body.Endpoint)}
	if !in.DryRun {
		if body.Config, err = a.handOver(ctx, p.Name, in.Body.Endpoint, keys); err != nil {
			return nil, err
		}
		body.Peer = a.shown(p.Name)
	}
	return &tagged[wire.PeerOutcome]{etag(out.Revision), body}, nil
}

type rotateCellInput struct {
	Changing
	Body struct{}
}

// cellKeyKind is the kind of the cell's own key in the vault.
const cellKeyKind = "wireguard"

// rotateCell gives the cell a new key. Its addresses stay: the IPv6 network, where
// nobody chose one, followed from the former key.
func (a *API) rotateCell(ctx context.Context, in *rotateCellInput) (*tagged[wire.CellRotation], error) {
	r := a.Store.Resolved()
	private, public := netstack.NewKey()
	var id config.Secret
	if !in.DryRun {
		var err error
		if id, err = a.Vault.Put(ctx, cellKeyKind, []byte(private)); err != nil {
			return nil, fmt.Errorf("keeping the cell's key: %w", err)
		}
	}
	keepSix := func(d *config.Document) error {
		if !d.WireGuard.Subnet6.IsValid() {
			d.WireGuard.Subnet6 = r.WireGuard.Subnet6
		}
		d.WireGuard.PublicKey = public
		if id != "" {
			d.WireGuard.Key = id
		}
		return nil
	}
	e := edit{Changing: in.Changing, reason: "new key for the cell", do: keepSix}
	if in.DryRun {
		e.do = func(*config.Document) error { return nil } // there is no key to check against
	}
	_, out, err := a.change(ctx, e)
	if err != nil {
		if id != "" {
			if err := a.Vault.Delete(id); err != nil {
				a.Log.Warn("unused key stays in the vault", "err", err)
			}
		}
		return nil, err
	}
	b := wire.CellRotation{Peers: []string{}, Links: []string{}, Outcome: out}
	if !in.DryRun {
		b.PublicKey = public
	}
	for _, p := range r.Peers {
		if !p.Disabled {
			b.Peers = append(b.Peers, p.Name)
		}
	}
	for _, l := range r.Links {
		if !l.Disabled {
			b.Links = append(b.Links, l.Name)
		}
	}
	b.Text = rotationText(b.Peers, b.Links)
	return &tagged[wire.CellRotation]{etag(out.Revision), b}, nil
}

// rotationText says what a new key of the cell means.
func rotationText(peers, links []string) string {
	if len(peers) == 0 && len(links) == 0 {
		return "No device and no linked cell knows the present key, so nobody is cut off."
	}
	var b strings.Builder
	if len(peers) > 0 {
		verb := "are"
		if len(peers) == 1 {
			verb = "is"
		}
		fmt.Fprintf(&b, "%s %s cut off from the moment of the change until they have their new file or code: %s.",
			count(len(peers), "device"), verb, join(peers))
	}
	if len(links) > 0 {
		fmt.Fprintf(&b, " %s must be told the new key: %s.", count(len(links), "linked cell"), join(links))
	}
	b.WriteString(" Devices that are away from home must be given theirs before, or by another way than the VPN.")
	return strings.TrimSpace(b.String())
}
