package userspace

import (
	"maps"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
)

// A served is the set of ports from [firstFree] on at which services listen. It is
// asked for each packet to such a port, and hardly ever changes.
type served struct {
	mu    sync.Mutex // of those who change it
	ports atomic.Pointer[map[door]int]
}

type door struct {
	proto uint8
	port  uint16
}

func (s *served) has(proto uint8, port uint16) bool {
	p := s.ports.Load()
	return p != nil && (*p)[door{proto, port}] > 0
}

// add notes a listener, until what it returns is called; more calls do nothing.
func (s *served) add(proto uint8, port uint16) (done func()) {
	if port < firstFree {
		return func() {}
	}
	d := door{proto, port}
	s.change(d, 1)
	return sync.OnceFunc(func() { s.change(d, -1) })
}

func (s *served) change(d door, by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := map[door]int{}
	if p := s.ports.Load(); p != nil {
		next = maps.Clone(*p)
	}
	if next[d] += by; next[d] == 0 {
		delete(next, d)
	}
	s.ports.Store(&next)
}

type listener struct {
	*gonet.TCPListener
	done func()
}

// Close ends the listener.
func (l *listener) Close() error {
	defer l.done()
	return l.TCPListener.Close()
}

type socket struct {
	*gonet.UDPConn
	done func()
}

// Close ends the socket.
func (s *socket) Close() error {
	defer s.done()
	return s.UDPConn.Close()
}
