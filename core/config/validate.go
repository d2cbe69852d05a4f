package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Validate checks a resolved document as a whole and returns every problem at
// once, as joined [FieldError]s. It knows nothing of the host: whether an
// address is there or a port is free is for the units' Check and Apply.
func (d *Document) Validate() error {
	p := &problems{}
	d.validateCell(p)
	d.validateNetwork(p)
	d.validateSources(p)
	d.validateDNS(p)
	d.validateDHCP(p)
	d.validateVPN(p)
	d.validatePeople(p)
	d.validateMail(p)
	d.validateProxy(p)
	d.validateLinks(p)
	d.validatePorts(p)
	return errors.Join(p.all...)
}

type problems struct{ all []error }

func (p *problems) add(path, format string, args ...any) {
	p.all = append(p.all, &FieldError{path, fmt.Sprintf(format, args...)})
}

// few refuses lists that would cost the cell its memory.
func (p *problems) few(path string, n, most int) {
	if n > most {
		p.add(path, "has %d entries; %d are allowed", n, most)
	}
}

var (
	label    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	userName = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,30}[a-z0-9])?$`)
	linkName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,15}$`)
	macAddr  = regexp.MustCompile(`^[0-9a-f]{2}(:[0-9a-f]{2}){5}$`)
	base64of = regexp.MustCompile(`^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$`)
)

const labelRule = "must be lower case letters, digits and dashes, at most 63, such as oak"

// Label reports whether s is one DNS label in lower case.
func Label(s string) bool { return label.MatchString(s) }

// Hostname reports whether s is a host name in lower case of two labels or more.
func Hostname(s string) bool {
	parts := strings.Split(s, ".")
	return len(s) <= 253 && len(parts) > 1 && !slices.ContainsFunc(parts, func(l string) bool { return !Label(l) })
}

func (d *Document) validateCell(p *problems) {
	c := d.Cell
	if !Label(c.Name) {
		p.add("cell.name", labelRule)
	}
	if !Hostname(c.Domain) && c.Name != "" {
		p.add("cell.domain", "must be a domain in lower case, such as oak.home.arpa")
	}
	if c.Mode != Trial && c.Mode != Appliance {
		p.add("cell.mode", "must be trial or appliance")
	}
	for _, l := range []struct {
		path  string
		addrs []netip.Addr
	}{
		{"cell.listen", c.Listen},
		{"dns.listen", d.DNS.Listen},
		{"ntp.listen", d.NTP.Listen},
		{"mail.listen", d.Mail.Listen},
		{"dav.listen", d.DAV.Listen},
		{"proxy.listen", d.Proxy.Listen},
		{"web.listen", d.Web.Listen},
	} {
		if len(l.addrs) == 0 {
			p.add(l.path, "must name at least one address; switch the service off instead")
		}
		p.few(l.path, len(l.addrs), 16)
		seen := map[netip.Addr]bool{}
		for _, a := range l.addrs {
			switch {
			case !a.IsValid():
				p.add(l.path, "an address is empty")
			case !plain(a):
				p.add(l.path, "%q: write an IPv4 address as such, and after %% the name of an interface", a)
			case seen[a]:
				p.add(l.path, "%s is there twice", a)
			case a.IsMulticast():
				p.add(l.path, "%s is a multicast address", a)
			case a.IsUnspecified() && len(l.addrs) > 1:
				p.add(l.path, "%s means every address; leave the others out", a)
			}
			seen[a] = true
		}
	}
}

func (d *Document) validateSources(p *problems) {
	for _, s := range d.NTP.Sources {
		if !hostPort(s) {
			p.add("ntp.sources", "%q is not a host or host:port", s)
		}
	}
	p.few("ntp.sources", len(d.NTP.Sources), 16)
	if life := time.Duration(d.CA.Life); life < time.Hour || life > 398*24*time.Hour {
		p.add("ca.life", "must be from 1h to 9552h (398 days)")
	}
	p.few("ca.names", len(d.CA.Names), 100)
	for _, n := range d.CA.Names {
		if !strings.HasSuffix(n, "."+d.Cell.Domain) || !Hostname(n) {
			p.add("ca.names", "%q is not a name below %s", n, d.Cell.Domain)
		}
	}
}

