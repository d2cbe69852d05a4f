package netstack

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pic/core/config"
	"pic/internal/nettest"
)

// Debian's wireguard-go as a client of the user-space mode.
func TestRealClientUsesTheTrialMode(t *testing.T) {
	w := newTown(t)
	w.doc.Cell.Mode = config.Trial
	before := w.traces(t)
	s := New(slog.New(slog.DiscardHandler), w.secret)
	apply(t, s, w.config())
	run(t, s)
	ln, err := s.ListenTCP(netip.MustParseAddrPort("10.77.0.1:80"))
	if err != nil {
		t.Fatal(err)
	}
	echo(t, ln)
	w.join(t)
	w.pings(t, "10.77.0.1")
	w.pings(t, "fd77::1")
	w.client.Run(t, "ping", "-c1", "-W3", "-Mdo", "-s1392", "10.77.0.1")
	if out, err := w.client.Try("ping", "-c1", "-W1", "198.51.100.2"); err == nil {
		t.Errorf("the stack answers pings for others:\n%s", out)
	}

	// Beyond the cell by sockets of the process.
	urls := map[string]string{"internet": "http://198.51.100.2/", "internet6": "http://[2001:db8:9::2]/", "lan": "http://192.168.1.20/"}
	for _, internet := range []bool{true, false} {
		for _, lan := range []bool{true, false} {
			w.allow(internet, lan)
			apply(t, s, w.config())
			for where, url := range urls {
				want := internet
				if where == "lan" {
					want = lan
				}
				start := time.Now()
				out, err := w.fetch(url)
				if (err == nil) != want {
					t.Errorf("internet %v, lan %v: %s answered %q, %v", internet, lan, where, out, err)
				}
				if d := time.Since(start); d > 2*time.Second {
					t.Errorf("internet %v, lan %v: %s took %v", internet, lan, where, d)
				}
			}
		}
	}
	w.allow(true, true)
	apply(t, s, w.config())
	stream := w.client.Start(t, "curl", "-sSN", "-m", "20", "http://198.51.100.2/slow")
	nettest.WaitFor(t, 10*time.Second, func() bool { return strings.Count(stream.Output(), "tick") > 3 })
	w.allow(false, true)
	apply(t, s, w.config())
	nettest.WaitFor(t, 2*time.Second, func() bool { return !stream.Running() })
	if after := w.traces(t); after != before {
		t.Errorf("a trial touches the host; before:\n%s\nafter:\n%s", before, after)
	}
}
