package api

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"pic/api/wire"
	"pic/core/config"
	"pic/netstack"
	"pic/netstack/exit"
	"pic/netstack/handout"
	"pic/netstack/policy"
)

// VPN is the tunnel to the household's devices.
type VPN interface {
	Firewall
	// Peers returns the state of the peers that may use the tunnel.
	Peers() []netstack.PeerStatus
	// Addresses are the host's own, without loopback and link-local ones.
	Addresses() []netip.Addr
	Knock(ctx context.Context, to netip.AddrPort) (netstack.Knock, bool)
	// NAT says in words what is translated on the way out.
	NAT() []string
	// MTU is that of the tunnel now, 0 while there is none.
	MTU() int
	// Exits are the other ways to the internet that are on.
	Exits() []exit.Status
	// Policy is who may reach whom, as it is in force; nil while nothing is.
	Policy() *policy.Policy
	// Explain decides on a flow as the kernel would, by its routes.
	Explain(policy.Flow) (policy.Verdict, []netstack.Remark)
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
	route(a, SignedIn, "GET /api/peers/{peer}/history", "What a device carried", a.peerHistory)
	route(a, SignedIn, "POST /api/peers/{peer}/rotate", "Give a device new keys; the former ones are good until it uses the new ones", a.rotatePeer)
	route(a, SignedIn, "POST /api/peers/{peer}/link", "Make a one-time link by which the device enrols itself, in place of a former one", a.linkPeer)
	route(a, SignedIn, "DELETE /api/peers/{peer}/link", "Make the link worthless", a.unlinkPeer)
	route(a, Anyone, "POST /api/enrol/look", "What a link is for; it stays good", a.enrolLook)
	route(a, Anyone, "POST /api/enrol", "Let a device in by its link, which is used up", a.enrol)
	route(a, Viewers, "GET /api/groups", "Groups of devices and what they may reach", a.listGroups)
	route(a, Admins, "POST /api/groups", "Add a group", a.addGroup)
	route(a, Admins, "PUT /api/groups/{group}", "Change a group; what is left out stays", a.editGroup)
	route(a, Admins, "DELETE /api/groups/{group}", "Remove a group; devices that were in it keep what they have themselves", a.removeGroup)
	route(a, Viewers, "GET /api/explain", "What becomes of a connection from one to another, and why", a.explain)
	route(a, Viewers, "GET /api/wireguard", "The tunnel and its peers", a.wireguard)
	route(a, Admins, "POST /api/wireguard/rotate", "Give the cell a new key; every device needs its file anew", a.rotateCell)
}

// OnePeer names a peer in the path.
type OnePeer struct {
	Peer string `path:"peer" maxLength:"63" example:"laptop"`
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
	return &tagged[[]wire.Peer]{etag(doc.Revision), a.view(doc, some)}, nil
}

func (a *API) getPeer(ctx context.Context, in *OnePeer) (*tagged[wire.Peer], error) {
	doc := a.Store.Resolved()
	p, err := visible(doc, callerOf(ctx), in.Peer)
	if err != nil {
		return nil, err
	}
	return &tagged[wire.Peer]{etag(doc.Revision), a.view(doc, []config.Peer{*p})[0]}, nil
}

type addPeerInput struct {
	Changing
	Body wire.NewPeer
}

// wanted is the peer that n asks for, or why the caller may not.
func wanted(c *caller, n *wire.NewPeer) (config.Peer, error) {
	if !c.admin() {
		if n.Owner != "" && n.Owner != c.Name || n.Address.IsValid() || n.Groups != nil || n.Site != nil || grants(n.PeerRights) {
			return config.Peer{}, fail(http.StatusForbidden, "forbidden", "only an administrator says what a device may reach, its address or another owner")
		}
		n.Owner = c.Name
	}
	p := config.Peer{
		Name: n.Name, Owner: n.Owner, PublicKey: n.PublicKey, Address: n.Address, Split: n.Split, Device: n.Device, MAC: n.MAC,
		DNS: n.DNS, Keepalive: n.Keepalive, Expires: n.Expires, Site: n.Site, Groups: n.Groups,
	}
	grant(&p.Rights, n.PeerRights)
	if err := future(n.Expires); err != nil {
		return config.Peer{}, err
	}
	return p, nil
}

