package cell

import (
	"bufio"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"

	"pic/core/config"
)

// ports are the names by which the environment overrides default ports.
var ports = []string{
	"DNS_PORT", "DOT_PORT", "DHCP_PORT", "NTP_PORT", "WG_PORT", "API_PORT", "WEBUI_PORT", "HTTP_PORT", "HTTPS_PORT",
	"MAIL_SMTP_PORT", "MAIL_SUBMISSION_PORT", "MAIL_SUBMISSIONS_PORT", "MAIL_IMAP_PORT",
	"RADICALE_PORT", "WEBDAV_PORT", "RAINLOOP_PORT", "FILEGATOR_PORT",
}

// Environment gathers what the defaults of the document depend on: overrides of
// ports, the host's resolvers, the interface with the default route. What cannot
// be found out is left empty.
func Environment() config.Env {
	env := config.Env{Ports: map[string]uint16{}, LAN: defaultInterface()}
	for _, name := range ports {
		if n, err := strconv.ParseUint(os.Getenv(name), 10, 16); err == nil && n > 0 {
			env.Ports[name] = uint16(n)
		}
	}
	// systemd-resolved's stub would ask us again; its own list does not.
	for _, file := range []string{"/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"} {
		if env.Resolvers = resolvers(file); len(env.Resolvers) > 0 {
			break
		}
	}
	return env
}

// resolvers reads the nameserver lines of a resolv.conf.
func resolvers(file string) []netip.AddrPort {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	var out []netip.AddrPort
	for lines := bufio.NewScanner(f); lines.Scan() && len(out) < 3; {
		words := strings.Fields(lines.Text())
		if len(words) < 2 || words[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(words[1]); err == nil {
			out = append(out, netip.AddrPortFrom(a, 53))
		}
	}
	return out
}

// defaultInterface is the interface with the IPv4 default route, and its first
// private address.
func defaultInterface() config.Interface {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return config.Interface{}
	}
	for _, r := range routes {
		if r.Dst != nil && r.Dst.IP != nil && !r.Dst.IP.IsUnspecified() {
			continue
		}
		link, err := netlink.LinkByIndex(r.LinkIndex)
		if err != nil {
			continue
		}
		addrs, err := netlink.AddrList(link, netlink.FAMILY_V4)
		if err != nil {
			continue
		}
		for _, a := range addrs {
			ip, ok := netip.AddrFromSlice(a.IP.To4())
			if bits, _ := a.Mask.Size(); ok && ip.IsPrivate() {
				return config.Interface{Name: link.Attrs().Name, Address: netip.PrefixFrom(ip, bits)}
			}
		}
	}
	return config.Interface{}
}
