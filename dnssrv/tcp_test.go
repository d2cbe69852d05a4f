package dnssrv

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestConnectionsOfOneClientAreBounded(t *testing.T) {
	s := start(t, conf(lab()), nil)
	for i := range maxConnsPerHost + 8 {
		c, err := net.Dial("tcp", s.at(t, "tcp"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		turned := i >= maxConnsPerHost // which are accepted in their order
		wait := time.Millisecond
		if turned {
			wait = idle / 2
		}
		c.SetReadDeadline(time.Now().Add(wait))
		if _, err := c.Read(make([]byte, 1)); os.IsTimeout(err) == turned {
			t.Errorf("connection %d: %v", i, err)
		}
	}
}

func TestQueriesOfAConnectionDoNotWaitForEachOther(t *testing.T) {
	up := source(t, func(w dns.ResponseWriter, r *dns.Msg) {
		if strings.HasPrefix(strings.ToLower(r.Question[0].Name), "slow") {
			time.Sleep(patience * 2 / 3)
		}
		world(w, r)
	})
	s := start(t, conf(lab(up.addr)), nil)
	c, err := dns.Dial("tcp", s.at(t, "tcp"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i, name := range []string{"slow.example.net.", "www.example.net.", "nas.oak.home.arpa."} {
		m := new(dns.Msg).SetQuestion(name, dns.TypeA)
		m.Id = uint16(i)
		if err := c.WriteMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	var order []uint16
	for range 3 {
		m, err := c.ReadMsg()
		if err != nil {
			t.Fatal(err)
		}
		order = append(order, m.Id)
	}
	if order[2] != 0 {
		t.Errorf("answers came in the order %v; the slow one is 0", order)
	}
}

func TestMessagesThatAreNoneEndAConnection(t *testing.T) {
	s := start(t, conf(lab()), nil)
	for name, b := range map[string]string{
		"HTTP":       "GET / HTTP/1.1\r\nHost: oak\r\n\r\n",
		"a response": "\x00\x0c\x00\x01\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"nothing":    "\x00\x00",
	} {
		c, err := net.Dial("tcp", s.at(t, "tcp"))
		if err != nil {
			t.Fatal(err)
		}
		c.Write([]byte(b))
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if n, err := c.Read(make([]byte, 64)); n > 0 || os.IsTimeout(err) {
			t.Errorf("%s: got %d bytes, %v", name, n, err)
		}
		c.Close()
	}
}
