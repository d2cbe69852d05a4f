package router

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Protocol is the mark of routes that the router made (rtm_protocol).
const Protocol = 112

const sysNet = "/proc/sys/net/"

// A kernel is the host's network, and the record of what we changed in it. It is
// not safe for concurrent use.
type kernel struct {
	record *record
}

func newKernel(path string) *kernel { return &kernel{&record{path: path}} }

// A missingError says that a card is not there.
type missingError string

func (e missingError) Error() string {
	return fmt.Sprintf("there is no network card %q on this host; `ip link` lists them", string(e))
}

// isMissing reports whether err is about missing cards and nothing else.
func isMissing(err error) bool {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		return !slices.ContainsFunc(all.Unwrap(), func(e error) bool { return !isMissing(e) })
	}
	var m missingError
	return errors.As(err, &m)
}

func linkNamed(name string) (netlink.Link, error) {
	l, err := netlink.LinkByName(name)
	if _, not := errors.AsType[netlink.LinkNotFoundError](err); not {
		return nil, missingError(name)
	}
	if err != nil {
		return nil, fmt.Errorf("network card %s: %w", name, err)
	}
	return l, nil
}

// apply brings the host from whatever it is to p, as far as it can; the error
// joins what it could not.
func (k *kernel) apply(p plan) error {
	if err := k.record.load(); err != nil {
		return err
	}
	var errs []error
	try := func(err error) { errs = append(errs, err) }
	// What goes comes first, so that a card can change its part.
	try(k.dropRoutes(p))
	try(k.dropAddresses(p))
	try(k.dropPorts(p))
	if p.bridge != "" {
		try(k.makeBridge(p))
	}
	for _, card := range p.up {
		try(k.setUp(card))
	}
	try(k.restoreSettings(p))
	for _, s := range p.settings {
		try(k.set(s))
	}
	try(k.setMTUs(p))
	for _, a := range p.addrs {
		try(k.addAddress(a))
	}
	try(k.addRoutes(p))
	try(k.dropRest(p))
	return errors.Join(errs...)
}

// addAddress gives a card an address, or its present end of life.
func (k *kernel) addAddress(a address) error {
	if a.Net.Addr().Is6() && !hasIPv6() {
		return nil
	}
	link, err := linkNamed(a.Card)
	if err != nil {
		return err
	}
	have, err := netlink.AddrList(link, family(a.Net.Addr()))
	if err != nil {
		return fmt.Errorf("addresses of %s: %w", a.Card, err)
	}
	now := time.Now()
	want := &netlink.Addr{IPNet: ipNet(a.Net)}
	if !a.valid.IsZero() { // to one that ends this second there is nothing to add
		want.ValidLft, want.PreferedLft = max(seconds(a.valid, now), 1), seconds(a.preferred, now)
	}
	if a.sure && a.Net.Addr().Is6() {
		want.Flags = unix.IFA_F_NODAD
	}
	i := slices.IndexFunc(have, func(h netlink.Addr) bool { return prefix(h.IPNet) == a.Net })
	if i >= 0 && (!k.record.has(a) || sameLife(have[i], *want)) {
		return nil // another's, or as it should be
	}
	if i < 0 {
		if err := k.record.change(func(m *made) { m.Addresses = append(m.Addresses, address{Card: a.Card, Net: a.Net}) }); err != nil {
			return err
		}
	}
	if err := netlink.AddrReplace(link, want); err != nil {
		return fmt.Errorf("address %s on %s: %w", a.Net, a.Card, err)
	}
	return nil
}

// dropAddresses takes away those that we gave and that are no longer wanted.
func (k *kernel) dropAddresses(p plan) error {
	var errs []error
	for _, a := range slices.Clone(k.record.made.Addresses) {
		if slices.ContainsFunc(p.addrs, func(w address) bool { return w.Card == a.Card && w.Net == a.Net }) {
			continue
		}
		link, err := linkNamed(a.Card)
		if err == nil {
			err = k.dropAddress(link, a.Net)
		}
		if err != nil && !isMissing(err) && !errors.Is(err, unix.EADDRNOTAVAIL) {
			errs = append(errs, fmt.Errorf("old address %s on %s: %w", a.Net, a.Card, err))
			continue
		}
		errs = append(errs, k.record.change(func(m *made) {
			m.Addresses = slices.DeleteFunc(m.Addresses, func(b address) bool { return b.Card == a.Card && b.Net == a.Net })
		}))
	}
	return errors.Join(errs...)
}

// dropAddress takes one address away. The kernel leaves the network's route behind
// where an IPv6 address was for a time only, so it is made one without end first.
func (k *kernel) dropAddress(link netlink.Link, p netip.Prefix) error {
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() && k.has(link.Attrs().Name, p) {
		if err := netlink.AddrReplace(link, a); err != nil {
			return err
		}
	}
	return netlink.AddrDel(link, a)
}

// seconds is the rest of a lifetime as the kernel counts it.
func seconds(t, now time.Time) int {
	return int(min(max(t.Sub(now), 0)/time.Second, math.MaxInt32))
}

