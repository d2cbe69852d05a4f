package netstack

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"pic/core/service"
	"pic/internal/order"
	"pic/netstack/fw"
	"pic/netstack/wgdev"
)

// A PeerStatus is what is known of a peer's connection. It is zero but for the
// name and key while the tunnel is down.
type PeerStatus struct {
	Name          string         `json:"name"`
	PublicKey     string         `json:"publicKey"`
	Endpoint      netip.AddrPort `json:"endpoint,omitzero"`      // where it was last heard from
	LastHandshake time.Time      `json:"lastHandshake,omitzero"` // zero: never since the start
	RxBytes       uint64         `json:"rxBytes"`                // received from it since the start
	TxBytes       uint64         `json:"txBytes"`
}

// Connected reports whether the peer has a session that is still good: peers
// shake hands every two minutes while they talk.
func (p PeerStatus) Connected() bool {
	return !p.LastHandshake.IsZero() && time.Since(p.LastHandshake) < 3*time.Minute
}

// Peers returns the status of the peers that may use the tunnel, in the order of
// the document.
func (s *Server) Peers() []PeerStatus {
	s.mu.Lock()
	peers := s.conf.Peers
	s.mu.Unlock()
	var d wgdev.State
	if t := s.tunnel.Load(); t != nil {
		d, _ = t.dev.State()
	}
	out := make([]PeerStatus, 0, len(peers))
	for _, p := range peers {
		st := PeerStatus{Name: p.Name, PublicKey: p.PublicKey}
		if k, err := parseKey(p.PublicKey); err == nil {
			w := d.Peers[k]
			st.Endpoint = w.Endpoint
			st.LastHandshake, st.RxBytes, st.TxBytes = w.Handshake, w.Rx, w.Tx
		}
		out = append(out, st)
	}
	return out
}

// NAT says in words what is translated on the way out; nothing outside TUN mode.
func (s *Server) NAT() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.firewall.Loaded().NAT()
}

// Sockets lists where WireGuard listens.
func (s *Server) Sockets() []string {
	t := s.tunnel.Load()
	if t == nil {
		return nil
	}
	port := t.port()
	return []string{fmt.Sprintf("udp 0.0.0.0:%d", port), fmt.Sprintf("udp [::]:%d", port)}
}

// Facts are for the page of services.
func (s *Server) Facts() []service.Fact {
	t := s.tunnel.Load()
	if t == nil {
		return nil
	}
	peers := s.Peers()
	connected := 0
	var rx, tx uint64
	for _, p := range peers {
		if p.Connected() {
			connected++
		}
		rx, tx = rx+p.RxBytes, tx+p.TxBytes
	}
	var addrs []string
	for _, a := range t.addrs {
		addrs = append(addrs, a.String())
	}
	return []service.Fact{
		{Name: "interface", Value: t.name},
		{Name: "addresses", Value: strings.Join(addrs, " ")},
		{Name: "peers", Value: strconv.Itoa(len(peers))},
		{Name: "connected", Value: strconv.Itoa(connected)},
		{Name: "bytes received", Value: strconv.FormatUint(rx, 10)},
		{Name: "bytes sent", Value: strconv.FormatUint(tx, 10)},
	}
}

// Problems lists what is wrong now.
func (s *Server) Problems() []service.Problem { return s.trouble.list() }

const (
	codeNoKey       = "wireguard/no-key"
	codeNoTUN       = "wireguard/no-tun"
	codeNoSocket    = "wireguard/no-wg-tool"
	codeNoKernel    = "wireguard/no-kernel"
	codeTouched     = "wireguard/changed-by-others"
	codeForeignDrop = "firewall/others-drop"
	codeForwarding  = "network/no-forwarding"
	codePorts       = "wireguard/ports-taken"
	codeDrift       = "network/not-in-force"
	codeExits       = "network/exits-down"
	codeUndo        = "network/undo-failed"
	codeHost        = "network/host-unknown"
	codeLegacy      = "firewall/legacy-rules"
)

func noKey() service.Problem {
	return service.Problem{
		Code: codeNoKey, Severity: service.Failure,
		Title: "The VPN has no key",
		Text:  "WireGuard is on, but the document names no private key for the cell, so no device can connect.",
		Fix:   "Make one with `pic setup`, or switch wireguard.enabled off.",
	}
}

func noTUN(err error) service.Problem {
	return service.Problem{
		Code: codeNoTUN, Severity: service.Failure,
		Title: "The VPN cannot make its network interface",
		Text:  err.Error(),
		Fix: "Run pic with the capability CAP_NET_ADMIN and with access to /dev/net/tun (`modprobe tun`; in a container " +
			"`--cap-add NET_ADMIN --device /dev/net/tun`), or set cell.mode to trial, which needs neither.",
	}
}

func noSocket(err error) service.Problem {
	return service.Problem{
		Code: codeNoSocket, Severity: service.Warning,
		Title: "The program wg cannot see the VPN",
		Text:  "The VPN works. " + err.Error(),
		Fix:   "Let pic write to /var/run/wireguard if you want to use wg.",
	}
}

func touched(changes []string) service.Problem {
	return service.Problem{
		Code: codeTouched, Severity: service.Warning,
		Title: "WireGuard is not as the document says",
		Text:  "Another program, such as `wg set`, has changed it: " + strings.Join(changes, "; ") + ".",
		Fix:   "Put it into the document if it shall stay. Any change of the network, or a restart, undoes it.",
	}
}

