package wgdev

import (
	"errors"
	"log/slog"
	"sync"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

// A linkWatch tells the library when its interface is set up or down or gets
// another MTU. Its sockets belong to the network namespace in which it was made.
type linkWatch struct {
	name   string
	ask    int // a socket for ioctls
	events chan tun.Event
	group  *netlink.Conn
	done   chan struct{}
	wg     sync.WaitGroup
}

func newLinkWatch(log *slog.Logger, name string, events chan tun.Event) (*linkWatch, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	}
	if err != nil {
		return nil, err
	}
	w := &linkWatch{name: name, ask: fd, events: events, done: make(chan struct{})}
	if w.group, err = netlink.Dial(unix.NETLINK_ROUTE, nil); err == nil {
		if err = w.group.JoinGroup(unix.RTNLGRP_LINK); err != nil {
			w.group.Close()
		}
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	w.wg.Go(func() { w.run(log) })
	return w, nil
}

func (w *linkWatch) mtu() (int, error) {
	req, err := unix.NewIfreq(w.name)
	if err == nil {
		err = unix.IoctlIfreq(w.ask, unix.SIOCGIFMTU, req)
	}
	if err != nil {
		return 0, err
	}
	return int(req.Uint32()), nil
}

func (w *linkWatch) up() bool {
	req, err := unix.NewIfreq(w.name)
	return err == nil && unix.IoctlIfreq(w.ask, unix.SIOCGIFFLAGS, req) == nil && req.Uint16()&unix.IFF_UP != 0
}

// run asks after any change of any link, which come seldom, and tells what is
// new.
func (w *linkWatch) run(log *slog.Logger) {
	defer close(w.events)
	up := w.up()
	mtu, _ := w.mtu()
	for {
		_, err := w.group.Receive()
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			log.Debug("interface no longer watched", "iface", w.name, "err", err)
			return
		}
		if now := w.up(); now != up {
			up = now
			w.tell(map[bool]tun.Event{true: tun.EventUp, false: tun.EventDown}[up])
		}
		if now, err := w.mtu(); err == nil && now != mtu {
			mtu = now
			w.tell(tun.EventMTUUpdate)
		}
	}
}

// tell does not outlast close: the library closes us while it holds what its
// reader of events waits for.
func (w *linkWatch) tell(e tun.Event) {
	select {
	case w.events <- e:
	case <-w.done:
	}
}

func (w *linkWatch) close() {
	close(w.done)
	w.group.Close()
	w.wg.Wait()
	unix.Close(w.ask)
}
