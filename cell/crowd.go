package cell

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"pic/internal/listen"
)

// Bounds of the connections to the web ports. A browser makes about six.
const (
	crowdAll  = 1024
	crowdFrom = 128 // of one address outside of this host
)

// A crowd counts the connections to the web ports, so that nobody can take them
// all. Its zero value is ready.
type crowd struct {
	mu   sync.Mutex
	all  int
	from map[netip.Addr]int
}

// enter counts a connection, or refuses it.
func (c *crowd) enter(a netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all >= crowdAll || !a.IsLoopback() && c.from[a] >= crowdFrom {
		return false
	}
	if c.from == nil {
		c.from = map[netip.Addr]int{}
	}
	c.all++
	c.from[a]++
	return true
}

func (c *crowd) leave(a netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.from[a]--; c.from[a] <= 0 {
		delete(c.from, a)
	}
}

// A portListener remembers which socket it is, for a change may give the same
// socket another purpose, and refuses connections that are too many.
type portListener struct {
	net.Listener
	crowd  *crowd
	socket listen.Socket
}

// A portConn is a connection that leaves the crowd when it is closed.
type portConn struct {
	net.Conn
	socket listen.Socket
	leave  func()
}

func (l portListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		a := remote(c)
		if !l.crowd.enter(a) {
			c.Close()
			continue
		}
		if t, ok := c.(*net.TCPConn); ok {
			// Event streams of devices that vanished must end some time.
			_ = t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 20 * time.Second, Count: 3})
		}
		return portConn{c, l.socket, sync.OnceFunc(func() { l.crowd.leave(a) })}, nil
	}
}

func (c portConn) Close() error {
	c.leave()
	return c.Conn.Close()
}

// remote is who is at the other end.
func remote(c net.Conn) netip.Addr {
	if t, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