// future refuses an end that is over before it is set.
func future(end time.Time) error {
	if !end.IsZero() && !end.After(time.Now()) {
		return wrong("expires", "is in the past; switch the device off instead")
	}
	return nil
}

// addPeer makes the keys, keeps them in the vault, and then changes the document.
// If that fails the keys are thrown away again.
func (a *API) addPeer(ctx context.Context, in *addPeerInput) (*tagged[wire.PeerOutcome], error) {
	c, n := callerOf(ctx), in.Body
	peer, err := wanted(c, &n)
	if err != nil {
		return nil, err
	}
	keys := handout.Keys{Preshared: netstack.NewPreshared()}
	if peer.PublicKey == "" {
		keys.Private, peer.PublicKey = netstack.NewKey()
	}
	if err := a.writable(peer, n.Endpoint, keys); err != nil {
		return nil, wrong("endpoint", err.Error())
	}
	if n.Link {
		keys.Private = "" // the device makes its own; nobody ever has this one
	}
	forget := func() {}
	if !in.DryRun {
		if forget, err = a.keep(ctx, peer.Name, keys, &peer.Key, &peer.Preshared); err != nil {
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
	switch {
	case in.DryRun:
	case n.Link:
		body.Link, err = a.newLink(ctx, n.Name, peer.PublicKey, wire.NewLink{Hours: n.LinkHours, Endpoint: n.Endpoint})
	default:
		body.Config, err = a.handOver(ctx, n.Name, n.Endpoint, keys)
	}
	if err != nil {
		return nil, err
	}
	if !in.DryRun {
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
		r := a.Store.Resolved().Clone()
		r.Peers = d.Peers
		var err error
		if peer.Address, err = config.NextAddress(r); err != nil {
			return &config.FieldError{Path: "wireguard.subnet", Problem: "has no free address left; remove a peer or choose a larger subnet"}
		}
	}
	d.Peers = append(d.Peers, peer)
	return nil
}

type editPeerInput struct {
	OnePeer
	Changing
	Body wire.PeerEdit
}

func (a *API) editPeer(ctx context.Context, in *editPeerInput) (*tagged[wire.PeerOutcome], error) {
	c, b := callerOf(ctx), in.Body
	if !c.admin() && (b.Owner != nil || b.Address != nil || b.Expires != nil || b.Site != nil || b.Groups != nil || grants(b.PeerRights)) {
		return nil, fail(http.StatusForbidden, "forbidden", "only an administrator changes what a device may reach, its address, its time or its owner")
	}
	if b.Expires != nil {
		if err := future(*b.Expires); err != nil {
			return nil, err
		}
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
			set(&p.Device, b.Device)
			set(&p.MAC, b.MAC)
			set(&p.DNS, b.DNS)
			set(&p.Keepalive, b.Keepalive)
			set(&p.Expires, b.Expires)
			set(&p.Site, b.Site)
			set(&p.Groups, b.Groups)
			grant(&p.Rights, b.PeerRights)
			if b.Name != nil && *b.Name != p.Name {
				p.Name = *b.Name
				renamed(d, in.Peer, *b.Name)
			}
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

// renamed follows a peer or group that has another name in the rights to reach it;
// to is empty where it is gone.
func renamed(d *config.Document, from, to string) {
	follow := func(names []string) []string {
		i := slices.Index(names, from)
		switch {
		case i < 0:
			return names
		case to != "":
			names[i] = to
		case len(names) == 1:
			return []string{config.None}
		default:
			names = slices.Delete(names, i, i+1)
		}
		return names
	}
	for i := range d.Peers {
		d.Peers[i].Rights.Peers = follow(d.Peers[i].Rights.Peers)
	}
	for i := range d.Network.Groups {
		d.Network.Groups[i].Rights.Peers = follow(d.Network.Groups[i].Rights.Peers)
	}
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
			renamed(d, in.Peer, "")
			return nil
		},
	})
}
