package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/miekg/dns"

	"pic/internal/nettest"
)

// tlsFor trusts the cell's root alone.
func (c *cell) tlsFor(name string) *tls.Config {
	c.t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(c.pic("ca", "root"))) {
		c.t.Fatal("the root is no certificate")
	}
	return &tls.Config{RootCAs: pool, ServerName: name}
}

// inodes returns the inodes of the listening sockets of this namespace by port.
func inodes(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, kind := range []string{"tcp", "udp", "tcp6", "udp6"} {
		f, err := os.Open("/proc/net/" + kind)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		lines.Scan()
		for lines.Scan() {
			w := strings.Fields(lines.Text())
			_, hex, ok := strings.Cut(w[1], ":")
			if !ok || strings.HasPrefix(kind, "tcp") && w[3] != "0A" || strings.HasPrefix(kind, "udp") && w[3] != "07" {
				continue
			}
			port, err := strconv.ParseUint(hex, 16, 16)
			if err != nil {
				t.Fatal(err)
			}
			out[fmt.Sprintf("%s %d", kind[:3], port)] = w[9]
		}
		f.Close()
	}
	return out
}

// load asks again and again until stop, and counts answers and failures.
type load struct {
	done, failed atomic.Int64
	last         atomic.Pointer[string]
}

func (l *load) run(ctx context.Context, ask func() error) {
	for ctx.Err() == nil {
		if err := ask(); err != nil && ctx.Err() == nil {
			l.failed.Add(1)
			s := err.Error()
			l.last.Store(&s)
		}
		l.done.Add(1)
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (l *load) check(t *testing.T, what string) {
	t.Helper()
	if l.failed.Load() > 0 {
		t.Errorf("%s: %d of %d failed, last: %s", what, l.failed.Load(), l.done.Load(), *l.last.Load())
	}
	if l.done.Load() < 50 {
		t.Errorf("%s: only %d were made", what, l.done.Load())
	}
	t.Logf("%s: %d of %d failed", what, l.failed.Load(), l.done.Load())
}

func TestTwoHundredChangesUnderLoadDisturbNobody(t *testing.T) {
	lab := nettest.New(t)
	laptop := lab.Host("laptop")
	lab.Link(lab.Self(), "ext0", "198.51.100.1/24", laptop, "eth0", "198.51.100.2/24")
	c := newCell(t, lab.Self(), "--trial")
	c.start()
	c.pic("peer", "add", "laptop")
	c.set("peers.laptop.split", true)
	d := connect(t, laptop, c.pic("peer", "config", "laptop", "--endpoint", "198.51.100.1:51820"))
	d.host.Run(t, "ping", "-c", "2", "-i", "0.2", d.cell.String())

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var overUDP, overHTTPS load
	go overUDP.run(ctx, func() error {
		q := new(dns.Msg).SetQuestion("mail.oak.home.arpa.", dns.TypeA)
		r, _, err := (&dns.Client{Timeout: 2 * time.Second}).Exchange(q, "127.0.0.1:10053")
		if err == nil && len(r.Answer) != 1 {
			err = fmt.Errorf("answer %v", r)
		}
		return err
	})
	var dials atomic.Int64
	tr := &http.Transport{TLSClientConfig: c.tlsFor("home.oak.home.arpa"), ForceAttemptHTTP2: false, DialContext: func(ctx context.Context, n, _ string) (net.Conn, error) {
		dials.Add(1)
		return (&net.Dialer{}).DialContext(ctx, n, "127.0.0.1:10443")
	}}
	defer tr.CloseIdleConnections()
	go overHTTPS.run(ctx, func() error {
		req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{}), "GET", "https://home.oak.home.arpa:10443/health", nil)
		if err != nil {
			return err
		}
		res, err := tr.RoundTrip(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		io.Copy(io.Discard, res.Body)
		if res.StatusCode != 200 {
			return fmt.Errorf("status %s", res.Status)
		}
		return nil
	})
	arrived := make(chan uint32, 100)
	mail, err := imapclient.DialTLS("127.0.0.1:10993", &imapclient.Options{
		TLSConfig: c.tlsFor("mail.oak.home.arpa"),
		UnilateralDataHandler: &imapclient.UnilateralDataHandler{Mailbox: func(m *imapclient.UnilateralDataMailbox) {
			if m.NumMessages != nil {
				arrived <- *m.NumMessages
			}
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer mail.Close()
	if err := mail.Login("alice", password).Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := mail.Select("INBOX", &imap.SelectOptions{}).Wait(); err != nil {
		t.Fatal(err)
	}
	idle, err := mail.Idle()
	if err != nil {
		t.Fatal(err)
	}
	ping := laptop.Command("ping", "-i", "0.05", "-W", "5", d.cell.String())
	var pinged strings.Builder
	ping.Stdout = &pinged
	if err := ping.Start(); err != nil {
		t.Fatal(err)
	}

	before := inodes(t)
	for n := range 50 {
		c.pic("set", fmt.Sprintf(`dns.zones."z%d.home.arpa"`, n), `{"records":[{"name":"@","type":"A","value":"192.0.2.1"}]}`)
		c.pic("set", fmt.Sprintf("users.u%d", n), `{"display":"somebody"}`)
		c.pic("peer", "add", fmt.Sprintf("p%d", n))
		c.set([]string{"ntp.port", "mail.smtpPort", "web.filesPort", "dav.webdavPort"}[n%4], 20000+n)
	}
	after := inodes(t)
	for _, k := range []string{"udp 10053", "tcp 10053", "tcp 10443", "tcp 10993", "tcp 10587", "udp 51820", "tcp 8081", "tcp 3000"} {
		if before[k] == "" || before[k] != after[k] {
			t.Errorf("%s had inode %s and has %s", k, before[k], after[k])
		}
	}
	if rev := c.pic("get", "revision"); strings.TrimSpace(rev) < "2" {
		t.Errorf("revision is %s", rev)
	}

	// A refused change leaves every byte and every socket as it was.
	file := filepath.Join(c.dir, "config.json")
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := c.try("set", "dns.listen", `["192.0.2.1"]`); err == nil || !strings.Contains(err.Error(), "not an address of this host") {
		t.Errorf("a foreign address was accepted: %s %v", out, err)
	}
	if now, err := os.ReadFile(file); err != nil || string(now) != string(doc) {
		t.Error("config.json changed")
	}
	for k, ino := range inodes(t) {
		if after[k] != ino {
			t.Errorf("after the refused change %s has inode %s, had %s", k, ino, after[k])
		}
	}

	// The session that idled all the time hears of a new message.
	for len(arrived) > 0 {
		<-arrived
	}
	smtpPort := strings.TrimSpace(c.pic("get", "mail.smtpPort"))
	if err := send("127.0.0.1:"+smtpPort, "hot", "still here\r\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-arrived:
	case <-time.After(10 * time.Second):
		t.Error("the idle session heard nothing of the new message")
	}
	if err := idle.Close(); err != nil {
		t.Errorf("the idle session broke: %v", err)
	}
	if err := mail.Noop().Wait(); err != nil {
		t.Errorf("the IMAP session broke: %v", err)
	}
	ping.Process.Signal(syscall.SIGINT)
	ping.Wait()
	if !strings.Contains(pinged.String(), " 0% packet loss") {
		t.Errorf("ping through WireGuard:\n%s", tail(pinged.String(), 3))
	}
	t.Log(tail(pinged.String(), 2))
	stop()
	overUDP.check(t, "DNS")
	overHTTPS.check(t, "HTTPS")
	if dials.Load() != 1 {
		t.Errorf("the keep-alive client had to connect %d times", dials.Load())
	}
}
