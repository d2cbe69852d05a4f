package main

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
)

// tunnel compares WireGuard's user-space implementations.
func tunnel() contest {
	return contest{
		name: "wireguard", title: "WireGuard: one TCP stream through a TUN device, beside wireguard-go", packages: []string{"wireguard-go"},
		what: `A server on one host and a device on another, joined by a virtual cable; the device is always Debian's wireguard-go,
so that only the server's end differs, and only its processor time is counted. MTU 1420. The cell runs as an appliance
with its firewall; the peers are bare tunnels: Debian's wireguard-go, of 2022, and upstream's at the version that the cell
is built with, which shows what the cell adds. The kernel's own WireGuard is not compared.`,
		run: tunnelRun,
	}
}

const (
	serverAddr = "10.99.0.1" // on the cable
	deviceAddr = "10.99.0.2"
	wgPort     = 51820
	tunnelMTU  = 1420
)

func tunnelRun(ctx context.Context, l *lab) (string, error) {
	m := &match{unit: "Gbit", cpu: time.Millisecond, works: []string{"device to server", "server to device"}}
	open := func(name, device string, serve func(*host) (*wgEnds, error)) error {
		return m.enter(name, func() (*rival, error) {
			server, err := l.newHost()
			if err != nil {
				return nil, err
			}
			far, err := l.newHost()
			if err != nil {
				return nil, err
			}
			if err := cable(server, serverAddr+"/24", far, deviceAddr+"/24"); err != nil {
				return nil, err
			}
			ends, err := serve(server)
			if err != nil {
				return nil, err
			}
			if _, err := l.wireguard(ctx, far, "wireguard-go", device, ends.deviceAddr+"/24", ends.deviceConf); err != nil {
				return nil, err
			}
			s, err := l.stream(server, far, ends.serverAddr)
			if err != nil {
				return nil, err
			}
			return &rival{procs: []*process{ends.proc}, jobs: []job{s.up, s.down}}, nil
		})
	}
	err := open("pic", "wgd0", func(h *host) (*wgEnds, error) { return l.wgCell(ctx, h) })
	if err != nil {
		return "", err
	}
	for i, p := range []struct{ name, program string }{
		{"wireguard-go, Debian", "wireguard-go"},
		{"wireguard-go, upstream", l.wireguardGo},
	} {
		err := open(p.name, fmt.Sprintf("wgd%d", i+1), func(h *host) (*wgEnds, error) {
			if p.program == "" {
				return nil, errors.New("it was not built")
			}
			return l.wgPeer(ctx, h, p.program, fmt.Sprintf("wgs%d", i+1))
		})
		if err != nil {
			return "", err
		}
	}
	return m.play(ctx, l)
}

// wgEnds is a server that is up, and what a device needs to know.
type wgEnds struct {
	proc                   *process
	serverAddr, deviceAddr string // in the tunnel
	deviceConf             string // as `wg setconf` wants it
}

// wgCell starts a cell and adds the device to it.
func (l *lab) wgCell(ctx context.Context, h *host) (*wgEnds, error) {
	c, err := l.setUp(ctx, h)
	if err != nil {
		return nil, err
	}
	if err := c.serve(ctx, nil); err != nil {
		return nil, err
	}
	conf, err := c.pic(ctx, "", "peer", "add", "device", "--endpoint", fmt.Sprintf("%s:%d", serverAddr, wgPort))
	if err != nil {
		return nil, err
	}
	e := &wgEnds{proc: c.proc}
	var kept []string
	for line := range strings.Lines(conf) {
		k, v, _ := strings.Cut(line, "=")
		v, _, _ = strings.Cut(strings.TrimSpace(v), ",") // the first, of IPv4
		switch strings.TrimSpace(k) {
		case "Address":
			e.deviceAddr, _, _ = strings.Cut(v, "/")
		case "DNS":
			e.serverAddr = v
		case "MTU":
		default:
			kept = append(kept, line)
		}
	}
	if e.deviceAddr == "" || e.serverAddr == "" {
		return nil, errors.New("the cell gave no addresses to the device")
	}
	e.deviceConf = strings.Join(kept, "")
	return e, nil
}

