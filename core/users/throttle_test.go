package users

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// An unknown login must cost what a wrong password costs: a turn at the slots.
func TestUnknownLoginIsComputedToo(t *testing.T) {
	for _, login := range []string{"mallory", "carl", "alice@example.com"} {
		synctest.Test(t, func(t *testing.T) {
			d := directory(t)
			release := occupy(d)
			var done atomic.Bool
			go func() { _ = auth(t, d, login, pw, Web, lan); done.Store(true) }()
			synctest.Wait()
			if done.Load() {
				t.Errorf("%s was refused without computing", login)
			}
			release()
			synctest.Wait()
		})
	}
}

func TestGuessingIsSlowedDownMoreAndMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := directory(t)
		d.doors.sources.free = 1000 // only the pair matters here
		guess := 0
		wrong := func(from netip.Addr) error {
			guess++
			return auth(t, d, "alice", fmt.Sprint("wrong ", guess), Web, from)
		}
		var delays []time.Duration
		start := time.Now()
		for len(delays) < 12 {
			err := wrong(evil)
			if after := RetryAfter(err); after > 0 {
				if !errors.Is(err, ErrThrottled) || errors.Is(err, ErrDenied) {
					t.Fatal(err)
				}
				delays = append(delays, after)
				time.Sleep(after)
			} else if !errors.Is(err, ErrDenied) {
				t.Fatal(err)
			}
		}
		for i, d := range delays {
			if want := min(5*time.Minute, time.Second<<i); d != want {
				t.Errorf("delay %d is %v, want %v", i, d, want)
			}
		}
		t.Logf("%d guesses in %v", guess-len(delays), time.Since(start))

		// The right password from another address still works, from this one it
		// has to wait, as any other guess.
		_ = wrong(evil)
		if err := auth(t, d, "alice", pw, Web, lan); err != nil {
			t.Errorf("from another address: %v", err)
		}
		if err := auth(t, d, "bob", pw, Web, evil); err != nil {
			t.Errorf("another person from that address: %v", err)
		}
		err := auth(t, d, "alice", pw, Web, evil)
		if !errors.Is(err, ErrThrottled) {
			t.Errorf("the right password at once: %v", err)
		}
		time.Sleep(RetryAfter(err))
		if err := auth(t, d, "alice", pw, Web, evil); err != nil {
			t.Errorf("the right password after waiting: %v", err)
		}
		for i := range perPair.free {
			if err := wrong(evil); !errors.Is(err, ErrDenied) {
				t.Errorf("guess %d after the right password: %v", i, err)
			}
		}
	})
}

func TestGuessesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := directory(t)
		for i := range 100 {
			if err := auth(t, d, "alice", fmt.Sprint("wrong ", i), Web, evil); !errors.Is(err, ErrDenied) {
				t.Fatalf("guess %d: %v", i, err)
			}
			if i%perPair.free == perPair.free-1 {
				time.Sleep(perPair.forget + time.Second)
			}
		}
	})
}

// A program with an old password must not lock out the others behind its
// address, however often it comes.
func TestSameWrongPasswordIsOneGuess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := directory(t)
		for range 500 {
			if err := auth(t, d, "alice", "my old password", Mail, lan); !errors.Is(err, ErrDenied) {
				t.Fatal(err)
			}
			time.Sleep(7 * time.Minute)
		}
		if err := auth(t, d, "alice", pw, Mail, lan); err != nil {
			t.Error(err)
		}
		if err := d.SetPassword(t.Context(), "alice", "my old password"); err != nil {
			t.Fatal(err)
		}
		if err := auth(t, d, "alice", "my old password", Mail, lan); err != nil {
			t.Errorf("a wrong password that became right: %v", err)
		}
	})
}

func TestNoCredentialsAreNoGuess(t *testing.T) {
	d := directory(t)
	for range 1000 {
		if err := auth(t, d, "alice", "", DAV, lan); !errors.Is(err, ErrDenied) {
			t.Fatal(err)
		}
		if err := auth(t, d, "", "", DAV, lan); !errors.Is(err, ErrDenied) {
			t.Fatal(err)
		}
	}
	if err := auth(t, d, "alice", pw, DAV, lan); err != nil {
		t.Error(err)
	}
}

func TestOneAddressCannotTryManyLogins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := directory(t)
		if err := auth(t, d, "bob", pw, Mail, evil); err != nil {
			t.Fatal(err)
		}
		var err error
		n := 0
		for ; err == nil || errors.Is(err, ErrDenied); n++ {
			err = auth(t, d, fmt.Sprint("user", n), "123456", Mail, evil)
		}
		if n > perSource.free+2 || !errors.Is(err, ErrThrottled) {
			t.Errorf("%d logins tried, then %v", n, err)
		}
		if err := auth(t, d, "bob", pw, Mail, evil); err != nil {
			t.Errorf("who just proved who they are: %v", err)
		}
		if err := auth(t, d, "alice", pw, Mail, lan); err != nil {
			t.Errorf("another address: %v", err)
		}
	})
}

