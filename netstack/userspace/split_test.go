package userspace

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"

	"pic/netstack/policy"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

var (
	fourA, fourB = netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("10.77.0.2")
	sixA, sixB   = netip.MustParseAddr("fd77::1"), netip.MustParseAddr("fd77::2")
)

// jumbo makes what TCP hands over to be cut. The payload lies in pieces of the
// sizes that cuts names.
func jumbo(t testing.TB, six bool, options int, payload []byte, cuts []byte, mss int, flags header.TCPFlags) *stack.PacketBuffer {
	t.Helper()
	var data buffer.Buffer
	rest := payload
	for _, c := range cuts {
		n := min(int(c)+1, len(rest))
		if n == 0 {
			break
		}
		data.Append(buffer.NewViewWithData(rest[:n]))
		rest = rest[n:]
	}
	if len(rest) > 0 {
		data.Append(buffer.NewViewWithData(rest))
	}
	ip := header.IPv4MinimumSize
	if six {
		ip = header.IPv6MinimumSize
	}
	size := header.TCPMinimumSize + options*4
	p := stack.NewPacketBuffer(stack.PacketBufferOptions{ReserveHeaderBytes: ip + size, Payload: data})
	tcp := header.TCP(p.TransportHeader().Push(size))
	tcp.Encode(&header.TCPFields{SrcPort: 80, DstPort: 5000, SeqNum: 0xfffff000, AckNum: 7, DataOffset: uint8(size), Flags: flags, WindowSize: 500})
	for i := range options * 4 {
		tcp[header.TCPMinimumSize+i] = byte(header.TCPOptionNOP)
	}
	src, dst := fourA, fourB
	if six {
		src, dst = sixA, sixB
	}
	total := size + len(payload)
	tcp.SetChecksum(header.PseudoHeaderChecksum(header.TCPProtocolNumber, address(src), address(dst), uint16(total)))
	p.GSOOptions = stack.GSO{Type: stack.GSOTCPv4, NeedsCsum: true, CsumOffset: header.TCPChecksumOffset, MSS: uint16(mss), L3HdrLen: uint16(ip), MaxSize: maxGSO}
	if six {
		p.GSOOptions.Type = stack.GSOTCPv6
		header.IPv6(p.NetworkHeader().Push(ip)).Encode(&header.IPv6Fields{
			PayloadLength: uint16(total), TransportProtocol: header.TCPProtocolNumber, HopLimit: 64, SrcAddr: address(src), DstAddr: address(dst),
		})
		return p
	}
	h := header.IPv4(p.NetworkHeader().Push(ip))
	h.Encode(&header.IPv4Fields{TotalLength: uint16(total + ip), ID: 0xfffe, TTL: 64, Protocol: ipTCP, SrcAddr: address(src), DstAddr: address(dst)})
	h.SetChecksum(^h.CalculateChecksum())
	return p
}

// cutAll cuts a packet as Read does.
func cutAll(p *stack.PacketBuffer) [][]byte {
	var s segments
	var out [][]byte
	for s.begin(p); s.more(); {
		b := make([]byte, 1<<16)
		out = append(out, b[:s.cut(b)])
	}
	return out
}

// transport takes a packet apart with gVisor's parsers, which verify it.
func transport(t testing.TB, p []byte) (tcp header.TCP, payload []byte) {
	t.Helper()
	var src, dst tcpip.Address
	if p[0]>>4 == 6 {
		h := header.IPv6(p)
		if !h.IsValid(len(p)) || int(h.PayloadLength()) != len(p)-header.IPv6MinimumSize {
			t.Fatalf("no IPv6 packet: % x", p)
		}
		src, dst, tcp = h.SourceAddress(), h.DestinationAddress(), header.TCP(h.Payload())
	} else {
		h := header.IPv4(p)
		if !h.IsValid(len(p)) || int(h.TotalLength()) != len(p) || !h.IsChecksumValid() {
			t.Fatalf("no IPv4 packet: % x", p)
		}
		src, dst, tcp = h.SourceAddress(), h.DestinationAddress(), header.TCP(h.Payload())
	}
	payload = tcp[tcp.DataOffset():]
	sum := header.PseudoHeaderChecksum(header.TCPProtocolNumber, src, dst, uint16(len(tcp)))
	if tcp.CalculateChecksum(checksum.Checksum(payload, sum)) != 0xffff {
		t.Fatalf("checksum of TCP is wrong: % x", p)
	}
	return tcp, payload
}

