package api

import (
	"context"
	"slices"

	"pic/api/wire"
	"pic/core/config"
)

// OneGroup names a group in the path.
type OneGroup struct {
	Group string `path:"group" maxLength:"63" example:"family"`
}

func (a *API) listGroups(context.Context, *struct{}) (*tagged[[]wire.Group], error) {
	doc := a.Store.Current()
	r := a.Store.Resolved()
	out := []wire.Group{}
	for _, g := range doc.Network.Groups {
		w := wire.Group{Name: g.Name, Rights: []wire.Right{}, Peers: []string{}, Owners: []string{}, Chosen: chosen(g.Rights)}
		// A peer that has nothing but this group has its rights and the defaults.
		probe := config.Document{Cell: r.Cell, Network: config.Network{Groups: []config.PeerGroup{g}}, Links: r.Links}
		probe.Peers = []config.Peer{{Name: "x", Groups: []string{g.Name}}}
		rights := config.Resolve(&probe, config.Env{}).Peers[0].Rights
		w.May = may(r, rights)
		for _, x := range rightsOf(r, rights, probe.Sources(&probe.Peers[0])) {
			if x.Source == "group" {
				w.Rights = append(w.Rights, x)
			}
		}
		for i := range doc.Peers {
			if slices.ContainsFunc(doc.GroupsOf(&doc.Peers[i]), func(o config.PeerGroup) bool { return o.Name == g.Name }) {
				w.Peers = append(w.Peers, doc.Peers[i].Name)
			}
		}
		for _, u := range doc.Users {
			if slices.Contains(u.Groups, g.Name) {
				w.Owners = append(w.Owners, u.Name)
			}
		}
		out = append(out, w)
	}
	return &tagged[[]wire.Group]{etag(doc.Revision), out}, nil
}

// chosen are rights as they were chosen.
func chosen(r config.Rights) wire.PeerRights {
	w := wire.PeerRights{Internet: r.Internet, LAN: r.LAN, Fallback: r.Fallback}
	for _, x := range []struct {
		to    **[]string
		names []string
	}{{&w.Services, r.Services}, {&w.Peers, r.Peers}, {&w.Cells, r.Cells}} {
		if x.names != nil {
			*x.to = &x.names
		}
	}
	if r.Exit != "" {
		w.Exit = &r.Exit
	}
	return w
}

type addGroupInput struct {
	Changing
	Body wire.NewGroup
}

func (a *API) addGroup(ctx context.Context, in *addGroupInput) (*outcome, error) {
	return a.edited(ctx, edit{
		Changing: in.Changing,
		reason:   "add group " + in.Body.Name,
		do: func(d *config.Document) error {
			if d.Group(in.Body.Name) != nil {
				return &config.FieldError{Path: "name", Problem: "there is a group of this name already"}
			}
			g := config.PeerGroup{Name: in.Body.Name}
			grant(&g.Rights, in.Body.PeerRights)
			d.Network.Groups = append(d.Network.Groups, g)
			return nil
		},
	})
}

type editGroupInput struct {
	OneGroup
	Changing
	Body wire.GroupEdit
}

func (a *API) editGroup(ctx context.Context, in *editGroupInput) (*outcome, error) {
	return a.edited(ctx, edit{
		Changing: in.Changing,
		reason:   "change group " + in.Group,
		do: func(d *config.Document) error {
			g := d.Group(in.Group)
			if g == nil {
				return missing("group " + in.Group)
			}
			grant(&g.Rights, in.Body.PeerRights)
			if to := in.Body.Name; to != nil && *to != g.Name {
				g.Name = *to
				renamed(d, in.Group, *to)
				members(d, in.Group, *to)
			}
			return nil
		},
	})
}

type removeGroupInput struct {
	OneGroup
	Changing
}

func (a *API) removeGroup(ctx context.Context, in *removeGroupInput) (*outcome, error) {
	return a.edited(ctx, edit{
		Changing: in.Changing,
		reason:   "remove group " + in.Group,
		do: func(d *config.Document) error {
			if d.Group(in.Group) == nil {
				return missing("group " + in.Group)
			}
			d.Network.Groups = slices.DeleteFunc(d.Network.Groups, func(g config.PeerGroup) bool { return g.Name == in.Group })
			renamed(d, in.Group, "")
			members(d, in.Group, "")
			return nil
		},
	})
}

// members follows a group that has another name, or none any more, in the peers
// that are in it. People's groups serve other ends, too, and stay.
func members(d *config.Document, from, to string) {
	for i := range d.Peers {
		p := &d.Peers[i]
		switch at := slices.Index(p.Groups, from); {
		case at < 0:
		case to != "":
			p.Groups[at] = to
		default:
			p.Groups = slices.Delete(p.Groups, at, at+1)
		}
	}
}