func noKernel(err error) service.Problem {
	return service.Problem{
		Code: codeNoKernel, Severity: service.Warning,
		Title: "The kernel's WireGuard cannot be used",
		Text:  "The VPN works: the cell speaks WireGuard itself. " + err.Error() + ".",
		Fix:   "Install the module (on Debian it is part of linux-image), or set wireguard.backend to user.",
	}
}

func foreignDrop(drops []fw.Drop) service.Problem {
	var texts, fixes []string
	for _, d := range drops {
		texts = append(texts, fmt.Sprintf("The chain %s drops %s.", d.Chain, d.What))
		if !slices.Contains(fixes, d.Fix) {
			fixes = append(fixes, d.Fix)
		}
	}
	return service.Problem{
		Code: codeForeignDrop, Severity: service.Warning,
		Title: "Another firewall may stop the VPN's traffic",
		Text:  strings.Join(texts, " "),
		Fix:   "Run `" + strings.Join(fixes, "`, `") + "`, and make it last as that firewall's manual says.",
	}
}

func noForwarding(err error) service.Problem {
	return service.Problem{
		Code: codeForwarding, Severity: service.Warning,
		Title: "Devices in the VPN reach the cell but nothing beyond it",
		Text:  err.Error(),
		Fix:   "On the host run `sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1`, or let pic write to /proc/sys/net.",
	}
}

func portsTaken(list []string) service.Problem {
	return service.Problem{
		Code: codePorts, Severity: service.Warning,
		Title: "Some services do not answer in the VPN",
		Text:  "Another program listens on " + strings.Join(list, ", ") + ".",
		Fix:   "Stop that program (`ss -lnp` names it), or have it leave the VPN's addresses alone.",
	}
}

func drifted(err error) service.Problem {
	return service.Problem{
		Code: codeDrift, Severity: service.Failure,
		Title: "The network is not as the document says", Text: err.Error(),
		Fix: "It is tried again by itself; the text says what stands in the way.",
	}
}

func hostUnknown(err error) service.Problem {
	return service.Problem{
		Code: codeHost, Severity: service.Failure,
		Title: "The cell does not know this host's addresses",
		Text:  err.Error() + ". Rights go by what was known before.",
		Fix:   "It is tried again by itself; if it does not go away, see whether `ip addr` works for the user that pic runs as.",
	}
}

func legacyRules(unread []string) service.Problem {
	return service.Problem{
		Code: codeLegacy, Severity: service.Warning,
		Title: "The old iptables has rules that the cell cannot follow",
		Text:  "They may stop the VPN's traffic: " + strings.Join(unread, "; ") + ".",
		Fix: "See `iptables-legacy -S` and `ip6tables-legacy -S`; let the cell's interface pass there, or move the rules to nftables " +
			"(`iptables-legacy-save | iptables-nft-restore`, then `iptables-legacy -F`).",
	}
}

func exitsDown(texts []string) service.Problem {
	return service.Problem{
		Code: codeExits, Severity: service.Warning,
		Title: "An exit is down",
		Text:  strings.Join(texts, " ") + " Devices that use it have no internet meanwhile, unless they may fall back.",
		Fix:   "Look at the provider's account, or at the linked cell; `pic exit use DEVICE none` has a device go by the cell's own line.",
	}
}

func undoFailed(err error) service.Problem {
	return service.Problem{
		Code: codeUndo, Severity: service.Failure,
		Title: "A refused change of the network could not be undone", Text: err.Error(),
		Fix: "It is tried again by itself; if it does not go away, restart pic.",
	}
}

// troubles are the problems at hand, by code.
type troubles struct {
	mu  sync.Mutex
	all []service.Problem
	try time.Time // when to try again
}

// again is how long to wait before what failed is tried once more.
const again = 10 * time.Second

// set adds or replaces a problem. Its time is that of its first showing.
func (t *troubles) set(p service.Problem) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p.Since = time.Now()
	i := slices.IndexFunc(t.all, func(o service.Problem) bool { return o.Code == p.Code })
	if i < 0 {
		t.all = append(t.all, p)
		return
	}
	p.Since = t.all[i].Since
	t.all[i] = p
}

// clear drops the problems of these codes, of all without any.
func (t *troubles) clear(codes ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = slices.DeleteFunc(t.all, func(p service.Problem) bool {
		return len(codes) == 0 || slices.Contains(codes, p.Code)
	})
}

func (t *troubles) list() []service.Problem {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := slices.Clone(t.all)
	order.Stable(out, func(a, b service.Problem) int {
		return strings.Compare(string(a.Severity), string(b.Severity)) // failure before warning
	})
	return out
}

// due reports whether it is time to try again what failed.
func (t *troubles) due(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	failing := slices.ContainsFunc(t.all, func(p service.Problem) bool {
		return p.Severity == service.Failure && p.Code != codeNoKey
	})
	if !failing {
		t.try = time.Time{}
		return false
	}
	if t.try.IsZero() {
		t.try = now.Add(again)
	}
	if now.Before(t.try) {
		return false
	}
	t.try = now.Add(again)
	return true
}
