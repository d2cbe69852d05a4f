package netstack

import (
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pic/core/config"
	"pic/internal/nettest"
)

// filtered reports whether the table keeps the internet from the LAN.
func (w *town) filtered() bool {
	out, err := w.self.Try("nft", "list", "chain", "inet", "pic", "forward")
	return err == nil && strings.Contains(out, `iifname "wan0"`)
}

// The line of a router comes up whatever becomes of its tunnel, so its filter is
// there too.
func TestRouterIsFilteredWhileItsTunnelCannotBe(t *testing.T) {
	w := newTown(t)
	w.doc.Network.Router = new(true)
	taken, err := net.ListenPacket("udp4", ":51820")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := New(slog.New(slog.DiscardHandler), w.secret)
	if err := s.Apply(t.Context(), w.config()); err == nil {
		t.Fatal("a tunnel on a port that is taken")
	}
	if !w.filtered() {
		t.Error("the router is open")
	}
	taken.Close()
	apply(t, s, w.config())
	stop := run(t, s)
	if !w.filtered() {
		t.Error("the router is open with its tunnel")
	}
	stop()
	if w.filtered() {
		t.Error("the table stays")
	}
}

func TestRouterIsFilteredAfterItsTunnelBroke(t *testing.T) {
	w := newTown(t)
	w.doc.Network.Router = new(true)
	var lost atomic.Bool // the keys, so that the tunnel cannot be made again
	s := New(slog.New(slog.DiscardHandler), func(id config.Secret) ([]byte, error) {
		if lost.Load() {
			return nil, errors.New("no key")
		}
		return w.secret(id)
	})
	apply(t, s, w.config())
	done := make(chan error, 1)
	go func() { done <- s.Run(t.Context()) }()
	lost.Store(true)
	w.self.Run(t, "ip", "link", "del", "pic0")
	select {
	case err := <-done:
		if err == nil {
			t.Error("Run ended without an error")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Run goes on without its tunnel")
	}
	if !w.filtered() {
		t.Error("the router is open")
	}
	lost.Store(false)
	apply(t, s, w.config())
	run(t, s)()
	if w.filtered() {
		t.Error("the table stays")
	}
}

func TestForwardingThatOthersStopComesBack(t *testing.T) {
	w := newTown(t)
	w.serve(t)
	// Each by itself: a router that is none any more puts back what it had changed.
	for _, name := range []string{"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"} {
		w.self.Run(t, "sysctl", "-w", name+"=0")
		nettest.WaitFor(t, 15*time.Second, func() bool {
			return strings.TrimSpace(w.self.Run(t, "sysctl", "-n", name)) == "1"
		})
	}
}
