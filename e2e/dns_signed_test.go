package e2e

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/internal/nettest"
)

// overTLS passes what comes over UDP on to addr over TLS, each message over a
// connection of its own, and returns the port where it listens: for tools that do
// not speak DNS over TLS.
func overTLS(t *testing.T, addr string, conf *tls.Config) (port string) {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	pass := func(q []byte) ([]byte, error) {
		c, err := tls.Dial("tcp", addr, conf)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		framed := dns.Conn{Conn: c} // with the length before it
		if _, err := framed.Write(q); err != nil {
			return nil, err
		}
		return framed.ReadMsgHeader(nil)
	}
	go func() {
		b := make([]byte, 4096)
		for {
			n, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			if r, err := pass(b[:n]); err == nil {
				pc.WriteTo(r, from)
			}
		}
	}()
	_, port, _ = net.SplitHostPort(pc.LocalAddr().String())
	return port
}

func TestASignedZoneIsValidatedOverTLS(t *testing.T) {
	c := trial(t)
	c.set("dns.own.sign", true)
	c.set("dns.zones", []map[string]any{{
		"name": "lab.example", "options": map[string]any{"sign": true},
		"records": []map[string]string{{"name": "www", "type": "A", "value": "192.0.2.5"}, {"name": "*.apps", "type": "CNAME", "value": "www"}},
	}})
	port := overTLS(t, "127.0.0.1:10853", c.tlsFor("dns.oak.home.arpa"))
	for zone, questions := range map[string]map[string]string{
		"oak.home.arpa": {"home A": "; fully validated", "nope A": "; negative response, fully validated", "_imaps._tcp SRV": "; fully validated"},
		"lab.example":   {"www A": "; fully validated", "x.apps A": "; fully validated", "www AAAA": "; negative response, fully validated"},
	} {
		var f []string
		nettest.WaitFor(t, 10*time.Second, func() bool {
			out, _ := c.try("dns", "zone", "ds", zone)
			f = strings.Fields(out)
			return len(f) == 8
		})
		anchors := filepath.Join(t.TempDir(), "anchors")
		text := fmt.Sprintf("trust-anchors { %q static-ds %s %s %s %q; };\n", f[0], f[4], f[5], f[6], f[7])
		if err := os.WriteFile(anchors, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		for q, want := range questions {
			name, typ, _ := strings.Cut(q, " ")
			out := run(t, "delv", "@127.0.0.1", "-p", port, "-a", anchors, "+root="+zone, name+"."+zone, typ)
			contains(t, q+" in "+zone, out, want)
		}
	}
}
