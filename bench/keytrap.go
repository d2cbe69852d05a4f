package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	attackers = 16               // questions of an attack under way
	paced     = time.Millisecond // between two questions of the measured client
)

// keytrap tells what zones that are costly to check do to others.
func keytrap() contest {
	return contest{
		name: "dns-keytrap", title: "DNS: hits while costly zones are attacked with",
		what: `A client asks a thousand questions a second for names of the cell's own, on time whether it was answered or not, while
another keeps 16 questions under way for new names in a zone that its owner made costly to check by DNSSEC: *keys*, a zone
for each question with 32 keys of one tag and 32 signatures (CVE-2023-50387); *signatures*, 32 wrong ones of ECDSA P-384,
for which two keys have the tag; *hashes*, names of 110 labels that 16 NSEC3 records with 50 iterations and a salt of 64
bytes deny (CVE-2023-50868). *Fair* is a zone with one good signature, which shows what load alone does. The attacker and the
upstream run only where nobody else wants to (SCHED_IDLE), for they would have machines of their own. The client has no
attack and one in turn; when an answer arrived is what the kernel
says. *CPU* is the processor time of the cell for one question of the attacker. There is no peer.`,
		run: keytrapRun,
	}
}

// An assault is one round of an attack.
type assault struct {
	idle, during latency
	questions    float64       // of the attacker in a second
	cpu          time.Duration // of the cell, for each
}

func keytrapRun(ctx context.Context, l *lab) (string, error) {
	h, err := newHostile()
	if err != nil {
		return "", err
	}
	up, err := h.serve(l)
	if err != nil {
		return "", err
	}
	c, err := l.trial(ctx, map[string]any{
		"dns.records": ownRecords(), "dns.upstreams": []string{"tcp://" + up.String()}, "dns.rate": 10_000_000,
		"dns.validate": "on", "dns.anchors": []string{h.anchor()},
	})
	if err != nil {
		return "", err
	}
	at := netip.MustParseAddrPort("127.0.0.1:10053")
	if err := warm(at, questions(ownName)); err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("| zone | questions/s | CPU ms/question | p99 idle µs | p99 attacked µs | attacked : idle (less is better) | longest ms |\n|---|--:|--:|--:|--:|--:|--:|\n")
	turns := 0
	for _, kind := range []struct {
		name string
		ask  func(i int) string
		code byte // that the cell answers with
	}{
		{"fair", func(i int) string { return fmt.Sprintf("n%08d.fair.", i) }, 0},
		{"keys", func(i int) string { return fmt.Sprintf("www.z%08d.keys.", i) }, 2},
		{"signatures", func(i int) string { return fmt.Sprintf("n%08d.signatures.", i) }, 2},
		{"hashes", func(i int) string { return fmt.Sprintf("%sn%08d.hashes.", strings.Repeat("a.", 107), i) }, 2},
	} {
		var rounds []assault
		for range l.rounds {
			turns++
			a, err := l.assault(ctx, c.proc, at, kind.code, func(i int) string { return kind.ask(turns*1_000_000 + i) })
			if err != nil {
				return "", fmt.Errorf("%s: %w", kind.name, err)
			}
			fmt.Fprintf(os.Stderr, "   %-12s %8.0f/s %8.3f ms; p99 %v idle, %v attacked, longest %v (%d, %d)\n", kind.name,
				a.questions, a.cpu.Seconds()*1e3, a.idle.p99, a.during.p99, a.during.most, a.idle.n, a.during.n)
			rounds = append(rounds, a)
		}
		each := func(f func(assault) float64) spread {
			var v []float64
			for _, a := range rounds {
				v = append(v, f(a))
			}
			return spreadOf(v)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", kind.name,
			figure(each(func(a assault) float64 { return a.questions }).mid),
			figure(each(func(a assault) float64 { return a.cpu.Seconds() * 1e3 }).mid),
			figure(each(func(a assault) float64 { return a.idle.p99.Seconds() * 1e6 }).mid),
			figure(each(func(a assault) float64 { return a.during.p99.Seconds() * 1e6 }).mid),
			each(func(a assault) float64 { return a.during.p99.Seconds() / a.idle.p99.Seconds() }),
			figure(each(func(a assault) float64 { return a.during.most.Seconds() * 1e3 }).mid))
	}
	return b.String(), nil
}

