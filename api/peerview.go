package api

import (
	"context"
	"time"

	"pic/api/wire"
	"pic/core/config"
	"pic/netstack"
	"pic/netstack/handout"
	"pic/netstack/peerbook"
)

// live is what the tunnel knows of its peers now, by public key.
func (a *API) live() map[string]netstack.PeerStatus {
	live := map[string]netstack.PeerStatus{}
	for _, s := range a.Network.Peers() {
		live[s.PublicKey] = s
	}
	return live
}

// view puts together what the document, the tunnel and the book know of peers.
// Those are of the resolved document doc.
func (a *API) view(doc *config.Document, peers []config.Peer) []wire.Peer {
	live, chosen := a.live(), a.Store.Current()
	links, err := a.Book.OpenLinks()
	if err != nil {
		a.Log.Warn("links of peers are not read", "err", err)
	}
	out := []wire.Peer{}
	for i := range peers {
		p := &peers[i]
		now := a.moment(p, live[p.PublicKey])
		w := wire.Peer{
			Name: p.Name, Owner: p.Owner, Device: p.Device, Address: p.Address, Address6: p.Address6, PublicKey: p.PublicKey,
			HasConfig: p.Key != "", Disabled: p.Disabled, Expires: p.Expires, Split: p.Split, DNS: p.DNS, Keepalive: p.Keepalive,
			MAC: p.MAC, Site: p.Site, Groups: p.Groups, Internet: config.On(p.Internet), LAN: config.On(p.LAN),
			Services: list(p.Services), Peers: list(p.Peers), Cells: list(p.Cells), Exit: p.Exit, Fallback: config.On(p.Fallback),
			May: may(doc, p.Rights), Link: links[p.PublicKey], NextKey: p.Next.PublicKey, NextUntil: p.Next.Until,
			Connected: now.Connected, Endpoint: now.Endpoint, LastHandshake: now.LastHandshake, RxBytes: now.RxBytes, TxBytes: now.TxBytes,
			RxTotal: now.RxTotal, TxTotal: now.TxTotal, RxRate: now.RxRate, TxRate: now.TxRate,
		}
		if p.Next.PublicKey != "" {
			w.HasConfig = p.Next.Key != ""
		}
		if c := chosen.Peer(p.Name); c != nil { // the resolved one is switched off when its time is over, too
			w.Disabled, w.Expired = c.Disabled, p.Disabled && !c.Disabled
			w.Rights = rightsOf(doc, p.Rights, chosen.Sources(c))
		}
		var was handout.Handout
		if was, w.Given, _ = a.Book.Given(p.PublicKey); !w.Given.IsZero() {
			w.Reinstall = a.reinstall(doc, p.Name, was)
		}
		out = append(out, w)
	}
	return out
}

// reinstall says why a device needs another file than the one it was given.
func (a *API) reinstall(doc *config.Document, name string, was handout.Handout) []string {
	endpoint := ""
	if was.Chosen {
		endpoint = was.Endpoint
	}
	is, err := handout.Of(doc, name, endpoint)
	if err != nil {
		return nil // there is nothing to give it
	}
	return handout.Changes(was, is)
}

// moment is what changes of a device without anybody changing it.
func (a *API) moment(p *config.Peer, s netstack.PeerStatus) wire.LivePeer {
	k := a.Book.Known(p.PublicKey)
	w := wire.LivePeer{
		Name: p.Name, LastHandshake: k.Handshake, RxBytes: s.RxBytes, TxBytes: s.TxBytes,
		RxTotal: k.Rx, TxTotal: k.Tx, RxRate: k.RxRate, TxRate: k.TxRate, Connected: s.Connected(),
	}
	if s.LastHandshake.After(w.LastHandshake) {
		w.LastHandshake = s.LastHandshake
	}
	if s.Endpoint.IsValid() {
		k.Endpoint = s.Endpoint
	}
	if k.Endpoint.IsValid() {
		w.Endpoint = k.Endpoint.String()
	}
	return w
}

// moments are those of all devices.
func (a *API) moments() []wire.LivePeer {
	live, doc := a.live(), a.Store.Resolved()
	out := []wire.LivePeer{}
	for i := range doc.Peers {
		out = append(out, a.moment(&doc.Peers[i], live[doc.Peers[i].PublicKey]))
	}
	return out
}

// shown is a peer after an edit, nil where it is gone already.
func (a *API) shown(name string) *wire.Peer {
	doc := a.Store.Resolved()
	p := doc.Peer(name)
	if p == nil {
		return nil
	}
	return &a.view(doc, []config.Peer{*p})[0]
}

type carriedInput struct {
	OnePeer
	By    string `query:"by" enum:"minute,hour,day" doc:"Default: what fits the time"`
	Hours int    `query:"hours" minimum:"1" maximum:"17544" doc:"How far back; default: 24"`
}

func (a *API) peerHistory(ctx context.Context, in *carriedInput) (*body[wire.PeerHistory], error) {
	p, err := visible(a.Store.Resolved(), callerOf(ctx), in.Peer)
	if err != nil {
		return nil, err
	}
	hours := in.Hours
	if hours == 0 {
		hours = 24
	}
	level, step := peerbook.Days, 24*time.Hour
	switch {
	case in.By == "minute" || in.By == "" && hours <= 6:
		level, step = peerbook.Minutes, time.Minute
	case in.By == "hour" || in.By == "" && hours <= 14*24:
		level, step = peerbook.Hours, time.Hour
	}
	points, err := a.Book.History(p.PublicKey, level, time.Now().Add(-time.Duration(hours)*time.Hour))
	if err != nil {
		return nil, err
	}
	out := wire.PeerHistory{Step: int(step / time.Second), Points: []wire.PeerPoint{}}
	for _, x := range points {
		out.Points = append(out.Points, wire.PeerPoint{Time: x.Time, RxBytes: x.Rx, TxBytes: x.Tx})
	}
	return &body[wire.PeerHistory]{out}, nil
}
