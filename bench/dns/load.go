package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	sockets = 8
	flying  = 32 // queries under way on each
	lost    = 300 * time.Millisecond
	tick    = 10 * time.Millisecond // USER_HZ
)

// A result is what one turn showed.
type result struct {
	rate     float64 // answers a second
	p50, p99 time.Duration
	cpu      time.Duration // of the server, for one answer
	rss      int           // kilobytes
	missing  int           // queries without an answer
}

func (r result) String() string {
	s := fmt.Sprintf("%8.0f answers/s   p50 %6.2f ms   p99 %6.2f ms   CPU %6.2f us/answer   %6.1f MB",
		r.rate, ms(r.p50), ms(r.p99), float64(r.cpu.Nanoseconds())/1e3, float64(r.rss)/1024)
	if r.missing > 0 {
		s += fmt.Sprintf("   %d lost", r.missing)
	}
	return s
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

// queries are the messages to ask with, in no order.
func queries() [][]byte {
	var out [][]byte
	for i := range names {
		for _, s := range []string{fmt.Sprintf("h%04d.%s.", i, domain), fmt.Sprintf("n%04d.example.net.", i)} {
			b, err := new(dns.Msg).SetQuestion(s, dns.TypeA).Pack()
			if err != nil {
				panic(err)
			}
			out = append(out, b)
		}
	}
	rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// warm asks everything once, until all of it is answered.
func warm(at netip.AddrPort, qs [][]byte) error {
	c, err := net.Dial("udp", at.String())
	if err != nil {
		return err
	}
	defer c.Close()
	buf := make([]byte, 1500)
	end := time.Now().Add(time.Minute)
	for i, q := range qs {
		for {
			if time.Now().After(end) {
				return errors.New("it does not answer")
			}
			binary.BigEndian.PutUint16(q, uint16(i))
			_, _ = c.Write(q)
			_ = c.SetReadDeadline(time.Now().Add(lost))
			n, err := c.Read(buf)
			if err == nil && n > 12 && binary.BigEndian.Uint16(buf) == uint16(i) && buf[3]&15 == 0 && buf[7] == 1 {
				break
			}
			if err != nil {
				time.Sleep(20 * time.Millisecond)
			}
		}
	}
	return nil
}

// measure asks as fast as answers come for the time span.
func measure(ctx context.Context, at netip.AddrPort, pid int, qs [][]byte, span time.Duration) (result, error) {
	before, err := spent(pid)
	if err != nil {
		return result{}, err
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var times []time.Duration
	var missing int
	errs := make([]error, sockets)
	start := time.Now()
	for i := range sockets {
		wg.Go(func() {
			t, m, err := blast(ctx, at, qs[i*len(qs)/sockets:], start.Add(span))
			mu.Lock()
			defer mu.Unlock()
			times, missing, errs[i] = append(times, t...), missing+m, err
		})
	}
	wg.Wait()
	took := time.Since(start)
	after, err := spent(pid)
	if err := errors.Join(append(errs, err)...); err != nil {
		return result{}, err
	}
	if len(times) == 0 {
		return result{}, errors.New("it does not answer")
	}
	slices.Sort(times)
	return result{
		rate: float64(len(times)) / took.Seconds(),
		p50:  times[len(times)/2], p99: times[len(times)*99/100],
		cpu: (after - before) / time.Duration(len(times)), rss: memory(pid), missing: missing,
	}, nil
}

// blast keeps queries under way on one socket. The id of a query is its place.
func blast(ctx context.Context, at netip.AddrPort, qs [][]byte, end time.Time) (times []time.Duration, missing int, err error) {
	c, err := net.Dial("udp", at.String())
	if err != nil {
		return nil, 0, err
	}
	defer c.Close()
	var sent [flying]time.Time
	out, in := make([]byte, 1500), make([]byte, 1500)
	next := 0
	send := func(slot int) error {
		n := copy(out, qs[next%len(qs)])
		next++
		binary.BigEndian.PutUint16(out, uint16(slot))
		sent[slot] = time.Now()
		_, err := c.Write(out[:n])
		return err
	}
	for slot := range flying {
		if err := send(slot); err != nil {
			return nil, 0, err
		}
	}
	for time.Now().Before(end) && ctx.Err() == nil {
		_ = c.SetReadDeadline(time.Now().Add(lost))
		n, err := c.Read(in)
		switch {
		case os.IsTimeout(err):
			for slot := range flying {
				missing++
				if err := send(slot); err != nil {
					return nil, 0, err
				}
			}
		case err != nil:
			return nil, 0, err
		case n < 12 || in[3]&15 != 0 || in[7] != 1:
			return nil, 0, fmt.Errorf("it answered %x", in[:n])
		default:
			slot := int(binary.BigEndian.Uint16(in))
			if slot >= flying {
				return nil, 0, errors.New("it answered what nobody asked")
			}
			times = append(times, time.Since(sent[slot]))
			if err := send(slot); err != nil {
				return nil, 0, err
			}
		}
	}
	return times, missing, ctx.Err()
}

// spent returns the processor time of a process so far.
func spent(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0, errors.New("/proc is not readable")
	}
	user, err1 := strconv.Atoi(f[11])
	system, err2 := strconv.Atoi(f[12])
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}

// memory returns the resident memory of a process in kilobytes.
func memory(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.Atoi(strings.Fields(v)[0])
			return n
		}
	}
	return 0
}