// assault measures a turn without attack and one with it.
func (l *lab) assault(ctx context.Context, p *process, at netip.AddrPort, code byte, name func(int) string) (a assault, err error) {
	qs := questions(ownName)
	quiet := &meter{span: l.turn, procs: []*process{p}}
	quiet.begin()
	if a.idle, err = pacedHits(ctx, at, qs, l.turn); err != nil {
		return a, err
	}
	quiet.end(1)
	run, over := context.WithCancel(ctx)
	defer over()
	var next, done atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, attackers)
	for i := range attackers {
		wg.Go(func() {
			errs[i] = attack(run, at, code, func() string { return name(int(next.Add(1))) }, &done)
		})
	}
	loud := &meter{span: l.turn, procs: []*process{p}}
	loud.begin()
	a.during, err = pacedHits(ctx, at, qs, l.turn)
	n := done.Load()
	loud.end(float64(n))
	over()
	wg.Wait()
	if err := errors.Join(err, errors.Join(errs...), quiet.err, loud.err); err != nil {
		return a, err
	}
	if n == 0 {
		return a, errors.New("no question of the attack was answered")
	}
	a.questions = loud.turn.rate()
	rest := time.Duration(quiet.turn.cpu.Seconds() / quiet.turn.took.Seconds() * float64(loud.turn.took))
	a.cpu = max(0, loud.turn.cpu-rest) / time.Duration(n)
	return a, nil
}

// attack asks one question at a time until ctx ends, and counts what is answered
// with the code that is to come.
func attack(ctx context.Context, at netip.AddrPort, code byte, name func() string, done *atomic.Int64) error {
	c, err := net.Dial("udp", at.String())
	if err != nil {
		return err
	}
	defer c.Close()
	buf := make([]byte, 4096)
	for ctx.Err() == nil {
		q := question(name())
		if err := c.SetDeadline(time.Now().Add(3 * time.Second)); err != nil {
			return err
		}
		if _, err := c.Write(q); err != nil {
			return err
		}
		n, err := c.Read(buf)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			return err
		case n < 12 || buf[3]&0xf != code:
			return fmt.Errorf("code %d", buf[3]&0xf)
		default:
			done.Add(1)
		}
	}
	return nil
}

// stepBack lets all threads of this process but the caller's run only where
// nobody else wants to: on a machine of their own they would disturb nobody.
func stepBack() error {
	threads, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		return err
	}
	own := unix.Gettid()
	for _, t := range threads {
		id, err := strconv.Atoi(filepath.Base(t))
		if err != nil {
			continue
		}
		policy := uint32(unix.SCHED_IDLE)
		if id == own {
			policy = unix.SCHED_NORMAL
		}
		err = unix.SchedSetAttr(id, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: policy}, 0)
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

// pacedHits asks at a steady rate and tells how long answers took: from when a
// question was due, if it had to wait for an answer before, else from when it was
// sent; until the kernel had the answer.
func pacedHits(ctx context.Context, at netip.AddrPort, qs [][]byte, span time.Duration) (latency, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := stepBack(); err != nil {
		return latency{}, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return latency{}, err
	}
	defer unix.Close(fd)
	wait := unix.NsecToTimeval(int64(patience * 10))
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait),
		unix.Connect(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}),
	)
	if err != nil {
		return latency{}, err
	}
	d := lookup{qs: qs}
	buf, oob := make([]byte, 2048), make([]byte, 128)
	var took []time.Duration
	begun := time.Now()
	for i := 0; ctx.Err() == nil && time.Since(begun) < span; i++ {
		due := begun.Add(time.Duration(i) * paced)
		late := time.Now().After(due)
		if !late {
			time.Sleep(time.Until(due))
		}
		q, _ := d.ask(nil, uint16(i))
		from := time.Now()
		if late {
			from = due
		}
		if _, err := unix.Write(fd, q); err != nil {
			return latency{}, err
		}
		n, m, _, _, err := unix.Recvmsg(fd, buf, oob, 0)
		if err != nil {
			return latency{}, fmt.Errorf("question %d: %w", i, err)
		}
		if err := d.check(q, buf[:n]); err != nil {
			return latency{}, err
		}
		came, err := arrival(oob[:m])
		if err != nil {
			return latency{}, err
		}
		took = append(took, came.Sub(from.Round(0)))
	}
	if len(took) == 0 {
		return latency{}, errors.Join(ctx.Err(), errors.New("no question was answered"))
	}
	slices.Sort(took)
	return latency{p99: took[len(took)*99/100], most: took[len(took)-1], n: len(took)}, ctx.Err()
}

// arrival reads SO_TIMESTAMPNS.
func arrival(oob []byte) (time.Time, error) {
	all, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return time.Time{}, err
	}
	for _, m := range all {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16 {
			return time.Unix(int64(nativeUint64(m.Data)), int64(nativeUint64(m.Data[8:]))), nil
		}
	}
	return time.Time{}, errors.New("the kernel does not tell when a message came")
}
