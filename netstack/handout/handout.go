// Package handout writes what a device needs to join the cell's VPN: the .conf
// that wg-quick and the WireGuard apps read.
//
// [Of] derives what a device is to be given from the document, purely;
// [Handout.Text] writes it down with the keys. What a device was given can be
// kept, without any secret, and compared with what it would be given now:
// [Changes] says in sentences why it needs its file anew.
//
// What a device sends into the tunnel is decided here and cannot be changed later
// without giving it a new file. What it may reach is decided by the cell alone and
// is never in the file.
package handout

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"pic/core/config"
)

// Keys are what a .conf holds besides a Handout.
type Keys struct {
	Private   string // base64; empty: the device has made its own and keeps it
	Preshared string // base64; empty: none
}

// A Handout is what a device is given, but for the secrets: those it has by their
// ids.
type Handout struct {
	PublicKey string         `json:"publicKey"` // of the device, base64
	Preshared config.Secret  `json:"preshared,omitempty"`
	Addresses []netip.Prefix `json:"addresses"`
	DNS       []netip.Addr   `json:"dns"`
	MTU       int            `json:"mtu"`
	Cell      string         `json:"cell"`             // the cell's public key, base64
	Endpoint  string         `json:"endpoint"`         // host:port
	Chosen    bool           `json:"chosen,omitempty"` // the endpoint is this device's own, not wireguard.endpoint
	Full      bool           `json:"full,omitempty"`
	Networks  []netip.Prefix `json:"networks"`            // that it sends into the tunnel
	Keepalive int            `json:"keepalive,omitempty"` // seconds; 0: none
}

// defaultMTU is what WireGuard's own tools take where nothing is said.
const defaultMTU = 1420

// Of says what the peer of that name is to be given. d is the resolved document;
// endpoint, host or host:port, stands in for wireguard.endpoint unless it is
// empty. A peer that changes its keys is given the next ones.
func Of(d *config.Document, name, endpoint string) (Handout, error) {
	p := d.Peer(name)
	if p == nil {
		return Handout{}, fmt.Errorf("there is no peer %q", name)
	}
	w := &d.WireGuard
	if w.PublicKey == "" {
		return Handout{}, errors.New("the cell has no WireGuard key yet")
	}
	h := Handout{
		PublicKey: p.PublicKey, Preshared: p.Preshared, DNS: slices.Clone(p.DNS), MTU: w.MTU, Cell: w.PublicKey,
		Chosen: endpoint != "", Full: !p.Split, Networks: networks(d, p), Keepalive: max(0, p.Keepalive),
	}
	if p.Next.PublicKey != "" {
		h.PublicKey, h.Preshared = p.Next.PublicKey, p.Next.Preshared
	}
	if endpoint == "" {
		endpoint = w.Endpoint
	}
	var err error
	if h.Endpoint, err = dialable(endpoint, w.Port); err != nil {
		return Handout{}, err
	}
	for _, a := range []netip.Addr{p.Address, p.Address6} {
		if a.IsValid() {
			h.Addresses = append(h.Addresses, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	if h.DNS == nil {
		four, six := w.VPN()
		h.DNS = append(h.DNS, four)
		if six.IsValid() && p.Address6.IsValid() {
			h.DNS = append(h.DNS, six)
		}
	}
	return h, nil
}

// networks is what the peer sends into the tunnel: everything, or with split the
// cell's own networks and what it may reach of the household's and of others.
func networks(d *config.Document, p *config.Peer) []netip.Prefix {
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
		add(d.Network.LAN.Address6)
	}
	may := func(names []string, name string) bool {
		return slices.Contains(names, config.All) || slices.Contains(names, name)
	}
	for _, l := range d.Links {
		if l.Disabled || !may(p.Cells, l.Name) {
			continue
		}
		for _, n := range l.Subnets {
			add(n)
		}
	}
	for i := range d.Peers {
		o := &d.Peers[i]
		if o.Name == p.Name || o.Disabled || !may(p.Peers, o.Name) && !slices.ContainsFunc(o.Groups, func(g string) bool { return may(p.Peers, g) }) {
			continue
		}
		for _, n := range o.Site {
			add(n)
		}
	}
	return out
}

// Text writes h in the form that wg-quick and the apps read.
func (h Handout) Text(k Keys) (string, error) {
	for _, key := range []string{k.Private, k.Preshared, h.Cell} {
		if key != "" && !ValidKey(key) {
			return "", errors.New("not a WireGuard key (44 characters of base64, as `wg genkey` prints)")
		}
	}
	var b strings.Builder
	b.WriteString("[Interface]\n")
	if k.Private != "" {
		fmt.Fprintf(&b, "PrivateKey = %s\n", k.Private)
	} else {
		b.WriteString("# PrivateKey = (the device's own)\n")
	}
	fmt.Fprintf(&b, "Address = %s\nDNS = %s\n", list(h.Addresses), list(h.DNS))
	if h.MTU != 0 && h.MTU != defaultMTU {
		fmt.Fprintf(&b, "MTU = %d\n", h.MTU)
	}
	fmt.Fprintf(&b, "\n[Peer]\nPublicKey = %s\n", h.Cell)
	if k.Preshared != "" {
		fmt.Fprintf(&b, "PresharedKey = %s\n", k.Preshared)
	}
	fmt.Fprintf(&b, "AllowedIPs = %s\nEndpoint = %s\n", list(h.Networks), h.Endpoint)
	if h.Keepalive > 0 {
		fmt.Fprintf(&b, "PersistentKeepalive = %d\n", h.Keepalive)
	}
	return b.String(), nil
}

// ValidKey reports whether s is a key as WireGuard's tools print them.
func ValidKey(s string) bool {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == 32 && len(s) == 44
}

// Changes says why a device that was given was needs is, a sentence for each
// reason, the most pressing first; none where it need not.
func Changes(was, is Handout) []string {
	var out []string
	say := func(differs bool, format string, args ...any) {
		if differs {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	say(was.PublicKey != is.PublicKey || was.Preshared != is.Preshared, "its key was changed")
	say(was.Cell != is.Cell, "the cell's key was changed")
	say(!slices.Equal(was.Addresses, is.Addresses), "its address changed from %s to %s", list(was.Addresses), list(is.Addresses))
	say(!was.Chosen && !is.Chosen && was.Endpoint != is.Endpoint, "the endpoint changed from %s to %s", was.Endpoint, is.Endpoint)
	say(!slices.Equal(was.DNS, is.DNS), "DNS changed from %s to %s", list(was.DNS), list(is.DNS))
	say(was.MTU != is.MTU, "the MTU changed from %d to %d", was.MTU, is.MTU)
	say(was.Keepalive != is.Keepalive, "the keepalive changed from %d s to %d s", was.Keepalive, is.Keepalive)
	switch {
	case was.Full != is.Full && is.Full:
		out = append(out, "all of its traffic goes through the cell now")
	case was.Full != is.Full:
		out = append(out, "only the cell's networks go through the tunnel now")
	default:
		more, less := without(is.Networks, was.Networks), without(was.Networks, is.Networks)
		say(more != nil, "networks came in reach: %s", list(more))
		say(less != nil, "networks are no longer in reach: %s", list(less))
	}
	return out
}

func without(a, b []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, n := range a {
		if !slices.Contains(b, n) {
			out = append(out, n)
		}
	}
	return out
}

func list[T fmt.Stringer](all []T) string {
	var words []string
	for _, n := range all {
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
		h = a.Zone()
		if h == "" {
			return true
		}
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
