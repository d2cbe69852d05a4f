package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// secrets compares name servers that are asked so that nobody can read along.
func secrets() contest {
	return contest{
		name: "dns-encrypted", title: "DNS: answers over TLS and HTTPS, beside Unbound and CoreDNS", packages: []string{"unbound"},
		what: `A questions for 1000 names from the cache, 128 under way over four connections that stay open: over TLS pipelined, and
over HTTPS as POST over HTTP/2. Id, question, code and number of records are checked. TLS 1.3 with a P-256 certificate.
Unbound has one thread and its usual modules, without trust anchors; CoreDNS its forward and cache plugins, and no log.
The cell's HTTPS is that of its proxy. It also applies its policy and keeps its statistics; its limit of questions per
client is off.`,
		run: secretsRun,
	}
}

// A secretive is where a name server answers.
type secretive struct {
	proc       *process
	tls, https netip.AddrPort
}

func secretsRun(ctx context.Context, l *lab) (string, error) {
	up, err := l.upstream()
	if err != nil {
		return "", err
	}
	crt, key, err := l.certificate()
	if err != nil {
		return "", err
	}
	m := &match{unit: "answer", cpu: time.Microsecond, works: []string{"over TLS", "over HTTPS"}}
	far := questions(farName)
	add := func(name string, open func() (secretive, error)) error {
		return m.enter(name, func() (*rival, error) {
			s, err := open()
			if err != nil {
				return nil, err
			}
			// Until every name has been answered, and so is in the cache.
			for _, to := range []func() (murmur, error){dotTo(ctx, s.tls), dohTo(ctx, s.https)} {
				var last error
				if err := s.proc.wait(ctx, func() bool { last = hum(to, far); return last == nil }); err != nil {
					return nil, fmt.Errorf("%w (%w)", err, last)
				}
			}
			ask := func(to func() (murmur, error)) job {
				return func(ctx context.Context, mt *meter) error { return whisper(ctx, mt, to, far) }
			}
			return &rival{procs: []*process{s.proc}, jobs: []job{ask(dotTo(ctx, s.tls)), ask(dohTo(ctx, s.https))}}, nil
		})
	}
	loop := netip.MustParseAddr("127.0.0.1")
	err = add("pic", func() (secretive, error) {
		c, err := l.trial(ctx, map[string]any{"dns.upstreams": []string{up.String()}, "dns.rate": 0})
		if err != nil {
			return secretive{}, err
		}
		return secretive{c.proc, netip.AddrPortFrom(loop, 10853), netip.AddrPortFrom(loop, 10443)}, nil
	})
	if err != nil {
		return "", err
	}
	for _, peer := range []struct {
		name string
		open func(tls, https uint16, up netip.AddrPort, crt, key string) (*process, error)
	}{{"unbound", l.secretUnbound}, {"coredns", l.secretCoreDNS}} {
		err := add(peer.name, func() (s secretive, err error) {
			one, err1 := closedPort()
			two, err2 := closedPort()
			if err := errors.Join(err1, err2); err != nil {
				return s, err
			}
			s.tls, s.https = netip.AddrPortFrom(loop, one), netip.AddrPortFrom(loop, two)
			s.proc, err = peer.open(one, two, up, crt, key)
			return s, err
		})
		if err != nil {
			return "", err
		}
	}
	return m.play(ctx, l)
}

// A murmur is a connection over which questions are asked. It belongs to one
// goroutine.
type murmur interface {
	// ask writes questions, each in the slot of the same place in slots.
	ask(slots []int, questions [][]byte) error
	// answers waits for answers and hands each over with its slot.
	answers(take func(slot int, answer []byte) error) error
	close()
}

// hum asks each question once.
func hum(to func() (murmur, error), qs [][]byte) error {
	c, err := to()
	if err != nil {
		return err
	}
	defer c.close()
	var d lookup
	for i := range qs {
		if err := c.ask([]int{0}, qs[i:i+1]); err != nil {
			return err
		}
		if err := c.answers(func(_ int, a []byte) error { return d.check(qs[i], a) }); err != nil {
			return err
		}
	}
	return nil
}

