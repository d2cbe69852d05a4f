package cell

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pic/core/config"
)

func TestLookoutFollowsTheHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here := config.Interface{Name: "eth0", Address: netip.MustParsePrefix("192.168.7.2/24")}
		there := config.Interface{Name: "eth0", Address: netip.MustParsePrefix("192.168.8.2/24")}
		resolver := []netip.AddrPort{netip.MustParseAddrPort("192.168.7.1:53")}
		host := config.Env{LAN: here, Resolvers: resolver}
		var mu sync.Mutex // guards what follows and host
		var seen config.Env
		times := 0
		change := func(e config.Env) {
			mu.Lock()
			defer mu.Unlock()
			host = e
		}
		saw := func() (config.Env, int) {
			mu.Lock()
			defer mu.Unlock()
			return seen, times
		}
		l := newLookout(
			func() config.Env { mu.Lock(); defer mu.Unlock(); return host },
			func(_ context.Context, e config.Env) { mu.Lock(); defer mu.Unlock(); seen = e; times++ },
		)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { l.run(ctx, config.Env{LAN: here, Resolvers: resolver}); close(done) }()

		change(config.Env{LAN: there, Resolvers: resolver})
		for range 5 { // a burst is one look
			l.poke()
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(2 * settle)
		if e, n := saw(); e.LAN != there || n > 2 {
			t.Errorf("saw %v in %d looks", e.LAN, n)
		}
		change(config.Env{}) // the cable is out
		l.poke()
		time.Sleep(2 * settle)
		if e, _ := saw(); e.LAN != there || len(e.Resolvers) != 1 {
			t.Errorf("forgot where it is: %+v", e)
		}
		change(config.Env{LAN: here, Resolvers: resolver}) // and nobody says so
		time.Sleep(glance)
		synctest.Wait()
		if e, _ := saw(); e.LAN != here {
			t.Errorf("saw %v", e.LAN)
		}
		cancel()
		<-done
	})
}
