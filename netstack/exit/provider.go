package exit

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"pic/netstack/wgdev"
)

// A Provider is what the .conf of a WireGuard provider says.
type Provider struct {
	Private   wgdev.Key
	Public    wgdev.Key // of the provider
	Preshared wgdev.Key // zero: none
	Addresses []netip.Prefix
	DNS       []netip.Addr
	Endpoint  string // host:port
	MTU       int    // 0: not said
	Keepalive int    // seconds; 0: not said
}

// Bounds of a .conf and of what it may list.
const (
	mostConf  = 16 << 10
	mostAddrs = 8
	mostDNS   = 4
)

// Parse reads a .conf as wg-quick (8) takes it, with one peer that all traffic
// goes to. Commands (PostUp and the like) are refused, for they would not be run;
// what only matters to a host that sends all its own traffic that way is passed
// over: Table, FwMark, SaveConfig, ListenPort. Errors name the line and never
// what is secret in it.
func Parse(conf string) (Provider, error) {
	if len(conf) > mostConf {
		return Provider{}, errors.New("the file is too long for the .conf of a WireGuard provider")
	}
	r := reader{seen: map[string]bool{}}
	conf = strings.TrimPrefix(conf, "\ufeff")
	for i, line := range strings.Split(conf, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if err := r.line(line); err != nil {
			return Provider{}, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	return r.p, r.whole()
}

// A reader is in the middle of a .conf.
type reader struct {
	p       Provider
	section string
	peers   int
	seen    map[string]bool // section and key
	all     bool            // the peer takes everything of a family
}

func (r *reader) line(line string) error {
	if strings.HasPrefix(line, "[") {
		switch strings.ToLower(line) {
		case "[interface]":
			if r.seen["interface"] {
				return errors.New("there is a second [Interface]")
			}
			r.section = "interface"
		case "[peer]":
			if r.peers++; r.peers > 1 {
				return errors.New("there is a second [Peer]; an exit has one, so leave one in")
			}
			r.section = "peer"
		default:
			return errors.New("sections are [Interface] and [Peer]")
		}
		r.seen[r.section] = true
		return nil
	}
	name, value, ok := strings.Cut(line, "=")
	if !ok {
		return errors.New("is neither a section nor Key = value")
	}
	if r.section == "" {
		return errors.New("comes before [Interface]")
	}
	name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
	many := name == "address" || name == "dns" || name == "allowedips"
	if id := r.section + " " + name; r.seen[id] && !many {
		return fmt.Errorf("%s is there twice", label(name))
	} else {
		r.seen[id] = true
	}
	if r.section == "peer" {
		return r.peer(name, value)
	}
	return r.card(name, value)
}

// names are the keys of a .conf as people write them.
func label(name string) string {
	for _, n := range []string{
		"PrivateKey", "PublicKey", "PresharedKey", "Address", "DNS", "MTU", "Endpoint", "AllowedIPs", "PersistentKeepalive",
		"PreUp", "PostUp", "PreDown", "PostDown",
	} {
		if strings.ToLower(n) == name {
			return n
		}
	}
	return "the key"
}

func (r *reader) card(name, value string) (err error) {
	switch name {
	case "privatekey":
		r.p.Private, err = wgdev.ParseKey(value)
		if err != nil {
			return errors.New("PrivateKey is not a WireGuard key (44 characters of base64)")
		}
	case "address":
		return each(value, func(s string) error {
			a, err := address(s)
			if err != nil {
				return err
			}
			if r.p.Addresses = append(r.p.Addresses, a); len(r.p.Addresses) > mostAddrs {
				return fmt.Errorf("there are more than %d addresses", mostAddrs)
			}
			return nil
		})
	case "dns":
		return each(value, func(s string) error {
			a, err := netip.ParseAddr(s)
			if err != nil {
				return nil // a search domain, as wg-quick takes it
			}
			a = a.Unmap()
			if !a.IsGlobalUnicast() || a.Zone() != "" {
				return fmt.Errorf("DNS: %s is not the address of a name server", a)
			}
			if r.p.DNS = append(r.p.DNS, a); len(r.p.DNS) > mostDNS {
				return fmt.Errorf("there are more than %d name servers", mostDNS)
			}
			return nil
		})
	case "mtu":
		r.p.MTU, err = number(value, 1280, 9000)
		if err != nil {
			return fmt.Errorf("MTU %w", err)
		}
	case "table", "fwmark", "saveconfig", "listenport":
	case "preup", "postup", "predown", "postdown":
		return fmt.Errorf("%s: commands are not run; take the line out if the provider works without", label(name))
	default:
		return errors.New("is not a setting of [Interface]")
	}
	return nil
}

func (r *reader) peer(name, value string) (err error) {
	switch name {
	case "publickey":
		if r.p.Public, err = wgdev.ParseKey(value); err != nil {
			return errors.New("PublicKey is not a WireGuard key (44 characters of base64)")
		}
	case "presharedkey":
		if r.p.Preshared, err = wgdev.ParseKey(value); err != nil {
			return errors.New("PresharedKey is not a WireGuard key (44 characters of base64)")
		}
	case "endpoint":
		r.p.Endpoint, err = endpoint(value)
		return err
	case "allowedips":
		return each(value, func(s string) error {
			n, err := netip.ParsePrefix(s)
			if err != nil {
				return errors.New("AllowedIPs: an entry is not a network such as 0.0.0.0/0")
			}
			r.all = r.all || n.Bits() <= 1 // some write 0.0.0.0/1, 128.0.0.0/1
			return nil
		})
	case "persistentkeepalive":
		if strings.EqualFold(value, "off") {
			return nil
		}
		if r.p.Keepalive, err = number(value, 0, 65535); err != nil {
			return fmt.Errorf("PersistentKeepalive %w", err)
		}
	default:
		return errors.New("is not a setting of [Peer]")
	}
	return nil
}

// whole says what is missing.
func (r *reader) whole() error {
	var none wgdev.Key
	switch {
	case !r.seen["interface"]:
		return errors.New("there is no [Interface]; is this the .conf of a WireGuard provider?")
	case !r.seen["peer"]:
		return errors.New("there is no [Peer]; is this the .conf of a WireGuard provider?")
	case r.p.Private == none:
		return errors.New("[Interface] has no PrivateKey; ask the provider for a file with it")
	case len(r.p.Addresses) == 0:
		return errors.New("[Interface] has no Address")
	case r.p.Public == none:
		return errors.New("[Peer] has no PublicKey")
	case r.p.Endpoint == "":
		return errors.New("[Peer] has no Endpoint")
	case !r.all:
		return errors.New("AllowedIPs of [Peer] do not hold the internet (0.0.0.0/0 or ::/0), so it is no exit")
	}
	return nil
}

// each calls f with what is between commas.
func each(list string, f func(string) error) error {
	for _, s := range strings.Split(list, ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		if err := f(s); err != nil {
			return err
		}
	}
	return nil
}

// address reads 10.2.0.2/32, or 10.2.0.2 alone.
func address(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, errors.New("an entry of Address is not an address such as 10.2.0.2/32")
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	a := p.Addr()
	if a.Is4In6() || a.Zone() != "" || !a.IsGlobalUnicast() {
		return netip.Prefix{}, fmt.Errorf("%s in Address is not an address that a host can have", a)
	}
	return p, nil
}

// endpoint reads host:port strictly, for it goes into the document.
func endpoint(s string) (string, error) {
	wrong := errors.New("the Endpoint must be host:port, such as vpn.example.org:51820")
	i := strings.LastIndexByte(s, ':')
	if i < 1 {
		return "", wrong
	}
	host, port := s[:i], s[i+1:]
	n, err := number(port, 1, 65535)
	if err != nil {
		return "", wrong
	}
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		a, err := netip.ParseAddr(host[1 : len(host)-1])
		if err != nil || !a.Is6() || a.Zone() != "" {
			return "", wrong
		}
		return netip.AddrPortFrom(a.Unmap(), uint16(n)).String(), nil
	}
	for _, c := range host {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_':
		default:
			return "", wrong
		}
	}
	if len(host) > 253 {
		return "", wrong
	}
	return host + ":" + strconv.Itoa(n), nil
}

func number(s string, low, high int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("must be from %d to %d", low, high)
	}
	return n, nil
}