// sameLife reports whether lifetimes end at the same time; the kernel counts down.
// Without both they are without end.
func sameLife(have, want netlink.Addr) bool {
	if want.ValidLft == 0 {
		return have.ValidLft == 0 || uint32(have.ValidLft) == math.MaxUint32
	}
	near := func(a, b int) bool { return a-b <= 2 && b-a <= 2 && (a == 0) == (b == 0) }
	return near(have.ValidLft, want.ValidLft) && near(have.PreferedLft, want.PreferedLft)
}

func (k *kernel) setUp(card string) error {
	link, err := linkNamed(card)
	if err != nil {
		return err
	}
	if link.Attrs().Flags&net.FlagUp != 0 {
		return nil
	}
	if err := k.record.change(func(m *made) { m.Up = append(m.Up, card) }); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("setting %s up: %w", card, err)
	}
	return nil
}

// set changes a setting of the kernel and remembers what it was.
func (k *kernel) set(s setting) error {
	b, err := os.ReadFile(sysNet + s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no IPv6, or a card that is told as missing
	} else if err != nil {
		return fmt.Errorf("setting %s: %w", s.Path, err)
	}
	old := strings.TrimSpace(string(b))
	if old == s.Value {
		return nil
	}
	if !slices.ContainsFunc(k.record.made.Settings, func(o setting) bool { return o.Path == s.Path }) {
		if err := k.record.change(func(m *made) { m.Settings = append(m.Settings, setting{s.Path, old, s.Value}) }); err != nil {
			return err
		}
	}
	if err := os.WriteFile(sysNet+s.Path, []byte(s.Value), 0o644); err != nil {
		return fmt.Errorf("setting %s to %s: %w", s.Path, s.Value, err)
	}
	return nil
}

// restoreSettings puts back what we changed and no longer want, unless somebody
// else has set it since.
func (k *kernel) restoreSettings(p plan) error {
	var errs []error
	for _, s := range slices.Backward(slices.Clone(k.record.made.Settings)) {
		if slices.ContainsFunc(p.settings, func(w setting) bool { return w.Path == s.Path }) {
			continue
		}
		b, err := os.ReadFile(sysNet + s.Path)
		if err == nil && (s.Set == "" || strings.TrimSpace(string(b)) == s.Set) {
			err = os.WriteFile(sysNet+s.Path, []byte(s.Value), 0o644)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("putting %s back to %s: %w", s.Path, s.Value, err))
			continue
		}
		errs = append(errs, k.record.change(func(m *made) {
			m.Settings = slices.DeleteFunc(m.Settings, func(o setting) bool { return o.Path == s.Path })
		}))
	}
	return errors.Join(errs...)
}

func (k *kernel) setMTUs(p plan) error {
	var errs []error
	for _, old := range slices.Clone(k.record.made.MTUs) {
		if slices.ContainsFunc(p.mtus, func(w mtu) bool { return w.Card == old.Card }) {
			continue
		}
		if link, err := linkNamed(old.Card); err == nil {
			if err := netlink.LinkSetMTU(link, old.MTU); err != nil {
				errs = append(errs, fmt.Errorf("putting the MTU of %s back to %d: %w", old.Card, old.MTU, err))
				continue
			}
		}
		errs = append(errs, k.record.change(func(m *made) {
			m.MTUs = slices.DeleteFunc(m.MTUs, func(o mtu) bool { return o.Card == old.Card })
		}))
	}
	for _, w := range p.mtus {
		link, err := linkNamed(w.Card)
		if err != nil || link.Attrs().MTU == w.MTU {
			errs = append(errs, err)
			continue
		}
		if !slices.ContainsFunc(k.record.made.MTUs, func(o mtu) bool { return o.Card == w.Card }) {
			if err := k.record.change(func(m *made) { m.MTUs = append(m.MTUs, mtu{w.Card, link.Attrs().MTU}) }); err != nil {
				return err
			}
		}
		if err := netlink.LinkSetMTU(link, w.MTU); err != nil {
			errs = append(errs, fmt.Errorf("MTU %d of %s: %w", w.MTU, w.Card, err))
		}
	}
	return errors.Join(errs...)
}

func hasIPv6() bool {
	b, err := os.ReadFile(sysNet + "ipv6/conf/default/disable_ipv6")
	return err == nil && len(b) > 0 && b[0] == '0'
}

func family(a netip.Addr) int {
	if a.Is6() {
		return netlink.FAMILY_V6
	}
	return netlink.FAMILY_V4
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// prefix is the zero Prefix for what is none.
func prefix(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	a, ok := netip.AddrFromSlice(n.IP)
	bits, size := n.Mask.Size()
	a = a.Unmap()
	if !ok || size != a.BitLen() {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, bits)
}

// has reports whether the card has the address now.
func (k *kernel) has(card string, p netip.Prefix) bool {
	link, err := linkNamed(card)
	if err != nil {
		return false
	}
	have, err := netlink.AddrList(link, family(p.Addr()))
	return err == nil && slices.ContainsFunc(have, func(h netlink.Addr) bool { return prefix(h.IPNet) == p })
}
