package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"pic/api/wire"
	"pic/core/config"
	"pic/core/event"
	"pic/netstack"
	"pic/netstack/handout"
	"pic/netstack/peerbook"
)

// linkLife is how long a link is good unless its maker says otherwise.
const linkLife = 24 * time.Hour

// enrolPath is the page of the UI that a link opens.
const enrolPath = "/enrol"

type linkInput struct {
	OnePeer
	Body wire.NewLink
}

func (a *API) linkPeer(ctx context.Context, in *linkInput) (*made[wire.EnrolLink], error) {
	doc := a.Store.Resolved()
	p, err := owned(doc, callerOf(ctx), in.Peer)
	if err != nil {
		return nil, err
	}
	if _, err := handout.Of(doc, p.Name, in.Body.Endpoint); err != nil {
		return nil, wrong("endpoint", err.Error())
	}
	l, err := a.newLink(ctx, p.Name, p.PublicKey, in.Body)
	if err != nil {
		return nil, err
	}
	return &made[wire.EnrolLink]{http.StatusCreated, *l}, nil
}

// newLink makes a link for a device.
func (a *API) newLink(ctx context.Context, name, key string, n wire.NewLink) (*wire.EnrolLink, error) {
	life := linkLife
	if n.Hours != 0 {
		life = time.Duration(n.Hours) * time.Hour
	}
	now := time.Now()
	by := callerOf(ctx).Name
	token, err := a.Book.NewLink(context.WithoutCancel(ctx), peerbook.Link{
		PublicKey: key, By: by, Endpoint: n.Endpoint, Created: now, Expires: now.Add(life),
	})
	if err != nil {
		return nil, err
	}
	a.tell(ctx, "peer.link", name, "a one-time link for "+name+" was made, good until "+now.Add(life).Format("Mon 2 Jan 15:04"))
	out := &wire.EnrolLink{Expires: now.Add(life)}
	out.URL, out.Plain = enrolURLs(a.Store.Resolved(), token)
	return out, nil
}

// enrolURLs are where the page of a link is: by name over TLS, and by the cell's
// address, where that is known.
func enrolURLs(d *config.Document, token string) (url, plain string) {
	tail := enrolPath + "#" + token
	host := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if lan := d.Network.LAN.Address.Addr(); lan.IsValid() && d.Cell.Mode != config.Trial {
		host = lan
	}
	plain = "http://" + netip.AddrPortFrom(host, d.Web.UIPort).String() + tail
	if !config.On(d.Proxy.Enabled) || d.Cell.Mode == config.Trial { // a trial's name is known to nobody
		return plain, ""
	}
	url = "https://home." + d.Cell.Domain
	if d.Proxy.HTTPSPort != 443 {
		url += ":" + strconv.Itoa(int(d.Proxy.HTTPSPort))
	}
	return url + tail, plain
}

func (a *API) unlinkPeer(ctx context.Context, in *OnePeer) (*struct{}, error) {
	p, err := owned(a.Store.Resolved(), callerOf(ctx), in.Peer)
	if err != nil {
		return nil, err
	}
	if err := a.Book.DropLink(ctx, p.PublicKey); err != nil {
		return nil, err
	}
	a.tell(ctx, "peer.link", p.Name, "the link for "+p.Name+" was made worthless")
	return nil, nil
}

// From takes the caller's address along, for those who are not signed in.
type From struct{ addr netip.Addr }

func (f *From) sent(r *http.Request) { f.addr = remote(r) }

type enrolLookInput struct {
	From
	Body wire.EnrolToken
}

func (a *API) enrolLook(_ context.Context, in *enrolLookInput) (*body[wire.Enrolment], error) {
	l, err := a.Book.Link(in.Body.Token, in.addr)
	if err != nil {
		return nil, linkProblem(err)
	}
	p := a.linked(l)
	if p == nil {
		return nil, linkProblem(peerbook.ErrLink)
	}
	return &body[wire.Enrolment]{a.enrolment(p, l)}, nil
}

