package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	sockets  = 4
	flying   = 32 // questions under way on each socket
	patience = 300 * time.Millisecond
)

// A crowd is who asks: so many sockets, each with so many questions under way.
type crowd struct{ sockets, flying int }

// few are busy, many ask one question at a time.
func few() crowd  { return crowd{sockets, flying} }
func many() crowd { return crowd{sockets * flying, 1} }

// A dialogue is what a flood asks and what it takes for an answer. It belongs to
// one socket; ids are unique among the questions under way there.
type dialogue interface {
	// ask appends a question with this id to b, and says from which address it
	// is sent; none leaves that to the system.
	ask(b []byte, id uint16) ([]byte, netip.Addr)
	// id returns the id that an answer carries.
	id(answer []byte) (uint16, error)
	// check tells what is wrong with the answer to a question.
	check(question, answer []byte) error
}

// flood keeps questions of a crowd under way until the turn is over.
// It ends with an error on the first wrong answer, and if more than one in a
// hundred questions got none.
func (c crowd) flood(ctx context.Context, m *meter, to netip.AddrPort, talk func(socket int) dialogue) error {
	var wg sync.WaitGroup
	var answered, lost atomic.Int64
	errs := make([]error, c.sockets)
	m.begin()
	for i := range c.sockets {
		wg.Go(func() {
			n, gone, err := ask(ctx, m, to, talk(i), c.flying)
			answered.Add(int64(n))
			lost.Add(int64(gone))
			errs[i] = err
		})
	}
	wg.Wait()
	m.end(float64(answered.Load()))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if n := lost.Load(); n*100 > answered.Load() {
		return fmt.Errorf("%d questions of %d got no answer", n, n+answered.Load())
	}
	return nil
}

// A slot is a question under way. Its id is its place and, above, how often the
// place has been used, so that a late answer is not taken for a new one.
type slot struct {
	uses uint16
	open bool
	text []byte
}

func (s *slot) number(i int) uint16 { return s.uses<<8 | uint16(i) }

// ask floods from one socket.
func ask(ctx context.Context, m *meter, to netip.AddrPort, d dialogue, flying int) (answered, lost int, err error) {
	v, err := openVolley(to, flying)
	if err != nil {
		return 0, 0, err
	}
	defer v.pc.Close()
	slots := make([]slot, flying)
	for !m.over() && ctx.Err() == nil {
		for i := range slots {
			s := &slots[i]
			if s.open {
				continue
			}
			s.uses, s.open = s.uses+1, true
			var from netip.Addr
			s.text, from = d.ask(s.text[:0], s.number(i))
			v.add(s.text, from)
		}
		if err := v.send(); err != nil {
			return answered, lost, err
		}
		got, err := v.receive(patience)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			// Perhaps we had no core all the while, and the answers are there.
			got, err = v.receive(patience / 10)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			for i := range slots {
				slots[i].open = false
				lost++
			}
			continue
		}
		if err != nil {
			return answered, lost, err
		}
		for _, b := range got {
			id, err := d.id(b)
			if err != nil {
				return answered, lost, fmt.Errorf("answer %x: %w", b, err)
			}
			i := int(id & 0xff)
			if i >= flying || !slots[i].open || slots[i].number(i) != id {
				continue // given up before
			}
			if err := d.check(slots[i].text, b); err != nil {
				return answered, lost, fmt.Errorf("answer %x: %w", b, err)
			}
			slots[i].open = false
			answered++
		}
	}
	return answered, lost, ctx.Err()
}

// closedPort returns a port of 127.0.0.1 that nobody has, neither UDP nor TCP.
func closedPort() (uint16, error) {
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		port := uint16(l.Addr().(*net.TCPAddr).Port)
		pc, err := net.ListenPacket("udp", l.Addr().String())
		l.Close()
		if err == nil {
			pc.Close()
			return port, nil
		}
	}
	return 0, errors.New("no port is free")
}
