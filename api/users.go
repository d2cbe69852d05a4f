package api

import (
	"context"
	"fmt"
	"slices"

	"pic/api/wire"
	"pic/core/config"
)

func (a *API) userRoutes() {
	route(a, SignedIn, "GET /api/users", "The people of the household; for the role user: themselves", a.listUsers)
	route(a, Admins, "POST /api/users", "Add a person", a.addUser)
	route(a, Self, "GET /api/users/{name}", "One person", a.getUser)
	route(a, Admins, "PUT /api/users/{name}", "Change a person; what is left out stays", a.editUser)
	route(a, Admins, "DELETE /api/users/{name}", "Remove a person, their devices, and their name from aliases", a.removeUser)
}

// OneUser names a user in the path.
type OneUser struct {
	Name string `path:"name" maxLength:"64" example:"alice"`
}

func userOf(d *config.Document, u config.User) wire.User {
	out := wire.User{Name: u.Name, Display: u.Display, Role: u.Role, Groups: list(u.Groups), Disabled: u.Disabled, Peers: []string{}}
	if out.Role == "" {
		out.Role = config.Member
	}
	for _, p := range d.Peers {
		if p.Owner == u.Name {
			out.Peers = append(out.Peers, p.Name)
		}
	}
	return out
}

func (a *API) listUsers(ctx context.Context, _ *struct{}) (*tagged[[]wire.User], error) {
	c, doc := callerOf(ctx), a.Store.Resolved()
	out := []wire.User{}
	for _, u := range doc.Users {
		if c.viewer() || u.Name == c.Name {
			out = append(out, userOf(doc, u))
		}
	}
	return &tagged[[]wire.User]{etag(doc.Revision), out}, nil
}

func (a *API) getUser(_ context.Context, in *OneUser) (*tagged[wire.User], error) {
	doc := a.Store.Resolved()
	u := doc.User(in.Name)
	if u == nil {
		return nil, missing("user " + in.Name)
	}
	return &tagged[wire.User]{etag(doc.Revision), userOf(doc, *u)}, nil
}

type addUserInput struct {
	Changing
	Body wire.NewUser
}

// addUser writes the person into the document and gives them their password. If
// the second fails the first is undone, so that nobody is left half there.
func (a *API) addUser(ctx context.Context, in *addUserInput) (*tagged[wire.UserOutcome], error) {
	n := in.Body
	if err := a.Users.CheckPassword(n.Name, n.Password); err != nil {
		return nil, wrong("password", err.Error())
	}
	doc, out, err := a.change(ctx, edit{
		Changing: in.Changing,
		reason:   "add user " + n.Name,
		do: func(d *config.Document) error {
			if d.User(n.Name) != nil {
				return &config.FieldError{Path: "name", Problem: "there is a user of this name already"}
			}
			u := config.User{Name: n.Name, Display: n.Display, Role: n.Role, Groups: n.Groups}
			if u.Role == config.Member {
				u.Role = "" // the default
			}
			d.Users = append(d.Users, u)
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	if !in.DryRun {
		if err := a.Users.SetPassword(context.WithoutCancel(ctx), n.Name, n.Password); err != nil {
			return nil, a.undo(ctx, fmt.Errorf("setting the password of %s: %w", n.Name, err), edit{
				Changing: Changing{IfMatch: etag(doc.Revision)},
				reason:   "undo: the password of " + n.Name + " could not be set",
				do:       func(d *config.Document) error { return dropUser(d, n.Name) },
			})
		}
	}
	u := userOf(doc, *doc.User(n.Name))
	return &tagged[wire.UserOutcome]{etag(out.Revision), wire.UserOutcome{User: &u, Outcome: out}}, nil
}

// undo takes an edit back after what should have followed it failed with err.
func (a *API) undo(ctx context.Context, err error, e edit) error {
	if _, _, undone := a.change(ctx, e); undone != nil {
		return fmt.Errorf("%w; and undoing it: %w", err, undone)
	}
	return err
}

type editUserInput struct {
	OneUser
	Changing
	Body wire.UserEdit
}

func (a *API) editUser(ctx context.Context, in *editUserInput) (*tagged[wire.UserOutcome], error) {
	doc, out, err := a.change(ctx, edit{
		Changing: in.Changing,
		reason:   "change user " + in.Name,
		do: func(d *config.Document) error {
			u := d.User(in.Name)
			if u == nil {
				return missing("user " + in.Name)
			}
			set(&u.Display, in.Body.Display)
			set(&u.Groups, in.Body.Groups)
			set(&u.Disabled, in.Body.Disabled)
			if set(&u.Role, in.Body.Role); u.Role == config.Member {
				u.Role = ""
			}
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	u := userOf(doc, *doc.User(in.Name))
	return &tagged[wire.UserOutcome]{etag(out.Revision), wire.UserOutcome{User: &u, Outcome: out}}, nil
}

// set changes *p where the request says so.
func set[T any](p *T, v *T) {
	if v != nil {
		*p = *v
	}
}

type removeUserInput struct {
	OneUser
	Changing
}

func (a *API) removeUser(ctx context.Context, in *removeUserInput) (*outcome, error) {
	out, err := a.edited(ctx, edit{
		Changing: in.Changing,
		reason:   "remove user " + in.Name,
		do: func(d *config.Document) error {
			if err := dropUser(d, in.Name); err != nil {
				return err
			}
			if len(d.Users) == 0 {
				return &config.FieldError{Path: "users", Problem: "the last user must stay, or nobody could sign in"}
			}
			return nil
		},
	})
	if err != nil || in.DryRun {
		return out, err
	}
	// The credentials go last: who is not in the document cannot use them.
	if err := a.Users.Forget(context.WithoutCancel(ctx), in.Name); err != nil {
		return nil, fmt.Errorf("%s is removed, but deleting their credentials: %w", in.Name, err)
	}
	return out, nil
}

// dropUser removes a user and what only makes sense with them.
func dropUser(d *config.Document, name string) error {
	before := len(d.Users)
	d.Users = slices.DeleteFunc(d.Users, func(u config.User) bool { return u.Name == name })
	if len(d.Users) == before {
		return missing("user " + name)
	}
	for _, p := range d.Peers {
		if p.Owner == name {
			renamed(d, p.Name, "")
		}
	}
	d.Peers = slices.DeleteFunc(d.Peers, func(p config.Peer) bool { return p.Owner == name })
	for i := range d.Mail.Aliases {
		al := &d.Mail.Aliases[i]
		al.To = slices.DeleteFunc(al.To, func(to string) bool { return to == name })
	}
	d.Mail.Aliases = slices.DeleteFunc(d.Mail.Aliases, func(al config.Alias) bool { return len(al.To) == 0 })
	return nil
}
