package api

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"pic/api/wire"
	"pic/core/config"
	"pic/core/users"
)

func (a *API) credentialRoutes() {
	route(a, Self, "PUT /api/users/{name}/password", "Set a password; all sessions of the person end", a.setPassword)
	route(a, Self, "GET /api/users/{name}/app-passwords", "The app passwords of a person", a.appPasswords)
	route(a, Self, "POST /api/users/{name}/app-passwords", "Make an app password; it is shown this once", a.addAppPassword)
	route(a, Self, "DELETE /api/users/{name}/app-passwords/{id}", "Make an app password worthless", a.deleteAppPassword)
	route(a, Self, "GET /api/users/{name}/sessions", "Where a person is signed in", a.sessions)
	route(a, Self, "DELETE /api/users/{name}/sessions/{id}", "Sign a person out there", a.endSession)
	route(a, SignedIn, "GET /api/tokens", "API tokens: for administrators all, for others their own", a.tokens)
	route(a, SignedIn, "POST /api/tokens", "Make an API token; it is shown this once", a.addToken)
	route(a, SignedIn, "DELETE /api/tokens/{id}", "Make an API token worthless", a.deleteToken)
}

// known refuses names that are not in the document.
func (a *API) known(name string) error {
	if a.Store.Current().User(name) == nil {
		return missing("user " + name)
	}
	return nil
}

type setPasswordInput struct {
	OneUser
	Client
	Body wire.NewPassword
}

func (a *API) setPassword(ctx context.Context, in *setPasswordInput) (*struct{}, error) {
	if err := a.known(in.Name); err != nil {
		return nil, err
	}
	// Whoever finds a browser open must not be able to keep the account.
	if c := callerOf(ctx); !c.local && (!c.admin() || c.Name == in.Name) {
		if _, err := a.Users.Authenticate(ctx, in.Name, in.Body.Current, users.Web, in.From); err != nil {
			if errors.Is(err, users.ErrDenied) {
				return nil, wrong("current", "this is not the present password")
			}
			return nil, err
		}
	}
	if err := a.Users.SetPassword(ctx, in.Name, in.Body.Password); err != nil {
		return nil, err
	}
	a.tell(ctx, "password.changed", in.Name, "the password of "+in.Name+" was changed")
	return nil, nil
}

// OneOfUser names something of a user in the path.
type OneOfUser struct {
	OneUser
	ID string `path:"id" maxLength:"64"`
}

func (a *API) appPasswords(ctx context.Context, in *OneUser) (*body[[]wire.AppPassword], error) {
	if err := a.known(in.Name); err != nil {
		return nil, err
	}
	all, err := a.Users.AppPasswords(in.Name)
	if err != nil {
		return nil, err
	}
	out := []wire.AppPassword{}
	for _, p := range all {
		w := wire.AppPassword{ID: p.ID, Label: p.Label, Scopes: []string{}, Created: p.Created, Used: p.Used}
		for _, s := range p.Scopes {
			w.Scopes = append(w.Scopes, string(s))
		}
		out = append(out, w)
	}
	return &body[[]wire.AppPassword]{out}, nil
}

type addAppPasswordInput struct {
	OneUser
	Body wire.NewAppPassword
}

func (a *API) addAppPassword(ctx context.Context, in *addAppPasswordInput) (*made[wire.Issued], error) {
	if err := a.known(in.Name); err != nil {
		return nil, err
	}
	if c := callerOf(ctx); c.token && !c.admin() {
		// It would open what the token itself does not.
		return nil, fail(http.StatusForbidden, "forbidden", "a token cannot make app passwords; sign in for that")
	}
	var scopes []users.Scope
	for _, s := range in.Body.Scopes {
		scopes = append(scopes, users.Scope(s))
	}
	id, secret, err := a.Users.CreateAppPassword(ctx, in.Name, in.Body.Label, scopes)
	if err != nil {
		return nil, err
	}
	a.tell(ctx, "app-password.created", in.Name, in.Name+" has a new app password: "+in.Body.Label)
	return &made[wire.Issued]{http.StatusCreated, wire.Issued{ID: id, Secret: secret}}, nil
}

