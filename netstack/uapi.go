package netstack

import (
	"fmt"
	"net/netip"

	"pic/netstack/wgdev"
)

// desire derives the device that c asks for.
func (s *Server) desire(c Config) (wgdev.Config, error) {
	d := wgdev.Config{Port: c.Port, Peers: map[key]wgdev.Peer{}}
	if c.Mode == Off || c.Key == "" {
		return d, nil
	}
	var err error
	if d.Private, err = s.secretKey(c.Key); err != nil {
		return d, fmt.Errorf("the cell's private key (wireguard.key): %w", err)
	}
	if pub, err := PublicKey(d.Private.Base64()); err != nil || c.PublicKey != "" && pub != c.PublicKey {
		return d, fmt.Errorf("wireguard.publicKey is not that of the cell's private key (wireguard.key); it is %s", pub)
	}
	for _, p := range c.Peers {
		pub, err := parseKey(p.PublicKey)
		if err != nil {
			return d, fmt.Errorf("peer %s: public key: %w", p.Name, err)
		}
		if _, twice := d.Peers[pub]; twice {
			return d, fmt.Errorf("peer %s: another peer has the same public key", p.Name)
		}
		var w wgdev.Peer
		if p.Preshared != "" {
			if w.Preshared, err = s.secretKey(p.Preshared); err != nil {
				return d, fmt.Errorf("peer %s: preshared key: %w", p.Name, err)
			}
		}
		for _, a := range p.Addrs {
			w.Allowed = append(w.Allowed, netip.PrefixFrom(a, a.BitLen()))
		}
		w.Allowed = append(w.Allowed, p.Site...)
		d.Peers[pub] = w
	}
	return d, s.addLinks(c, &d)
}
