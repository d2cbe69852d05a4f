package fw

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Watch calls changed after each change of the host's packet filter by another
// program until ctx is done: `nft flush ruleset` takes our table too, and with it
// all limits of the peers. changed must not block. Where the kernel cannot be
// asked, Watch returns an error, and Set looks each time for itself.
func (f *Firewall) Watch(ctx context.Context, changed func()) error {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer func() {
		if stop() {
			c.Close()
		}
	}()
	_ = c.SetReadBuffer(1 << 20)
	if err := c.JoinGroup(unix.NFNLGRP_NFTABLES); err != nil {
		return err
	}
	f.touched.Store(true) // before we listened
	f.watching.Store(true)
	defer f.watching.Store(false)
	for {
		msgs, err := c.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS): // more than we could read
			f.touched.Store(true)
			changed()
			continue
		case err != nil:
			return err
		}
		if !f.theirs(msgs) {
			continue
		}
		changed()
		select { // changes come in swarms
		case <-ctx.Done():
		case <-time.After(rest):
		}
	}
}

const rest = 100 * time.Millisecond

// theirs reports whether some message tells of somebody else's change, and notes
// those of our table.
func (f *Firewall) theirs(msgs []netlink.Message) bool {
	found := false
	for _, m := range msgs {
		if m.Header.PID == 0 || f.own.has(m.Header.PID) {
			continue
		}
		found = true
		if ofOurs(m) {
			f.touched.Store(true)
		}
	}
	return found
}

// ofOurs reports whether a message of the kernel speaks of our table. In all of
// those kinds, the table's name is the first attribute.
func ofOurs(m netlink.Message) bool {
	if m.Header.Type == unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWGEN || len(m.Data) < 8 || m.Data[0] != unix.NFPROTO_INET {
		return false
	}
	n := int(binary.NativeEndian.Uint16(m.Data[4:]))
	if n < 4 || n > len(m.Data)-4 {
		return false
	}
	return bytes.Equal(m.Data[8:4+n], []byte(tableName+"\x00"))
}
