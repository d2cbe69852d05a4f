package netstack

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"pic/core/config"
	"pic/netstack/wgdev"
)

// A PeerKeys is what a peer's configuration holds besides the document.
type PeerKeys struct {
	Private   string // base64; empty: the device has made its own and keeps it
	Preshared string // base64; empty: none
}

// PeerConfig writes the configuration of a peer in the form that wg-quick and
// the WireGuard apps read. d is the resolved document; endpoint, host or
// host:port, stands in for wireguard.endpoint unless it is empty.
//
// What a device sends into the tunnel is decided here and cannot be changed
// later without giving it a new file; what it may reach is decided by the cell.
func PeerConfig(d *config.Document, name, endpoint string, keys PeerKeys) (string, error) {
	p := d.Peer(name)
	if p == nil {
		return "", fmt.Errorf("there is no peer %q", name)
	}
	w := &d.WireGuard
	if w.PublicKey == "" {
		return "", errors.New("the cell has no WireGuard key yet")
	}
	if endpoint == "" {
		endpoint = w.Endpoint
	}
	endpoint, err := dialable(endpoint, w.Port)
	if err != nil {
		return "", err
	}
	for _, k := range []string{keys.Private, keys.Preshared, w.PublicKey} {
		if _, err := parseKey(k); k != "" && err != nil {
			return "", err
		}
	}
	four, _ := w.VPN()

	var b strings.Builder
	b.WriteString("[Interface]\n")
	if keys.Private != "" {
		fmt.Fprintf(&b, "PrivateKey = %s\n", keys.Private)
	} else {
		b.WriteString("# PrivateKey = (the device's own)\n")
	}
	var addrs []netip.Prefix
	for _, a := range []netip.Addr{p.Address, p.Address6} {
		if a.IsValid() {
			addrs = append(addrs, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	fmt.Fprintf(&b, "Address = %s\n", list(addrs))
	fmt.Fprintf(&b, "DNS = %s\n", four)
	if w.MTU != 0 && w.MTU != wgdev.PathMTU(0) {
		fmt.Fprintf(&b, "MTU = %d\n", w.MTU)
	}
	fmt.Fprintf(&b, "\n[Peer]\nPublicKey = %s\n", w.PublicKey)
	if keys.Preshared != "" {
		fmt.Fprintf(&b, "PresharedKey = %s\n", keys.Preshared)
	}
	fmt.Fprintf(&b, "AllowedIPs = %s\nEndpoint = %s\nPersistentKeepalive = 25\n", list(tunnelled(d, p)), endpoint)
	return b.String(), nil
}

// tunnelled is what the peer sends into the tunnel: everything, or with split
// the cell's own networks and what it may reach of the household's.
func tunnelled(d *config.Document, p *config.Peer) []netip.Prefix {
	if !p.Split {
		return []netip.Prefix{
			netip.PrefixFrom(netip.IPv4Unspecified(), 0),
			netip.PrefixFrom(netip.IPv6Unspecified(), 0),
		}
	}
	var out []netip.Prefix
	add := func(n netip.Prefix) {
		if n.IsValid() && !slices.Contains(out, n.Masked()) {
			out = append(out, n.Masked())
		}
	}
	add(d.WireGuard.Subnet)
	add(d.WireGuard.Subnet6)
	if config.On(p.LAN) {
		add(d.Network.LAN.Address)
	}
	return out
}

func list(nets []netip.Prefix) string {
	var words []string
	for _, n := range nets {
		words = append(words, n.String())
	}
	return strings.Join(words, ", ")
}

// dialable completes host or host:port to host:port.
func dialable(endpoint string, port uint16) (string, error) {
	if endpoint == "" {
		return "", errors.New("nobody knows where this cell can be reached from outside: " +
			"set wireguard.endpoint to its public name or address, or give --endpoint HOST:PORT")
	}
	host, p := endpoint, strconv.Itoa(int(port))
	if a, err := netip.ParseAddr(strings.Trim(endpoint, "[]")); err == nil {
		host = a.String()
	} else if h, given, err := net.SplitHostPort(endpoint); err == nil {
		host, p = h, given
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || n == 0 || !validHost(host) {
		return "", fmt.Errorf("endpoint %q is not host or host:port", endpoint)
	}
	return net.JoinHostPort(host, strconv.FormatUint(n, 10)), nil
}

// validHost keeps out whatever could end a line or start a new word.
func validHost(h string) bool {
	if a, err := netip.ParseAddr(h); err == nil {
		return a.Zone() == "" || validInterface(a.Zone())
	}
	if h == "" || len(h) > 253 {
		return false
	}
	for _, r := range h {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '.', r == '_':
		default:
			return false
		}
	}
	return true
}
