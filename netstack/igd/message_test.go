package igd

import (
	"bytes"
	"net/netip"
	"testing"
)

func FuzzMessages(f *testing.F) {
	f.Add(pmpRequest{op: opUDP, internal: 51820, external: 51820, life: 7200}.bytes())
	f.Add(pmpReply{op: opAddress, address: netip.MustParseAddr("203.0.113.7")}.bytes())
	f.Add(pcpMessage{
		op: opMap, client: netip.MustParseAddr("192.168.1.5"), protocol: UDP, internal: 1, external: 2,
		options: []option{{optPreferFailure, nil}, {optFilter, make([]byte, 20)}},
	}.bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := readPMP(b); err == nil && (r.op == opUDP || r.op == opTCP) {
			if again, err := readPMP(r.bytes()); err != nil || again != r {
				t.Errorf("NAT-PMP request %+v reads as %+v, %v", r, again, err)
			}
		}
		if r, err := readPMPReply(b); err == nil && r.result == success && r.op <= opTCP {
			if again, err := readPMPReply(r.bytes()); err != nil || again != r {
				t.Errorf("NAT-PMP answer %+v reads as %+v, %v", r, again, err)
			}
		}
		m, err := readPCP(b)
		if err != nil || m.op != opMap {
			return
		}
		wire := m.bytes()
		again, err := readPCP(wire)
		if err != nil || !bytes.Equal(again.bytes(), wire) {
			t.Errorf("PCP %+v reads as %+v, %v", m, again, err)
		}
	})
}

// FuzzServer holds the server to its answers: of the right form, never larger
// than asked for by much, and nothing opened for another.
func FuzzServer(f *testing.F) {
	f.Add(pmpRequest{op: opTCP, internal: 80, external: 8080, life: 60}.bytes())
	f.Add(pcpMessage{op: opMap, client: netip.MustParseAddr("192.168.1.5"), life: 60, protocol: TCP, internal: 80}.bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		w := newWorld(t)
		from := netip.MustParseAddrPort("192.168.1.5:1024")
		out := w.server.answer(from, b, w.now)
		if len(out) > len(b)+64 {
			t.Errorf("%d bytes answered to %d", len(out), len(b))
		}
		if out != nil && out[1]&response == 0 {
			t.Errorf("an answer that is a request: %x", out)
		}
		for _, m := range w.server.Mappings() {
			if m.Client != from.Addr() || m.External < lowest || m.External == 51820 {
				t.Errorf("opened %+v", m)
			}
		}
	})
}
