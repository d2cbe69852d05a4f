package api

import (
	"context"
	"fmt"
	"slices"
	"time"

	"pic/api/wire"
	"pic/core/config"
	"pic/netstack/exit"
	"pic/netstack/wgdev"
)

// Kinds of the secrets that exits have in the vault.
const (
	exitKeyKind       = "wireguard-exit-key"
	exitPresharedKind = "wireguard-exit-preshared"
)

// SecretKinds are the kinds of the secrets that stay in the vault after a change
// has ended the need for them, so that it can be undone. Keys of the cell itself
// are not among them.
var SecretKinds = []string{exitKeyKind, exitPresharedKind, peerKeyKind, presharedKind, dynamicKind, tsigKind}

func (a *API) exitRoutes() {
	route(a, Viewers, "GET /api/exits", "Other ways to the internet, and who uses them", a.exits)
	route(a, Admins, "POST /api/exits", "Import the .conf of a WireGuard provider as an exit, or make a linked cell one", a.addExit)
	route(a, Admins, "PUT /api/exits/{exit}", "Switch an exit on or off, or say which name servers are asked by it", a.editExit)
	route(a, Admins, "DELETE /api/exits/{exit}", "Remove an exit that no device and no group uses", a.removeExit)
}

func (a *API) exits(context.Context, *struct{}) (*body[[]wire.Exit], error) {
	doc := a.Store.Resolved()
	running := map[string]exit.Status{}
	for _, s := range a.Network.Exits() {
		running[s.Name] = s
	}
	out := []wire.Exit{}
	for _, e := range doc.Network.Exits {
		w := wire.Exit{
			Name: e.Name, Link: e.Link, State: "off", Endpoint: e.Endpoint, Addresses: list(e.Addresses), DNS: list(e.DNS),
			Peers: []string{}, Fallback: []string{}, Groups: []string{}, Disabled: e.Disabled,
		}
		for i := range doc.Peers {
			p := &doc.Peers[i]
			if p.Exit != e.Name {
				continue
			}
			w.Peers = append(w.Peers, p.Name)
			if config.On(p.Fallback) {
				w.Fallback = append(w.Fallback, p.Name)
			}
		}
		for _, g := range doc.Network.Groups {
			if g.Exit == e.Name {
				w.Groups = append(w.Groups, g.Name)
			}
		}
		if s, ok := running[e.Name]; ok {
			w.State, w.Trouble, w.Interface = "down", s.Trouble, s.Interface
			if s.Up {
				w.State = "up"
			}
			w.IPv4, w.IPv6, w.DNS = s.Four, s.Six, list(s.DNS)
			w.Received, w.Sent, w.Address = s.Rx, s.Tx, s.Endpoint.Addr()
			w.Since, w.Handshake = moment(s.Since), moment(s.Handshake)
		}
		out = append(out, w)
	}
	return &body[[]wire.Exit]{out}, nil
}

// moment is nil for never.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

type addExitInput struct {
	Changing
	Body wire.NewExit
}

func (a *API) addExit(ctx context.Context, in *addExitInput) (*outcome, error) {
	n := in.Body
	e := config.Exit{Name: n.Name, Link: n.Link}
	forget := func() {}
	switch {
	case (n.Link == "") == (n.Conf == ""):
		return nil, wrong("conf", "give the provider's .conf, or the name of a linked cell in link")
	case n.Conf != "":
		p, err := exit.Parse(n.Conf)
		if err != nil {
			return nil, wrong("conf", err.Error())
		}
		e.Addresses, e.DNS, e.PublicKey, e.Endpoint = p.Addresses, p.DNS, p.Public.Base64(), p.Endpoint
		e.MTU, e.Keepalive = p.MTU, p.Keepalive
		e.Key = "not-kept-yet"
		if !in.DryRun {
			if forget, err = a.keepExit(ctx, &e, p); err != nil {
				return nil, err
			}
		}
	}
	out, err := a.edited(ctx, edit{
		Changing: in.Changing,
		reason:   "add exit " + e.Name,
		do: func(d *config.Document) error {
			if slices.ContainsFunc(d.Network.Exits, func(o config.Exit) bool { return o.Name == e.Name }) {
				return &config.FieldError{Path: "name", Problem: "there is an exit of this name already"}
			}
			d.Network.Exits = append(d.Network.Exits, e)
			return nil
		},
	})
	if err != nil {
		forget()
	}
	return out, err
}

// keepExit puts the keys of a provider into the vault and their ids into e.
func (a *API) keepExit(ctx context.Context, e *config.Exit, p exit.Provider) (forget func(), err error) {
	var kept []config.Secret
	forget = func() {
		for _, id := range kept {
			if err := a.Vault.Delete(id); err != nil {
				a.Log.Warn("unused key stays in the vault", "name", e.Name, "err", err)
			}
		}
	}
	keep := func(kind string, k wgdev.Key, id *config.Secret) {
		if err != nil {
			return
		}
		if *id, err = a.Vault.Put(ctx, kind, []byte(k.Base64())); err == nil {
			kept = append(kept, *id)
		}
	}
	keep(exitKeyKind, p.Private, &e.Key)
	if p.Preshared != (wgdev.Key{}) {
		keep(exitPresharedKind, p.Preshared, &e.Preshared)
	}
	if err != nil {
		forget()
		return nil, fmt.Errorf("keeping the keys of %s: %w", e.Name, err)
	}
	return forget, nil
}

type editExitInput struct {
	OneExit
	Changing
	Body wire.ExitEdit
}

func (a *API) editExit(ctx context.Context, in *editExitInput) (*outcome, error) {
	return a.edited(ctx, edit{
		Changing: in.Changing,
		reason:   "change exit " + in.Exit,
		do: func(d *config.Document) error {
			i := slices.IndexFunc(d.Network.Exits, func(e config.Exit) bool { return e.Name == in.Exit })
			if i < 0 {
				return missing("exit " + in.Exit)
			}
			e := &d.Network.Exits[i]
			if in.Body.Disabled != nil {
				e.Disabled = *in.Body.Disabled
			}
			if in.Body.DNS != nil {
				e.DNS = *in.Body.DNS
			}
			return nil
		},
	})
}

// OneExit is the exit of a path.
type OneExit struct {
	Exit string `path:"exit"`
}

type removeExitInput struct {
	OneExit
	Changing
}

// removeExit leaves the keys in the vault, for a rollback wants them.
func (a *API) removeExit(ctx context.Context, in *removeExitInput) (*outcome, error) {
	return a.edited(ctx, edit{
		Changing: in.Changing,
		reason:   "remove exit " + in.Exit,
		do: func(d *config.Document) error {
			if !slices.ContainsFunc(d.Network.Exits, func(e config.Exit) bool { return e.Name == in.Exit }) {
				return missing("exit " + in.Exit)
			}
			for i := range d.Peers {
				if d.Peers[i].Exit == in.Exit {
					return wrong("exit", d.Peers[i].Name+" uses it; give it another exit first, or none")
				}
			}
			for _, g := range d.Network.Groups {
				if g.Exit == in.Exit {
					return wrong("exit", "the group "+g.Name+" uses it; give it another exit first, or none")
				}
			}
			d.Network.Exits = slices.DeleteFunc(d.Network.Exits, func(e config.Exit) bool { return e.Name == in.Exit })
			return nil
		},
	})
}