// whisper keeps questions under way over several connections until the turn is
// over. It ends with an error on the first answer that is wrong or missing.
func whisper(ctx context.Context, m *meter, to func() (murmur, error), qs [][]byte) error {
	conns := make([]murmur, sockets)
	for i := range conns {
		c, err := to()
		if err != nil {
			return err
		}
		defer c.close()
		conns[i] = c
	}
	var wg sync.WaitGroup
	var answered atomic.Int64
	errs := make([]error, sockets)
	m.begin()
	for i, c := range conns {
		wg.Go(func() {
			n, err := converse(ctx, m, c, qs, i*len(qs)/sockets)
			answered.Add(n)
			errs[i] = err
		})
	}
	wg.Wait()
	m.end(float64(answered.Load()))
	return errors.Join(errs...)
}

// converse keeps questions under way over one connection.
func converse(ctx context.Context, m *meter, c murmur, qs [][]byte, next int) (answered int64, err error) {
	var d lookup
	own := make([][]byte, len(qs)) // ids are written into them
	for i, q := range qs {
		own[i] = slices.Clone(q)
	}
	under := make([][]byte, flying) // way, by slot
	free := make([]int, flying)
	for i := range free {
		free[i] = i
	}
	var out [][]byte
	for !m.over() && ctx.Err() == nil {
		out = out[:0]
		for _, slot := range free {
			under[slot] = own[next%len(own)]
			out = append(out, under[slot])
			next++
		}
		if err := c.ask(free, out); err != nil {
			return answered, err
		}
		free = free[:0]
		err := c.answers(func(slot int, a []byte) error {
			if slot < 0 || slot >= flying || under[slot] == nil {
				return fmt.Errorf("an answer to no question, %d", slot)
			}
			if err := d.check(under[slot], a); err != nil {
				return fmt.Errorf("answer %x: %w", a, err)
			}
			under[slot] = nil
			free = append(free, slot)
			answered++
			return nil
		})
		if err != nil {
			return answered, err
		}
	}
	return answered, ctx.Err()
}

// handshake opens a connection with TLS.
func handshake(ctx context.Context, at netip.AddrPort, proto string) (net.Conn, error) {
	d := tls.Dialer{
		NetDialer: &net.Dialer{Timeout: 2 * time.Second},
		Config:    &tls.Config{InsecureSkipVerify: true, NextProtos: []string{proto}, MinVersion: tls.VersionTLS13}, //nolint:gosec // it is made for the run
	}
	c, err := d.DialContext(ctx, "tcp", at.String())
	if err != nil {
		return nil, err
	}
	return c, c.SetDeadline(time.Now().Add(30 * time.Second))
}

func (l *lab) secretUnbound(over, https uint16, up netip.AddrPort, crt, key string) (*process, error) {
	conf := filepath.Join(l.dir, "unbound-tls.conf")
	text := fmt.Sprintf(`server:
 interface: 127.0.0.1@%[1]d
 interface: 127.0.0.1@%[2]d
 tls-port: %[1]d
 https-port: %[2]d
 tls-service-pem: %[3]q
 tls-service-key: %[4]q
 incoming-num-tcp: 100
 do-daemonize: no
 use-syslog: no
 logfile: ""
 username: ""
 chroot: ""
 directory: %[5]q
 pidfile: ""
 do-not-query-localhost: no
remote-control:
 control-enable: no
forward-zone:
 name: "."
 forward-addr: %[6]s@%[7]d
`, over, https, crt, key, l.dir, up.Addr(), up.Port())
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	return l.start(nil, "unbound", "-d", "-c", conf)
}

func (l *lab) secretCoreDNS(over, https uint16, up netip.AddrPort, crt, key string) (*process, error) {
	if l.coreDNS == "" {
		return nil, errors.New("its program is not given")
	}
	conf := filepath.Join(l.dir, "Corefile-tls")
	var b strings.Builder
	for _, at := range []string{fmt.Sprintf("tls://.:%d", over), fmt.Sprintf("https://.:%d", https)} {
		fmt.Fprintf(&b, "%s {\n bind 127.0.0.1\n tls %s %s\n cache 86400\n forward . %s {\n  prefer_udp\n }\n}\n", at, crt, key, up)
	}
	if err := os.WriteFile(conf, []byte(b.String()), 0o644); err != nil {
		return nil, err
	}
	return l.start(nil, l.coreDNS, "-quiet", "-conf", conf)
}
