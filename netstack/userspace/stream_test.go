package userspace

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"pic/netstack/policy"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const room = 16 // before each packet, as WireGuard wants it

// open makes a Net with the addresses own, to which other may do all.
func open(t *testing.T, own, other []netip.Addr) *Net {
	t.Helper()
	var prefixes []netip.Prefix
	for _, a := range own {
		prefixes = append(prefixes, netip.PrefixFrom(a, a.BitLen()))
	}
	n, err := New(slog.New(slog.DiscardHandler), prefixes, 1420)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	n.Obey(policy.New(policy.Rules{Cell: own, Peers: []policy.Peer{{Name: "other", Addrs: other, Services: []string{"all"}}}}))
	return n
}

// carry takes packets from one to the other, as the tunnel would, after fate has
// had its way with a batch.
func carry(t *testing.T, from, to *Net, fate func([][]byte) [][]byte) {
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { from.Close() })
	wg.Go(func() {
		bufs, sizes := make([][]byte, Batch), make([]int, Batch)
		for i := range bufs {
			bufs[i] = make([]byte, 1<<16)
		}
		for {
			n, err := from.Read(bufs, sizes, room)
			if err != nil {
				return
			}
			var batch [][]byte
			for i := range n {
				if sizes[i] > 1420 {
					t.Errorf("a packet has %d bytes", sizes[i])
				}
				batch = append(batch, bytes.Clone(bufs[i][:room+sizes[i]]))
			}
			if _, err := to.Write(fate(batch), room); err != nil {
				t.Errorf("writing: %v", err)
			}
		}
	})
}

func kind(batch [][]byte) [][]byte { return batch }

// harsh loses, repeats, spoils and shuffles packets now and then.
func harsh(seed uint64) func([][]byte) [][]byte {
	r := rand.New(rand.NewPCG(seed, 1))
	var late []byte
	return func(batch [][]byte) [][]byte {
		var out [][]byte
		for _, p := range batch {
			switch r.IntN(100) {
			case 0: // lost
			case 1:
				out = append(out, p, bytes.Clone(p))
			case 2:
				p[room+r.IntN(len(p)-room)] ^= 1 << r.IntN(8)
				out = append(out, p)
			case 3:
				if late == nil {
					late = p
					continue
				}
				out = append(out, p)
			default:
				out = append(out, p)
			}
		}
		if late != nil && r.IntN(2) == 0 {
			out, late = append(out, late), nil
		}
		return out
	}
}

func TestStreamsArriveWhole(t *testing.T) {
	for name, c := range map[string]struct {
		there, back func([][]byte) [][]byte
		size        int
	}{
		"on a good line": {kind, kind, 20 << 20},
		"on a bad line":  {harsh(1), harsh(2), 2 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := open(t, []netip.Addr{fourA, sixA}, []netip.Addr{fourB, sixB}), open(t, []netip.Addr{fourB, sixB}, []netip.Addr{fourA, sixA})
			carry(t, a, b, c.there)
			carry(t, b, a, c.back)
			for _, at := range []netip.Addr{fourB, sixB} {
				ln, err := b.ListenTCP(netip.AddrPortFrom(at, 80))
				if err != nil {
					t.Fatal(err)
				}
				defer ln.Close()
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				near, err := a.Dial(ctx, "tcp", netip.AddrPortFrom(at, 80))
				if err != nil {
					t.Fatal(err)
				}
				far, err := ln.Accept()
				if err != nil {
					t.Fatal(err)
				}
				errs := make(chan error, 4)
				for i, way := range [][2]net.Conn{{near, far}, {far, near}} {
					data := make([]byte, c.size)
					rand.NewChaCha8([32]byte{byte(i)}).Read(data)
					go func() {
						_, err := way[0].Write(data)
						way[0].(interface{ CloseWrite() error }).CloseWrite()
						errs <- err
					}()
					go func() {
						way[1].SetReadDeadline(time.Now().Add(time.Minute))
						got, err := io.ReadAll(way[1])
						if err == nil && sha256.Sum256(got) != sha256.Sum256(data) {
							err = fmt.Errorf("%d bytes became %d others", len(data), len(got))
						}
						errs <- err
					}()
				}
				for range 4 {
					if err := <-errs; err != nil {
						t.Errorf("%s: %v", at, err)
					}
				}
				near.Close()
				far.Close()
			}
		})
	}
}

func TestClosingFreesWhoWaits(t *testing.T) {
	a := open(t, []netip.Addr{fourA}, []netip.Addr{fourB})
	read := make(chan error, 1)
	go func() {
		n, err := a.Read([][]byte{make([]byte, 1<<16)}, make([]int, 1), 0)
		if n > 0 {
			err = fmt.Errorf("%d packets", n)
		}
		read <- err
	}()
	a.Close()
	if err := <-read; err == nil {
		t.Error("Read did not end with an error")
	}

	// Nobody reads: a sender fills the queue and waits.
	b := open(t, []netip.Addr{fourA}, []netip.Addr{fourB})
	sent := make(chan int)
	go func() {
		n := 0
		for ; ; n++ {
			var list stack.PacketBufferList
			list.PushBack(jumbo(t, false, 0, make([]byte, 50_000), nil, 1380, header.TCPFlagAck))
			if _, err := b.link.WritePackets(list); err != nil {
				sent <- n
				return
			}
		}
	}()
	for full := false; !full; time.Sleep(time.Millisecond) {
		b.link.mu.Lock()
		full = b.link.bytes >= maxQueued
		b.link.mu.Unlock()
	}
	b.Close()
	if n := <-sent; n > maxQueued/50_000+1 {
		t.Errorf("%d packets were queued", n)
	}
}
