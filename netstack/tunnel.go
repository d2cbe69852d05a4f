package netstack

import (
	"fmt"
	"net/netip"
	"slices"

	"pic/netstack/userspace"
	"pic/netstack/wgdev"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A tunnel is a running WireGuard device. set and close are not called at the
// same time; the rest may be called whenever.
type tunnel struct {
	mode    Mode
	backend wgdev.Backend // that was asked for
	name    string        // of the interface; "userspace" without one
	addrs   []netip.Prefix
	said    int // the MTU that was asked for
	mtu     int // that it has; written under the server's lock
	dev     *wgdev.Device
	stack   *userspace.Net // in UserSpace mode
}

// openTunnel makes the device, gives it its keys and peers, and only then lets
// it receive. On error nothing stays.
func (s *Server) openTunnel(ground Mode, c Config, want wgdev.Config) (_ *tunnel, err error) {
	t := &tunnel{mode: ground, backend: c.Backend, addrs: c.Addresses, said: c.MTU, mtu: fitted(c.MTU, s.wan)}
	o := wgdev.Options{Log: s.log, Interface: c.Interface, Backend: s.backend(ground, c)}
	if ground == UserSpace {
		t.stack, err = userspace.New(s.log, c.Addresses, t.mtu)
		if err != nil {
			return nil, fmt.Errorf("user-space network: %w", err)
		}
		t.stack.Obey(s.policy.Load())
		o.TUN, o.Batch = t.stack, userspace.Batch
	}
	if t.dev, err = wgdev.Open(o, want); err != nil {
		return nil, err
	}
	t.name = t.dev.Name()
	if ground == UserSpace {
		return t, nil
	}
	if err := wgdev.Dress(t.name, t.mtu, c.Addresses); err != nil {
		t.dev.Close()
		return nil, err
	}
	if err := t.dev.SocketError(); err != nil {
		s.trouble.set(noSocket(err)) // the tunnel works without it
	} else {
		s.trouble.clear(codeNoSocket)
	}
	return t, nil
}

// backend is what is to speak WireGuard: what the document asks for, where it
// can be had.
func (s *Server) backend(ground Mode, c Config) wgdev.Backend {
	if ground == TUN && c.Backend == wgdev.Kernel {
		if err := wgdev.CanKernel(); err != nil {
			s.trouble.set(noKernel(err))
			return wgdev.User
		}
		s.trouble.clear(codeNoKernel)
		return wgdev.Kernel
	}
	s.trouble.clear(codeNoKernel)
	return wgdev.User
}

// fits reports whether set can bring the tunnel to c.
func (t *tunnel) fits(ground Mode, c Config) bool {
	if t.mode != ground {
		return false
	}
	if ground == TUN {
		return t.name == c.Interface && t.backend == c.Backend
	}
	return t.said == c.MTU && slices.Equal(t.addrs, c.Addresses)
}

// precedes reports why a tunnel for c could not take the place of t.
func (t *tunnel) precedes(ground Mode, c Config) error {
	if ground == Off {
		return nil
	}
	if c.Port != 0 && c.Port != t.port() {
		if err := wgdev.Free(c.Port); err != nil {
			return wgdev.ExplainPort(c.Port, err)
		}
	}
	if ground == TUN && c.Interface != t.name {
		if _, err := netlink.LinkByName(c.Interface); err == nil {
			return wgdev.ErrTaken(c.Interface, unix.EBUSY)
		}
	}
	return nil
}

// set brings the running tunnel to c, and undoes what `wg` has done to it.
func (t *tunnel) set(c Config, want wgdev.Config, mtu int) error {
	have, err := t.dev.State()
	if err != nil {
		return err
	}
	if err := t.dev.Set(want); err != nil {
		return err
	}
	if want.Port != 0 && have.Port != want.Port || have.Private != want.Private {
		t.dev.Nudge(have.Peers)
	}
	if t.mode == TUN {
		t.said, t.mtu = c.MTU, mtu
		return wgdev.Dress(t.name, mtu, c.Addresses)
	}
	return nil
}

func (t *tunnel) port() uint16 {
	d, err := t.dev.State()
	if err != nil {
		return 0
	}
	return d.Port
}

// alive reports whether the device still runs; it ends when its interface goes.
func (t *tunnel) alive() bool {
	select {
	case <-t.dev.Done():
		return false
	default:
		return true
	}
}

func (t *tunnel) close() { t.dev.Close() }
