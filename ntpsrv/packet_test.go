package ntpsrv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"pic/internal/datagram"
	"pic/internal/listen"
)

// query is a client's message with that first byte, n bytes long.
func query(first byte, n int) []byte {
	b := make([]byte, n)
	if n > 0 {
		b[0] = first
	}
	if n >= packetLen {
		binary.BigEndian.PutUint64(b[40:], 0x0102030405060708)
	}
	return b
}

func TestOnlyClientsOfKnownVersionsAreAnswered(t *testing.T) {
	for name, tt := range map[string]struct {
		query []byte
		first byte // of the reply
		err   error
	}{
		"v4":               {query(4<<3|3, 48), 4<<3 | 4, nil},
		"v4, leap unknown": {query(3<<6|4<<3|3, 48), 4<<3 | 4, nil},
		"v3":               {query(3<<3|3, 48), 3<<3 | 4, nil},
		"v2":               {query(2<<3|3, 48), 2<<3 | 4, nil},
		"v1":               {query(1<<3|3, 48), 1<<3 | 4, nil},
		"with a MAC":       {query(4<<3|3, 68), 4<<3 | 4, nil},
		"v5 draft":         {query(5<<3|3, 48), 0, errNotQuery},
		"v0":               {query(3, 48), 0, errNotQuery},
		"server mode":      {query(4<<3|4, 48), 0, errNotQuery}, // must not start a reply loop
		"symmetric active": {query(4<<3|1, 48), 0, errNotQuery},
		"broadcast":        {query(4<<3|5, 48), 0, errNotQuery},
		"control (mode 6)": {query(2<<3|6, 48), 0, errNotQuery}, // amplifies elsewhere
		"private (mode 7)": {query(2<<3|7, 48), 0, errNotQuery},
		"short":            {query(4<<3|3, 47), 0, errNotQuery},
		"no multiple of 4": {query(4<<3|3, 49), 0, errNotQuery},
		"empty":            {nil, 0, errNotQuery},
	} {
		err := check(tt.query)
		if !errors.Is(err, tt.err) {
			t.Errorf("%s: got %v, want %v", name, err, tt.err)
		}
		if err != nil {
			continue
		}
		var out [packetLen]byte
		answer(&out, tt.query, header{stratum: 10, refID: localID}, 7)
		depart(&out, 8)
		if out[0] != tt.first || out[1] != 10 || !bytes.Equal(out[24:32], tt.query[40:48]) || out[39] != 7 || out[47] != 8 {
			t.Errorf("%s: got %x", name, out)
		}
	}
}

func TestTimestampsCountFrom1900(t *testing.T) {
	for s, want := range map[string]timestamp{
		"1970-01-01T00:00:00Z":           2208988800 << 32,
		"2026-01-01T00:00:00.5Z":         3976214400<<32 | 1<<31,
		"2036-02-07T06:28:16Z":           0, // era 1
		"1999-12-31T23:59:59.999999999Z": 3155673599<<32 | 0xfffffffc,
	} {
		at, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		if got := stamp(at); got != want {
			t.Errorf("%s: got %x, want %x", s, uint64(got), uint64(want))
		}
	}
}

func TestShortDurationsAreRoundedUp(t *testing.T) {
	for d, want := range map[time.Duration]uint32{
		-time.Second: 0, 0: 0, time.Nanosecond: 1, time.Second: 1 << 16, 1500 * time.Millisecond: 3 << 15, 100 * time.Hour: 1<<32 - 1,
	} {
		if got := short(d); got != want {
			t.Errorf("%v: got %d, want %d", d, got, want)
		}
	}
}

func TestPrecisionIsThatOfTheClock(t *testing.T) {
	if p := precision(time.Now); p > -10 || p < -30 {
		t.Errorf("got 2^%d s", p)
	}
	at := time.Unix(0, 0)
	coarse := func() time.Time { at = at.Add(time.Second / 1024); return at }
	if p := precision(coarse); p != -10 {
		t.Errorf("got 2^%d s", p)
	}
}

func TestOneClientCannotHaveMoreThanItsShare(t *testing.T) {
	l := newLimiter()
	start := time.Now()
	greedy, modest := netip.MustParseAddr("192.168.1.66"), netip.MustParseAddr("192.168.1.2")
	var got [3]int
	for i := range 10_000 { // 1000 a second for 10 seconds
		now := start.Add(time.Duration(i) * time.Millisecond)
		got[l.judge(greedy, now)]++
		if i%1000 == 0 && l.judge(modest, now) != allowed {
			t.Errorf("another client was turned away after %d ms", i)
		}
	}
	if got[allowed] < 10*Rate || got[allowed] > 10*Rate+Burst {
		t.Errorf("%d answers in 10 s", got[allowed])
	}
	if got[kissed] < 5 || got[kissed] > 10 {
		t.Errorf("%d kisses in 10 s", got[kissed])
	}
}

func TestANetworkIsOneClient(t *testing.T) {
	l := newLimiter()
	now := time.Now()
	got := 0
	for i := range 200 {
		a := netip.MustParseAddr("fd00::1").As16()
		a[15] = byte(i)
		if l.judge(netip.AddrFrom16(a), now) == allowed {
			got++
		}
	}
	if got != Burst {
		t.Errorf("a /64 got %d answers at once", got)
	}
}

