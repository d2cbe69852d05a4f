package shape

import (
	"encoding/binary"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Attributes of CAKE (linux/pkt_sched.h).
const (
	cakeBaseRate64 = 2
	cakeDiffserv   = 3
	cakeNAT        = 8
	cakeIngress    = 11
	diffserv4      = 1
)

// Attributes of fq_codel.
const (
	fqTarget   = 1 // microseconds
	fqLimit    = 2 // packets
	fqInterval = 3 // microseconds
	fqECN      = 4
)

// An option is an attribute of a queue.
type option struct {
	kind  int
	value []byte
}

// cake shapes by itself, with four classes of service, and is fair between the
// devices behind the address translation. On ingress it counts what it drops, too,
// since that came over the line.
func cake(kbit int, ingress bool) []byte {
	in := uint32(0)
	if ingress {
		in = 1
	}
	return nested([]option{
		{cakeBaseRate64, binary.NativeEndian.AppendUint64(nil, uint64(kbit)*1000/8)},
		{cakeDiffserv, nl.Uint32Attr(diffserv4)},
		{cakeNAT, nl.Uint32Attr(1)},
		{cakeIngress, nl.Uint32Attr(in)},
	})
}

// fqCoDel has the values of RFC 8290; what it holds is bounded.
func fqCoDel() []byte {
	return nested([]option{
		{fqTarget, nl.Uint32Attr(5000)},
		{fqInterval, nl.Uint32Attr(100000)},
		{fqLimit, nl.Uint32Attr(4096)},
		{fqECN, nl.Uint32Attr(1)},
	})
}

// fifo holds what the line carries in 50 ms, at least ten packets.
func fifo(kbit int) []byte {
	return binary.NativeEndian.AppendUint32(nil, uint32(min(max(kbit*1000/8/20, 10*1514), 1<<30)))
}

// burst is what HTB may send at once: what the line carries in 1 ms, at least two
// packets.
func burst(kbit int) uint32 { return uint32(min(max(kbit/8, 2*1514), 1<<20)) }

// quantum is how much a class sends before the next; there is one class only.
func quantum(kbit int) uint32 { return uint32(min(max(kbit/8, 1514), 60000)) }

func nested(all []option) []byte {
	var out []byte
	for _, o := range all {
		out = append(out, nl.NewRtAttr(o.kind, o.value).Serialize()...)
	}
	return out
}

// addQdisc adds a queue with options as they are on the wire; the library has no
// types for all kinds.
func addQdisc(link netlink.Link, parent, handle uint32, kind string, options []byte) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	req.AddData(&nl.TcMsg{
		Family: nl.FAMILY_ALL, Ifindex: int32(link.Attrs().Index), Handle: handle, Parent: parent,
	})
	req.AddData(nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated(kind)))
	req.AddData(nl.NewRtAttr(nl.TCA_OPTIONS, options))
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

func delRoot(link netlink.Link) error {
	req := nl.NewNetlinkRequest(unix.RTM_DELQDISC, unix.NLM_F_ACK)
	req.AddData(&nl.TcMsg{Family: nl.FAMILY_ALL, Ifindex: int32(link.Attrs().Index), Handle: major << 16, Parent: netlink.HANDLE_ROOT})
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}
