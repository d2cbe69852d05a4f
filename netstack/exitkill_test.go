package netstack

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"pic/core/config"
	"pic/internal/nettest"
)

const (
	childConf = "PIC_TEST_NETSTACK_CONF"
	childKeys = "PIC_TEST_NETSTACK_KEYS"
)

// serveUntilKilled is the process that the kill test kills.
func serveUntilKilled(conf string) {
	var c Config
	keys := map[string]string{}
	err := json.Unmarshal([]byte(conf), &c)
	if err == nil {
		err = json.Unmarshal([]byte(os.Getenv(childKeys)), &keys)
	}
	s := New(slog.New(slog.NewTextHandler(os.Stderr, nil)), func(id config.Secret) ([]byte, error) { return []byte(keys[string(id)]), nil })
	if err == nil {
		err = s.Apply(context.Background(), c)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("ready")
	s.Run(context.Background())
	os.Exit(0)
}

func (w *town) child(t *testing.T) *nettest.Proc {
	t.Helper()
	return w.cellOn(t, w.self, w.config())
}

// cellOn starts a cell as a process of its own, on a host.
func (w *town) cellOn(t *testing.T, h *nettest.Host, c Config) *nettest.Proc {
	t.Helper()
	conf, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := json.Marshal(w.keys)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := h.Command(self)
	cmd.Env = append(os.Environ(), childConf+"="+string(conf), childKeys+"="+string(keys))
	p := nettest.Start(t, cmd)
	nettest.WaitFor(t, 10*time.Second, func() bool { return strings.Contains(p.Output(), "ready") })
	return p
}

// Whoever kills the cell opens nothing, and neither does its next start, before the
// exit is up.
func TestKillLeavesExitsShut(t *testing.T) {
	w := newTown(t)
	far := w.provide(t, "far", 1, true)
	w.doc.Peers[0].Address6 = netip.MustParseAddr("fd77::2")
	w.doc.Peers[0].Exit = "far"
	p := w.child(t)
	w.join(t)
	sees(t, w.client, site4, far.four)
	sees(t, w.client, site6, far.six)

	cap := w.capture(t)
	for _, url := range []string{site4, site6} {
		w.client.Start(t, "sh", "-c", "while :; do curl -s -m 1 '"+url+"'; done")
	}
	for range 3 {
		p.Kill()
		if out, _ := w.self.Try("ip", "route", "get", "198.51.100.2", "mark", "0xf0000"); !strings.Contains(out, "unreachable") && !strings.Contains(out, "No route") {
			t.Errorf("without the cell, the exit leads to %q", out)
		}
		p = w.child(t)
	}
	sees(t, w.client, site4, far.four)

	p.Kill()
	far.device.Stop()
	p = w.child(t)
	nettest.WaitFor(t, 30*time.Second, func() bool { // until the client notices that the cell is another
		_, err := w.client.Try("ping", "-c1", "-W1", "10.77.0.1")
		return err == nil
	})
	refused(t, w.client, site4)
	refused(t, w.client, site6)
	far.start(t, 1)
	sees(t, w.client, site4, far.four)
	sees(t, w.client, site6, far.six)
	if left := cap.packets(); len(left) > 0 {
		t.Errorf("past the exit went %q", left)
	}

	// A start without exits takes the rules of the former away.
	p.Kill()
	s := New(slog.New(slog.DiscardHandler), w.secret)
	w.doc.Network.Exits, w.doc.Peers[0].Exit = nil, ""
	apply(t, s, w.config())
	stop := run(t, s)
	if rules := w.self.Run(t, "ip", "rule"); strings.Contains(rules, "518") {
		t.Errorf("rules are left:\n%s", rules)
	}
	stop()
}
