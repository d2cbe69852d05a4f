package client

import (
	"context"
	"net/http"
	"strconv"

	"pic/api/wire"
)

// Peers returns the devices of the VPN.
func (c *Client) Peers(ctx context.Context) ([]wire.Peer, error) {
	return call[[]wire.Peer](ctx, c, http.MethodGet, "/api/peers", nil)
}

// AddPeer adds a device.
func (c *Client) AddPeer(ctx context.Context, p wire.NewPeer, e Edit) (wire.PeerOutcome, error) {
	return call[wire.PeerOutcome](ctx, c, http.MethodPost, "/api/peers", p, e)
}

// RemovePeer removes a device.
func (c *Client) RemovePeer(ctx context.Context, name string, e Edit) (wire.Outcome, error) {
	return call[wire.Outcome](ctx, c, http.MethodDelete, at("/api/peers/", name), nil, e)
}

// PeerConfig returns the .conf of a device. endpoint replaces what the document
// says that devices dial, where it is not empty.
func (c *Client) PeerConfig(ctx context.Context, name, endpoint string) ([]byte, error) {
	return c.text(ctx, query(at("/api/peers/", name)+"/config", map[string]string{"endpoint": endpoint}))
}

// Peer returns one device.
func (c *Client) Peer(ctx context.Context, name string) (wire.Peer, error) {
	return call[wire.Peer](ctx, c, http.MethodGet, at("/api/peers/", name), nil)
}

// EditPeer changes a device.
func (c *Client) EditPeer(ctx context.Context, name string, p wire.PeerEdit, e Edit) (wire.PeerOutcome, error) {
	return call[wire.PeerOutcome](ctx, c, http.MethodPut, at("/api/peers/", name), p, e)
}

// RotatePeer gives a device new keys.
func (c *Client) RotatePeer(ctx context.Context, name string, r wire.Rotation, e Edit) (wire.PeerOutcome, error) {
	return call[wire.PeerOutcome](ctx, c, http.MethodPost, at("/api/peers/", name)+"/rotate", r, e)
}

// LinkPeer makes a one-time link by which a device enrols itself.
func (c *Client) LinkPeer(ctx context.Context, name string, n wire.NewLink) (wire.EnrolLink, error) {
	return call[wire.EnrolLink](ctx, c, http.MethodPost, at("/api/peers/", name)+"/link", n)
}

// UnlinkPeer makes the link of a device worthless.
func (c *Client) UnlinkPeer(ctx context.Context, name string) error {
	_, err := call[none](ctx, c, http.MethodDelete, at("/api/peers/", name)+"/link", nil)
	return err
}

// PeerHistory returns what a device carried in the last hours, by minute, hour or
// day; by "" is what fits.
func (c *Client) PeerHistory(ctx context.Context, name, by string, hours int) (wire.PeerHistory, error) {
	path := query(at("/api/peers/", name)+"/history", map[string]string{"by": by, "hours": strconv.Itoa(hours)})
	return call[wire.PeerHistory](ctx, c, http.MethodGet, path, nil)
}

// Groups returns the groups of devices.
func (c *Client) Groups(ctx context.Context) ([]wire.Group, error) {
	return call[[]wire.Group](ctx, c, http.MethodGet, "/api/groups", nil)
}

// AddGroup adds a group of devices.
func (c *Client) AddGroup(ctx context.Context, g wire.NewGroup, e Edit) (wire.Outcome, error) {
	return call[wire.Outcome](ctx, c, http.MethodPost, "/api/groups", g, e)
}

// EditGroup changes a group of devices.
func (c *Client) EditGroup(ctx context.Context, name string, g wire.GroupEdit, e Edit) (wire.Outcome, error) {
	return call[wire.Outcome](ctx, c, http.MethodPut, at("/api/groups/", name), g, e)
}

// RemoveGroup removes a group of devices.
func (c *Client) RemoveGroup(ctx context.Context, name string, e Edit) (wire.Outcome, error) {
	return call[wire.Outcome](ctx, c, http.MethodDelete, at("/api/groups/", name), nil, e)
}

// Explain says what becomes of a connection. port 0 is the default of the API.
func (c *Client) Explain(ctx context.Context, from, to, protocol string, port uint16) (wire.Explanation, error) {
	q := map[string]string{"from": from, "to": to, "protocol": protocol}
	if port != 0 {
		q["port"] = strconv.Itoa(int(port))
	}
	return call[wire.Explanation](ctx, c, http.MethodGet, query("/api/explain", q), nil)
}

// WireGuard returns the tunnel.
func (c *Client) WireGuard(ctx context.Context) (wire.WireGuard, error) {
	return call[wire.WireGuard](ctx, c, http.MethodGet, "/api/wireguard", nil)
}

// RotateCell gives the cell a new key.
func (c *Client) RotateCell(ctx context.Context, e Edit) (wire.CellRotation, error) {
	return call[wire.CellRotation](ctx, c, http.MethodPost, "/api/wireguard/rotate", struct{}{}, e)
}
