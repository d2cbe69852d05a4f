package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"pic/core/config"
)

const (
	nameCount   = 1000 // of each kind
	coreVersion = "v1.12.4"
)

// names compares name servers on all cores, namesOnOne on one of their own.
func names() contest {
	return contest{
		name: "dns", title: "DNS: answers over UDP, beside Unbound, CoreDNS and dnsmasq", packages: []string{"unbound", "dnsmasq-base"},
		what: `A questions for 1000 names, 128 under way from four sockets, over loopback: names of the server's own data, names
that it asked one upstream for before, from its cache, and names that nobody asked for before, which one upstream knows.
Id, question, code and number of records are checked. The peers are as Debian configures them but for addresses and data:
Unbound with one thread and its usual modules, without trust anchors; dnsmasq with a cache that holds all names; CoreDNS
(` + coreVersion + `, built from its module) with its file, cache and forward plugins, once so and once with acl, template, prometheus and
log to a file, which is what the cell does, too: it applies its policy, keeps its statistics and writes its query log. Its
limits are on, though out of reach.

Answers of one length to one socket leave the cell as one datagram that the kernel cuts, so four sockets with 32 questions
each are like one or two busy clients behind the cell; *a socket each* is the cached names from 128 sockets that have one
question under way each, like so many idle ones, where nothing goes together.`,
		run: namesRun,
	}
}

func namesOnOne() contest {
	c := names()
	c.name, c.title = "dns1", "DNS on one core"
	c.what = `The same with each server on the first core, and this program on the others.`
	c.run = func(ctx context.Context, l *lab) (string, error) {
		if runtime.NumCPU() < 2 {
			return "", errors.New("there is only one core")
		}
		l.core = true
		end, err := leaveFirstCore()
		if err != nil {
			return "", err
		}
		defer end()
		return namesRun(ctx, l)
	}
	return c
}

// leaveFirstCore keeps all threads of this process off the first core until end
// is called.
func leaveFirstCore() (end func(), err error) {
	var before, rest unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, err
	}
	rest = before
	rest.Clear(0)
	set := func(cores *unix.CPUSet) error {
		threads, err := filepath.Glob("/proc/self/task/*")
		for _, t := range threads {
			id, err := strconv.Atoi(filepath.Base(t))
			if err == nil {
				_ = unix.SchedSetaffinity(id, cores) // it may have ended
			}
		}
		return err
	}
	return func() { _ = set(&before) }, set(&rest)
}

func ownName(i int) string  { return fmt.Sprintf("h%03d.%s.", i, domain) }
func farName(i int) string  { return fmt.Sprintf("www%03d.example.net.", i) }
func ownValue(i int) string { return fmt.Sprintf("192.168.%d.%d", i/250, i%250+1) }

func ownRecords() []config.Record {
	var records []config.Record
	for i := range nameCount {
		records = append(records, config.Record{Name: strings.TrimSuffix(ownName(i), "."+domain+"."), Type: "A", Value: ownValue(i)})
	}
	return records
}

func namesRun(ctx context.Context, l *lab) (string, error) {
	up, err := l.upstream()
	if err != nil {
		return "", err
	}
	m := &match{unit: "answer", cpu: time.Microsecond, works: []string{"own names", "cached names", "a socket each", "new names"}}
	own, far := questions(ownName), questions(farName)
	add := func(name string, port uint16, open func(port uint16) (*process, error)) error {
		return m.enter(name, func() (*rival, error) {
			p, err := open(port)
			if err != nil {
				return nil, err
			}
			at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
			if err := p.wait(ctx, func() bool { return warm(at, own[:1]) == nil }); err != nil {
				return nil, err
			}
			if err := errors.Join(warm(at, own), warm(at, far)); err != nil {
				return nil, err
			}
			known := func(c crowd, qs [][]byte) job {
				return func(ctx context.Context, mt *meter) error {
					return c.flood(ctx, mt, at, func(i int) dialogue { return &lookup{qs: qs, next: i * len(qs) / c.sockets} })
				}
			}
			var turns int
			return &rival{procs: []*process{p}, jobs: []job{known(few(), own), known(few(), far), known(many(), far), func(ctx context.Context, mt *meter) error {
				turns++
				return few().flood(ctx, mt, at, func(i int) dialogue { return &discovery{under: fmt.Sprintf("t%d-%d.example.org.", turns, i)} })
			}}}, nil
		})
	}
	err = add("pic", 10053, func(uint16) (*process, error) {
		c, err := l.trial(ctx, map[string]any{
			"dns.records": ownRecords(), "dns.upstreams": []string{up.String()}, "dns.rate": 10_000_000,
			"dns.filter.rules": []string{"||ads.example^", "tracker.example"},
		})
		if err != nil {
			return nil, err
		}
		return c.proc, nil
	})
	if err != nil {
		return "", err
	}
	for _, peer := range []struct {
		name string
		open func(port uint16, up netip.AddrPort, more string) (*process, error)
	}{{"unbound", l.unbound}, {"coredns", l.coredns}, {"coredns, logging", l.loggingCoreDNS}, {"dnsmasq", l.dnsmasq}} {
		port, err := closedPort()
		if err != nil {
			return "", err
		}
		if err := add(peer.name, port, func(port uint16) (*process, error) { return peer.open(port, up, "") }); err != nil {
			return "", err
		}
	}
	return m.play(ctx, l)
}

