package wgdev

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"

	wg "golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
)

const (
	// batch is how many packets the library moves at once. It is the longest run
	// of datagrams that the kernel merges.
	batch = 64
	// inside is how many packets may be within the library in one direction.
	inside = 192
	// givenBatch is for a TUN that is no interface.
	givenBatch = 16
)

// A user is wireguard-go's device between our two ends.
type user struct {
	dev       *wg.Device
	socket    *socket // nil: none
	socketErr error
}

func openUser(o Options, c Config) (_ *user, err error) {
	sends, takes := newWindow(inside), newWindow(inside)
	var card tun.Device = o.TUN
	size := batch
	if card != nil {
		if size = o.Batch; size == 0 {
			size = givenBatch
		}
		card = &lent{card, sends, takes}
	} else if card, err = openCard(o.Log, o.Interface, size, sends, takes); err != nil {
		return nil, err
	}
	u := &user{dev: wg.NewDevice(card, newBind(size, sends, takes), libraryLog(o.Log))}
	defer func() {
		if err != nil {
			u.dev.Close()
		}
	}()
	if err := u.apply(State{}, c, moves(Config{}, c, State{})); err != nil {
		return nil, fmt.Errorf("configuring WireGuard: %w", err)
	}
	// Before the interface is up, for its coming up brings the device up too, and
	// there the error would be lost.
	if err := u.dev.Up(); err != nil {
		return nil, ExplainPort(c.Port, err)
	}
	if o.TUN == nil {
		u.socket, u.socketErr = openSocket(o.Log, o.Interface, u.dev)
	}
	return u, nil
}

func (u *user) state() (State, error) {
	text, err := u.dev.IpcGet()
	if err != nil {
		return State{}, fmt.Errorf("asking WireGuard for its state: %w", err)
	}
	return parseState(text)
}

func (u *user) apply(have State, want Config, calls map[Key]netip.AddrPort) error {
	cmds := diff(have, want, calls)
	if cmds == "" {
		return nil
	}
	return u.dev.IpcSet(cmds)
}

func (u *user) done() <-chan struct{} { return u.dev.Wait() }
func (u *user) socketError() error    { return u.socketErr }

func (u *user) close() error {
	u.dev.Close()
	if u.socket != nil {
		u.socket.close()
	}
	return nil
}

// libraryLog passes on what the library tells, which is for developers. It would
// format each line, for each packet even, only to have it thrown away; so it is
// asked only where somebody reads.
func libraryLog(log *slog.Logger) *wg.Logger {
	say := func(format string, args ...any) {
		if log.Enabled(context.Background(), slog.LevelDebug) {
			log.Debug("wireguard", "says", fmt.Sprintf(format, args...))
		}
	}
	if !log.Enabled(context.Background(), slog.LevelDebug) {
		return &wg.Logger{Verbosef: wg.DiscardLogf, Errorf: say}
	}
	return &wg.Logger{Verbosef: say, Errorf: say}
}

// A lent is a TUN that is no interface of ours, between the two windows.
type lent struct {
	tun.Device
	sends, takes *window
}

func (l *lent) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	most := l.sends.room(len(bufs))
	n, err := l.Device.Read(bufs[:most], sizes[:most], offset)
	l.sends.enter(n)
	return n, err
}

func (l *lent) Write(bufs [][]byte, offset int) (int, error) {
	defer l.takes.leave(len(bufs))
	return l.Device.Write(bufs, offset)
}
