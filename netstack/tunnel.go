package netstack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"

	"pic/netstack/userspace"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	wg "golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
)

// A tunnel is a running WireGuard device. set and close are not called at the
// same time; the rest may be called whenever.
type tunnel struct {
	mode   Mode
	name   string // of the interface; "userspace" without one
	addrs  []netip.Prefix
	mtu    int
	dev    *wg.Device
	stack  *userspace.Net // in UserSpace mode
	socket *toolSocket
}

// openTunnel makes the device, gives it its keys and peers, and only then lets
// it receive. On error nothing stays.
func (s *Server) openTunnel(ground Mode, c Config, want device) (_ *tunnel, err error) {
	t := &tunnel{mode: ground, name: "userspace", addrs: c.Addresses, mtu: c.MTU}
	var card tun.Device
	batch := userspace.Batch
	if ground == TUN {
		batch = tunBatch
	}
	if ground == TUN {
		if card, t.name, err = openTUN(c.Interface); err != nil {
			return nil, err
		}
	} else {
		t.stack, err = userspace.New(s.log, c.Addresses, c.MTU)
		if err != nil {
			return nil, fmt.Errorf("user-space network: %w", err)
		}
		card = t.stack
	}
	if t.stack != nil {
		t.stack.Obey(s.policy.Load())
	}
	t.dev = wg.NewDevice(card, newBind(batch), wireguardLog(s.log))
	defer func() {
		if err != nil {
			t.dev.Close()
		}
	}()
	if err := t.dev.IpcSet(diff(device{}, want)); err != nil {
		return nil, fmt.Errorf("configuring WireGuard: %w", err)
	}
	// Before the interface is up, for its coming up brings the device up too,
	// and there the error would be lost.
	if err := t.dev.Up(); err != nil {
		return nil, explainPort(want.port, err)
	}
	if ground == UserSpace {
		return t, nil
	}
	if err := dress(t.name, c); err != nil {
		return nil, err
	}
	if t.socket, err = openToolSocket(s.log, t.name, t.dev); err != nil {
		s.trouble.set(noSocket(err)) // the tunnel works without it
		return t, nil
	}
	s.trouble.clear(codeNoSocket)
	return t, nil
}

// fits reports whether set can bring the tunnel to c.
func (t *tunnel) fits(ground Mode, c Config) bool {
	if t.mode != ground {
		return false
	}
	if ground == TUN {
		return t.name == c.Interface
	}
	return t.mtu == c.MTU && slices.Equal(t.addrs, c.Addresses)
}

// precedes reports why a tunnel for c could not take the place of t.
func (t *tunnel) precedes(ground Mode, c Config) error {
	if ground == Off {
		return nil
	}
	if c.Port != 0 && c.Port != t.port() {
		if err := free(c.Port); err != nil {
			return explainPort(c.Port, err)
		}
	}
	if ground == TUN && c.Interface != t.name {
		if _, err := netlink.LinkByName(c.Interface); err == nil {
			return errTaken(c.Interface, unix.EBUSY)
		}
	}
	return nil
}

// set brings the running tunnel to c. It compares with what the device has now,
// so that it also undoes what `wg` has done to it.
func (t *tunnel) set(c Config, want device) error {
	have, err := t.state()
	if err != nil {
		return err
	}
	if have.port != want.port && want.port != 0 {
		// The device closes the old port before it opens the new one: look first.
		if err := free(want.port); err != nil {
			return explainPort(want.port, err)
		}
	}
	if want.port == 0 {
		want.port = have.port
	}
	if cmds := diff(have, want); cmds != "" {
		if err := t.dev.IpcSet(cmds); err != nil {
			return explainPort(want.port, err)
		}
	}
	if have.port != want.port || have.private != want.private {
		t.call(have.peers)
	}
	if t.mode == TUN {
		return dress(t.name, c)
	}
	return nil
}

// call sends something to the peers that were heard from before, so that they
// learn a new port at once and agree on new session keys. By themselves they
// would notice only after 15 s of silence.
func (t *tunnel) call(known map[key]wgPeer) {
	now, err := t.state()
	if err != nil {
		return
	}
	for _, pub := range sorted(known) {
		p := known[pub]
		if _, ok := now.peers[pub]; !ok || p.endpoint == "" || p.handshake.IsZero() {
			continue
		}
		// Switching keepalives on sends one.
		_ = t.dev.IpcSet(fmt.Sprintf("public_key=%s\nendpoint=%s\npersistent_keepalive_interval=0\npersistent_keepalive_interval=60\n", pub.hex(), p.endpoint))
		_ = t.dev.IpcSet(fmt.Sprintf("public_key=%s\npersistent_keepalive_interval=0\n", pub.hex()))
	}
}

// state asks the device for its state.
func (t *tunnel) state() (device, error) {
	text, err := t.dev.IpcGet()
	if err != nil {
		return device{}, fmt.Errorf("asking WireGuard for its state: %w", err)
	}
	return parseDevice(text)
}

func (t *tunnel) port() uint16 {
	d, err := t.state()
	if err != nil {
		return 0
	}
	return d.port
}

// alive reports whether the device still runs; it ends when its interface goes.
func (t *tunnel) alive() bool {
	select {
	case <-t.dev.Wait():
		return false
	default:
		return true
	}
}

func (t *tunnel) close() {
	t.dev.Close()
	if t.socket != nil {
		t.socket.close()
	}
}

// free reports why a UDP port cannot be had on all addresses.
func free(port uint16) error {
	for _, network := range []string{"udp4", "udp6"} {
		var lc net.ListenConfig
		c, err := lc.ListenPacket(context.Background(), network, fmt.Sprintf(":%d", port))
		if err == nil {
			c.Close()
		} else if !errors.Is(err, unix.EAFNOSUPPORT) {
			return err
		}
	}
	return nil
}

func explainPort(port uint16, err error) error {
	if errors.Is(err, unix.EADDRINUSE) {
		return fmt.Errorf("wireguard.port: UDP port %d is taken by another program (`ss -lunp 'sport = :%d'` names it); choose another: %w",
			port, port, err)
	}
	return fmt.Errorf("WireGuard on UDP port %d: %w", port, err)
}

// wireguardLog passes on what the device tells, which is for developers.
func wireguardLog(log *slog.Logger) *wg.Logger {
	say := func(format string, args ...any) {
		if log.Enabled(context.Background(), slog.LevelDebug) {
			log.Debug("wireguard", "says", fmt.Sprintf(format, args...))
		}
	}
	return &wg.Logger{Verbosef: say, Errorf: say}
}
