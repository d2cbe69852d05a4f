package wgdev

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"

	wg "golang.zx2c4.com/wireguard/device"
)

// toolDir is where the program wg looks for user-space tunnels.
const toolDir = "/var/run/wireguard"

// A socket is where wg asks and configures the device. It is our own and not
// wireguard-go's, which leaves a caller hanging that comes while it closes.
type socket struct {
	log  *slog.Logger
	dev  *wg.Device
	ln   *net.UnixListener
	path string
	wg   sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{} // nil once closed
}

// openSocket opens the socket for the interface, for root alone. The device
// belongs to the caller.
func openSocket(log *slog.Logger, card string, dev *wg.Device) (*socket, error) {
	if err := os.MkdirAll(toolDir, 0o755); err != nil {
		return nil, err
	}
	path := filepath.Join(toolDir, card+".sock")
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("%s is in use by another program", path)
	}
	// It gets its name only once nobody else can connect.
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: tmp})
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false)
	err = os.Chmod(tmp, 0o600)
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		ln.Close()
		os.Remove(tmp)
		return nil, err
	}
	s := &socket{log: log, dev: dev, ln: ln, path: path, conns: map[net.Conn]struct{}{}}
	s.wg.Go(s.serve)
	return s, nil
}

func (s *socket) serve() {
	for {
		c, err := s.ln.Accept()
		if err != nil {
			return
		}
		if s.add(c) {
			s.wg.Go(func() { s.talk(c) })
		}
	}
}

func (s *socket) add(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		c.Close()
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *socket) talk(c net.Conn) {
	defer func() {
		if r := recover(); r != nil {
			s.log.Error("talking to wg", "panic", r)
		}
		c.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
	}()
	s.dev.IpcHandle(c)
}

// close ends all talks and waits for them.
func (s *socket) close() {
	os.Remove(s.path)
	s.ln.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.conns = nil
	s.mu.Unlock()
	s.wg.Wait()
}
