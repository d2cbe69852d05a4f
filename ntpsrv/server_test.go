package ntpsrv

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/beevik/ntp"

	"pic/core/config"
	"pic/internal/listen"
	"pic/internal/nettest"
)

func TestMain(m *testing.M) { os.Exit(nettest.Main(m)) }

// conf serves loopback on ports of the kernel's choice.
func conf(sources ...string) Config {
	return Config{
		Sockets: []listen.Socket{{Net: "udp", Addr: netip.MustParseAddrPort("127.0.0.1:0")}},
		Allow:   []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Sources: sources,
	}
}

// start runs a server of c until the test ends.
func start(t testing.TB, c Config) *Server {
	t.Helper()
	s := New(slog.New(slog.DiscardHandler), listen.NewPool(nil))
	if err := s.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			t.Error("Run does not end")
		}
	})
	return s
}

func (s *Server) at() netip.AddrPort { return s.set.Bound()[0].LocalAddr() }

func ask(t testing.TB, addr netip.AddrPort) *ntp.Response {
	t.Helper()
	r, err := ntp.Query(addr.String())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAnIndependentClientAccepts(t *testing.T) {
	s := start(t, conf())
	for _, version := range []int{3, 4} {
		r, err := ntp.QueryWithOptions(s.at().String(), ntp.QueryOptions{Version: version})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Validate(); err != nil {
			t.Errorf("version %d: %v", version, err)
		}
		if r.Stratum != localStratum || r.Leap != ntp.LeapNoWarning || r.ReferenceString() != "127.127.1.1" || r.ClockOffset.Abs() > r.RTT/2+time.Millisecond {
			t.Errorf("version %d: %+v", version, r)
		}
	}
}

func TestChronyFindsTheClockRight(t *testing.T) {
	nettest.NeedNamespace(t) // chronyd wants its own /run
	s := start(t, conf())
	cmd := exec.Command(nettest.Tool(t, "chronyd"), "-Q", "-t", "10", "-u", "root",
		fmt.Sprintf("server 127.0.0.1 port %d iburst maxsamples 2", s.at().Port()))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	m := regexp.MustCompile(`System clock wrong by (-?[0-9.]+) seconds`).FindSubmatch(out)
	if m == nil {
		t.Fatalf("no offset in\n%s", out)
	}
	if off, err := strconv.ParseFloat(string(m[1]), 64); err != nil || math.Abs(off) > 0.05 { // on a busy machine; it is microseconds
		t.Errorf("offset %s s, %v", m[1], err)
	}
}

func TestOldAndOtherModesGetNothing(t *testing.T) {
	s := start(t, conf())
	c, err := net.Dial("udp", s.at().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, b := range [][]byte{
		{0x16, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}, // ntpq's readvar
		{0x17, 0, 3, 42, 0, 0, 0, 0},            // monlist
		query(4<<3|4, 48), query(4<<3|1, 48), query(5<<3|3, 48),
	} {
		c.Write(b)
	}
	c.Write(query(4<<3|3, 48))
	buf := make([]byte, 100)
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	n, err := c.Read(buf)
	if err != nil || n != 48 || buf[0] != 4<<3|4 {
		t.Errorf("got %x, %v", buf[:n], err)
	}
	if got := s.Served(); got.Malformed != 5 || got.Answered != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestAFloodGetsItsShareAndAWord(t *testing.T) {
	s := start(t, conf())
	c, err := net.Dial("udp", s.at().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const n = 100
	for range n {
		c.Write(query(4<<3|3, 48))
	}
	nettest.WaitFor(t, 30*time.Second, func() bool { return s.Served().Queries == n })
	var answers, kisses int
	buf := make([]byte, 100)
	c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	for {
		k, err := c.Read(buf)
		if err != nil {
			break
		}
		if k == 48 && buf[1] == 0 && string(buf[12:16]) == "RATE" && buf[0]>>6 == leapUnsync {
			kisses++
		} else {
			answers++
		}
	}
	if answers < Burst || answers > n/2 || kisses < 1 || kisses > n/10 { // the more, the slower this machine is
		t.Errorf("%d answers and %d kisses to %d queries", answers, kisses, n)
	}
	if r, err := ntp.QueryWithOptions(s.at().String(), ntp.QueryOptions{LocalAddress: "127.0.0.9"}); err != nil || r.Stratum != localStratum {
		t.Errorf("another client got %v, %v", r, err)
	}
}

func TestEachAddressOfAWildcardAnswersForItself(t *testing.T) {
	c := conf()
	c.Sockets[0].Addr = netip.MustParseAddrPort("[::]:0")
	c.Allow = append(c.Allow, netip.MustParsePrefix("::1/128"))
	s := start(t, c)
	for _, a := range []string{"127.0.0.1", "127.0.0.5", "::1"} {
		// The client's socket is connected: it takes no reply from elsewhere.
		if r := ask(t, netip.AddrPortFrom(netip.MustParseAddr(a), s.at().Port())); r.Stratum != localStratum {
			t.Errorf("%s: got %+v", a, r)
		}
	}
}

func TestAChangeTouchesOnlyWhatChanged(t *testing.T) {
	w, v := newWrong(t, 0, 1), newWrong(t, 0, 1)
	c := conf(w.addr, v.addr)
	second := free(t)
	c.Sockets = append(c.Sockets, listen.Socket{Net: "udp", Addr: second})
	s := start(t, c)
	until(t, s, func(st SourceStatus) bool { return st.State == Reachable })
	stays := s.at()
	moved := free(t)
	c.Sockets[1].Addr = moved
	c.Sources = c.Sources[:1]
	if err := s.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for _, a := range []netip.AddrPort{stays, moved} {
		if r := ask(t, a); r.Stratum != 2 {
			t.Errorf("%v: got %+v", a, r)
		}
	}
	if _, err := ntp.QueryWithOptions(second.String(), ntp.QueryOptions{Timeout: 300 * time.Millisecond}); err == nil {
		t.Errorf("%v still answers", second)
	}
	if got := s.Sources(); len(got) != 1 || got[0].Reach == 0 {
		t.Errorf("the source that stayed began anew: %+v", got)
	}
}

func free(t testing.TB) netip.AddrPort {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	return pc.LocalAddr().(*net.UDPAddr).AddrPort()
}

func TestARefusedChangeKeepsServing(t *testing.T) {
	s := start(t, conf())
	bad := conf()
	bad.Sockets = []listen.Socket{{Net: "udp", Addr: netip.MustParseAddrPort("192.0.2.1:123")}}
	if err := s.Apply(t.Context(), bad); err == nil {
		t.Fatal("a foreign address was accepted")
	}
	if r := ask(t, s.at()); r.Stratum != localStratum {
		t.Errorf("got %+v", r)
	}
}

func TestRunsAgainAfterRunEnded(t *testing.T) {
	w := newWrong(t, 0, 1)
	s := New(slog.New(slog.DiscardHandler), listen.NewPool(nil))
	for range 3 {
		if err := s.Apply(t.Context(), conf(w.addr)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		until(t, s, reachable)
		if r := ask(t, s.at()); r.Stratum != 2 {
			t.Errorf("got %+v", r)
		}
		cancel()
		if err := <-done; err != nil || len(s.Sockets()) != 0 || len(s.Facts()) != 0 {
			t.Errorf("%v; still there: %v %v", err, s.Sockets(), s.Facts())
		}
	}
}

func TestBadSourcesAreRefusedByTheirPath(t *testing.T) {
	var s Server
	good := []string{"ntp.example", "ntp.example:1123", "192.0.2.1", "192.0.2.1:123", "fd00::1", "[fd00::1]:123"}
	if err := s.Check(t.Context(), Config{Sources: good}); err != nil {
		t.Error(err)
	}
	bad := []string{"", "a b", ":123", "ntp.example:", "ntp.example:0", "ntp.example:99999", "ntp.example:ntp", "[fd00::1", "http://ntp.example/"}
	err := s.Check(t.Context(), Config{Sources: bad})
	if got := config.FieldErrors(err); len(got) != len(bad) || got[1].Path != "ntp.sources.1" {
		t.Errorf("got %v", err)
	}
}

func TestFromListensOnTheStandardPortInTheVPN(t *testing.T) {
	d := config.Resolve(&config.Document{Cell: config.Cell{Name: "oak", Mode: config.Trial}}, config.Env{})
	c := From(d)
	if len(c.Sockets) != 3 || c.Sockets[0].Addr.String() != "127.0.0.1:10123" || c.Sockets[1].Addr.Port() != 123 || c.Sockets[1].Scope != listen.InTunnel {
		t.Errorf("got %v", c.Sockets)
	}
	d.NTP.Enabled = new(bool)
	if c := From(d); c.Sockets != nil {
		t.Errorf("off, and it listens: %v", c.Sockets)
	}
}

func TestTheKernelsClockIsReadWithoutTouchingIt(t *testing.T) {
	c := readClock()
	if c.Synchronised && c.MaxError <= 0 || c.leap > leapDelete {
		t.Errorf("got %+v", c)
	}
}
