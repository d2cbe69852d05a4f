package policy

import (
	"net/netip"
	"slices"

	"pic/internal/order"
)

// Rules are what a policy is made of: plain data.
type Rules struct {
	Router   bool           // the cell stands between LAN and WAN and filters there
	Cell     []netip.Addr   // of the cell in the VPN
	Host     []netip.Addr   // its other addresses
	Public   []netip.Addr   // those of Host to which port forwards belong
	VPN      []netip.Prefix // the peers' networks
	LAN      []netip.Prefix // what counts as the LAN; no network within another
	Services []Service      // of the cell
	Open     []Port         // of the cell, to the internet; with Router only
	Peers    []Peer
	Links    []Link
	Forwards []Forward
	Blocked  []netip.Prefix
}

// equal reports whether two rules say the same. It is asked at each change, for
// thousands of peers, so it looks nothing up by reflection; a test keeps it whole.
func (r *Rules) equal(o *Rules) bool {
	return r.Router == o.Router && slices.Equal(r.Cell, o.Cell) && slices.Equal(r.Host, o.Host) && slices.Equal(r.Public, o.Public) &&
		slices.Equal(r.VPN, o.VPN) && slices.Equal(r.LAN, o.LAN) && slices.EqualFunc(r.Services, o.Services, Service.equal) &&
		slices.Equal(r.Open, o.Open) && all2(r.Peers, o.Peers, (*Peer).equal) && all2(r.Links, o.Links, (*Link).equal) &&
		all2(r.Forwards, o.Forwards, (*Forward).equal) && slices.Equal(r.Blocked, o.Blocked)
}

// all2 is [slices.EqualFunc] for what is too large to be copied.
func all2[E any](a, b []E, equal func(a, b *E) bool) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !equal(&a[i], &b[i]) {
			return false
		}
	}
	return true
}

func (s Service) equal(o Service) bool { return s.Name == o.Name && slices.Equal(s.Ports, o.Ports) }

func (p *Peer) equal(o *Peer) bool {
	return p.Name == o.Name && p.Internet == o.Internet && p.LAN == o.LAN && p.Exit == o.Exit &&
		slices.Equal(p.Addrs, o.Addrs) && slices.Equal(p.Site, o.Site) && slices.Equal(p.Groups, o.Groups) &&
		slices.Equal(p.Services, o.Services) && slices.Equal(p.Peers, o.Peers) && slices.Equal(p.Cells, o.Cells)
}

func (l *Link) equal(o *Link) bool {
	return l.Name == o.Name && l.LAN == o.LAN && l.Out == o.Out && slices.Equal(l.Subnets, o.Subnets) && slices.Equal(l.Services, o.Services)
}

func (f *Forward) equal(o *Forward) bool {
	return f.Name == o.Name && f.Proto == o.Proto && f.First == o.First && f.Last == o.Last && f.To == o.To && f.ToPort == o.ToPort &&
		slices.Equal(f.From, o.From)
}

// A Service is something that the cell offers.
type Service struct {
	Name  string
	Ports []Port
}

// A Port is one of TCP or UDP.
type Port struct {
	Proto  uint8
	Number uint16
}

// A Peer is a device in the VPN. Its lists of names are whole: nothing comes to
// them from groups or defaults any more. "all" alone is all, "none" alone none.
type Peer struct {
	Name     string
	Addrs    []netip.Addr
	Site     []netip.Prefix // networks behind it, which have its rights
	Groups   []string       // that it is in
	Internet bool
	LAN      bool
	Services []string // DNS is always there. All: whatever the host listens on.
	Peers    []string // peers and groups that it may open connections to
	Cells    []string // links
	Exit     string   // by which its internet goes; empty: the WAN
}

// A Link is another cell; the rights are those of its people here.
type Link struct {
	Name     string
	Subnets  []netip.Prefix
	Services []string
	LAN      bool
	Out      bool // the internet of this cell
}

// A Forward leads ports of the public addresses to a device. One of IPv6 to an
// address that the internet knows translates nothing: it lets in.
type Forward struct {
	Name        string
	Proto       uint8
	First, Last uint16
	To          netip.Addr
	ToPort      uint16 // for First
	From        []netip.Prefix
}

// Direct reports whether f is only let in.
func (f *Forward) Direct() bool { return f.To.Is6() && !f.To.IsPrivate() }

const (
	all = "all"
	dns = "dns"
)

// NoHost are the networks in which no host is reached across a router: loopback,
// links, groups, and what is reserved.
var NoHost = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/3"),
	netip.MustParsePrefix("::/127"),
	netip.MustParsePrefix("::ffff:0.0.0.0/96"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("ff00::/8"),
}

// Private are the networks that the internet does not know (RFC 1918, RFC 4193).
// They count as the LAN where nothing else is said of them.
var Private = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("fc00::/7"),
}

// Nowhere reports whether a is in one of [NoHost].
func Nowhere(a netip.Addr) bool { return Within(a, NoHost) || a.Is4In6() }

// Within reports whether a is in one of the networks.
func Within(a netip.Addr, nets []netip.Prefix) bool {
	for _, n := range nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// Disjoint sorts networks and leaves out those within others.
func Disjoint(all []netip.Prefix) []netip.Prefix {
	sorted := make([]netip.Prefix, 0, len(all))
	for _, p := range all {
		sorted = append(sorted, p.Masked())
	}
	order.By(sorted, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	var out []netip.Prefix
	for _, p := range sorted {
		if n := len(out); n == 0 || !out[n-1].Overlaps(p) {
			out = append(out, p)
		}
	}
	return out
}

// ranges are disjoint networks in order, for a binary search.
type ranges []netip.Prefix

func newRanges(nets []netip.Prefix) ranges { return Disjoint(nets) }

func (r ranges) has(a netip.Addr) bool {
	lo, hi := 0, len(r)
	for lo < hi {
		mid := (lo + hi) / 2
		if r[mid].Addr().Compare(a) <= 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo > 0 && r[lo-1].Contains(a)
}
