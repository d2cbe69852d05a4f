package igd

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"pic/internal/nettest"
)

// A world is a server for 192.168.1.0/24 with ways to look into it.
type world struct {
	server *Server
	now    time.Time

	mu   sync.Mutex
	open map[place]Mapping
	fail error
}

func (w *world) Open(m Mapping) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		return w.fail
	}
	w.open[place{m.Protocol, m.External}] = m
	return nil
}

func (w *world) Close(m Mapping) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, place{m.Protocol, m.External})
}

func (w *world) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.open)
}

var external = netip.MustParseAddr("203.0.113.7")

func newWorld(t testing.TB) *world {
	w := &world{open: map[place]Mapping{}, now: time.Now()}
	w.server = NewServer(slog.New(slog.DiscardHandler), w)
	w.server.Set(w.terms())
	return w
}

func (w *world) terms() Terms {
	return Terms{
		Allow: []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")}, Most: 3, External: external,
		Taken: func(_ uint8, port uint16) bool { return port == 51820 },
	}
}

func (w *world) pmp(t *testing.T, from string, r pmpRequest) pmpReply {
	t.Helper()
	out, err := readPMPReply(w.server.answer(netip.AddrPortFrom(netip.MustParseAddr(from), 5000), r.bytes(), w.now))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (w *world) pcp(t *testing.T, from string, m pcpMessage) pcpMessage {
	t.Helper()
	w.now = w.now.Add(100 * time.Millisecond)
	if !m.client.IsValid() {
		m.client = netip.MustParseAddr(from)
	}
	out, err := readPCP(w.server.answer(netip.AddrPortFrom(netip.MustParseAddr(from), 5000), m.bytes(), w.now))
	if err != nil || !out.answer {
		t.Fatalf("%+v, %v", out, err)
	}
	return out
}

func TestDevicesMapTheirOwnPortsByNATPMP(t *testing.T) {
	w := newWorld(t)
	if r := w.pmp(t, "192.168.1.5", pmpRequest{op: opAddress}); r.address != external {
		t.Errorf("external address %s", r.address)
	}
	r := w.pmp(t, "192.168.1.5", pmpRequest{op: opUDP, internal: 6881, external: 6881, life: 3600})
	if r.result != success || r.external != 6881 || r.life != 3600 || w.count() != 1 {
		t.Fatalf("%+v, %d open", r, w.count())
	}
	// Another device gets another port, and cannot take this one away.
	other := w.pmp(t, "192.168.1.6", pmpRequest{op: opUDP, internal: 6881, external: 6881, life: 3600})
	if other.result != success || other.external == 6881 || other.external < lowest {
		t.Errorf("%+v", other)
	}
	w.pmp(t, "192.168.1.7", pmpRequest{op: opUDP, internal: 6881})
	if w.count() != 2 {
		t.Errorf("%d open", w.count())
	}
	w.pmp(t, "192.168.1.5", pmpRequest{op: opUDP}) // all its own
	if w.count() != 1 {
		t.Errorf("%d open", w.count())
	}
	w.server.expire(w.now.Add(2 * time.Hour))
	if w.count() != 0 {
		t.Errorf("%d open after their time", w.count())
	}
}

func TestWhatMayNotBeMapped(t *testing.T) {
	w := newWorld(t)
	for name, tt := range map[string]struct {
		from string
		ask  pmpRequest
		want uint16
	}{
		"a stranger":         {"198.51.100.9", pmpRequest{op: opUDP, internal: 1, external: 5000, life: 60}, notAuthorized},
		"no such operation":  {"192.168.1.5", pmpRequest{op: 9}, unsuppOpPMP},
		"a service's port":   {"192.168.1.5", pmpRequest{op: opUDP, internal: 1, external: 51820, life: 60}, success},
		"a well-known port":  {"192.168.1.5", pmpRequest{op: opTCP, internal: 80, external: 80, life: 60}, success},
		"no port of its own": {"192.168.1.5", pmpRequest{op: opTCP, external: 8080, life: 60}, networkFailed},
	} {
		r := w.pmp(t, tt.from, tt.ask)
		if r.result != tt.want || r.result == success && (r.external == tt.ask.external || r.external < lowest) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if r := w.pmp(t, "192.168.1.5", pmpRequest{op: opTCP, internal: 81, life: 60}); r.result != success || r.life != 120 {
		t.Errorf("%+v", r)
	}
	if r := w.pmp(t, "192.168.1.5", pmpRequest{op: opTCP, internal: 82, life: 60}); r.result != outOfResources {
		t.Errorf("one more than a device may have: %+v", r)
	}
	w.fail = errors.New("the packet filter is away")
	if r := w.pmp(t, "192.168.1.8", pmpRequest{op: opTCP, internal: 82, life: 60}); r.result != networkFailed {
		t.Errorf("not in force, yet %+v", r)
	}
	terms := w.terms()
	terms.Allow = nil
	w.server.Set(terms)
	if w.count() != 0 {
		t.Errorf("%d open for who may no more", w.count())
	}
}

func TestPCPAnswersByTheBook(t *testing.T) {
	w := newWorld(t)
	ask := pcpMessage{op: opMap, life: 600, nonce: Nonce{1}, protocol: TCP, internal: 8080, external: 8080}
	if r := w.pcp(t, "192.168.1.5", ask); r.result != success || r.external != 8080 || r.address != external || r.life != 600 || r.nonce != ask.nonce {
		t.Fatalf("%+v", r)
	}
	with := func(f func(*pcpMessage)) pcpMessage { m := ask; f(&m); return m }
	for name, tt := range map[string]struct {
		from string
		ask  pcpMessage
		want byte
	}{
		"renewal":                 {"192.168.1.5", ask, success},
		"with another nonce":      {"192.168.1.5", with(func(m *pcpMessage) { m.nonce = Nonce{2} }), notAuthorized},
		"end, with another nonce": {"192.168.1.5", with(func(m *pcpMessage) { m.nonce, m.life = Nonce{2}, 0 }), notAuthorized},
		"through a NAT":           {"192.168.1.5", with(func(m *pcpMessage) { m.client = netip.MustParseAddr("10.0.0.1") }), addressMismatch},
		"for another":             {"192.168.1.5", with(func(m *pcpMessage) { m.options = []option{{optThirdParty, make([]byte, 16)}} }), notAuthorized},
		"with a filter":           {"192.168.1.5", with(func(m *pcpMessage) { m.options = []option{{optFilter, make([]byte, 20)}} }), unsuppOption},
		"with what may be passed over": {
			"192.168.1.5", with(func(m *pcpMessage) { m.options = []option{{200, []byte{1}}} }), success,
		},
		"ICMP": {"192.168.1.5", with(func(m *pcpMessage) { m.protocol = 1 }), unsuppProtocol},
		"PEER": {"192.168.1.5", pcpMessage{op: 2}, unsuppOpcode},
		"that port or none": {
			"192.168.1.6", with(func(m *pcpMessage) { m.options = []option{{code: optPreferFailure}} }), cannotExternal,
		},
		"a stranger": {"198.51.100.9", ask, notAuthorized},
		"announce":   {"192.168.1.5", pcpMessage{op: opAnnounce}, success},
	} {
		if r := w.pcp(t, tt.from, tt.ask); r.result != tt.want {
			t.Errorf("%s: result %d, want %d", name, r.result, tt.want)
		}
	}
	if w.count() != 1 {
		t.Errorf("%d open", w.count())
	}
	if r := w.pcp(t, "192.168.1.5", with(func(m *pcpMessage) { m.life = 0 })); r.result != success || w.count() != 0 {
		t.Errorf("%+v, %d open", r, w.count())
	}
	if out := w.server.answer(netip.MustParseAddrPort("192.168.1.5:1"), []byte{1, opMap, 0, 0}, w.now); len(out) != headPCP || out[3] != unsuppVersion || out[1] != opMap|response {
		t.Errorf("version 1: %x", out)
	}
	if out := w.server.answer(netip.MustParseAddrPort("192.168.1.5:1"), ask.bytes()[:30], w.now); out == nil || out[3] != malformed {
		t.Errorf("cut short: %x", out)
	}
}

func TestDevicesThatAskAllTheTimeAreNotHeard(t *testing.T) {
	w := newWorld(t)
	from := netip.MustParseAddrPort("192.168.1.5:5000")
	heard := 0
	for range 100 {
		if w.server.answer(from, pmpRequest{op: opAddress}.bytes(), w.now) != nil {
			heard++
		}
	}
	if heard != mostAsked {
		t.Errorf("%d of 100 questions in a second answered", heard)
	}
	if w.server.answer(from, pmpRequest{op: opAddress}.bytes(), w.now.Add(time.Second)) == nil {
		t.Error("not heard a second later")
	}
}

func TestNATPMPDoesNotChangeWhatPCPMade(t *testing.T) {
	w := newWorld(t)
	w.pcp(t, "192.168.1.5", pcpMessage{op: opMap, life: 600, nonce: Nonce{1}, protocol: TCP, internal: 8080, external: 8080})
	if r := w.pmp(t, "192.168.1.5", pmpRequest{op: opTCP, internal: 8080, external: 8080, life: 60}); r.result != notAuthorized {
		t.Errorf("%+v", r)
	}
	if r := w.pmp(t, "192.168.1.5", pmpRequest{op: opTCP, internal: 8080}); r.result != notAuthorized || w.count() != 1 {
		t.Errorf("%+v, %d open", r, w.count())
	}
}

func TestNatpmpcOpensAPort(t *testing.T) {
	tool := nettest.Tool(t, "natpmpc")
	lab := nettest.New(t)
	cell, device := lab.Host("cell"), lab.Host("device")
	lab.Link(cell, "lan0", "192.168.1.1/24", device, "eth0", "192.168.1.5/24")
	w := newWorld(t)
	var c net.PacketConn
	if err := cell.Do(func() (err error) { c, err = net.ListenPacket("udp4", "192.168.1.1:5351"); return err }); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- w.server.Serve(c) }()
	out := device.Run(t, tool, "-g", "192.168.1.1", "-a", "7000", "7001", "udp", "600")
	for _, want := range []string{"Public IP address : 203.0.113.7", "Mapped public port 7000 protocol UDP to local port 7001", " 600\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("natpmpc does not say %q:\n%s", want, out)
		}
	}
	if all := w.server.Mappings(); len(all) != 1 || all[0].Client != netip.MustParseAddr("192.168.1.5") || all[0].Internal != 7001 {
		t.Errorf("%+v", all)
	}
	device.Run(t, tool, "-g", "192.168.1.1", "-a", "7000", "7001", "udp", "0")
	if w.count() != 0 {
		t.Error("the port is still open")
	}
	c.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
