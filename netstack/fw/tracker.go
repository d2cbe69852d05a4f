package fw

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"pic/netstack/policy"
)

// A tracker is a socket to the kernel's table of connections (ctnetlink).
type tracker struct {
	c   *netlink.Conn
	buf []byte
}

// answerTime is how long the kernel may take to answer.
const answerTime = 10 * time.Second

func dialTracker() (*tracker, error) {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, err
	}
	_ = c.SetReadBuffer(1 << 20)
	return &tracker{c, make([]byte, 64<<10)}, nil
}

func (t *tracker) close() { t.c.Close() }

// Of linux/netfilter/nfnetlink_conntrack.h.
const (
	ctGet    = unix.NFNL_SUBSYS_CTNETLINK<<8 | 1
	ctDelete = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2

	ctaOrig, ctaReply, ctaID, ctaZone = 1, 2, 12, 18

	typeMask = 0x3fff // without the bits that say how a value is written

	ctaIP, ctaProto                    = 1, 2
	ctaSrc4, ctaDst4, ctaSrc6, ctaDst6 = 1, 2, 3, 4
	ctaProtoNumber, ctaTheirPort       = 1, 3
)

// A connection is one that the kernel keeps.
type connection struct {
	flow   policy.Flow // as it was opened
	back   netip.Addr  // that its answers come from
	family byte
	name   [][]byte // the attributes by which the kernel finds it
}

// kept is e for longer than the buffer that it was read into.
func (e connection) kept() connection {
	e.name = slices.Clone(e.name)
	for i := range e.name {
		e.name[i] = slices.Clone(e.name[i])
	}
	return e
}

// each calls see with every connection of both families. The kernel looks through
// its whole table for one question, so it is asked once; see must not keep what it
// gets, but by kept.
func (t *tracker) each(see func(connection)) error {
	req, err := t.c.Send(netlink.Message{
		Header: netlink.Header{Type: ctGet, Flags: netlink.Request | netlink.Dump}, Data: []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0},
	})
	if err != nil {
		return err
	}
	if err := t.c.SetReadDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	rc, err := t.c.SyscallConn()
	if err != nil {
		return err
	}
	for {
		var n int
		var got error
		err := rc.Read(func(fd uintptr) bool {
			n, _, got = unix.Recvfrom(int(fd), t.buf, 0)
			return !errors.Is(got, unix.EAGAIN) && !errors.Is(got, unix.EINTR)
		})
		if err = errors.Join(err, got); err != nil {
			return fmt.Errorf("reading the kernel's connections: %w", err)
		}
		for b := t.buf[:n]; len(b) >= unix.NLMSG_HDRLEN; {
			size := int(binary.NativeEndian.Uint32(b))
			kind, flags, seq := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:]), binary.NativeEndian.Uint32(b[8:])
			if size < unix.NLMSG_HDRLEN || size > len(b) {
				return errors.New("reading the kernel's connections: a message is cut short")
			}
			body := b[unix.NLMSG_HDRLEN:size]
			b = b[min(len(b), (size+3)&^3):]
			switch {
			case seq != req.Header.Sequence:
			case flags&unix.NLM_F_DUMP_INTR != 0:
				return errors.New("reading the kernel's connections: they changed meanwhile")
			case kind == unix.NLMSG_DONE || kind == unix.NLMSG_ERROR:
				if len(body) >= 4 && int32(binary.NativeEndian.Uint32(body)) < 0 {
					return fmt.Errorf("reading the kernel's connections: %w", unix.Errno(-int32(binary.NativeEndian.Uint32(body))))
				}
				return nil
			default:
				if e, ok := parseConnection(body); ok {
					see(e)
				}
			}
		}
	}
}

// end ends a connection, and reports whether it was there still.
func (t *tracker) end(e connection) (bool, error) {
	data := []byte{e.family, unix.NFNETLINK_V0, 0, 0}
	for _, a := range e.name {
		data = append(data, a...)
	}
	if err := t.c.SetReadDeadline(time.Now().Add(answerTime)); err != nil {
		return false, err
	}
	_, err := t.c.Execute(netlink.Message{
		Header: netlink.Header{Type: ctDelete, Flags: netlink.Request | netlink.Acknowledge}, Data: data,
	})
	return err == nil, ignore(err, unix.ENOENT) // gone by itself meanwhile
}

// parseConnection reads a message of the kernel; it reports false where it is none
// that can be told apart.
func parseConnection(b []byte) (e connection, ok bool) {
	if len(b) < 4 {
		return e, false
	}
	e.family = b[0]
	var reply policy.Flow
	for kind, whole := range attributes(b[4:]) {
		switch kind {
		case ctaOrig:
			e.flow = tuple(whole[4:])
		case ctaReply:
			reply = tuple(whole[4:])
			continue
		case ctaID, ctaZone:
		default:
			continue
		}
		e.name = append(e.name, whole)
	}
	e.back = reply.Src
	return e, e.flow.Src.IsValid() && e.flow.Dst.IsValid() && e.back.IsValid()
}

func tuple(b []byte) (f policy.Flow) {
	var port uint16
	for kind, part := range attributes(b) {
		for field, whole := range attributes(part[4:]) {
			v := whole[4:]
			switch {
			case kind == ctaIP && (field == ctaSrc4 || field == ctaSrc6):
				f.Src = addrOf(v)
			case kind == ctaIP && (field == ctaDst4 || field == ctaDst6):
				f.Dst = addrOf(v)
			case kind == ctaProto && field == ctaProtoNumber && len(v) >= 1:
				f.Proto = v[0]
			case kind == ctaProto && field == ctaTheirPort && len(v) >= 2:
				port = binary.BigEndian.Uint16(v)
			}
		}
	}
	if f.Proto == policy.TCP || f.Proto == policy.UDP {
		f.Port = port
	}
	return f
}

func addrOf(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a.Unmap()
}

// attributes yields the attributes of netlink that b consists of, with their
// headers and padding, by their type.
func attributes(b []byte) func(yield func(kind uint16, whole []byte) bool) {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= 4 {
			n := int(binary.NativeEndian.Uint16(b))
			if n < 4 || n > len(b) {
				return
			}
			kind, end := binary.NativeEndian.Uint16(b[2:])&typeMask, min(len(b), (n+3)&^3)
			if !yield(kind, b[:end]) {
				return
			}
			b = b[end:]
		}
	}
}
