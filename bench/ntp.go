package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// clock compares time servers.
func clock() contest {
	return contest{
		name: "ntp", title: "NTP: answers to clients, beside chronyd", packages: []string{"chrony"},
		what: `Questions of version 4 in client mode, 128 under way from four sockets. Each comes from another of 65,536 loopback
addresses, because the cell, unlike chronyd by default, answers a client eight times a second at most. Mode, stratum and
the time stamp that an answer must repeat are checked. chronyd keeps its client log, as by default, and sets no clock.`,
		run: clockRun,
	}
}

func clockRun(ctx context.Context, l *lab) (string, error) {
	m := &match{unit: "answer", cpu: time.Microsecond, works: []string{"time"}}
	add := func(name string, port uint16, open func() (*process, error)) error {
		return m.enter(name, func() (*rival, error) {
			p, err := open()
			if err != nil {
				return nil, err
			}
			if err := p.wait(ctx, func() bool { return listening(nil, []uint16{port}) }); err != nil {
				return nil, err
			}
			at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
			return &rival{procs: []*process{p}, jobs: []job{func(ctx context.Context, mt *meter) error {
				return few().flood(ctx, mt, at, func(int) dialogue { return &timeAsk{next: rand.Uint32(), salt: rand.Uint64() &^ 0xffff} })
			}}}, nil
		})
	}
	err := add("pic", 10123, func() (*process, error) {
		c, err := l.trial(ctx, nil)
		if err != nil {
			return nil, err
		}
		return c.proc, nil
	})
	if err != nil {
		return "", err
	}
	port, err := closedPort()
	if err != nil {
		return "", err
	}
	err = add("chronyd", port, func() (*process, error) {
		conf := filepath.Join(l.dir, "chrony.conf")
		text := fmt.Sprintf("port %d\nbindaddress 127.0.0.1\nallow all\nlocal stratum 10\ncmdport 0\nbindcmdaddress /\npidfile %s\n",
			port, filepath.Join(l.dir, "chronyd.pid"))
		if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
			return nil, err
		}
		return l.start(nil, "chronyd", "-d", "-x", "-u", "root", "-f", conf)
	})
	if err != nil {
		return "", err
	}
	return m.play(ctx, l)
}

// timeAsk asks for the time, each time from another address. The id is in the
// time stamp that an answer must repeat.
type timeAsk struct {
	next uint32
	salt uint64 // its low 16 bits are clear
}

const timeLen = 48

func (d *timeAsk) ask(b []byte, id uint16) ([]byte, netip.Addr) {
	b = append(b, make([]byte, timeLen)...)
	b[0] = 4<<3 | 3 // version 4, client
	binary.BigEndian.PutUint64(b[40:], d.salt|uint64(id))
	d.next++
	return b, netip.AddrFrom4([4]byte{127, 77, byte(d.next >> 8), byte(d.next)})
}

func (d *timeAsk) id(a []byte) (uint16, error) {
	if len(a) != timeLen {
		return 0, errors.New("another length")
	}
	return binary.BigEndian.Uint16(a[30:]), nil
}

// check wants an answer of a server that has a time to tell.
func (d *timeAsk) check(q, a []byte) error {
	switch {
	case !bytes.Equal(a[24:32], q[40:48]):
		return errors.New("to another question")
	case a[0]&7 != 4 || a[0]>>3&7 != 4:
		return fmt.Errorf("version and mode %#x", a[0]&0x3f)
	case a[1] == 0 || a[1] > 15:
		return fmt.Errorf("stratum %d (%q)", a[1], a[12:16])
	case binary.BigEndian.Uint64(a[40:]) == 0:
		return errors.New("no time in it")
	}
	return nil
}
