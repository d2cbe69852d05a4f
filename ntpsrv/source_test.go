package ntpsrv

import (
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pic/internal/nettest"
)

// A wrong is a server whose clock is off.
type wrong struct {
	addr  string
	asked atomic.Int64
	kiss  atomic.Pointer[[4]byte]
}

func newWrong(t testing.TB, by time.Duration, stratum uint8) *wrong {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wrong{addr: pc.LocalAddr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 100)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			w.asked.Add(1)
			now := stamp(time.Now().Add(by))
			h := header{stratum: stratum, precision: -20, refID: [4]byte{'G', 'P', 'S', 0}, refTime: now, delay: short(time.Millisecond), disp: short(2 * time.Millisecond)}
			if k := w.kiss.Load(); k != nil {
				h = header{leap: leapUnsync, refID: *k}
			}
			var out [packetLen]byte
			answer(&out, buf[:n], h, now)
			depart(&out, stamp(time.Now().Add(by)))
			pc.WriteTo(out[:], from)
		}
	})
	t.Cleanup(func() { pc.Close(); wg.Wait() })
	return w
}

// until waits for the first source of s to fulfil is.
func until(t testing.TB, s *Server, is func(SourceStatus) bool) SourceStatus {
	t.Helper()
	nettest.WaitFor(t, 30*time.Second, func() bool { all := s.Sources(); return len(all) > 0 && is(all[0]) })
	return s.Sources()[0]
}

func reachable(st SourceStatus) bool { return st.State == Reachable && st.Selected }

func TestTheOffsetOfASourceIsShown(t *testing.T) {
	const off = 30 * time.Millisecond
	w := newWrong(t, off, 1)
	s := start(t, conf(w.addr))
	st := until(t, s, reachable)
	if (st.Offset-off).Abs() > st.Delay/2+time.Millisecond || st.Delay <= 0 || st.Stratum != 1 || st.RefID != ".GPS." || st.Reach&1 == 0 || st.Address != w.addr {
		t.Errorf("got %+v", st)
	}
	r := ask(t, s.at())
	if r.Stratum != 2 || r.ReferenceString() != "127.0.0.1" || r.RootDispersion < st.Offset.Abs() {
		t.Errorf("a client sees %+v", r)
	}
	if p := s.Problems(); len(p) != 0 {
		t.Errorf("got %v", p)
	}
	if got := s.Status(); got.Stratum != 2 || got.Source != w.addr || got.Offset != st.Offset {
		t.Errorf("got %+v", got)
	}
}

func TestAClockFarOffIsNotPassedOn(t *testing.T) {
	w := newWrong(t, -time.Hour, 1)
	s := start(t, conf(w.addr))
	st := until(t, s, reachable)
	if (st.Offset + time.Hour).Abs() > st.Delay/2+time.Millisecond {
		t.Errorf("got %+v", st)
	}
	if r := ask(t, s.at()); r.Stratum != localStratum {
		t.Errorf("a client sees %+v", r)
	}
	if p := s.Problems(); len(p) != 1 || p[0].Code != "ntp/clock-off" {
		t.Errorf("got %v", p)
	}
}

func TestOfThreeSourcesTheLiarIsNotBelieved(t *testing.T) {
	liar := newWrong(t, 24*time.Hour, 1)
	a, b := newWrong(t, 10*time.Millisecond, 2), newWrong(t, 12*time.Millisecond, 2)
	s := start(t, conf(liar.addr, a.addr, b.addr))
	nettest.WaitFor(t, 30*time.Second, func() bool {
		n := 0
		for _, st := range s.Sources() {
			if st.State == Reachable {
				n++
			}
		}
		return n == 3
	})
	if s.Sources()[0].Selected {
		t.Errorf("got %+v", s.Sources())
	}
	if r := ask(t, s.at()); r.Stratum != 3 {
		t.Errorf("a client sees %+v", r)
	}
}

func TestSourcesThatFailAreShown(t *testing.T) {
	w := newWrong(t, 0, 1)
	w.kiss.Store(&[4]byte{'D', 'E', 'N', 'Y'})
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := silent.LocalAddr().String()
	silent.Close()
	for name, tt := range map[string]struct {
		source string
		state  SourceState
		err    string
	}{
		"denied":     {w.addr, Denied, "refuses"},
		"nobody":     {nobody, Unreachable, "refused"},
		"no address": {"nobody..invalid", Unreachable, ""}, // which the resolver knows without asking anybody
	} {
		s := start(t, conf(tt.source))
		st := until(t, s, func(st SourceStatus) bool { return st.State == tt.state })
		if st.Error == "" || !strings.Contains(st.Error, tt.err) || st.Selected {
			t.Errorf("%s: got %+v", name, st)
		}
		if p := s.Problems(); len(p) != 1 || p[0].Code != "ntp/sources-down" {
			t.Errorf("%s: got %v", name, p)
		}
		if r := ask(t, s.at()); r.Stratum != localStratum {
			t.Errorf("%s: a client sees %+v", name, r)
		}
	}
	asked := w.asked.Load()
	time.Sleep(50 * time.Millisecond)
	if n := w.asked.Load(); n != asked {
		t.Errorf("who denied us was asked again: %d times", n)
	}
}

func TestTheCellIsNoSourceOfItself(t *testing.T) {
	c := conf()
	s := start(t, c)
	c.Sources = []string{s.at().String()}
	if err := s.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	st := until(t, s, func(st SourceStatus) bool { return st.State == Unreachable })
	if st.Error != errItself.Error() {
		t.Errorf("got %+v", st)
	}
}
