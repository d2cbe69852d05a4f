package netstack

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"pic/internal/order"
	"pic/netstack/wgdev"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A host is what we see of the host's own network. Where the kernel does not tell,
// what it told last is taken to hold: rights must not change because a question
// failed.
type host struct {
	links func(name string) (netlink.Link, error)
	addrs func(link netlink.Link, family int) ([]netlink.Addr, error)

	mu        sync.Mutex
	listeners []func()
	last      map[string][]netip.Prefix // of each card, of all together by no name
	failed    map[string]error          // of each card, since it last told
}

func newHost() *host {
	return &host{links: netlink.LinkByName, addrs: netlink.AddrList, last: map[string][]netip.Prefix{}, failed: map[string]error{}}
}

func (h *host) onChange(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listeners = append(h.listeners, f)
}

func (h *host) tell() {
	h.mu.Lock()
	all := slices.Clone(h.listeners)
	h.mu.Unlock()
	for _, f := range all {
		f()
	}
}

// ask returns the addresses of a card, of all without a name, with their networks;
// link-local ones are not among them, nor those that are not the host's yet. A
// card that is not there has none.
func (h *host) ask(card string) []netip.Prefix {
	out, err := h.read(card)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.failed[card] = err
		return h.last[card]
	}
	delete(h.failed, card)
	h.last[card] = out
	return out
}

func (h *host) read(card string) ([]netip.Prefix, error) {
	var link netlink.Link
	if card != "" {
		var err error
		link, err = h.links(card)
		if errors.As(err, new(netlink.LinkNotFoundError)) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("asking the kernel for the interface %s: %w", card, err)
		}
	}
	list, err := h.addrs(link, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("asking the kernel for the addresses of %s: %w", cmp.Or(card, "this host"), err)
	}
	var out []netip.Prefix
	for _, a := range list {
		p := wgdev.Prefix(a.IPNet)
		if p.Addr().IsGlobalUnicast() && a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0 {
			out = append(out, p)
		}
	}
	return out, nil
}

// fault is why something is not known of the host, nil where all is.
func (h *host) fault() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []error
	for _, card := range slices.Sorted(maps.Keys(h.failed)) {
		all = append(all, h.failed[card])
	}
	return errors.Join(all...)
}

func (h *host) addresses() []netip.Addr {
	out := h.on("")
	order.By(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// on returns the addresses of an interface.
func (h *host) on(card string) (out []netip.Addr) {
	for _, p := range h.ask(card) {
		out = append(out, p.Addr())
	}
	return out
}

// onLink returns the networks that an interface is in.
func (h *host) onLink(card string) (out []netip.Prefix) {
	if card == "" {
		return nil
	}
	for _, p := range h.ask(card) {
		if !p.IsSingleIP() {
			out = append(out, p.Masked())
		}
	}
	return out
}

// A Route is an entry of the host's main routing table.
type Route struct {
	To        netip.Prefix `json:"to"`           // 0.0.0.0/0 or ::/0: the default
	Via       netip.Addr   `json:"via,omitzero"` // not valid: directly
	Interface string       `json:"interface,omitempty"`
	Source    netip.Addr   `json:"source,omitzero"`
	Metric    int          `json:"metric"`
	Origin    string       `json:"origin"` // kernel, dhcp, static, ra, …
}

// Routes returns the host's main routing table.
func (s *Server) Routes() ([]Route, error) {
	names := map[int]string{}
	links, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	var out []Route
	for family, all := range map[int]netip.Prefix{
		netlink.FAMILY_V4: netip.PrefixFrom(netip.IPv4Unspecified(), 0),
		netlink.FAMILY_V6: netip.PrefixFrom(netip.IPv6Unspecified(), 0),
	} {
		list, err := netlink.RouteList(nil, family)
		if err != nil {
			return nil, err
		}
		for _, r := range list {
			to := wgdev.Prefix(r.Dst)
			if !to.IsValid() {
				to = all
			}
			via, _ := netip.AddrFromSlice(r.Gw)
			src, _ := netip.AddrFromSlice(r.Src)
			out = append(out, Route{
				To: to, Via: via.Unmap(), Interface: names[r.LinkIndex], Source: src.Unmap(),
				Metric: r.Priority, Origin: r.Protocol.String(),
			})
		}
	}
	order.By(out, func(a, b Route) int {
		if c := a.To.Addr().Compare(b.To.Addr()); c != 0 {
			return c
		}
		if a.To.Bits() != b.To.Bits() {
			return a.To.Bits() - b.To.Bits()
		}
		return a.Metric - b.Metric
	})
	return out, nil
}
