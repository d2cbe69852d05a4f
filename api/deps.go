package api

import (
	"context"
	"log/slog"
	"time"

	"pic/api/wire"
	"pic/core/config"
	"pic/core/event"
	"pic/core/service"
	"pic/core/users"
	"pic/core/vault"
	"pic/netstack/peerbook"
)

// Deps is what the API translates. Fields are required but where they say
// otherwise.
type Deps struct {
	Log     *slog.Logger
	Version Version
	Started time.Time // when the cell started

	Store  *config.Store
	Users  *users.Directory
	Vault  *vault.Vault
	Events *event.Log
	Lines  *event.Lines
	Units  Units

	Network VPN
	Book    *peerbook.Book
	Router  Router
	Traffic Traffic
	Edge    Edge
	DNS     DNS
	DHCP    DHCP
	NTP     NTP
	Mail    Mail
	Proxy   Proxy
	DAV     DAV
	CA      CA

	// Setup is the first run of a cell that has no document yet: then there is
	// no Store, and nothing but the setup is served. Nil otherwise.
	Setup Setup
	// Hostname is the machine's own name, under which browsers may call, too.
	Hostname string
}

// Version says which program this is.
type Version struct {
	Version string // such as 0.1.0 or devel
	Commit  string
}

// Units are the running services.
type Units interface {
	Status() []service.Status
	// Restart ends the unit and starts it anew. It returns once it runs.
	Restart(ctx context.Context, name string) error
}

// Setup is the first run of a cell.
type Setup interface {
	// Needed reports whether the cell has no first revision yet. Once false it
	// stays false.
	Needed() bool
	// Token is the one-time token that the owner was shown.
	Token() string
	Suggestion() wire.Suggestion
	// Complete writes the first revision and the first administrator. Errors are
	// those of [config.Store.Change] and of users.
	Complete(ctx context.Context, s wire.Setup) error
}
