package netstack

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pic/core/config"
	"pic/internal/nettest"
)

// A device that changes its keys shakes hands with the next ones while the former
// ones still carry its packets, and is whole again once they are its own.
func TestNextKeysShakeHandsBesideTheFormerOnes(t *testing.T) {
	w := newTown(t)
	private, public := NewKey()
	w.keys["psk-next"] = NewPreshared()
	former := w.doc.Peers[0].PublicKey
	w.doc.Peers[0].Next = config.Keys{PublicKey: public, Preshared: "psk-next", Until: time.Now().Add(time.Hour)}
	s, _ := w.serve(t)
	w.join(t)
	w.pings(t, "10.77.0.1")

	dir := t.TempDir()
	for name, key := range map[string]string{"key": private, "psk": w.keys["psk-next"]} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(key+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.client.Run(t, "wg", "set", "wg0", "private-key", filepath.Join(dir, "key"),
		"peer", w.doc.WireGuard.PublicKey, "preshared-key", filepath.Join(dir, "psk"))
	nettest.WaitFor(t, 15*time.Second, func() bool {
		w.client.Try("ping", "-c1", "-W1", "10.77.0.1") // makes it shake hands
		for _, p := range s.Peers() {
			if p.PublicKey == public && !p.LastHandshake.IsZero() {
				return true
			}
		}
		return false
	})
	p := &w.doc.Peers[0]
	p.PublicKey, p.Preshared, p.Next = public, "psk-next", config.Keys{}
	apply(t, s, w.config())
	w.pings(t, "10.77.0.1")
	if show := w.self.Run(t, "wg", "show", "pic0"); strings.Contains(show, former) || !strings.Contains(show, public) {
		t.Errorf("wg show:\n%s", show)
	}
}

func TestADeviceWhoseTimeIsOverIsOut(t *testing.T) {
	w := newTown(t)
	end := time.Now().Add(time.Hour)
	w.doc.Peers[0].Expires = end
	at := func(now time.Time) Config { return From(config.Resolve(w.doc, config.Env{Now: now})) }
	s, _ := w.serve(t)
	w.join(t)
	apply(t, s, at(end.Add(-time.Second)))
	w.pings(t, "10.77.0.1")
	apply(t, s, at(end))
	if show := w.self.Run(t, "wg", "show", "pic0"); strings.Contains(show, w.doc.Peers[0].PublicKey) {
		t.Errorf("wg show:\n%s", show)
	}
	if out, err := w.client.Try("ping", "-c1", "-W1", "10.77.0.1"); err == nil {
		t.Errorf("it still reaches the cell:\n%s", out)
	}
	apply(t, s, at(end.Add(-time.Second))) // it got more time
	if show := w.self.Run(t, "wg", "show", "pic0"); !strings.Contains(show, w.doc.Peers[0].PublicKey) {
		t.Errorf("wg show:\n%s", show)
	}
}
