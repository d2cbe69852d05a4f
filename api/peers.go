package api

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"

	"pic/api/wire"
	"pic/core/config"
	"pic/netstack"
)

// VPN is the tunnel to the household's devices.
type VPN interface {
	// Peers returns the state of the peers that may use the tunnel.
	Peers() []netstack.PeerStatus
	// NAT says in words what is translated on the way out.
	NAT() []string
}

// userPeers is how many devices somebody who is no administrator may add.
const userPeers = 20

// Kinds of the secrets that peers have in the vault.
const (
	peerKeyKind   = "wireguard-peer-key"
	presharedKind = "wireguard-preshared"
)

func (a *API) peerRoutes() {
	route(a, SignedIn, "GET /api/peers", "The devices of the VPN; for the role user: their own", a.listPeers)
	route(a, SignedIn, "POST /api/peers", "Add a device, to oneself where one is no administrator", a.addPeer)
	route(a, SignedIn, "GET /api/peers/{peer}", "One device", a.getPeer)
	route(a, SignedIn, "PUT /api/peers/{peer}", "Change a device; what is left out stays", a.editPeer)
	route(a, SignedIn, "DELETE /api/peers/{peer}", "Remove a device; it is shut out at once", a.removePeer)
	route(a, SignedIn, "GET /api/peers/{peer}/config", "The .conf of a device, with its keys; for its owner and administrators", a.peerConfig,
		answers("text/plain", "What wg-quick and the apps read"))
	route(a, SignedIn, "GET /api/peers/{peer}/qr", "The same as a QR code", a.peerQR, answers("image/svg+xml", "A QR code"))
	route(a, Viewers, "GET /api/wireguard", "The tunnel and its peers", a.wireguard)
}

// OnePeer names a peer in the path.
type OnePeer struct {
	Peer string `path:"peer" maxLength:"63" example:"laptop"`
}

// view puts together what the document and the tunnel know of peers.
func (a *API) view(peers []config.Peer) []wire.Peer {
	live := map[string]netstack.PeerStatus{}
	if a.Network != nil {
		for _, s := range a.Network.Peers() {
			live[s.PublicKey] = s
		}
	}
	out := []wire.Peer{}
	for _, p := range peers {
		s := live[p.PublicKey]
		w := wire.Peer{
			Name: p.Name, Owner: p.Owner, Address: p.Address, Address6: p.Address6, PublicKey: p.PublicKey,
			HasConfig: p.Key != "", Disabled: p.Disabled, Internet: config.On(p.Internet), LAN: config.On(p.LAN), Split: p.Split,
			LastHandshake: s.LastHandshake, RxBytes: s.RxBytes, TxBytes: s.TxBytes,
		}
		if s.Endpoint.IsValid() {
			w.Endpoint = s.Endpoint.String()
		}
		out = append(out, w)
	}
	return out
}

// shown is a peer after an edit, nil where it is gone already.
func (a *API) shown(name string) *wire.Peer {
	p := a.Store.Resolved().Peer(name)
	if p == nil {
		return nil
	}
	return &a.view([]config.Peer{*p})[0]
}

// mine reports whether the caller may see p whole and change it.
func mine(c *caller, p *config.Peer) bool {
	return c.admin() || p.Owner != "" && p.Owner == c.Name && !c.local
}

// visible finds a device that the caller may know of. Strangers do not learn
// that there is one.
func visible(d *config.Document, c *caller, name string) (*config.Peer, error) {
	if p := d.Peer(name); p != nil && (mine(c, p) || c.viewer()) {
		return p, nil
	}
	return nil, missing("peer " + name)
}

// owned finds a device that the caller may change, and have the keys of.
func owned(d *config.Document, c *caller, name string) (*config.Peer, error) {
	p, err := visible(d, c, name)
	if err == nil && !mine(c, p) {
		return nil, errForbidden
	}
	return p, err
}

func (a *API) listPeers(ctx context.Context, _ *struct{}) (*tagged[[]wire.Peer], error) {
	c, doc := callerOf(ctx), a.Store.Resolved()
	var some []config.Peer
	for _, p := range doc.Peers {
		if c.viewer() || mine(c, &p) {
			some = append(some, p)
		}
	}
	return &tagged[[]wire.Peer]{etag(doc.Revision), a.view(some)}, nil
}

func (a *API) getPeer(ctx context.Context, in *OnePeer) (*tagged[wire.Peer], error) {
	doc := a.Store.Resolved()
	p, err := visible(doc, callerOf(ctx), in.Peer)
	if err != nil {
		return nil, err
	}
	return &tagged[wire.Peer]{etag(doc.Revision), a.view([]config.Peer{*p})[0]}, nil
}

type addPeerInput struct {
	Changing
	Body wire.NewPeer
}

