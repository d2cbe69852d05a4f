package dhcpsrv

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

type hardware [6]byte

var everyone = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// probeWait is how long a probe waits for an answer, twice.
const probeWait = 150 * time.Millisecond

// inUse asks the LAN whether some device but the one for which the address is
// meant has it. That one may use it already, as it is when our leases were lost.
func (l *link) inUse(a netip.Addr, mine net.HardwareAddr) bool {
	heard := make(chan hardware, 4)
	l.mu.Lock()
	l.asks[a] = append(l.asks[a], heard)
	l.mu.Unlock()
	defer l.unask(a, heard)
	for range 2 {
		if err := l.askARP(a); err != nil {
			return false // nobody can be asked, and the offer would not get out either
		}
		wait := time.After(probeWait)
		for again := true; again; {
			select {
			case who := <-heard:
				if string(who[:]) != string(mine) {
					return true
				}
			case <-wait:
				again = false
			}
		}
	}
	return false
}

func (l *link) unask(a netip.Addr, heard chan hardware) {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := slices.DeleteFunc(l.asks[a], func(c chan hardware) bool { return c == heard })
	if len(left) == 0 {
		delete(l.asks, a)
		return
	}
	l.asks[a] = left
}

// askARP sends an ARP probe: a request with no sender address (RFC 5227 §2.1.1).
func (l *link) askARP(a netip.Addr) error {
	f := make([]byte, 60) // the least that Ethernet carries
	be := binary.BigEndian
	copy(f, everyone)
	copy(f[6:], l.card.HardwareAddr)
	be.PutUint16(f[12:], unix.ETH_P_ARP)
	be.PutUint16(f[14:], 1) // Ethernet
	be.PutUint16(f[16:], unix.ETH_P_IP)
	f[18], f[19] = 6, 4
	be.PutUint16(f[20:], 1) // request
	copy(f[22:], l.card.HardwareAddr)
	target := a.As4()
	copy(f[38:], target[:])
	_, err := l.arp.WriteTo(f, &packet.Addr{HardwareAddr: everyone})
	return err
}

// listenARP wakes the probes for addresses that devices show they have.
func (l *link) listenARP() {
	buf := make([]byte, 1600)
	for {
		n, _, err := l.arp.ReadFrom(buf)
		if err != nil {
			if l.closed.Load() || !l.alive() {
				return
			}
			continue // such as: the network is down; each is told once
		}
		sender, who, ok := arpSender(buf[:n])
		if !ok {
			continue
		}
		l.mu.Lock()
		for _, heard := range l.asks[sender] {
			select {
			case heard <- who:
			default:
			}
		}
		l.mu.Unlock()
	}
}

// arpSender is who sent an ARP frame, and the IPv4 address that they have.
func arpSender(f []byte) (netip.Addr, hardware, bool) {
	be := binary.BigEndian
	if len(f) < 42 || be.Uint16(f[12:]) != unix.ETH_P_ARP || be.Uint16(f[16:]) != unix.ETH_P_IP || f[18] != 6 || f[19] != 4 {
		return netip.Addr{}, hardware{}, false
	}
	a := netip.AddrFrom4([4]byte(f[28:32]))
	return a, hardware(f[22:28]), !a.IsUnspecified()
}
