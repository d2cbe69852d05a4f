package client

import (
	"context"
	"fmt"
	"net/http"

	"pic/api/wire"
)

// Leases returns the addresses that DHCP gave out.
func (c *Client) Leases(ctx context.Context) ([]wire.Lease, error) {
	return call[[]wire.Lease](ctx, c, http.MethodGet, "/api/dhcp/leases", nil)
}

// Routing returns the routes of the proxy and how they are doing.
func (c *Client) Routing(ctx context.Context) (wire.Routing, error) {
	return call[wire.Routing](ctx, c, http.MethodGet, "/api/routing", nil)
}

// Router returns the state of the router.
func (c *Client) Router(ctx context.Context) (wire.Router, error) {
	return call[wire.Router](ctx, c, http.MethodGet, "/api/router", nil)
}

// Traffic returns what devices sent and received in so many hours.
func (c *Client) Traffic(ctx context.Context, hours int) (wire.TrafficHistory, error) {
	return call[wire.TrafficHistory](ctx, c, http.MethodGet, fmt.Sprintf("/api/traffic?hours=%d", hours), nil)
}

// ReleaseLease forgets the lease of an address.
func (c *Client) ReleaseLease(ctx context.Context, address string) error {
	_, err := call[none](ctx, c, http.MethodDelete, at("/api/dhcp/leases/", address), nil)
	return err
}

// Vault returns the certificate authority and the names of the secrets.
func (c *Client) Vault(ctx context.Context) (wire.Vault, error) {
	return call[wire.Vault](ctx, c, http.MethodGet, "/api/vault", nil)
}

// IssueCertificate issues a certificate for names of the cell's domain.
func (c *Client) IssueCertificate(ctx context.Context, names []string) (wire.IssuedCertificate, error) {
	return call[wire.IssuedCertificate](ctx, c, http.MethodPost, "/api/vault/certificates", wire.NewCertificate{Names: names})
}

// Root returns the root certificate in PEM.
func (c *Client) Root(ctx context.Context) ([]byte, error) {
	return c.text(ctx, "/api/vault/root.pem")
}

// Edge returns what the cell has of the routers and services around it.
func (c *Client) Edge(ctx context.Context) (wire.Edge, error) {
	return call[wire.Edge](ctx, c, http.MethodGet, "/api/edge", nil)
}

// Reach runs the self-test of the VPN's endpoint.
func (c *Client) Reach(ctx context.Context) ([]wire.ReachStep, error) {
	return call[[]wire.ReachStep](ctx, c, http.MethodGet, "/api/wireguard/check", nil)
}

// Wake calls a device of the LAN to wake up, and returns whom.
func (c *Client) Wake(ctx context.Context, w wire.Wake) (wire.Woken, error) {
	return call[wire.Woken](ctx, c, http.MethodPost, "/api/wake", w)
}

// Exits returns the other ways to the internet.
func (c *Client) Exits(ctx context.Context) ([]wire.Exit, error) {
	return call[[]wire.Exit](ctx, c, http.MethodGet, "/api/exits", nil)
}

// AddExit adds one.
func (c *Client) AddExit(ctx context.Context, n wire.NewExit, e Edit) (wire.Outcome, error) {
	return call[wire.Outcome](ctx, c, http.MethodPost, "/api/exits", n, e)
}

// EditExit switches one on or off, or says whom to ask about names.
func (c *Client) EditExit(ctx context.Context, name string, n wire.ExitEdit, e Edit) (wire.Outcome, error) {
	return call[wire.Outcome](ctx, c, http.MethodPut, at("/api/exits/", name), n, e)
}

// RemoveExit removes one that nobody uses.
func (c *Client) RemoveExit(ctx context.Context, name string, e Edit) (wire.Outcome, error) {
	return call[wire.Outcome](ctx, c, http.MethodDelete, at("/api/exits/", name), nil, e)
}
