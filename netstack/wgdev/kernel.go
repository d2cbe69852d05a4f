package wgdev

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/mdlayher/netlink"
	rtnl "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// CanKernel reports why the kernel's WireGuard cannot be used here. It changes
// nothing.
func CanKernel() error {
	if _, err := rtnl.GenlFamilyGet("wireguard"); err == nil {
		return nil
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return err
	}
	release := unix.ByteSliceToString(name.Release[:])
	// Not loaded yet; making an interface loads it.
	for _, list := range []string{"modules.dep", "modules.builtin"} {
		if b, err := os.ReadFile(filepath.Join("/lib/modules", release, list)); err == nil && strings.Contains(string(b), "/wireguard.ko") {
			return nil
		}
	}
	return fmt.Errorf("the kernel %s has no WireGuard: there is no module wireguard for it", release)
}

// A configurer configures WireGuard devices of the kernel; wgctrl.Client is one.
type configurer interface {
	Device(name string) (*wgtypes.Device, error)
	ConfigureDevice(name string, c wgtypes.Config) error
	Close() error
}

// A kernel is a WireGuard device of the kernel.
type kernel struct {
	name  string
	ctl   configurer
	gone  chan struct{} // closed when the interface is gone
	group *netlink.Conn
	wg    sync.WaitGroup
}

// openKernel makes the interface and configures it.
func openKernel(o Options, c Config) (_ *kernel, err error) {
	if err := CanKernel(); err != nil {
		return nil, err
	}
	link := &rtnl.Wireguard{LinkAttrs: rtnl.NewLinkAttrs()}
	link.Name = o.Interface
	switch err := rtnl.LinkAdd(link); {
	case errors.Is(err, unix.EEXIST):
		return nil, ErrTaken(o.Interface, err)
	case err != nil:
		return nil, fmt.Errorf("making the interface %s of the kernel's WireGuard: %w", o.Interface, err)
	}
	k := &kernel{name: o.Interface, gone: make(chan struct{})}
	defer func() {
		if err != nil {
			k.close()
		}
	}()
	if k.ctl, err = wgctrl.New(); err != nil {
		return nil, fmt.Errorf("the kernel's WireGuard: %w", err)
	}
	if k.group, err = netlink.Dial(unix.NETLINK_ROUTE, nil); err != nil {
		return nil, err
	}
	if err = k.group.JoinGroup(unix.RTNLGRP_LINK); err != nil {
		return nil, err
	}
	k.wg.Go(func() { k.watch(o.Log) })
	if err := k.apply(State{}, c, moves(Config{}, c, State{})); err != nil {
		return nil, fmt.Errorf("configuring WireGuard: %w", err)
	}
	return k, nil
}

// watch closes gone when the interface is.
func (k *kernel) watch(log *slog.Logger) {
	defer close(k.gone)
	for {
		if _, err := k.group.Receive(); err != nil && !errors.Is(err, unix.ENOBUFS) {
			log.Debug("interface no longer watched", "iface", k.name, "err", err)
			return
		}
		if _, err := rtnl.LinkByName(k.name); errors.As(err, &rtnl.LinkNotFoundError{}) {
			return
		}
	}
}

func (k *kernel) state() (State, error) {
	d, err := k.ctl.Device(k.name)
	if err != nil {
		return State{}, fmt.Errorf("asking WireGuard for its state: %w", err)
	}
	s := State{Private: Key(d.PrivateKey), Port: uint16(d.ListenPort), Mark: uint32(d.FirewallMark), Peers: make(map[Key]PeerState, len(d.Peers))}
	for _, p := range d.Peers {
		ps := PeerState{
			Preshared: Key(p.PresharedKey), Keepalive: p.PersistentKeepaliveInterval, Handshake: p.LastHandshakeTime,
			Rx: uint64(p.ReceiveBytes), Tx: uint64(p.TransmitBytes),
		}
		if p.Endpoint != nil {
			a := p.Endpoint.AddrPort()
			ps.Endpoint = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
		}
		for _, n := range p.AllowedIPs {
			ps.Allowed = append(ps.Allowed, Prefix(&n))
		}
		s.Peers[Key(p.PublicKey)] = ps
	}
	return s, nil
}

func (k *kernel) apply(have State, want Config, calls map[Key]netip.AddrPort) error {
	c, some := kernelDiff(have, want, calls)
	if !some {
		return nil
	}
	return k.ctl.ConfigureDevice(k.name, c)
}

// kernelDiff is [diff] in the kernel's terms; false: nothing differs.
func kernelDiff(have State, want Config, calls map[Key]netip.AddrPort) (c wgtypes.Config, some bool) {
	if have.Private != want.Private {
		c.PrivateKey = (*wgtypes.Key)(&want.Private)
	}
	if port := int(want.Port); have.Port != want.Port {
		c.ListenPort = &port
	}
	if mark := int(want.Mark); have.Mark != want.Mark {
		c.FirewallMark = &mark
	}
	for _, pub := range sorted(have.Peers) {
		if _, ok := want.Peers[pub]; !ok {
			c.Peers = append(c.Peers, wgtypes.PeerConfig{PublicKey: wgtypes.Key(pub), Remove: true})
		}
	}
	for _, pub := range sorted(want.Peers) {
		old, known := have.Peers[pub]
		w := want.Peers[pub]
		p := wgtypes.PeerConfig{PublicKey: wgtypes.Key(pub)}
		differs := !known
		if old.Preshared != w.Preshared {
			p.PresharedKey, differs = (*wgtypes.Key)(&w.Preshared), true
		}
		if to, moved := calls[pub]; moved {
			p.Endpoint, differs = net.UDPAddrFromAddrPort(to), true
		}
		if !sameSet(old.Allowed, w.Allowed) {
			p.ReplaceAllowedIPs, differs = true, true
			for _, n := range w.Allowed {
				p.AllowedIPs = append(p.AllowedIPs, net.IPNet{IP: n.Addr().AsSlice(), Mask: net.CIDRMask(n.Bits(), n.Addr().BitLen())})
			}
		}
		if old.Keepalive != w.Keepalive {
			p.PersistentKeepaliveInterval, differs = new(time.Duration), true
			*p.PersistentKeepaliveInterval = w.Keepalive
		}
		if differs {
			c.Peers = append(c.Peers, p)
		}
	}
	return c, c.PrivateKey != nil || c.ListenPort != nil || c.FirewallMark != nil || len(c.Peers) > 0
}

func (k *kernel) done() <-chan struct{} { return k.gone }
func (k *kernel) socketError() error    { return nil } // wg asks the kernel

func (k *kernel) close() error {
	var errs []error
	if link, err := rtnl.LinkByName(k.name); err == nil {
		errs = append(errs, rtnl.LinkDel(link))
	}
	if k.group != nil {
		k.group.Close()
		k.wg.Wait()
	}
	if k.ctl != nil {
		errs = append(errs, k.ctl.Close())
	}
	return errors.Join(errs...)
}