func FuzzCutPacketsAreTheStream(f *testing.F) {
	f.Add(false, uint8(0), uint16(5000), uint16(1380), []byte{3, 200}, uint8(header.TCPFlagAck|header.TCPFlagPsh))
	f.Add(true, uint8(3), uint16(60000), uint16(1348), []byte{255, 255, 0, 1}, uint8(header.TCPFlagAck|header.TCPFlagFin))
	f.Add(false, uint8(10), uint16(0), uint16(0), []byte{}, uint8(header.TCPFlagAck))
	f.Add(false, uint8(2), uint16(65000), uint16(1), []byte{9}, uint8(header.TCPFlagAck))
	f.Fuzz(func(t *testing.T, six bool, options uint8, size, mss uint16, cuts []byte, flags uint8) {
		payload := make([]byte, min(int(size), 65000))
		rand.NewChaCha8([32]byte{byte(size)}).Read(payload)
		opts := int(options) % 11
		out := cutAll(jumbo(t, six, opts, payload, cuts, int(mss), header.TCPFlags(flags)))
		var got []byte
		for i, p := range out {
			tcp, data := transport(t, p)
			if want := uint32(0xfffff000) + uint32(len(got)); tcp.SequenceNumber() != want {
				t.Fatalf("segment %d begins at %d, not %d", i, tcp.SequenceNumber(), want)
			}
			if mss > 0 && len(data) > int(mss) {
				t.Fatalf("segment %d has %d bytes, more than %d", i, len(data), mss)
			}
			want := flags & 0x3f
			if i < len(out)-1 {
				want &^= uint8(header.TCPFlagFin | header.TCPFlagPsh)
			}
			if uint8(tcp.Flags())&0x3f != want {
				t.Fatalf("segment %d of %d has flags %s of %s", i, len(out), tcp.Flags(), header.TCPFlags(flags))
			}
			if !six && header.IPv4(p).ID() != uint16(0xfffe+i) {
				t.Fatalf("segment %d has the ID %d", i, header.IPv4(p).ID())
			}
			got = append(got, data...)
		}
		if !bytes.Equal(got, payload) {
			t.Fatalf("%d bytes became %d", len(payload), len(got))
		}
	})
}

// A recorder is a stack that only notes what arrives.
type recorder struct {
	packets [][]byte
}

func (r *recorder) DeliverNetworkPacket(_ tcpip.NetworkProtocolNumber, p *stack.PacketBuffer) {
	v := p.ToView()
	r.packets = append(r.packets, bytes.Clone(v.AsSlice()))
	v.Release()
}

func (r *recorder) DeliverLinkPacket(tcpip.NetworkProtocolNumber, *stack.PacketBuffer) {}

// recording is a Net whose stack is a recorder, at B.
func recording() (*Net, *recorder) {
	r := &recorder{}
	n := &Net{link: newLink(1420)}
	n.link.Attach(r)
	n.gate.Store(newGate(policy.New(policy.Rules{
		Cell:  []netip.Addr{fourB, sixB},
		Peers: []policy.Peer{{Name: "a", Addrs: []netip.Addr{fourA, sixA}, Services: []string{"all"}}},
	}), &n.served))
	return n, r
}

// write gives n packets in one batch.
func write(t testing.TB, n *Net, packets [][]byte) {
	t.Helper()
	const offset = 16
	var all [][]byte
	for _, p := range packets {
		all = append(all, append(make([]byte, offset), p...))
	}
	if got, err := n.Write(all, offset); got != len(all) || err != nil {
		t.Fatalf("%d of %d packets, %v", got, len(all), err)
	}
}

