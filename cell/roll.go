package cell

import (
	"context"
	"time"

	"pic/core/config"
	"pic/core/event"
	"pic/netstack/peerbook"
)

// bookOptions tie the memory of the VPN to the tunnel and the document.
func (c *Cell) bookOptions() peerbook.Options {
	return peerbook.Options{
		Log: c.unit("peers"), Space: c.db.Space("peers"), Events: c.events,
		Look: func() []peerbook.Seen {
			var out []peerbook.Seen
			for _, p := range c.net.Peers() {
				out = append(out, peerbook.Seen{PublicKey: p.PublicKey, Endpoint: p.Endpoint, Handshake: p.LastHandshake, Rx: p.RxBytes, Tx: p.TxBytes})
			}
			return out
		},
		Take: c.takeKeys,
	}
}

// takeKeys makes the next keys of a peer its own. The former ones stay in the vault:
// a rollback may need them.
func (c *Cell) takeKeys(ctx context.Context, name, next string) error {
	taken := false
	_, err := c.store.Change(ctx, config.Change{
		Actor: "pic", Reason: name + " has its new keys",
		Edit: func(d *config.Document) error {
			if p := d.Peer(name); p != nil && p.Next.PublicKey == next {
				p.PublicKey, p.Key, p.Preshared, p.Next = next, p.Next.Key, p.Next.Preshared, config.Keys{}
				taken = true
			}
			return nil
		},
	})
	if err == nil && taken {
		c.events.Append(event.Event{
			Kind: "peer.rotated", Unit: "wireguard", Subject: name, Text: name + " has its new keys; the former ones are worth nothing any more",
		})
	}
	return err
}

// watchEnds puts in force what the document says of the passing of time.
func watchEnds(ctx context.Context, store *config.Store) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			store.Tick(ctx)
		}
	}
}
