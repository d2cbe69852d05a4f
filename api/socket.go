package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// ListenSocket listens at path, where the command line finds the cell. A socket
// that a dead process left is replaced, that of a living one is not. Only the
// owner may connect; who may call is decided by who connected all the same.
func ListenSocket(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("making the folder of the socket: %w", err)
	}
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("listen on %s: another pic serves there; stop it first", path)
	} else if errors.Is(err, syscall.ECONNREFUSED) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("removing a stale socket: %w", err)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// A peer is the process at the other end of the socket.
type peer struct{ uid uint32 }

// admin returns the name under which the peer is an administrator.
func (p peer) admin() (string, bool) {
	switch p.uid {
	case 0:
		return "root", true
	case uint32(os.Geteuid()):
		return "local", true
	}
	return "", false
}

type peerKey struct{}

func peerOf(ctx context.Context) (peer, bool) {
	p, ok := ctx.Value(peerKey{}).(peer)
	return p, ok
}

// ConnContext is an [http.Server.ConnContext]: it notes who is at the other end
// of a Unix socket.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	p := peer{uid: ^uint32(0)} // nobody, unless the kernel says who
	if raw, err := u.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
				p.uid = cred.Uid
			}
		})
	}
	return context.WithValue(ctx, peerKey{}, p)
}
