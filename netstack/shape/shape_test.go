package shape

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"pic/internal/nettest"
)

func TestMain(m *testing.M) { os.Exit(nettest.Main(m)) }

// road is a router in the middle, shaped by us, with a host on each side.
type road struct{ self, near, far *nettest.Host }

func newRoad(t *testing.T) *road {
	t.Helper()
	lab := nettest.New(t)
	r := &road{lab.Self(), lab.Host("near"), lab.Host("far")}
	lab.Link(r.self, "lan0", "192.168.7.1/24", r.near, "eth0", "192.168.7.20/24")
	lab.Link(r.self, "wan0", "198.51.100.2/24", r.far, "eth0", "198.51.100.1/24")
	r.self.Forward()
	r.near.Route("default", "192.168.7.1")
	r.far.Route("192.168.7.0/24", "198.51.100.2")
	return r
}

func shaper(t *testing.T, c Config) *Shaper {
	t.Helper()
	s := New(slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		if err := s.Remove(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Set(c); err != nil {
		t.Fatal(err)
	}
	return s
}

// kbit measures a TCP stream between the hosts: up is from near to far.
func (r *road) kbit(t *testing.T, up bool) float64 {
	t.Helper()
	srv := r.far.Start(t, "iperf3", "-s", "-1", "--forceflush")
	nettest.WaitFor(t, 10*time.Second, func() bool { return strings.Contains(srv.Output(), "listening") })
	args := []string{"-c", "198.51.100.1", "-t", "3", "-O", "1", "-J"}
	if !up {
		args = append(args, "-R")
	}
	var out struct {
		End struct {
			Received struct {
				Bits float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	if err := json.Unmarshal([]byte(r.near.Run(t, "iperf3", args...)), &out); err != nil {
		t.Fatal(err)
	}
	srv.Wait()
	return out.End.Received.Bits / 1000
}

var rtt = regexp.MustCompile(`min/avg/max/mdev = [\d.]+/([\d.]+)/`)

func TestRatesHoldAndTheQueueStaysShort(t *testing.T) {
	r := newRoad(t)
	before := r.self.Run(t, "sh", "-c", "tc qdisc; ip -o link | grep -c .")
	s := shaper(t, Config{WAN: "wan0", LAN: "lan0", Up: 8000, Down: 20000, Queue: "auto"})
	st := s.Status()
	t.Logf("shaped by %s, downwards at %s", st.Queue, st.Where)
	if want := best(t, r.self); st.Queue != want {
		t.Errorf("the queue is %s, and the kernel has %s", st.Queue, want)
	}
	if got := r.kbit(t, true); got > 8000*1.1 || got < 8000*0.5 {
		t.Errorf("8000 kbit/s up became %.0f", got)
	}
	if got := r.kbit(t, false); got > 20000*1.1 || got < 20000*0.5 {
		t.Errorf("20000 kbit/s down became %.0f", got)
	}
	// Under load a packet waits no longer than the queue is allowed to be. Without
	// a bound it would wait for a second and more.
	srv := r.far.Start(t, "iperf3", "-s", "--forceflush")
	nettest.WaitFor(t, 10*time.Second, func() bool { return strings.Contains(srv.Output(), "listening") })
	r.near.Start(t, "iperf3", "-c", "198.51.100.1", "-t", "20", "-P", "4")
	nettest.WaitFor(t, 10*time.Second, func() bool { return strings.Contains(srv.Output(), "0.00-1.00") })
	out := r.near.Run(t, "ping", "-c", "10", "-i", "0.2", "198.51.100.1")
	m := rtt.FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no answers:\n%s", out)
	}
	if ms, _ := strconv.ParseFloat(m[1], 64); ms > 150 {
		t.Errorf("a ping under load takes %.0f ms:\n%s", ms, out)
	} else {
		t.Logf("a ping under load takes %.0f ms", ms)
	}
	if err := s.Remove(); err != nil {
		t.Fatal(err)
	}
	if after := r.self.Run(t, "sh", "-c", "tc qdisc; ip -o link | grep -c ."); after != before {
		t.Errorf("queues were\n%s\nand are\n%s", before, after)
	}
}

// best is the best queue that the kernel has, asked of tc.
func best(t *testing.T, h *nettest.Host) string {
	t.Helper()
	for _, kind := range []string{Cake, FQCoDel} {
		if _, err := h.Try("tc", "qdisc", "add", "dev", "lo", "root", kind); err == nil {
			h.Run(t, "tc", "qdisc", "del", "dev", "lo", "root")
			return kind
		}
	}
	return FIFO
}

// Without IFB what comes in is shaped where it leaves for the LAN. A card of the
// name of our device that is none stands for a kernel that cannot make one.
func TestShapesAtTheLANWithoutIFB(t *testing.T) {
	r := newRoad(t)
	r.self.Run(t, "ip", "link", "add", device, "type", "veth", "peer", "name", "other")
	t.Cleanup(func() { r.self.Try("ip", "link", "del", device) })
	s := shaper(t, Config{WAN: "wan0", LAN: "lan0", Down: 20000, Queue: "fq_codel"})
	if st := s.Status(); st.Where != "lan" || st.Queue == Cake {
		t.Errorf("status %+v", st)
	}
	if got := r.kbit(t, false); got > 20000*1.1 || got < 20000*0.5 {
		t.Errorf("20000 kbit/s down became %.0f", got)
	}
	if err := s.Remove(); err != nil {
		t.Fatal(err)
	}
	if out := r.self.Run(t, "tc", "qdisc"); strings.Contains(out, "htb") || strings.Contains(out, "ingress") {
		t.Errorf("left behind:\n%s", out)
	}
	r.self.Run(t, "ip", "link", "show", device)
}

func TestQueuesOfOthersStay(t *testing.T) {
	r := newRoad(t)
	r.self.Run(t, "tc", "qdisc", "add", "dev", "wan0", "root", "handle", "5:", "tbf", "rate", "50mbit", "burst", "100k", "latency", "50ms")
	before := r.self.Run(t, "tc", "qdisc")
	s := New(slog.New(slog.DiscardHandler))
	err := s.Set(Config{WAN: "wan0", LAN: "lan0", Up: 8000, Down: 8000, Queue: "auto"})
	if !errors.Is(err, errTaken) || !strings.Contains(err.Error(), "wan0") {
		t.Errorf("got %v", err)
	}
	if after := r.self.Run(t, "tc", "qdisc"); after != before {
		t.Errorf("queues were\n%s\nand are\n%s", before, after)
	}
	r.self.Run(t, "tc", "qdisc", "del", "dev", "wan0", "root")
	r.self.Run(t, "tc", "qdisc", "add", "dev", "wan0", "ingress")
	if err := s.Set(Config{WAN: "wan0", LAN: "lan0", Down: 8000, Queue: "auto"}); !errors.Is(err, errTaken) {
		t.Errorf("with an ingress of another: %v", err)
	}
	if out := r.self.Run(t, "tc", "qdisc", "show", "dev", "wan0"); !strings.Contains(out, "ingress") {
		t.Errorf("the ingress of another is gone:\n%s", out)
	}
}

// What a killed process left is known again, kept by the next and removed by
// Cleanup; a change of the rates acts.
func TestQueuesAreTakenUpAfterAKill(t *testing.T) {
	r := newRoad(t)
	before := r.self.Run(t, "tc", "qdisc")
	c := Config{WAN: "wan0", LAN: "lan0", Up: 8000, Down: 20000, Queue: "auto"}
	if err := New(slog.New(slog.DiscardHandler)).Set(c); err != nil {
		t.Fatal(err)
	}
	c.Up = 9000
	s := shaper(t, c) // another process
	if out := r.self.Run(t, "tc", "class", "show", "dev", "wan0"); s.Status().Queue != Cake && !strings.Contains(out, "rate 9Mbit") {
		t.Errorf("classes:\n%s", out)
	}
	r.self.Run(t, "tc", "qdisc", "del", "dev", "wan0", "root")
	if err := s.Set(c); err != nil {
		t.Fatal(err)
	}
	if l, err := netlink.LinkByName("wan0"); err != nil || !hasRoot(l) {
		t.Error("a queue that somebody removed does not come back")
	}
	if err := Cleanup(); err != nil {
		t.Fatal(err)
	}
	if after := r.self.Run(t, "tc", "qdisc"); after != before {
		t.Errorf("queues were\n%s\nand are\n%s", before, after)
	}
}

func TestOptionsAreAsTheKernelReadsThem(t *testing.T) {
	b := cake(8000, true)
	if len(b) != 12+8+8+8 || b[0] != 12 || b[2] != cakeBaseRate64 {
		t.Errorf("%x", b)
	}
	for kbit, want := range map[int]int{100: 10 * 1514, 8000: 50000, 1000000: 6250000} {
		f := fifo(kbit)
		if got := int(f[0]) | int(f[1])<<8 | int(f[2])<<16 | int(f[3])<<24; got != want {
			t.Errorf("%d kbit/s: %d bytes, want %d", kbit, got, want)
		}
	}
}
