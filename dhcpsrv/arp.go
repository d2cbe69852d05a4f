package dhcpsrv

import (
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/mdlayher/packet"

	"pic/internal/ether"
)

type hardware = [6]byte

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

// askARP sends an ARP probe (RFC 5227 §2.1.1).
func (l *link) askARP(a netip.Addr) error {
	_, err := l.arp.WriteTo(ether.ARPProbe(l.card.HardwareAddr, a), &packet.Addr{HardwareAddr: ether.Everyone()})
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
		sender, who, ok := ether.ARPSender(buf[:n])
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