// upstream answers every A question with an address to be kept for a day. That for
// the last name of a list is not to be kept at all: who forgets what it kept, reads
// the list, and then gets the answer to a question from before, would keep that.
func (l *lab) upstream() (netip.AddrPort, error) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, err
	}
	srv := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		a := new(dns.Msg).SetReply(r)
		a.RecursionAvailable = true
		if q := r.Question[0]; q.Qtype == dns.TypeA {
			life := uint32(86400)
			if strings.HasPrefix(q.Name, lastPrefix) {
				life = 0
			}
			a.Answer = []dns.RR{&dns.A{
				Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: life},
				A:   net.IPv4(192, 0, 2, 1),
			}}
		}
		_ = w.WriteMsg(a)
	})}
	go func() { _ = srv.ActivateAndServe() }()
	l.atEnd(func() { _ = srv.Shutdown() })
	return pc.LocalAddr().(*net.UDPAddr).AddrPort(), nil
}

func (l *lab) unbound(port uint16, up netip.AddrPort, more string) (*process, error) {
	var b strings.Builder
	fmt.Fprintf(&b, `server:
 interface: 127.0.0.1
 port: %d
 do-daemonize: no
 use-syslog: no
 logfile: ""
 username: ""
 chroot: ""
 directory: %q
 pidfile: ""
 do-not-query-localhost: no
 local-zone: "%s." static
`, port, l.dir, domain)
	for i := range nameCount {
		fmt.Fprintf(&b, " local-data: \"%s 300 IN A %s\"\n", ownName(i), ownValue(i))
	}
	fmt.Fprintf(&b, "remote-control:\n control-enable: no\nforward-zone:\n name: \".\"\n forward-addr: %s@%d\n", up.Addr(), up.Port())
	b.WriteString(more)
	conf := filepath.Join(l.dir, "unbound.conf")
	if err := os.WriteFile(conf, []byte(b.String()), 0o644); err != nil {
		return nil, err
	}
	return l.start(nil, "unbound", "-d", "-c", conf)
}

func (l *lab) dnsmasq(port uint16, up netip.AddrPort, more string) (*process, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "port=%d\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\nserver=%s#%d\ncache-size=%d\nlocal=/%s/\n",
		port, up.Addr(), up.Port(), 4*nameCount, domain)
	for i := range nameCount {
		fmt.Fprintf(&b, "host-record=%s,%s\n", strings.TrimSuffix(ownName(i), "."), ownValue(i))
	}
	b.WriteString(more)
	conf := filepath.Join(l.dir, "dnsmasq.conf")
	if err := os.WriteFile(conf, []byte(b.String()), 0o644); err != nil {
		return nil, err
	}
	return l.start(nil, "dnsmasq", "--keep-in-foreground", "--conf-file="+conf, "--user=root", "--pid-file=")
}

