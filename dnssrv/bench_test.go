package dnssrv

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"

	"pic/core/config"
)

// BenchmarkHit is what the program itself needs for an answer that is kept.
func BenchmarkHit(b *testing.B) {
	s := warmed(b, 0)
	for _, name := range []string{"home.oak.home.arpa.", "www.example.net."} {
		for _, with := range []string{"plain", "EDNS", "cookie"} {
			m := new(dns.Msg).SetQuestion(name, dns.TypeA)
			if with != "plain" {
				m.SetEdns0(1232, false)
			}
			if with == "cookie" {
				m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0123456789abcdef"}}
			}
			q, g, c := packed(b, m), new(sighting), from(fromLAN)
			g.known = new(acquaintances)
			recalled(s, q, c)
			b.Run(name+with, func(b *testing.B) {
				b.ReportAllocs()
				h, now := s.current(), time.Now()
				for b.Loop() {
					if s.sought(g, q, c, h, now) == nil {
						b.Fatal("no hit")
					}
				}
			})
		}
	}
}

// BenchmarkUDP is an answer over loopback, with all that the kernel and a client
// in the same process need.
func BenchmarkUDP(b *testing.B) {
	d := lab()
	*d.DNS.Rate = 10_000_000
	for i := range 1000 {
		d.DNS.Records = append(d.DNS.Records, config.Record{Name: fmt.Sprintf("h%03d", i), Type: "A", Value: "192.168.2.1"})
	}
	s := start(b, conf(d), nil)
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer pc.Close()
	to, err := net.ResolveUDPAddr("udp", s.at(b, "udp"))
	if err != nil {
		b.Fatal(err)
	}
	const window = 64
	out, in := make([]ipv4.Message, window), make([]ipv4.Message, window)
	for i := range out {
		out[i].Addr = to
		in[i].Buffers = [][]byte{make([]byte, 2048)}
	}
	conn := ipv4.NewPacketConn(pc)
	n := 0
	for b.Loop() {
		for i := range out {
			out[i].Buffers = [][]byte{packed(b, new(dns.Msg).SetQuestion(fmt.Sprintf("h%03d.oak.home.arpa.", n%1000), dns.TypeA))}
			n++
		}
		for done := 0; done < window; {
			k, err := conn.WriteBatch(out[done:], 0)
			if err != nil {
				b.Fatal(err)
			}
			done += k
		}
		pc.SetReadDeadline(time.Now().Add(time.Second))
		for done := 0; done < window; {
			k, err := conn.ReadBatch(in, 0)
			if err != nil {
				b.Fatal(err)
			}
			done += k
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "answers/s")
}
