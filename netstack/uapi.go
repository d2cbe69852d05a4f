package netstack

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A device is the state of a WireGuard device, or that which is wanted.
type device struct {
	private key
	port    uint16
	peers   map[key]wgPeer // by public key
}

// A wgPeer is what a device knows of a peer.
type wgPeer struct {
	preshared key // zero: none
	allowed   []netip.Prefix

	// Only in what a device tells, never in what is wanted.
	endpoint  string
	handshake time.Time // zero: never
	rx, tx    uint64    // bytes
}

// desire derives the device that c asks for.
func (s *Server) desire(c Config) (device, error) {
	d := device{port: c.Port, peers: map[key]wgPeer{}}
	if c.Mode == Off || c.Key == "" {
		return d, nil
	}
	var err error
	if d.private, err = s.secretKey(c.Key); err != nil {
		return d, fmt.Errorf("the cell's private key (wireguard.key): %w", err)
	}
	if pub, err := PublicKey(d.private.base64()); err != nil || c.PublicKey != "" && pub != c.PublicKey {
		return d, fmt.Errorf("wireguard.publicKey is not that of the cell's private key (wireguard.key); it is %s", pub)
	}
	for _, p := range c.Peers {
		pub, err := parseKey(p.PublicKey)
		if err != nil {
			return d, fmt.Errorf("peer %s: public key: %w", p.Name, err)
		}
		if _, twice := d.peers[pub]; twice {
			return d, fmt.Errorf("peer %s: another peer has the same public key", p.Name)
		}
		var w wgPeer
		if p.Preshared != "" {
			if w.preshared, err = s.secretKey(p.Preshared); err != nil {
				return d, fmt.Errorf("peer %s: preshared key: %w", p.Name, err)
			}
		}
		for _, a := range p.Addrs {
			w.allowed = append(w.allowed, netip.PrefixFrom(a, a.BitLen()))
		}
		w.allowed = append(w.allowed, p.Site...)
		d.peers[pub] = w
	}
	return d, nil
}

// diff writes the commands, in WireGuard's cross-platform configuration
// protocol, that lead from one state to the other and name only what differs.
func diff(have, want device) string {
	var b strings.Builder
	if have.private != want.private {
		fmt.Fprintf(&b, "private_key=%s\n", want.private.hex())
	}
	if have.port != want.port {
		fmt.Fprintf(&b, "listen_port=%d\n", want.port)
	}
	for _, pub := range sorted(have.peers) {
		if _, ok := want.peers[pub]; !ok {
			fmt.Fprintf(&b, "public_key=%s\nremove=true\n", pub.hex())
		}
	}
	for _, pub := range sorted(want.peers) {
		old, known := have.peers[pub]
		w := want.peers[pub]
		newKey := old.preshared != w.preshared
		newIPs := !sameSet(old.allowed, w.allowed)
		if known && !newKey && !newIPs {
			continue
		}
		fmt.Fprintf(&b, "public_key=%s\n", pub.hex())
		if newKey {
			fmt.Fprintf(&b, "preshared_key=%s\n", w.preshared.hex())
		}
		if newIPs {
			b.WriteString("replace_allowed_ips=true\n")
			for _, p := range w.allowed {
				fmt.Fprintf(&b, "allowed_ip=%s\n", p)
			}
		}
	}
	return b.String()
}

func sorted(m map[key]wgPeer) []key {
	keys := make([]key, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int { return slices.Compare(a[:], b[:]) })
	return keys
}

func sameSet(a, b []netip.Prefix) bool {
	if len(a) != len(b) {
		return false
	}
	for _, p := range a {
		if !slices.Contains(b, p) {
			return false
		}
	}
	return true
}

// parseDevice reads what a device answers to the "get" operation. Keys that it
// does not know are skipped, as the protocol asks.
func parseDevice(text string) (device, error) {
	d := device{peers: map[key]wgPeer{}}
	var pub *key
	var p wgPeer
	var sec, nsec int64
	end := func() {
		if sec != 0 || nsec != 0 {
			p.handshake = time.Unix(sec, nsec)
		}
		if pub != nil {
			d.peers[*pub] = p
		}
		p, sec, nsec = wgPeer{}, 0, 0
	}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if name == "" && !ok {
			continue
		}
		if !ok {
			return d, fmt.Errorf("answer of the device: a line without =")
		}
		var err error
		switch name {
		case "private_key":
			d.private, err = parseHex(value)
		case "listen_port":
			var n uint64
			n, err = strconv.ParseUint(value, 10, 16)
			d.port = uint16(n)
		case "public_key":
			end()
			var k key
			k, err = parseHex(value)
			pub = &k
		case "preshared_key":
			p.preshared, err = parseHex(value)
		case "endpoint":
			p.endpoint = value
		case "last_handshake_time_sec":
			sec, err = strconv.ParseInt(value, 10, 64)
		case "last_handshake_time_nsec":
			nsec, err = strconv.ParseInt(value, 10, 64)
		case "rx_bytes":
			p.rx, err = strconv.ParseUint(value, 10, 64)
		case "tx_bytes":
			p.tx, err = strconv.ParseUint(value, 10, 64)
		case "allowed_ip":
			var pre netip.Prefix
			pre, err = netip.ParsePrefix(value)
			p.allowed = append(p.allowed, pre)
		}
		if err != nil { // without the value, which may be a key
			return d, fmt.Errorf("answer of the device: bad %s", name)
		}
	}
	end()
	return d, nil
}

func parseHex(s string) (k key, err error) {
	if len(s) != 2*len(k) {
		return key{}, errKey
	}
	_, err = hex.Decode(k[:], []byte(s))
	return k, err
}