// coredns starts CoreDNS with the same data; more is for each of its zones.
func (l *lab) coredns(port uint16, up netip.AddrPort, more string) (*process, error) {
	if l.coreDNS == "" {
		return nil, errors.New("its program is not given")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "$ORIGIN %s.\n@ 300 IN SOA ns hostmaster 1 3600 600 604800 60\n@ 300 IN NS ns\nns 300 IN A 127.0.0.1\n", domain)
	for i := range nameCount {
		fmt.Fprintf(&b, "%s 300 IN A %s\n", ownName(i), ownValue(i))
	}
	if err := os.WriteFile(filepath.Join(l.dir, "coredns.zone"), []byte(b.String()), 0o644); err != nil {
		return nil, err
	}
	conf := filepath.Join(l.dir, fmt.Sprintf("Corefile-%d", port))
	text := fmt.Sprintf("%s:%d {\n bind 127.0.0.1\n file coredns.zone\n%s}\n.:%d {\n bind 127.0.0.1\n cache {\n  success 50000\n }\n forward . %s\n%s}\n",
		domain, port, more, port, up, more)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	return l.startInto(fmt.Sprintf("coredns-%d.log", port), nil, l.coreDNS, "-conf", conf)
}

// loggingCoreDNS is CoreDNS with what the cell does besides: who may ask, what is
// blocked, counts and a log.
func (l *lab) loggingCoreDNS(port uint16, up netip.AddrPort, _ string) (*process, error) {
	metrics, err := closedPort()
	if err != nil {
		return nil, err
	}
	return l.coredns(port, up, fmt.Sprintf(` acl {
  allow net 127.0.0.0/8 192.168.0.0/16
  block
 }
 template ANY ANY ads.example tracker.example {
  rcode NXDOMAIN
 }
 prometheus 127.0.0.1:%d
 log
`, metrics))
}

// question is an A question, recursion desired.
func question(name string) []byte {
	b := []byte{0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		b = append(append(b, byte(len(label))), label...)
	}
	return append(b, 0, 0, 1, 0, 1)
}

// questions are A questions for the names, in no order.
func questions(name func(int) string) [][]byte {
	out := make([][]byte, nameCount)
	for k, i := range rand.Perm(nameCount) {
		out[k] = question(name(i))
	}
	return out
}

// A discovery asks for names below one that are new each time.
type discovery struct {
	lookup
	under string
	n     int
}

func (d *discovery) ask(b []byte, id uint16) ([]byte, netip.Addr) {
	b = append(b, question(fmt.Sprintf("n%d.%s", d.n, d.under))...)
	d.n++
	binary.BigEndian.PutUint16(b, id)
	return b, netip.Addr{}
}

// warm asks each question until it is answered, three times at most.
func warm(at netip.AddrPort, qs [][]byte) error {
	c, err := net.Dial("udp", at.String())
	if err != nil {
		return err
	}
	defer c.Close()
	d := lookup{qs: qs}
	buf := make([]byte, 2048)
	for i := range qs {
		q, _ := d.ask(nil, uint16(i))
		for range 3 {
			if err = d.once(c, q, buf); err == nil {
				break
			}
		}
		if err != nil {
			return fmt.Errorf("question %d: %w", i, err)
		}
	}
	return nil
}

// A lookup asks prepared questions in turn.
type lookup struct {
	qs   [][]byte
	next int
}

// once asks and checks one question.
func (d *lookup) once(c net.Conn, q, buf []byte) error {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := c.Write(q); err != nil {
		return err
	}
	n, err := c.Read(buf)
	if err != nil {
		return err
	}
	return d.check(q, buf[:n])
}

func (d *lookup) ask(b []byte, id uint16) ([]byte, netip.Addr) {
	b = append(b, d.qs[d.next%len(d.qs)]...)
	d.next++
	binary.BigEndian.PutUint16(b, id)
	return b, netip.Addr{}
}

func (d *lookup) id(a []byte) (uint16, error) {
	if len(a) < 12 {
		return 0, errors.New("too short")
	}
	return binary.BigEndian.Uint16(a), nil
}

// check wants an answer without error that repeats the question and has one record.
func (d *lookup) check(q, a []byte) error {
	switch {
	case len(a) < len(q) || !bytes.Equal(a[:2], q[:2]) || !bytes.Equal(a[12:len(q)], q[12:]):
		return errors.New("to another question")
	case a[2]&0x80 == 0 || a[3]&0xf != 0:
		return fmt.Errorf("code %d", a[3]&0xf)
	case binary.BigEndian.Uint16(a[6:]) != 1:
		return fmt.Errorf("%d records", binary.BigEndian.Uint16(a[6:]))
	}
	return nil
}
