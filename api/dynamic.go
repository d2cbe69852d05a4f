package api

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"

	"pic/api/wire"
	"pic/core/config"
)

func (a *API) dynamicRoutes() {
	route(a, Admins, "PUT /api/network/dynamic/{name}", "Add or change a public name that follows the cell's address", a.setDynamic)
	route(a, Admins, "DELETE /api/network/dynamic/{name}", "Remove a public name that follows the cell's address", a.removeDynamic)
}

// dynamicKind is what the vault calls passwords of dynamic DNS.
const dynamicKind = "dynamic-dns"

type setDynamicInput struct {
	Changing
	Name string `path:"name" maxLength:"253" doc:"The host name"`
	Body wire.NewDynamicName
}

// setDynamic keeps the password in the vault. That of before stays there, so that
// the change can be undone.
func (a *API) setDynamic(ctx context.Context, in *setDynamicInput) (*outcome, error) {
	b := in.Body
	if b.Protocol == "rfc2136" && b.Password != "" {
		if _, err := base64.StdEncoding.DecodeString(b.Password); err != nil {
			return nil, wrong("password", "must be the TSIG key in base64")
		}
	}
	n := config.DynamicName{
		Name: in.Name, Protocol: b.Protocol, Server: b.Server, User: b.User, Zone: b.Zone, Families: b.Families, Disabled: b.Disabled,
	}
	if b.Password != "" {
		n.Password = "not-kept-yet"
		if !in.DryRun {
			id, err := a.Vault.Put(ctx, dynamicKind, []byte(b.Password))
			if err != nil {
				return nil, fmt.Errorf("keeping the password: %w", err)
			}
			n.Password = id
		}
	}
	out, err := a.edited(ctx, edit{Changing: in.Changing, reason: "public name " + in.Name, do: func(d *config.Document) error {
		i := slices.IndexFunc(d.Network.Dynamic, func(o config.DynamicName) bool { return o.Name == in.Name })
		if i < 0 {
			d.Network.Dynamic = append(d.Network.Dynamic, n)
			return nil
		}
		was := &d.Network.Dynamic[i]
		with := n
		with.Interval = was.Interval
		if with.Password == "" {
			with.Password = was.Password
		}
		*was = with
		return nil
	}})
	if err != nil && n.Password != "" && !in.DryRun {
		if err := a.Vault.Delete(n.Password); err != nil {
			a.Log.Warn("unused password stays in the vault", "name", in.Name, "err", err)
		}
	}
	return out, err
}

type removeDynamicInput struct {
	Changing
	Name string `path:"name" maxLength:"253" doc:"The host name"`
}

func (a *API) removeDynamic(ctx context.Context, in *removeDynamicInput) (*outcome, error) {
	return a.edited(ctx, edit{Changing: in.Changing, reason: "remove public name " + in.Name, do: func(d *config.Document) error {
		with := len(d.Network.Dynamic)
		d.Network.Dynamic = slices.DeleteFunc(d.Network.Dynamic, func(o config.DynamicName) bool { return o.Name == in.Name })
		if len(d.Network.Dynamic) == with {
			return missing("public name " + in.Name)
		}
		return nil
	}})
}
