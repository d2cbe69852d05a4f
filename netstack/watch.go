package netstack

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// watchAddresses tells changed after each change of the host's addresses until
// ctx is done.
func watchAddresses(ctx context.Context, log *slog.Logger, changed chan<- struct{}) {
	watch(ctx, log.With("of", "addresses"), changed, unix.NETLINK_ROUTE,
		[]uint32{unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR},
		unix.RTM_NEWADDR, unix.RTM_DELADDR)
}

// watchWays tells changed after changes of the host's interfaces and routes.
func watchWays(ctx context.Context, log *slog.Logger, changed chan<- struct{}) {
	watch(ctx, log.With("of", "ways out"), changed, unix.NETLINK_ROUTE,
		[]uint32{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE},
		unix.RTM_NEWLINK, unix.RTM_NEWROUTE, unix.RTM_DELROUTE)
}

// watch listens to multicast groups of the kernel. changed has room for one
// message, which stands for any number of changes.
func watch(ctx context.Context, log *slog.Logger, changed chan<- struct{}, family int, groups []uint32, kinds ...netlink.HeaderType) {
	c, err := netlink.Dial(family, nil)
	if err != nil {
		log.Debug("changes not watched", "err", err)
		return
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer func() {
		if stop() {
			c.Close()
		}
	}()
	for _, g := range groups {
		if err := c.JoinGroup(g); err != nil {
			log.Debug("changes not watched", "err", err)
			return
		}
	}
	for {
		msgs, err := c.Receive()
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, unix.ENOBUFS): // more than we could read
			poke(changed)
			continue
		case err != nil:
			log.Debug("changes no longer watched", "err", err)
			return
		}
		for _, m := range msgs {
			for _, k := range kinds {
				if m.Header.Type == k {
					poke(changed)
				}
			}
		}
		pause(ctx, moment)
	}
}

// moment is how long a watcher rests after changes, which come in swarms.
const moment = 100 * time.Millisecond

func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
