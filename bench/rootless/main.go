// Command rootless is one rival of the contest of the same name: two WireGuard
// devices on TCP/IP stacks within this process, joined by UDP on loopback. The one is
// the cell's (netstack/userspace on netstack/wgdev), the other what comes with
// wireguard-go (tun/netstack on its device and conn.StdNetBind).
//
//	rootless pic|stock
//
// Each line on its input, "STREAMS MILLISECONDS", has it send for so long through so
// many TCP connections at once; it answers with the bytes that arrived and the
// nanoseconds until the last of them did.
package main

import (
	"bufio"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"pic/netstack/policy"
	"pic/netstack/userspace"
	"pic/netstack/wgdev"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/netstack"
)

const (
	mtu   = 1420
	chunk = 128 << 10
)

var (
	server = netip.MustParseAddr("10.97.0.1")
	client = netip.MustParseAddr("10.97.0.2")
	port   = netip.AddrPortFrom(server, 5001)
)

// An end is one of the two.
type end interface {
	listen() (net.Listener, error)
	dial(context.Context) (net.Conn, error)
}

func main() {
	if err := serve(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "rootless:", err)
		os.Exit(1)
	}
}

func serve(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: rootless pic|stock")
	}
	open, ok := map[string]func(side, side, int, int) (end, error){"pic": openPic, "stock": openStock}[args[0]]
	if !ok {
		return fmt.Errorf("there is no rival %q", args[0])
	}
	a, b, err := sides()
	if err != nil {
		return err
	}
	const first, second = 51830, 51831
	near, err := open(a, b, first, second)
	if err != nil {
		return err
	}
	far, err := open(b, a, second, first)
	if err != nil {
		return err
	}
	ln, err := near.listen()
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var streams, millis int
		if _, err := fmt.Sscan(in.Text(), &streams, &millis); err != nil {
			return err
		}
		n, took, err := pour(ln, far, streams, time.Duration(millis)*time.Millisecond)
		if err != nil {
			return err
		}
		fmt.Println(n, took.Nanoseconds())
	}
	return nil
}

// pour sends for some time, and reads until all of it is there.
func pour(ln net.Listener, from end, streams int, span time.Duration) (total int64, took time.Duration, err error) {
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	fail := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		errs = append(errs, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	type pair struct{ near, far net.Conn }
	var pairs []pair
	for range streams {
		c, err := from.dial(ctx)
		if err != nil {
			return 0, 0, err
		}
		defer c.Close()
		s, err := ln.Accept()
		if err != nil {
			return 0, 0, err
		}
		defer s.Close()
		pairs = append(pairs, pair{s, c})
	}
	begin := time.Now()
	for _, p := range pairs {
		wg.Go(func() {
			for b := make([]byte, chunk); time.Since(begin) < span; {
				if _, err := p.far.Write(b); err != nil {
					fail(err)
					return
				}
			}
			if err := p.far.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				fail(err)
			}
		})
		wg.Go(func() {
			n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{p.near}, make([]byte, chunk))
			if err != nil {
				fail(err)
			}
			mu.Lock()
			defer mu.Unlock()
			total += n
		})
	}
	wg.Wait()
	return total, time.Since(begin), errors.Join(errs...)
}

// A side is a key and an address.
type side struct {
	private, public [32]byte
	addr            netip.Addr
}

func sides() (a, b side, err error) {
	a.addr, b.addr = server, client
	for _, s := range []*side{&a, &b} {
		k, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			return a, b, err
		}
		s.private, s.public = [32]byte(k.Bytes()), [32]byte(k.PublicKey().Bytes())
	}
	return a, b, nil
}

type pic struct{ net *userspace.Net }

func openPic(own, other side, at, to int) (end, error) {
	log := slog.New(slog.DiscardHandler)
	n, err := userspace.New(log, []netip.Prefix{netip.PrefixFrom(own.addr, 32)}, mtu)
	if err != nil {
		return nil, err
	}
	n.Obey(policy.New(policy.Rules{
		Cell: []netip.Addr{own.addr}, Peers: []policy.Peer{{Name: "peer", Addrs: []netip.Addr{other.addr}, Services: []string{"all"}}},
	}))
	_, err = wgdev.Open(wgdev.Options{Log: log, TUN: n, Batch: userspace.Batch}, wgdev.Config{
		Private: own.private, Port: uint16(at), Peers: map[wgdev.Key]wgdev.Peer{other.public: {
			Endpoint: fmt.Sprintf("127.0.0.1:%d", to), Allowed: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")},
		}},
	})
	return pic{n}, err
}

func (p pic) listen() (net.Listener, error) { return p.net.ListenTCP(port) }

func (p pic) dial(ctx context.Context) (net.Conn, error) { return p.net.Dial(ctx, "tcp", port) }

type stock struct{ net *netstack.Net }

func openStock(own, other side, at, to int) (end, error) {
	card, n, err := netstack.CreateNetTUN([]netip.Addr{own.addr}, nil, mtu)
	if err != nil {
		return nil, err
	}
	d := device.NewDevice(card, conn.NewStdNetBind(), &device.Logger{Verbosef: device.DiscardLogf, Errorf: device.DiscardLogf})
	err = d.IpcSet(fmt.Sprintf("private_key=%s\nlisten_port=%d\npublic_key=%s\nendpoint=127.0.0.1:%d\nallowed_ip=0.0.0.0/0\n",
		hex.EncodeToString(own.private[:]), at, hex.EncodeToString(other.public[:]), to))
	if err != nil {
		return nil, err
	}
	return stock{n}, d.Up()
}

func (s stock) listen() (net.Listener, error) { return s.net.ListenTCPAddrPort(port) }

func (s stock) dial(ctx context.Context) (net.Conn, error) {
	return s.net.DialContextTCPAddrPort(ctx, port)
}