// streamOf is what the packets say to TCP: bytes with their places, in order, and
// who acknowledges what.
func streamOf(packets [][]byte) (out []string) {
	for _, p := range packets {
		ip := header.IPv4MinimumSize
		if p[0]>>4 == 6 {
			ip = header.IPv6MinimumSize
		}
		tcp := header.TCP(p[ip:])
		if len(tcp) < header.TCPMinimumSize || int(tcp.DataOffset()) > len(tcp) {
			out = append(out, string(p))
			continue
		}
		head := string(p[0]>>4) + string(tcp[8:12]) + string(tcp[14:16]) + string(tcp[header.TCPMinimumSize:tcp.DataOffset()])
		data := tcp[tcp.DataOffset():]
		flags := tcp.Flags() &^ header.TCPFlagPsh
		if len(data) == 0 {
			out = append(out, head+string(rune(flags))+string(tcp[4:8]))
		}
		for i := range data {
			at := tcp.SequenceNumber() + uint32(i)
			out = append(out, head+string(rune(flags))+string([]byte{byte(at >> 24), byte(at >> 16), byte(at >> 8), byte(at), data[i]}))
		}
	}
	return out
}

// What the fuzzer does to a batch: each byte names a packet to repeat, leave out,
// spoil, mark or move.
func FuzzJoinedPacketsAreTheStream(f *testing.F) {
	f.Add(false, uint16(9000), uint16(1380), []byte{})
	f.Add(true, uint16(60000), uint16(1348), []byte{1, 2, 3, 40, 80, 200})
	f.Add(false, uint16(300), uint16(10), []byte{7, 9, 9, 130, 131, 200, 250})
	f.Fuzz(func(t *testing.T, six bool, size, mss uint16, harm []byte) {
		payload := make([]byte, min(int(size), 20000))
		rand.NewChaCha8([32]byte{byte(size)}).Read(payload)
		packets := cutAll(jumbo(t, six, 3, payload, nil, max(int(mss), 100), header.TCPFlagAck|header.TCPFlagPsh))
		for i, h := range harm {
			at := (i*7 + int(h)) % len(packets)
			p := packets[at]
			switch h % 5 {
			case 0:
				packets = append(packets, p)
			case 1:
				if len(packets) > 1 {
					packets = append(packets[:at:at], packets[at+1:]...)
				}
			case 2:
				p = bytes.Clone(p)
				p[int(h)*len(p)/256] ^= h
				packets[at] = p
			case 3:
				packets[at], packets[0] = packets[0], packets[at]
			case 4: // a window of its own
				tail := cutAll(jumbo(t, six, int(h)%4, payload[:min(len(payload), int(h))], nil, 2000, header.TCPFlagAck))
				packets = append(packets, tail...)
			}
		}
		one, ones := recording()
		for _, p := range packets {
			write(t, one, [][]byte{bytes.Clone(p)})
		}
		many, joined := recording()
		write(t, many, packets)
		want, got := streamOf(ones.packets), streamOf(joined.packets)
		if len(want) != len(got) {
			t.Fatalf("%d pieces became %d", len(want), len(got))
		}
		for i := range want {
			if want[i] != got[i] {
				t.Fatalf("piece %d differs: %q became %q", i, want[i], got[i])
			}
		}
		if len(harm) == 0 && len(payload) > 0 && len(joined.packets) != 1 {
			t.Fatalf("%d packets in a row became %d", len(packets), len(joined.packets))
		}
	})
}

func FuzzLookStaysWithinThePacket(f *testing.F) {
	for _, six := range []bool{false, true} {
		f.Add(cutAll(jumbo(f, six, 0, []byte("hello"), nil, 100, header.TCPFlagAck))[0])
	}
	f.Add([]byte{0x45})
	f.Fuzz(func(t *testing.T, p []byte) {
		h, ok := look(p)
		if !ok {
			return
		}
		if h.ip > len(p) || h.rest > len(p) || h.echo && h.piece {
			t.Fatalf("%+v of %d bytes", h, len(p))
		}
		n, _ := recording()
		n.out = &outbound{net: n}
		write(t, n, [][]byte{p, p})
	})
}
