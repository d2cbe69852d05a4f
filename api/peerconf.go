package api

import (
	"context"
	"fmt"
	"net/http"

	"pic/core/config"
	"pic/netstack/handout"
)

// note warns of an endpoint that nobody chose: it is the cell's address at home.
func (a *API) note(given string) string {
	if given != "" || a.Store.Current().WireGuard.Endpoint != "" {
		return ""
	}
	return "The device dials " + a.Store.Resolved().WireGuard.Endpoint + ", which works at home only. " +
		"Set wireguard.endpoint to the cell's public name or address, then make the file anew."
}

// writable says whether a configuration for peer can be written at all, before
// anything is changed.
func (a *API) writable(peer config.Peer, endpoint string, keys handout.Keys) error {
	d := a.Store.Resolved().Clone()
	d.Peers = []config.Peer{peer}
	h, err := handout.Of(d, peer.Name, endpoint)
	if err == nil {
		_, err = h.Text(keys)
	}
	return err
}

// keep puts the keys of a peer into the vault and their ids into key and preshared.
func (a *API) keep(ctx context.Context, name string, keys handout.Keys, key, preshared *config.Secret) (forget func(), err error) {
	forget = func() {
		for _, id := range []config.Secret{*key, *preshared} {
			if id == "" {
				continue
			}
			if err := a.Vault.Delete(id); err != nil {
				a.Log.Warn("unused key stays in the vault", "peer", name, "err", err)
			}
		}
	}
	if keys.Private != "" {
		if *key, err = a.Vault.Put(ctx, peerKeyKind, []byte(keys.Private)); err != nil {
			return nil, fmt.Errorf("keeping the key of %s: %w", name, err)
		}
	}
	if *preshared, err = a.Vault.Put(ctx, presharedKind, []byte(keys.Preshared)); err != nil {
		forget()
		return nil, fmt.Errorf("keeping the key of %s: %w", name, err)
	}
	return forget, nil
}

// handOver writes the configuration of a peer and remembers that it was given.
func (a *API) handOver(ctx context.Context, name, endpoint string, keys handout.Keys) (string, error) {
	doc := a.Store.Resolved()
	h, err := handout.Of(doc, name, endpoint)
	if err != nil {
		return "", wrong("endpoint", err.Error())
	}
	conf, err := h.Text(keys)
	if err != nil {
		return "", err
	}
	return conf, a.Book.Give(context.WithoutCancel(ctx), doc.Peer(name).PublicKey, h)
}

// Dialled is how the device shall reach the cell.
type Dialled struct {
	Endpoint string `query:"endpoint" maxLength:"260" doc:"host:port that the device dials; default: wireguard.endpoint"`
}

// conf writes the configuration of a peer with the keys of the vault.
func (a *API) conf(ctx context.Context, name, endpoint string) (string, error) {
	doc := a.Store.Resolved()
	p, err := owned(doc, callerOf(ctx), name)
	if err != nil {
		return "", err
	}
	id := config.Keys{Key: p.Key, Preshared: p.Preshared}
	if p.Next.PublicKey != "" {
		id = p.Next
	}
	var keys handout.Keys
	for _, k := range []struct {
		id  config.Secret
		key *string
	}{{id.Key, &keys.Private}, {id.Preshared, &keys.Preshared}} {
		if k.id == "" {
			continue
		}
		secret, err := a.Vault.Get(k.id)
		if err != nil {
			return "", fmt.Errorf("reading the key of %s: %w", name, err)
		}
		*k.key = string(secret)
	}
	return a.handOver(ctx, name, endpoint, keys)
}

type peerConfigInput struct {
	OnePeer
	Dialled
}

func (a *API) peerConfig(ctx context.Context, in *peerConfigInput) (*text, error) {
	conf, err := a.conf(ctx, in.Peer, in.Endpoint)
	if err != nil {
		return nil, err
	}
	return &text{http.StatusOK, "text/plain; charset=utf-8", []byte(conf)}, nil
}

type peerQRInput struct {
	OnePeer
	Dialled
}

func (a *API) peerQR(ctx context.Context, in *peerQRInput) (*text, error) {
	conf, err := a.conf(ctx, in.Peer, in.Endpoint)
	if err != nil {
		return nil, err
	}
	svg, err := qrSVG(conf)
	if err != nil {
		return nil, err
	}
	return &text{http.StatusOK, "image/svg+xml", svg}, nil
}
