package wire

import (
	"time"

	"pic/core/config"
)

// A Session is who is signed in.
type Session struct {
	User    string      `json:"user"`
	Display string      `json:"display"`
	Role    config.Role `json:"role"`
	CSRF    string      `json:"csrf,omitempty" doc:"To be sent as X-CSRF-Token with every request but GET; empty for tokens and the socket"`
}

// A SignIn is one browser in which a person is signed in.
type SignIn struct {
	ID      string    `json:"id"`
	From    string    `json:"from,omitempty" doc:"Address that it was opened from"`
	Agent   string    `json:"agent" doc:"What the browser says it is"`
	Created time.Time `json:"created"`
	Seen    time.Time `json:"seen" doc:"Its last request, to ten minutes"`
	Expires time.Time `json:"expires" doc:"When it ends if nothing comes"`
	Current bool      `json:"current" doc:"This is the session of the request"`
}

// Login signs in.
type Login struct {
	Login    string `json:"login" minLength:"1" maxLength:"254" doc:"alice or alice@oak.home.arpa"`
	Password string `json:"password" minLength:"1" maxLength:"1024"`
}

// SetupState says whether the cell waits for its first run.
type SetupState struct {
	Needed     bool        `json:"needed"`
	Suggestion *Suggestion `json:"suggestion,omitempty" doc:"Only where it is needed"`
}

// A Suggestion fills the form of the first run.
type Suggestion struct {
	Name   string      `json:"name"`
	Domain string      `json:"domain"`
	Mode   config.Mode `json:"mode"`
}

// Setup is what the first run asks.
type Setup struct {
	Token    string      `json:"token" maxLength:"128" doc:"The one-time token that pic serve printed"`
	Name     string      `json:"name" minLength:"1" maxLength:"63" doc:"The cell's name, one DNS label"`
	Domain   string      `json:"domain,omitempty" maxLength:"253" doc:"Default: <name>.home.arpa"`
	Mode     config.Mode `json:"mode,omitempty" doc:"Default: what the suggestion says"`
	Admin    string      `json:"admin" minLength:"1" maxLength:"64" doc:"Login of the first administrator"`
	Display  string      `json:"display,omitempty" maxLength:"200"`
	Password string      `json:"password" minLength:"1" maxLength:"1024"`
}

// A User is a person of the household.
type User struct {
	Name     string      `json:"name"`
	Display  string      `json:"display"`
	Role     config.Role `json:"role"`
	Groups   []string    `json:"groups"`
	Disabled bool        `json:"disabled"`
	Peers    []string    `json:"peers" doc:"Names of the devices they own"`
}

// NewUser adds a person.
type NewUser struct {
	Name     string      `json:"name" minLength:"1" maxLength:"64"`
	Display  string      `json:"display,omitempty" maxLength:"200"`
	Role     config.Role `json:"role,omitempty" doc:"Default: user"`
	Groups   []string    `json:"groups,omitempty" maxItems:"50"`
	Password string      `json:"password" minLength:"1" maxLength:"1024"`
}

// UserEdit changes a person. What is left out stays as it is.
type UserEdit struct {
	Display  *string      `json:"display,omitempty" maxLength:"200"`
	Role     *config.Role `json:"role,omitempty"`
	Groups   *[]string    `json:"groups,omitempty" maxItems:"50"`
	Disabled *bool        `json:"disabled,omitempty"`
}

// UserOutcome is the person after an edit.
type UserOutcome struct {
	User *User `json:"user,omitempty"`
	Outcome
}

// NewPassword sets a password. Who changes their own has to give the old one.
type NewPassword struct {
	Password string `json:"password" minLength:"1" maxLength:"1024"`
	Current  string `json:"current,omitempty" maxLength:"1024" doc:"The present password; an administrator need not give it for others"`
}

// An AppPassword lets one program into some services of one person.
type AppPassword struct {
	ID      string    `json:"id"`
	Label   string    `json:"label"`
	Scopes  []string  `json:"scopes" doc:"mail, dav"`
	Created time.Time `json:"created"`
	Used    time.Time `json:"used,omitzero" doc:"When it last opened a door; absent where never"`
}

// NewAppPassword asks for an app password.
type NewAppPassword struct {
	Label  string   `json:"label" minLength:"1" maxLength:"100"`
	Scopes []string `json:"scopes" minItems:"1" maxItems:"5" enum:"mail,dav" doc:"The services that it opens"`
}

// A Token lets a program call this API.
type Token struct {
	ID      string      `json:"id"`
	User    string      `json:"user"`
	Label   string      `json:"label"`
	Role    config.Role `json:"role"`
	Created time.Time   `json:"created"`
	Used    time.Time   `json:"used,omitzero" doc:"When it was last used; absent where never"`
}

// NewToken asks for a token.
type NewToken struct {
	User  string      `json:"user,omitempty" maxLength:"64" doc:"Whom it acts for; default: the caller"`
	Label string      `json:"label" minLength:"1" maxLength:"100"`
	Role  config.Role `json:"role,omitempty" doc:"At most that of the user, which is the default"`
}

// Issued is a fresh credential. The secret is shown this once.
type Issued struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}
