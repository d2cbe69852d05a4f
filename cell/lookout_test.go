package cell

import (
	"context"
	"net/netip"
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
		var seen config.Env
		times := 0
		l := newLookout(func() config.Env { return host }, func(_ context.Context, e config.Env) { seen = e; times++ })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { l.run(ctx, host); close(done) }()

		host.LAN = there
		for range 5 { // a burst is one look
			l.poke()
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(2 * settle)
		if seen.LAN != there || times > 2 {
			t.Errorf("saw %v in %d looks", seen.LAN, times)
		}
		host = config.Env{} // the cable is out
		l.poke()
		time.Sleep(2 * settle)
		if seen.LAN != there || len(seen.Resolvers) != 1 {
			t.Errorf("forgot where it is: %+v", seen)
		}
		host = config.Env{LAN: here, Resolvers: resolver} // and nobody says so
		time.Sleep(glance)
		synctest.Wait()
		if seen.LAN != here {
			t.Errorf("saw %v", seen.LAN)
		}
		cancel()
		<-done
	})
}