func TestIPv6NetworkIsOneAddress(t *testing.T) {
	for name, tt := range map[string]struct {
		a, b string
		same bool
	}{
		"one /64":    {"2001:db8::1", "2001:db8::2", true},
		"two /64":    {"2001:db8::1", "2001:db8:0:1::1", false},
		"mapped":     {"::ffff:192.0.2.1", "192.0.2.1", true},
		"IPv4":       {"192.0.2.1", "192.0.2.2", false},
		"link-local": {"fe80::1%eth0", "fe80::1%eth1", true},
	} {
		if got := sourceOf(netip.MustParseAddr(tt.a)) == sourceOf(netip.MustParseAddr(tt.b)); got != tt.same {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Guesses sent at once are not free.
func TestParallelGuessesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := directory(t)
		release := occupy(d)
		var wg sync.WaitGroup
		var denied, throttled atomic.Int32
		for i := range 200 {
			wg.Go(func() {
				switch err := auth(t, d, "alice", fmt.Sprint("wrong ", i), Web, evil); {
				case errors.Is(err, ErrThrottled):
					throttled.Add(1)
				case errors.Is(err, ErrDenied):
					denied.Add(1)
				}
			})
		}
		synctest.Wait()
		release()
		wg.Wait()
		if int(denied.Load()) != perPair.free || denied.Load()+throttled.Load() != 200 {
			t.Errorf("%d guesses were computed, %d throttled", denied.Load(), throttled.Load())
		}
	})
}

// A program that opens many connections at once is one check.
func TestSameCredentialsAtOnceAreOneCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := directory(t)
		release := occupy(d)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { // the first to come gives up, which must harm nobody
			if _, err := d.Authenticate(ctx, "alice", pw, Mail, lan); !errors.Is(err, context.Canceled) {
				t.Errorf("gave up: %v", err)
			}
		})
		synctest.Wait()
		for range 50 {
			wg.Go(func() {
				if err := auth(t, d, "alice", pw, Mail, lan); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if n := d.hasher.waiting.Load(); n != 1 {
			t.Errorf("%d wait to be computed", n)
		}
		cancel()
		synctest.Wait()
		release()
		wg.Wait()
	})
}

// Many strangers guessing one login hold it up for others only a moment, and
// not at all for addresses that it came from before.
func TestManyStrangersCannotLockAPersonOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := directory(t)
		if err := auth(t, d, "alice", pw, Mail, lan); err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			from := netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})
			if err := auth(t, d, "alice", fmt.Sprint("wrong ", i), Mail, from); !errors.Is(err, ErrDenied) {
				t.Fatal(err)
			}
		}
		start := time.Now()
		if err := auth(t, d, "alice", pw, Web, lan); err != nil || time.Since(start) > 0 {
			t.Errorf("from a known address: %v after %v", err, time.Since(start))
		}
		if err := auth(t, d, "alice", pw, DAV, evil); err != nil || time.Since(start) != perLogin.max {
			t.Errorf("from a new address: %v after %v", err, time.Since(start))
		}
		if d.doors.held != 0 {
			t.Errorf("%d held", d.doors.held)
		}
	})
}

func TestWaitingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := directory(t)
		release := occupy(d)
		var wg sync.WaitGroup
		var busy atomic.Int32
		for i := range 3 * maxWait {
			wg.Go(func() {
				from := netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)})
				if err := auth(t, d, fmt.Sprint("user", i), "whatever", Web, from); errors.Is(err, ErrThrottled) {
					busy.Add(1)
				}
			})
		}
		synctest.Wait()
		if n := d.hasher.waiting.Load(); n != maxWait || busy.Load() != 2*maxWait {
			t.Errorf("%d wait, %d were sent away", n, busy.Load())
		}
		release()
		wg.Wait()
	})
}

func TestMemoryOfStrangersIsBounded(t *testing.T) {
	d := newDoors()
	now := time.Now()
	for i := range 20000 {
		tr := &try{name: fmt.Sprint(i), secret: d.mark(fmt.Sprint(i))}
		tr.who = pair{d.mark("login", tr.name), netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)}
		if _, wait, _, err := d.enter(tr, now); err != nil || wait != nil {
			t.Fatal(err)
		}
		d.leave(tr, 0, true, i%2 == 0, now)
	}
	for name, n := range map[string]int{
		"pairs": len(d.pairs.m), "sources": len(d.sources.m), "logins": len(d.logins.m), "answers": len(d.answers),
		"known": len(d.known), "flights": len(d.flights), "versions": len(d.versions),
	} {
		if n > 4096 {
			t.Errorf("%d %s", n, name)
		}
	}
}

// Time may be read before the doors are shut behind a wrong guess: a free one
// delays nobody.
func TestAFreeGuessDelaysNobody(t *testing.T) {
	now := time.Now()
	c := newCounter[int](perPair)
	for range perPair.free - 1 {
		c.fail(c.at(1, now), now)
	}
	if d := c.wait(c.at(1, now), now.Add(-time.Millisecond)); d != 0 {
		t.Errorf("it waits %v", d)
	}
	c.fail(c.at(1, now), now)
	if d := c.wait(c.at(1, now), now); d != perPair.min {
		t.Errorf("the first one that is not free: %v", d)
	}
}
