package fw

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pic/internal/nettest"
	"pic/netstack/policy"
)

// What the kernel tells of its connections is what the program conntrack tells,
// and one is ended without its neighbours, of both families.
func TestTrackerSeesAndEndsConnections(t *testing.T) {
	h := nettest.New(t).Self()
	nettest.Tool(t, "conntrack")
	h.Run(t, "conntrack", "-F")
	add := func(src, dst, back string, port int, proto string) {
		more := []string{"--state", "ESTABLISHED"}
		if proto == "udp" {
			more = nil
		}
		h.Run(t, "conntrack", append([]string{
			"-I", "-p", proto, "-t", "600", "-s", src, "-d", dst, "--sport", "4000", "--dport",
			fmt.Sprint(port), "-r", back, "-q", src, "--reply-port-src", "80", "--reply-port-dst", "4000",
		}, more...)...)
	}
	if !untracked() {
		t.Error("an empty table counts as full")
	}
	add("10.77.0.2", "198.51.100.1", "192.168.1.20", 8080, "tcp")
	add("10.77.0.3", "203.0.113.9", "203.0.113.9", 80, "udp")
	add("fd77::2", "2001:db8::1", "2001:db8::1", 443, "tcp")
	if untracked() {
		t.Error("a full table counts as empty")
	}
	var got []string
	n, err := cut(func(e connection) bool {
		got = append(got, fmt.Sprintf("%s %s %d %d %s", e.flow.Src, e.flow.Dst, e.flow.Proto, e.flow.Port, e.back))
		return e.flow.Port != 80
	})
	if err != nil || n != 2 {
		t.Errorf("%d ended: %v", n, err)
	}
	for _, want := range []string{
		"10.77.0.2 198.51.100.1 6 8080 192.168.1.20", "10.77.0.3 203.0.113.9 17 80 203.0.113.9", "fd77::2 2001:db8::1 6 443 2001:db8::1",
	} {
		if !strings.Contains(strings.Join(got, "\n"), want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
	left := h.Run(t, "conntrack", "-L") + h.Run(t, "conntrack", "-L", "-f", "ipv6")
	if !strings.Contains(left, "10.77.0.3") || strings.Contains(left, "10.77.0.2") || strings.Contains(left, "fd77::2") {
		t.Errorf("left are\n%s", left)
	}
	h.Run(t, "conntrack", "-F")
}

// Thousands of connections are more than one answer of the kernel has room for.
func TestTrackerSeesThousandsOfConnections(t *testing.T) {
	h := nettest.New(t).Self()
	nettest.Tool(t, "conntrack")
	h.Run(t, "conntrack", "-F")
	const many = 3000
	var b strings.Builder
	for i := range many {
		fmt.Fprintf(&b, "-I -p udp -t 600 -s 10.77.%d.%d -d 203.0.113.9 --sport 4000 --dport 53\n", i/250, i%250+1)
	}
	cmd := h.Command("conntrack", "-R", "-")
	cmd.Stdin = strings.NewReader(b.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	seen := map[netip.Addr]bool{}
	n, err := cut(func(e connection) bool { seen[e.flow.Src] = true; return e.flow.Src.As4()[3] == 7 })
	if err != nil || len(seen) != many || n != many/250 {
		t.Errorf("%d seen, %d ended: %v", len(seen), n, err)
	}
	h.Run(t, "conntrack", "-F")
}

// Whatever is read as the kernel's message, what comes of it is whole or refused,
// and names a connection by pieces of the message itself.
func FuzzParseConnection(f *testing.F) {
	attr := func(kind byte, body ...byte) []byte {
		b := append([]byte{byte(4 + len(body)), 0, kind, 0}, body...)
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
		return b
	}
	join := func(parts ...[]byte) (out []byte) {
		for _, p := range parts {
			out = append(out, p...)
		}
		return out
	}
	side := func(a, b byte) []byte {
		return join(attr(ctaIP, join(attr(ctaSrc4, 10, 0, 0, a), attr(ctaDst4, 10, 0, 0, b))...),
			attr(ctaProto, join(attr(ctaProtoNumber, 6), attr(ctaTheirPort, 0, 80))...))
	}
	whole := join([]byte{2, 0, 0, 0}, attr(ctaOrig, side(1, 2)...), attr(ctaReply, side(2, 1)...), attr(ctaID, 1, 2, 3, 4))
	if e, ok := parseConnection(whole); !ok || e.flow != (policy.Flow{
		Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2"), Proto: policy.TCP, Port: 80,
	}) || e.back != netip.MustParseAddr("10.0.0.2") || len(e.name) != 2 {
		f.Errorf("read as %+v, %v", e, ok)
	}
	f.Add(whole)
	f.Add(whole[:30])
	f.Fuzz(func(t *testing.T, b []byte) {
		e, ok := parseConnection(b)
		if !ok {
			return
		}
		if !e.flow.Src.IsValid() || !e.flow.Dst.IsValid() || !e.back.IsValid() || len(e.name) == 0 {
			t.Errorf("%+v", e)
		}
		total := 0
		for _, a := range e.name {
			total += len(a)
		}
		if total > len(b) {
			t.Errorf("the name has %d bytes of %d", total, len(b))
		}
		if k := e.kept(); len(k.name) != len(e.name) {
			t.Errorf("kept %d of %d", len(k.name), len(e.name))
		}
	})
}