// wgPeer starts a wireguard-go as the server.
func (l *lab) wgPeer(ctx context.Context, h *host, program, card string) (*wgEnds, error) {
	private, public, err := wgKey()
	if err != nil {
		return nil, err
	}
	devPrivate, devPublic, err := wgKey()
	if err != nil {
		return nil, err
	}
	e := &wgEnds{serverAddr: "10.98.0.1", deviceAddr: "10.98.0.2"}
	e.deviceConf = fmt.Sprintf("[Interface]\nPrivateKey = %s\n[Peer]\nPublicKey = %s\nEndpoint = %s:%d\nAllowedIPs = 0.0.0.0/0\n",
		devPrivate, public, serverAddr, wgPort)
	conf := fmt.Sprintf("[Interface]\nPrivateKey = %s\nListenPort = %d\n[Peer]\nPublicKey = %s\nAllowedIPs = %s/32\n",
		private, wgPort, devPublic, e.deviceAddr)
	e.proc, err = l.wireguard(ctx, h, program, card, e.serverAddr+"/24", conf)
	return e, err
}

// wireguard runs a wireguard-go on a host.
func (l *lab) wireguard(ctx context.Context, h *host, program, card, addr, conf string) (*process, error) {
	file := filepath.Join(l.dir, card+".conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	p, err := l.start(h, program, "-f", card)
	if err != nil {
		return nil, err
	}
	if err := p.wait(ctx, func() bool {
		_, err := os.Stat("/run/wireguard/" + card + ".sock")
		return err == nil
	}); err != nil {
		return nil, err
	}
	if _, err := command(ctx, "", "wg", "setconf", card, file); err != nil {
		return nil, err
	}
	return p, h.do(func() error {
		link, err := netlink.LinkByName(card)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetMTU(link, tunnelMTU); err != nil {
			return err
		}
		return address(card, addr)
	})
}

func wgKey() (private, public string, err error) {
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return "", "", err
	}
	enc := base64.StdEncoding.EncodeToString
	return enc(k.Bytes()), enc(k.PublicKey().Bytes()), nil
}

// A stream is a TCP connection from the device to the server's host.
type stream struct{ server, device net.Conn }

// stream connects through the tunnel.
func (l *lab) stream(server, device *host, addr string) (*stream, error) {
	s := &stream{}
	var ln net.Listener
	if err := server.do(func() (err error) {
		ln, err = net.Listen("tcp", net.JoinHostPort(addr, "5001"))
		return err
	}); err != nil {
		return nil, err
	}
	defer ln.Close()
	if err := device.do(func() (err error) {
		s.device, err = net.DialTimeout("tcp", ln.Addr().String(), 10*time.Second)
		return err
	}); err != nil {
		return nil, fmt.Errorf("through the tunnel: %w", err)
	}
	l.atEnd(func() { s.device.Close() })
	var err error
	if s.server, err = ln.Accept(); err != nil {
		return nil, err
	}
	l.atEnd(func() { s.server.Close() })
	return s, nil
}

func (s *stream) up(ctx context.Context, m *meter) error { return pour(ctx, m, s.device, s.server) }

func (s *stream) down(ctx context.Context, m *meter) error { return pour(ctx, m, s.server, s.device) }

// pour is a turn of [carry].
func pour(ctx context.Context, m *meter, from, to net.Conn) error {
	m.begin()
	n, err := carry(ctx, m, from, to)
	m.end(float64(n) * 8 / 1e9)
	return err
}

// carry sends from one end until the turn is over, and reads at the other until
// all of it is there: so many bytes.
func carry(ctx context.Context, m *meter, from, to net.Conn) (int64, error) {
	end := time.Now().Add(m.span + 20*time.Second)
	if err := errors.Join(from.SetDeadline(end), to.SetDeadline(end)); err != nil {
		return 0, err
	}
	const chunk = 128 << 10
	type sum struct {
		n   int64
		err error
	}
	sent := make(chan sum, 1)
	go func() {
		var s sum
		for b := make([]byte, chunk); s.err == nil && !m.over() && ctx.Err() == nil; {
			var n int
			n, s.err = from.Write(b)
			s.n += int64(n)
		}
		sent <- s
	}()
	var got int64
	total := int64(-1) // while it is not known
	for b := make([]byte, chunk); total < 0 || got < total; {
		select {
		case s := <-sent:
			if s.err != nil {
				return got, s.err
			}
			total = s.n
			continue
		default:
		}
		// The end may come while all is read; then a short wait finds it.
		wait := end
		if total < 0 {
			wait = time.Now().Add(100 * time.Millisecond)
		}
		if err := to.SetReadDeadline(wait); err != nil {
			return got, err
		}
		n, err := to.Read(b)
		got += int64(n)
		if err != nil && (total >= 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return got, err
		}
	}
	return got, ctx.Err()
}