// A clock that is set back must not stop answers for as long as it was ahead.
func TestALimitOutlivesAClockSetBack(t *testing.T) {
	l := newLimiter()
	a := netip.MustParseAddr("192.168.1.2")
	l.judge(a, time.Unix(2_000_000_000, 0))
	if v := l.judge(a, time.Unix(1_000_000_000, 0)); v != allowed {
		t.Errorf("got %v", v)
	}
	for i := range 100 {
		l.judge(a, time.Unix(1_000_000_000, int64(i)))
	}
	if v := l.judge(a, time.Unix(1_000_000_001, 0)); v != allowed {
		t.Errorf("a second later: %v", v)
	}
}

// No message gets a reply that is longer, and no reply gets one at all.
func FuzzReply(f *testing.F) {
	f.Add(query(4<<3|3, 48))
	f.Add(query(4<<3|4, 48))
	f.Add(query(2<<3|6, 12))
	f.Add(query(3<<3|3, 1024))
	s := New(slog.New(slog.DiscardHandler), listen.NewPool(nil))
	s.allow.Store(&[]netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")})
	s.state.Store(serve(Clock{}, nil, time.Now(), time.Now()))
	n := uint32(0)
	f.Fuzz(func(t *testing.T, b []byte) {
		n++ // ever another client, or the limit would hide everything
		p := datagram.Packet{Data: b, From: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 168, 1, byte(n)}), 1), At: time.Now()}
		var out [packetLen]byte
		s.limits = newLimiter()
		if !s.reply(&out, &p, time.Now()) {
			return
		}
		if len(out) > len(b) {
			t.Fatalf("a reply of %d bytes to %d: amplifies", len(out), len(b))
		}
		if b[0]&7 != modeClient || out[0]&7 != modeServer || out[0]>>3&7 != b[0]>>3&7 {
			t.Fatalf("%x answers %x", out[0], b[0])
		}
		if !bytes.Equal(out[24:32], b[40:48]) {
			t.Fatal("the origin is not theirs")
		}
		if check(out[:]) == nil {
			t.Fatal("we would answer our own reply")
		}
	})
}

func TestServesOnlyWhoMayAskAndInTime(t *testing.T) {
	s := New(slog.New(slog.DiscardHandler), listen.NewPool(nil))
	s.allow.Store(&[]netip.Prefix{netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("fe80::/10")})
	now := time.Now()
	s.state.Store(serve(Clock{}, nil, now, now))
	for name, tt := range map[string]struct {
		from string
		at   time.Time
		want bool
	}{
		"inside":            {"192.168.1.2:123", now, true},
		"inside, with zone": {"[fe80::1%eth0]:5000", now, true},
		"outside":           {"198.51.100.2:123", now, false},
		"no port":           {"192.168.1.3:0", now, false},
		"too late":          {"192.168.1.4:123", now.Add(-2 * time.Second), false},
		"clock set back":    {"192.168.1.5:123", now.Add(time.Hour), false},
	} {
		p := datagram.Packet{Data: query(4<<3|3, 48), From: netip.MustParseAddrPort(tt.from), At: tt.at}
		var out [packetLen]byte
		if got := s.reply(&out, &p, now); got != tt.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
	if c := s.Served(); c != (Counters{Queries: 6, Answered: 2, Refused: 1, Limited: 2, Malformed: 1}) {
		t.Errorf("got %+v", c)
	}
}

func TestWhatIsServedFollowsClockAndSource(t *testing.T) {
	now := time.Now()
	began := now.Add(-time.Hour)
	good := sample{at: now.Add(-time.Minute), stratum: 2, offset: time.Millisecond, delay: 10 * time.Millisecond, rootDelay: 20 * time.Millisecond, rootDisp: 5 * time.Millisecond, refID: [4]byte{192, 0, 2, 1}}
	off := good
	off.offset = -time.Minute
	leap := good
	leap.leap = leapInsert
	guided := Clock{Synchronised: true, MaxError: 40 * time.Millisecond}
	for name, tt := range map[string]struct {
		clock   Clock
		best    *sample
		stratum uint8
		leap    uint8
		ref     [4]byte
		disp    time.Duration
	}{
		"nobody guides it":      {Clock{}, nil, 10, 0, localID, 64 * time.Millisecond},
		"the host guides it":    {guided, nil, 10, 0, localID, 40 * time.Millisecond},
		"a source":              {Clock{}, &good, 3, 0, good.refID, 6900 * time.Microsecond},
		"a source, leap second": {Clock{}, &leap, 3, leapInsert, good.refID, 6900 * time.Microsecond},
		"far off its source":    {Clock{}, &off, 10, 0, localID, 64 * time.Millisecond},
		"the kernel's leap":     {Clock{Synchronised: true, leap: leapDelete}, nil, 10, leapDelete, localID, 0},
	} {
		h := serve(tt.clock, tt.best, began, now).say(now)
		disp := time.Duration(h.disp) * time.Second / (1 << 16)
		if h.stratum != tt.stratum || h.leap != tt.leap || h.refID != tt.ref || (disp-tt.disp).Abs() > 50*time.Microsecond {
			t.Errorf("%s: got %+v, dispersion %v", name, h, disp)
		}
		if later := serve(tt.clock, tt.best, began, now).say(now.Add(time.Hour)); later.disp <= h.disp {
			t.Errorf("%s: the dispersion does not grow", name)
		}
		if much := serve(tt.clock, tt.best, began, now).say(now.Add(1000 * time.Hour)); much.disp != short(maxDispersion) {
			t.Errorf("%s: the dispersion grows to %d", name, much.disp)
		}
	}
}