func (d *Document) validateDHCP(p *problems) {
	h := d.DHCP
	lan := d.Network.LAN.Address
	if On(h.Enabled) {
		if h.Interface == "" {
			p.add("dhcp.interface", "name the interface of the LAN, or set network.lan.name")
		}
		if !lan.IsValid() || !lan.Addr().Is4() {
			p.add("network.lan.address", "DHCP needs the cell's address in the LAN, such as 192.168.1.1/24")
		} else {
			for path, a := range map[string]netip.Addr{"dhcp.first": h.First, "dhcp.last": h.Last} {
				if !lan.Contains(a) {
					p.add(path, "%s is not in the LAN %s", a, lan.Masked())
				}
			}
			if h.Last.Less(h.First) {
				p.add("dhcp.last", "must not be below dhcp.first (%s)", h.First)
			}
		}
	}
	if h.Router.IsValid() && (!h.Router.Is4() || !hostAddr(h.Router)) {
		p.add("dhcp.router", "must be an IPv4 address")
	}
	p.few("dhcp.dns", len(h.DNS), 8)
	for _, a := range h.DNS {
		if !a.Is4() || !hostAddr(a) {
			p.add("dhcp.dns", "%q is not the IPv4 address of a server", a)
		}
	}
	if l := time.Duration(h.Lease); l < 2*time.Minute || l > 365*24*time.Hour {
		p.add("dhcp.lease", "must be from 2m to 8760h")
	}
	p.few("dhcp.reservations", len(h.Reservations), 10000)
	names, macs, addrs := map[string]bool{}, map[string]bool{}, map[netip.Addr]bool{lan.Addr(): true}
	for i, r := range h.Reservations {
		path := at("dhcp.reservations", i, r.Name)
		if !Label(r.Name) {
			p.add(path+".name", labelRule)
		}
		if !macAddr.MatchString(r.MAC) {
			p.add(path+".mac", "must look like 02:00:5e:10:00:01, in lower case")
		}
		if !r.Address.Is4() || lan.IsValid() && !lan.Contains(r.Address) {
			p.add(path+".address", "must be an IPv4 address in the LAN")
		}
		unique(p, path+".name", names, r.Name)
		unique(p, path+".mac", macs, r.MAC)
		unique(p, path+".address", addrs, r.Address)
	}
}

func (d *Document) validatePeople(p *problems) {
	p.few("users", len(d.Users), 1000)
	names := map[string]bool{}
	admins := 0
	for i, u := range d.Users {
		path := at("users", i, u.Name)
		if !userName.MatchString(u.Name) {
			p.add(path+".name", "must be lower case letters, digits, dots and dashes, at most 32, such as alice")
		}
		unique(p, path+".name", names, u.Name)
		if !slices.Contains([]Role{Admin, Viewer, Member}, u.Role) {
			p.add(path+".role", "must be admin, viewer or user")
		}
		if len(u.Display) > 200 || strings.ContainsFunc(u.Display, unicode.IsControl) {
			p.add(path+".display", "must be one line of at most 200 bytes")
		}
		p.few(path+".groups", len(u.Groups), 100)
		for _, g := range u.Groups {
			if !Label(g) {
				p.add(path+".groups", "%q: a group %s", g, labelRule)
			}
		}
		if u.Role == Admin && !u.Disabled {
			admins++
		}
	}
	if admins == 0 {
		p.add("users", "at least one admin must stay, or nobody could change anything")
	}
}

func (d *Document) validateProxy(p *problems) {
	p.few("proxy.routes", len(d.Proxy.Routes), 1000)
	names := map[string]bool{}
	for i, r := range d.Proxy.Routes {
		path := at("proxy.routes", i, r.Name)
		host := r.Host(d.Cell.Domain)
		if !Hostname(host) {
			p.add(path+".name", "must be a label such as photos, or a whole host name")
		}
		if sub, ok := strings.CutSuffix(host, "."+d.Cell.Domain); host == d.Cell.Domain || ok && slices.Contains(Services(), sub) {
			p.add(path+".name", "%s is the cell's own page", host)
		}
		unique(p, path+".name", names, host)
		u, err := url.Parse(r.Upstream)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || !portOf(u) || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			p.add(path+".upstream", "must be http://host:port or https://host:port")
		}
		if !slices.Contains([]Access{AccessLAN, AccessVPN, AccessPublic}, r.Access) {
			p.add(path+".access", "must be lan, vpn or public")
		}
	}
}

// at is the path of a list element: by name where it has one.
func at(list string, i int, name string) string {
	if name == "" {
		return list + "." + strconv.Itoa(i)
	}
	return list + "." + Quote(name)
}

func unique[T comparable](p *problems, path string, seen map[T]bool, v T) {
	if seen[v] {
		p.add(path, "%v is taken already", v)
	}
	seen[v] = true
}

// plain reports whether a is written as its family is, and its zone names an
// interface: a zone may hold anything, a line break too.
func plain(a netip.Addr) bool {
	return !a.Is4In6() && (a.Zone() == "" || linkName.MatchString(a.Zone()))
}

// hostAddr reports whether a may be the address of one host.
func hostAddr(a netip.Addr) bool {
	return plain(a) && !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// portOf reports whether the port of u, if it has one, is one.
func portOf(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && n > 0
}

// hostPort reports whether s is a host, or a host with a port.
func hostPort(s string) bool {
	host := s
	if h, port, ok := strings.Cut(s, ":"); ok && !strings.Contains(port, ":") {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return false
		}
		host = h
	} else if ok {
		if a, err := netip.ParseAddrPort(s); err == nil {
			return a.Port() != 0 && plain(a.Addr())
		}
	}
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return plain(a)
	}
	return Hostname(host) || Label(host)
}
