package wgdev

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

const tunPath = "/dev/net/tun"

// CanTUN reports why this process cannot make a TUN interface.
func CanTUN() error {
	f, err := os.OpenFile(tunPath, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	// Attaching needs CAP_NET_ADMIN; so does this, and it changes nothing.
	var hdr unix.CapUserHeader
	var data [2]unix.CapUserData
	hdr.Version = unix.LINUX_CAPABILITY_VERSION_3
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return err
	}
	if data[0].Effective&(1<<unix.CAP_NET_ADMIN) == 0 {
		return fmt.Errorf("CAP_NET_ADMIN: %w", unix.EPERM)
	}
	return nil
}

// A card is a TUN interface of the kernel, as a tun.Device. It takes in all that
// the kernel has ready at each wake-up, so that many small packets make one
// batch, and it joins what arrives without copying it (writev).
type card struct {
	file   *os.File
	raw    syscall.RawConn
	batch  int
	sends  *window // from the kernel to the peers
	takes  *window // the other way
	events chan tun.Event
	watch  *linkWatch
	once   sync.Once

	reading sync.Mutex
	in      []byte // a packet of the kernel that is to be split
	segs    segments
	rbufs   [][]byte
	rsizes  []int
	roff    int
	rgot    int
	rmost   int
	rload   int // bytes of the packets in rbufs, once they are sealed
	rerr    error
	ready   func(fd uintptr) bool

	writing sync.Mutex
	merger  merger
	iovs    []unix.Iovec
	wlist   []merged
	werr    error
	flush   func(fd uintptr) bool
}

// direct is how much of a packet is read right into the library's buffer; what
// is longer is to be split anyway, or rare.
const direct = 2048

// openCard makes the interface. It is without addresses and down, and goes away
// when it is closed or the process ends.
func openCard(log *slog.Logger, name string, batch int, sends, takes *window) (*card, error) {
	fd, err := unix.Open(tunPath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", tunPath, err)
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EINVAL) {
		unix.Close(fd)
		return nil, ErrTaken(name, err)
	}
	const tso = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6
	c := &card{batch: batch, sends: sends, takes: takes, events: make(chan tun.Event, 4), in: make([]byte, vnetLen+1<<16)}
	if err == nil {
		c.merger.udp = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, tso|unix.TUN_F_USO4|unix.TUN_F_USO6) == nil // Linux 6.2
		if !c.merger.udp {
			err = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, tso)
		}
	}
	if err == nil {
		c.watch, err = newLinkWatch(log, name, c.events)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("making the interface %s: %w", name, err)
	}
	// Only after the ioctl does the file wait in the runtime's poller.
	c.file = os.NewFile(uintptr(fd), tunPath)
	if c.raw, err = c.file.SyscallConn(); err != nil {
		c.Close()
		return nil, fmt.Errorf("making the interface %s: %w", name, err)
	}
	c.ready, c.flush = c.fill, c.drain
	return c, nil
}

// ErrTaken says that there is an interface of that name.
func ErrTaken(name string, err error) error {
	return fmt.Errorf("making the interface %s: there is one of that name; remove it or choose another name (wireguard.interface): %w", name, err)
}

func (c *card) File() *os.File           { return c.file }
func (c *card) BatchSize() int           { return c.batch }
func (c *card) Events() <-chan tun.Event { return c.events }
func (c *card) MTU() (int, error)        { return c.watch.mtu() }
func (c *card) Name() (string, error)    { return c.watch.name, nil }

func (c *card) Close() error {
	var err error
	c.once.Do(func() {
		err = c.file.Close()
		c.watch.close() // and with it the events
	})
	return err
}

// Read takes in packets until the kernel has no more or bufs is full.
func (c *card) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	c.rmost = len(bufs)
	if c.sends != nil {
		c.rmost = c.sends.room(len(bufs))
	}
	c.rbufs, c.rsizes, c.roff, c.rgot, c.rerr = bufs, sizes, offset, 0, nil
	c.rload = 0
	c.split()
	if !c.full() {
		if c.raw.Read(c.ready) != nil && c.rerr == nil {
			c.rerr = os.ErrClosed
		}
	}
	n := c.entered()
	if n > 0 {
		return n, nil // an error comes again
	}
	return 0, c.rerr
}

