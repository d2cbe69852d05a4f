package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

const pause = time.Millisecond // between two questions of a paced client

// A paced is a client that asks at a steady rate. It is a process of its own:
// whatever else the bench does, its thread waits for nobody but the kernel.
type paced struct {
	cmd *exec.Cmd
	in  *json.Encoder // a span
	out *json.Decoder // how long each answer took within it
}

// newPaced starts a client of the server at an address, until the contest ends.
func (l *lab) newPaced(at netip.AddrPort) (*paced, error) {
	p := &paced{cmd: exec.Command("/proc/self/exe", "-paced", at.String())}
	p.cmd.Stderr = os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	l.atEnd(func() {
		_ = in.Close()
		_ = p.cmd.Wait()
	})
	p.in, p.out = json.NewEncoder(in), json.NewDecoder(out)
	return p, nil
}

// measure has it ask for a while.
func (p *paced) measure(span time.Duration) (latency, error) {
	if err := p.in.Encode(span); err != nil {
		return latency{}, fmt.Errorf("the client: %w", err)
	}
	var took []time.Duration
	switch err := p.out.Decode(&took); {
	case err != nil:
		return latency{}, fmt.Errorf("the client: %w", err)
	case len(took) == 0:
		return latency{}, errors.New("no question was answered")
	}
	return latencyOf(took), nil
}

// bePaced is the process: it measures spans that in has until that ends.
func bePaced(address string, in io.Reader, out io.Writer) error {
	runtime.LockOSThread()
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	wait := unix.NsecToTimeval(int64(patience * 10))
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait),
		unix.Connect(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}),
	)
	if err != nil {
		return err
	}
	spans, results := json.NewDecoder(in), json.NewEncoder(out)
	qs := questions(ownName)
	for {
		var span time.Duration
		switch err := spans.Decode(&span); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		runtime.GC()
		percent := debug.SetGCPercent(-1)
		took, err := pacedHits(fd, qs, span)
		debug.SetGCPercent(percent)
		if err == nil {
			err = results.Encode(took)
		}
		if err != nil {
			return err
		}
	}
}

// pacedHits tells how long answers took: from when a question was due, if it had
// to wait for the answer before, else from when it was sent; until the kernel had
// the answer.
func pacedHits(fd int, qs [][]byte, span time.Duration) ([]time.Duration, error) {
	d := lookup{qs: qs}
	q, buf, oob := make([]byte, 0, 512), make([]byte, 2048), make([]byte, 128)
	took := make([]time.Duration, 0, span/pause+1)
	begun := time.Now()
	var came time.Time
	for i := 0; time.Since(begun) < span; i++ {
		due := begun.Add(time.Duration(i) * pause)
		if left := unix.NsecToTimespec(int64(time.Until(due))); left.Nano() > 0 {
			_ = unix.Nanosleep(&left, nil) // by the kernel, not the runtime; sooner does not matter
		}
		q, _ = d.ask(q[:0], uint16(i))
		from := time.Now().Round(0)
		if due := due.Round(0); came.After(due) {
			from = due
		}
		if _, err := unix.Write(fd, q); err != nil {
			return nil, err
		}
		n, m, _, _, err := unix.Recvmsg(fd, buf, oob, 0)
		for err == unix.EINTR { // the runtime's doing
			n, m, _, _, err = unix.Recvmsg(fd, buf, oob, 0)
		}
		if err != nil {
			return nil, fmt.Errorf("question %d: %w", i, err)
		}
		if err := d.check(q, buf[:n]); err != nil {
			return nil, err
		}
		if came, err = arrival(oob[:m]); err != nil {
			return nil, err
		}
		took = append(took, came.Sub(from))
	}
	return took, nil
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