// addPeer makes the keys, keeps them in the vault, and then changes the document.
// If that fails the keys are thrown away again.
func (a *API) addPeer(ctx context.Context, in *addPeerInput) (*tagged[wire.PeerOutcome], error) {
	c, n := callerOf(ctx), in.Body
	if !c.admin() {
		if n.Owner != "" && n.Owner != c.Name || n.Address.IsValid() {
			return nil, errForbidden
		}
		n.Owner = c.Name
	}
	peer := config.Peer{
		Name: n.Name, Owner: n.Owner, PublicKey: n.PublicKey, Address: n.Address,
		Rights: config.Rights{Internet: n.Internet, LAN: n.LAN}, Split: n.Split,
	}
	keys := netstack.PeerKeys{Preshared: netstack.NewPreshared()}
	if peer.PublicKey == "" {
		keys.Private, peer.PublicKey = netstack.NewKey()
	}
	if err := a.writable(peer, n.Endpoint, keys); err != nil {
		return nil, wrong("endpoint", err.Error())
	}
	forget := func() {}
	if !in.DryRun {
		var err error
		if forget, err = a.keep(ctx, &peer, keys); err != nil {
			return nil, err
		}
	}
	_, out, err := a.change(ctx, edit{
		Changing: in.Changing,
		reason:   "add peer " + n.Name,
		do:       func(d *config.Document) error { return a.insert(d, c, peer) },
	})
	if err != nil {
		forget()
		return nil, err
	}
	body := wire.PeerOutcome{Outcome: out, Note: a.note(n.Endpoint)}
	if !in.DryRun {
		if body.Config, err = netstack.PeerConfig(a.Store.Resolved(), n.Name, n.Endpoint, keys); err != nil {
			return nil, err
		}
		body.Peer = a.shown(n.Name)
	}
	return &tagged[wire.PeerOutcome]{etag(out.Revision), body}, nil
}

// insert adds the peer to the document, with the next free address unless it
// has one.
func (a *API) insert(d *config.Document, c *caller, peer config.Peer) error {
	if d.Peer(peer.Name) != nil {
		return &config.FieldError{Path: "name", Problem: "there is a peer of this name already"}
	}
	if !c.admin() {
		owned := 0
		for _, p := range d.Peers {
			if p.Owner == c.Name {
				owned++
			}
		}
		if owned >= userPeers {
			return &config.FieldError{Path: "peers", Problem: fmt.Sprintf("you have %d devices; remove one first", owned)}
		}
	}
	if !peer.Address.IsValid() {
		var ok bool
		if peer.Address, ok = nextAddress(a.Store.Resolved().WireGuard, d.Peers); !ok {
			return &config.FieldError{Path: "wireguard.subnet", Problem: "has no free address left; remove a peer or choose a larger subnet"}
		}
	}
	d.Peers = append(d.Peers, peer)
	return nil
}

// nextAddress is the lowest address of the VPN that nobody has. The first is the
// cell's, the last of IPv4 is for broadcasts.
func nextAddress(w config.WireGuard, peers []config.Peer) (netip.Addr, bool) {
	taken := map[netip.Addr]bool{}
	for _, p := range peers {
		taken[p.Address] = true
	}
	cell, _ := w.VPN()
	for a := cell.Next(); w.Subnet.Contains(a) && w.Subnet.Contains(a.Next()); a = a.Next() {
		if !taken[a] {
			return a, true
		}
	}
	return netip.Addr{}, false
}

type editPeerInput struct {
	OnePeer
	Changing
	Body wire.PeerEdit
}

func (a *API) editPeer(ctx context.Context, in *editPeerInput) (*tagged[wire.PeerOutcome], error) {
	c, b := callerOf(ctx), in.Body
	if !c.admin() && (b.Owner != nil || b.Address != nil || b.Internet != nil || b.LAN != nil) {
		return nil, fail(http.StatusForbidden, "forbidden", "only an administrator changes what a device may reach, its address or its owner")
	}
	name := in.Peer
	_, out, err := a.change(ctx, edit{
		Changing: in.Changing,
		reason:   "change peer " + in.Peer,
		do: func(d *config.Document) error {
			p, err := owned(d, c, in.Peer)
			if err != nil {
				return err
			}
			if b.Address != nil {
				p.Address6 = netip.Addr{} // follows from the new one
			}
			set(&p.Owner, b.Owner)
			set(&p.Address, b.Address)
			set(&p.Disabled, b.Disabled)
			set(&p.Split, b.Split)
			if b.Internet != nil {
				p.Internet = b.Internet
			}
			if b.LAN != nil {
				p.LAN = b.LAN
			}
			set(&p.Name, b.Name)
			name = p.Name
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	body := wire.PeerOutcome{Outcome: out}
	if !in.DryRun {
		body.Peer = a.shown(name)
	}
	return &tagged[wire.PeerOutcome]{etag(out.Revision), body}, nil
}

type removePeerInput struct {
	OnePeer
	Changing
}

// removePeer leaves the keys in the vault: a rollback may need them.
func (a *API) removePeer(ctx context.Context, in *removePeerInput) (*outcome, error) {
	c := callerOf(ctx)
	return a.edited(ctx, edit{
		Changing: in.Changing,
		reason:   "remove peer " + in.Peer,
		do: func(d *config.Document) error {
			if _, err := owned(d, c, in.Peer); err != nil {
				return err
			}
			d.Peers = slices.DeleteFunc(d.Peers, func(p config.Peer) bool { return p.Name == in.Peer })
			return nil
		},
	})
}