func (a *API) enrolment(p *config.Peer, l peerbook.Link) wire.Enrolment {
	return wire.Enrolment{Name: p.Name, Device: p.Device, Cell: a.Store.Resolved().Cell.Name, By: l.By, Expires: l.Expires}
}

// linked is the peer that a link is for, nil where it is gone or shut out.
func (a *API) linked(l peerbook.Link) *config.Peer {
	doc := a.Store.Resolved()
	for i := range doc.Peers {
		if p := &doc.Peers[i]; p.PublicKey == l.PublicKey && !p.Disabled {
			return p
		}
	}
	return nil
}

func linkProblem(err error) error {
	switch {
	case errors.Is(err, peerbook.ErrLink):
		return fail(http.StatusNotFound, "not-found", err.Error())
	case errors.Is(err, peerbook.ErrTries):
		p := fail(http.StatusTooManyRequests, "throttled", err.Error())
		p.retry = 10 * time.Minute
		return p
	}
	return err
}

type enrolInput struct {
	From
	Body wire.Enrol
}

// enrol uses the link up before the document is changed: a cell that is killed in
// between has a link that is worthless, never one that is good twice. A change that
// is refused gives the link back.
func (a *API) enrol(ctx context.Context, in *enrolInput) (*body[wire.Enrolment], error) {
	ctx = context.WithoutCancel(ctx)
	if key := in.Body.PublicKey; key != "" && !handout.ValidKey(key) {
		return nil, wrong("publicKey", "is not a WireGuard public key (44 characters of base64)")
	}
	l, err := a.Book.UseLink(ctx, in.Body.Token, in.addr)
	if err != nil {
		return nil, linkProblem(err)
	}
	p := a.linked(l)
	if p == nil {
		return nil, linkProblem(peerbook.ErrLink)
	}
	out := a.enrolment(p, l)
	if err := a.letIn(ctx, p.Name, l, in.Body.PublicKey, &out); err != nil {
		if free := a.Book.FreeLink(ctx, in.Body.Token); free != nil {
			a.Log.Warn("a link is used up for nothing", "peer", p.Name, "err", free)
		}
		return nil, err
	}
	from := ""
	if in.addr.IsValid() {
		from = ", from " + in.addr.String()
	}
	a.Events.Append(event.Event{
		Kind: "peer.enrolled", Severity: event.Warning, Unit: "wireguard", Actor: l.By, Subject: out.Name,
		Text: out.Name + " enrolled by the link that " + l.By + " made" + from,
	})
	return &body[wire.Enrolment]{out}, nil
}

// letIn gives the device new keys and writes its configuration. The private key, if
// the cell makes it, is shown this once and not kept.
func (a *API) letIn(ctx context.Context, name string, l peerbook.Link, public string, out *wire.Enrolment) error {
	keys := handout.Keys{Preshared: netstack.NewPreshared()}
	if public == "" {
		keys.Private, public = netstack.NewKey()
	}
	var none, preshared config.Secret
	forget, err := a.keep(ctx, name, handout.Keys{Preshared: keys.Preshared}, &none, &preshared)
	if err != nil {
		return err
	}
	_, _, err = a.change(ctx, edit{
		actor:  l.By,
		reason: name + " enrols by its link",
		do: func(d *config.Document) error {
			p := d.Peer(name)
			if p == nil || p.PublicKey != l.PublicKey {
				return linkProblem(peerbook.ErrLink)
			}
			p.PublicKey, p.Key, p.Preshared, p.Next = public, "", preshared, config.Keys{}
			return nil
		},
	})
	if err != nil {
		forget()
		return err
	}
	if out.Config, err = a.handOver(ctx, name, l.Endpoint, keys); err != nil {
		return fmt.Errorf("writing the configuration of %s: %w", name, err)
	}
	if keys.Private != "" {
		svg, err := qrSVG(out.Config)
		out.QR = string(svg)
		return err
	}
	return nil
}