func (a *API) deleteAppPassword(ctx context.Context, in *OneOfUser) (*struct{}, error) {
	all, err := a.Users.AppPasswords(in.Name)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(all, func(p users.AppPassword) bool { return p.ID == in.ID }) {
		return nil, missing("app password of that id")
	}
	if err := a.Users.DeleteAppPassword(ctx, in.Name, in.ID); err != nil {
		return nil, err
	}
	a.tell(ctx, "app-password.deleted", in.Name, "an app password of "+in.Name+" was deleted")
	return nil, nil
}

func (a *API) sessions(ctx context.Context, in *OneUser) (*body[[]wire.SignIn], error) {
	all, err := a.Users.Sessions(in.Name)
	if err != nil {
		return nil, err
	}
	own := ""
	if c := callerOf(ctx); c.session != "" {
		if _, s, err := a.Users.Session(ctx, c.session); err == nil {
			own = s.ID
		}
	}
	out := []wire.SignIn{}
	for _, s := range all {
		w := wire.SignIn{ID: s.ID, Agent: s.Agent, Created: s.Created, Seen: s.Seen, Expires: s.Expires, Current: s.ID == own}
		if s.From.IsValid() {
			w.From = s.From.String()
		}
		out = append(out, w)
	}
	return &body[[]wire.SignIn]{out}, nil
}

func (a *API) endSession(ctx context.Context, in *OneOfUser) (*struct{}, error) {
	all, err := a.Users.Sessions(in.Name)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(all, func(s users.Session) bool { return s.ID == in.ID }) {
		return nil, missing("session of that id")
	}
	return nil, a.Users.EndSessionID(ctx, in.Name, in.ID)
}

func (a *API) tokens(ctx context.Context, _ *struct{}) (*body[[]wire.Token], error) {
	all, err := a.Users.Tokens()
	if err != nil {
		return nil, err
	}
	c, out := callerOf(ctx), []wire.Token{}
	for _, t := range all {
		if c.admin() || t.User == c.Name {
			out = append(out, wire.Token{ID: t.ID, User: t.User, Label: t.Label, Role: t.Role, Created: t.Created, Used: t.Used})
		}
	}
	return &body[[]wire.Token]{out}, nil
}

func (a *API) addToken(ctx context.Context, in *body[wire.NewToken]) (*made[wire.Issued], error) {
	c := callerOf(ctx)
	user, role := in.Body.User, in.Body.Role
	if user == "" {
		user = c.Name
		if c.local {
			user = a.onlyAdmin()
		}
	}
	if user != c.Name && !c.admin() {
		return nil, errForbidden
	}
	owner := a.Store.Resolved().User(user)
	if owner == nil {
		return nil, wrong("user", "name the user that the token acts for")
	}
	if role == "" {
		role = owner.Role
	}
	if rank(role) > rank(owner.Role) || rank(role) > rank(c.Role) {
		return nil, wrong("role", "a token cannot have more rights than its user")
	}
	id, secret, err := a.Users.CreateToken(ctx, user, in.Body.Label, role)
	if err != nil {
		return nil, err
	}
	a.tell(ctx, "token.created", user, user+" has a new API token: "+in.Body.Label)
	return &made[wire.Issued]{http.StatusCreated, wire.Issued{ID: id, Secret: secret}}, nil
}

// onlyAdmin is the name of the administrator where there is just one.
func (a *API) onlyAdmin() string {
	name := ""
	for _, u := range a.Store.Current().Users {
		if u.Role == config.Admin && !u.Disabled {
			if name != "" {
				return ""
			}
			name = u.Name
		}
	}
	return name
}

func rank(r config.Role) int {
	switch r {
	case config.Admin:
		return 2
	case config.Viewer:
		return 1
	}
	return 0
}

type deleteTokenInput struct {
	ID string `path:"id" maxLength:"64"`
}

func (a *API) deleteToken(ctx context.Context, in *deleteTokenInput) (*struct{}, error) {
	all, err := a.Users.Tokens()
	if err != nil {
		return nil, err
	}
	c := callerOf(ctx)
	for _, t := range all {
		if t.ID == in.ID && (c.admin() || t.User == c.Name) {
			if err := a.Users.DeleteToken(ctx, t.ID); err != nil {
				return nil, err
			}
			a.tell(ctx, "token.deleted", t.User, "an API token of "+t.User+" was deleted")
			return nil, nil
		}
	}
	return nil, missing("token of that id")
}
