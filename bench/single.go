package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"
)

// A latency is how long answers took.
type latency struct {
	p50, p99, p999, most time.Duration
	n                    int
}

// latencyOf takes at least one; it sorts them.
func latencyOf(took []time.Duration) latency {
	slices.Sort(took)
	n := len(took)
	return latency{p50: took[n/2], p99: took[n*99/100], p999: took[n*999/1000], most: took[n-1], n: n}
}

// String shows the percentiles in µs.
func (l latency) String() string {
	us := func(d time.Duration) string { return figure(d.Seconds() * 1e6) }
	return us(l.p50) + ", " + us(l.p99) + ", " + us(l.p999)
}

// single asks one question at a time until ctx ends.
func single(ctx context.Context, at netip.AddrPort, qs [][]byte) (latency, error) {
	c, err := net.Dial("udp", at.String())
	if err != nil {
		return latency{}, err
	}
	defer c.Close()
	d := lookup{qs: qs}
	buf := make([]byte, 2048)
	var took []time.Duration
	for i := 0; ctx.Err() == nil; i++ {
		q, _ := d.ask(nil, uint16(i))
		began := time.Now()
		if err := c.SetDeadline(began.Add(slowest)); err != nil {
			return latency{}, err
		}
		if _, err := c.Write(q); err != nil {
			return latency{}, err
		}
		n, err := c.Read(buf)
		if err != nil {
			return latency{}, err
		}
		if err := d.check(q, buf[:n]); err != nil {
			return latency{}, err
		}
		took = append(took, time.Since(began))
	}
	if len(took) == 0 {
		return latency{}, errors.New("no question was answered")
	}
	return latencyOf(took), nil
}

// blocked waits until name is not what the upstream says.
func blocked(ctx context.Context, p *process, at netip.AddrPort, name string) error {
	q := question(name)
	buf := make([]byte, 2048)
	for end := time.Now().Add(slowest); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		select {
		case <-p.done:
			return fmt.Errorf("%s ended: %s", p.name, oneLine(p.out.String()))
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		if no, err := refused(at, q, buf); err == nil && no {
			return nil
		}
	}
	return fmt.Errorf("%s does not block %s: %s", p.name, name, oneLine(p.out.String()))
}

// refused asks once, and reports whether the answer is no, or 0.0.0.0.
func refused(at netip.AddrPort, q, buf []byte) (bool, error) {
	c, err := net.Dial("udp", at.String())
	if err != nil {
		return false, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return false, err
	}
	if _, err := c.Write(q); err != nil {
		return false, err
	}
	n, err := c.Read(buf)
	if err != nil || n < len(q) {
		return false, err
	}
	switch b := buf[:n]; {
	case b[3]&0xf == 3:
		return true, nil
	case b[3]&0xf != 0 || binary.BigEndian.Uint16(b[6:]) == 0 || n < len(q)+16:
		return false, nil
	default:
		return binary.BigEndian.Uint32(b[len(q)+12:]) == 0, nil
	}
}

// resetPeak has the kernel begin anew with VmHWM.
func resetPeak(p *process) error {
	all, err := family([]*process{p})
	for pid := range all {
		err = errors.Join(err, os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0))
	}
	return err
}

// resident is what the servers hold in memory now, once they have settled.
func resident(ctx context.Context, p *process) (float64, error) {
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(settles):
	}
	all, err := family([]*process{p})
	var sum float64
	for pid := range all {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return 0, err
		}
		sum += kilobytes(string(status), "VmRSS:") * 1024
	}
	return sum, err
}