func (c *card) entered() int {
	if c.sends != nil && c.rgot > 0 {
		c.sends.enter(c.rgot)
	}
	c.rbufs = nil
	return c.rgot
}

// fill reads until there is nothing left; false: wait.
func (c *card) fill(fd uintptr) bool {
	for !c.full() {
		b := c.rbufs[c.rgot][c.roff-vnetLen:]
		first := min(direct, len(b))
		iov := [2]unix.Iovec{{Base: &b[0]}, {Base: &c.in[first]}}
		iov[0].SetLen(first)
		iov[1].SetLen(len(c.in) - first)
		n, err := readv(int(fd), iov[:])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return c.rgot > 0
		case errors.Is(err, unix.EBADFD):
			c.rerr = os.ErrClosed
			return true
		case err != nil:
			c.rerr = err
			return true
		}
		c.take(b, n, first)
	}
	return true
}

// take sorts a packet of n bytes, the beginning of which is in b and the rest in
// c.in.
func (c *card) take(b []byte, n, first int) {
	if n <= vnetLen {
		return
	}
	v := readVnet(b)
	if v.gso == unix.VIRTIO_NET_HDR_GSO_NONE && n <= len(b) {
		if n > first {
			copy(b[first:], c.in[first:n])
		}
		if v.flags&unix.VIRTIO_NET_HDR_F_NEEDS_CSUM != 0 {
			if complete(v, b[vnetLen:n]) != nil {
				return
			}
		}
		c.got(n - vnetLen)
		return
	}
	copy(c.in[:first], b[:min(first, n)])
	s, err := newSegments(v, c.in[vnetLen:n])
	if err != nil {
		return // a packet that nobody can send is lost, as in any router
	}
	c.segs = s
	c.split()
}

// split hands over segments of the packet at hand.
func (c *card) split() {
	for c.segs.more() && !c.full() {
		if n := c.segs.cut(c.rbufs[c.rgot][c.roff:]); n > 0 {
			c.got(n)
		}
	}
}

func (c *card) got(n int) {
	c.rsizes[c.rgot] = n
	c.rgot++
	c.rload += n + keepaliveSize
}

// full reports whether no more is to be read: there is no room, or one more
// packet like the last would not fit into the run of datagrams that becomes of
// them. What is left over would travel as a short run of its own, at the cost of
// a long one, through all that follows, at both ends.
func (c *card) full() bool {
	return c.rgot >= c.rmost || c.rgot > 0 && c.rload+c.rsizes[c.rgot-1]+keepaliveSize > maxPayload
}

// Write hands packets to the kernel, runs of one flow as one.
func (c *card) Write(bufs [][]byte, offset int) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.takes != nil {
		defer c.takes.leave(len(bufs))
	}
	if offset < vnetLen {
		return 0, fmt.Errorf("writing to the interface: no room for its header")
	}
	c.wlist, c.werr = c.merger.merge(bufs, offset), nil
	if c.raw.Write(c.flush) != nil {
		return 0, os.ErrClosed
	}
	return len(bufs), c.werr
}

// drain writes until all is done; false: wait.
func (c *card) drain(fd uintptr) bool {
	for len(c.wlist) > 0 {
		var err error
		if p := c.wlist[0].pieces; len(p) == 1 {
			_, err = unix.Write(int(fd), p[0])
		} else {
			c.iovs = c.iovs[:0]
			for _, b := range p {
				c.iovs = append(c.iovs, unix.Iovec{Base: &b[0]})
				c.iovs[len(c.iovs)-1].SetLen(len(b))
			}
			err = writev(int(fd), c.iovs)
		}
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return false
		case errors.Is(err, unix.EBADFD):
			c.werr = os.ErrClosed
			return true
		case err != nil:
			c.werr = err // the rest may do better
		}
		c.wlist = c.wlist[1:]
	}
	return true
}
