// Package shape keeps the queue of a slow line at the cell, where it is short and
// fair, instead of in the modem.
//
// What is sent is shaped where it leaves by the WAN. What is received is shaped
// on an IFB device, to which the WAN's ingress is redirected, and where the
// kernel has none, where it leaves for the LAN; then traffic between the WAN and
// the cell itself is not shaped on its way in.
//
// The queue is CAKE where the kernel has it; else HTB, which keeps the rate, with
// fq_codel, which keeps the queue short and fair; where that is missing, too, with
// a plain queue that is bounded to 50 ms of the line's rate: short, but not fair.
// [Status] says which it became.
//
// Promises: a queue that somebody else set up is not replaced, but told as an
// error; [Shaper.Remove] takes away what is ours, and the kernel puts back its
// default. Our queues have the handles 7069: and 706a:, our device is called
// picdown: so after kill -9 they are known again.
package shape

import (
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Config says which line to shape, in kbit/s. Zero rates are not shaped.
type Config struct {
	WAN, LAN string
	Up, Down int
	Queue    string // auto, cake or fq_codel
}

// Kinds of queues.
const (
	Cake    = "cake"
	FQCoDel = "fq_codel"
	FIFO    = "fifo"
)

// A Status is what is in force.
type Status struct {
	Up, Down int    // kbit/s; 0: not shaped
	Queue    string // cake, fq_codel or fifo; empty: none
	Where    string // where what comes in is shaped: ifb or lan
}

// handles of our queues: "pi" and "pj".
const (
	major  = 0x7069
	inner  = 0x706a
	class  = 1
	device = "picdown"
)

// A Shaper is the queues of one line. It is not safe for concurrent use.
type Shaper struct {
	log    *slog.Logger
	conf   Config
	status Status
	cards  []string // that have a root queue of ours
	used   bool     // something of ours may be there
}

// New returns a shaper that shapes nothing.
func New(log *slog.Logger) *Shaper { return &Shaper{log: log, used: true} }

// Status tells what is in force.
func (s *Shaper) Status() Status { return s.status }

// Set makes the queues those of c. It does nothing where they are in place. A
// card that is not there is an error, and nothing is shaped.
func (s *Shaper) Set(c Config) error {
	if c.Up == 0 && c.Down == 0 {
		return s.Remove()
	}
	if c == s.conf && s.intact() {
		return nil
	}
	if err := s.Remove(); err != nil {
		return err
	}
	s.conf, s.used = c, true
	err := s.set(c)
	if err != nil {
		err = errors.Join(err, s.Remove())
	}
	return err
}

func (s *Shaper) set(c Config) error {
	st := Status{Up: c.Up, Down: c.Down}
	if c.Up > 0 {
		kind, err := s.root(c.WAN, c.Up, c.Queue, false)
		if err != nil {
			return fmt.Errorf("shaping what %s sends: %w", c.WAN, err)
		}
		st.Queue = kind
	}
	if c.Down > 0 {
		kind, where, err := s.down(c)
		if err != nil {
			return fmt.Errorf("shaping what %s receives: %w", c.WAN, err)
		}
		st.Queue, st.Where = kind, where
	}
	s.status = st
	s.log.Info("shaping", "up", c.Up, "down", c.Down, "queue", st.Queue)
	return nil
}

// down shapes what comes in.
func (s *Shaper) down(c Config) (kind, where string, err error) {
	if err = s.redirect(c.WAN); err == nil {
		kind, err = s.root(device, c.Down, c.Queue, true)
		return kind, "ifb", err
	}
	if errors.Is(err, errTaken) {
		return "", "", err
	}
	s.log.Debug("shaping at the LAN: no IFB", "err", err)
	if err := s.unredirect(c.WAN); err != nil {
		return "", "", err
	}
	kind, err = s.root(c.LAN, c.Down, c.Queue, true)
	return kind, "lan", err
}

// errTaken says that somebody else's queue is in the way.
var errTaken = errors.New("it has a queue already that another program set up; remove it with `tc qdisc del`, or switch network.shaping off")

// root gives a card our queue, the best kind that the kernel has.
func (s *Shaper) root(card string, kbit int, want string, ingress bool) (string, error) {
	link, err := netlink.LinkByName(card)
	if err != nil {
		return "", fmt.Errorf("network card %s: %w", card, err)
	}
	if taken(link) {
		return "", fmt.Errorf("%s: %w", card, errTaken)
	}
	s.cards = append(s.cards, card)
	if want != FQCoDel {
		err := addQdisc(link, netlink.HANDLE_ROOT, major<<16, Cake, cake(kbit, ingress))
		if err == nil {
			return Cake, nil
		}
		if !unknown(err) {
			return "", fmt.Errorf("CAKE on %s: %w", card, err)
		}
		if want == Cake {
			s.log.Warn("the kernel has no CAKE; a queue of another kind is used")
		}
	}
	htb := netlink.NewHtb(netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Handle: major << 16, Parent: netlink.HANDLE_ROOT})
	htb.Defcls = class
	if err := netlink.QdiscAdd(htb); err != nil {
		return "", fmt.Errorf("HTB on %s: %w", card, err)
	}
	rate := uint64(kbit) * 1000
	cl := netlink.NewHtbClass(
		netlink.ClassAttrs{LinkIndex: link.Attrs().Index, Parent: major << 16, Handle: major<<16 | class},
		netlink.HtbClassAttrs{Rate: rate, Ceil: rate, Buffer: burst(kbit), Cbuffer: burst(kbit), Quantum: quantum(kbit)},
	)
	if err := netlink.ClassAdd(cl); err != nil {
		return "", fmt.Errorf("HTB on %s: %w", card, err)
	}
	err = addQdisc(link, major<<16|class, inner<<16, FQCoDel, fqCoDel())
	if err == nil {
		return FQCoDel, nil
	}
	if !unknown(err) {
		return "", fmt.Errorf("fq_codel on %s: %w", card, err)
	}
	if err := addQdisc(link, major<<16|class, inner<<16, "bfifo", fifo(kbit)); err != nil {
		return "", fmt.Errorf("queue on %s: %w", card, err)
	}
	return FIFO, nil
}

// unknown reports whether the kernel has no such queue.
func unknown(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) }

// taken reports whether a card has a root queue that is neither ours nor the
// kernel's own choice, which has the handle 0.
func taken(link netlink.Link) bool {
	all, err := netlink.QdiscList(link)
	if err != nil {
		return false
	}
	for _, q := range all {
		a := q.Attrs()
		if a.Parent == netlink.HANDLE_ROOT && a.Handle != 0 && a.Handle != major<<16 {
			return true
		}
	}
	return false
}

// redirect makes the IFB device and sends to it what the card receives.
func (s *Shaper) redirect(card string) error {
	link, err := netlink.LinkByName(card)
	if err != nil {
		return fmt.Errorf("network card %s: %w", card, err)
	}
	all, err := netlink.QdiscList(link)
	if err != nil {
		return fmt.Errorf("queues of %s: %w", card, err)
	}
	for _, q := range all {
		if q.Attrs().Parent == netlink.HANDLE_INGRESS && !s.oursIngress(link) {
			return fmt.Errorf("%s: ingress: %w", card, errTaken)
		}
	}
	ifb := &netlink.Ifb{LinkAttrs: netlink.LinkAttrs{Name: device, TxQLen: 1000}}
	if err := netlink.LinkAdd(ifb); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("IFB device: %w", err)
	}
	dev, err := netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("IFB device: %w", err)
	}
	if dev.Type() != "ifb" {
		return fmt.Errorf("IFB device: %s is a card of another kind", device)
	}
	if err := netlink.LinkSetUp(dev); err != nil {
		return fmt.Errorf("IFB device: %w", err)
	}
	in := &netlink.Ingress{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_INGRESS,
	}}
	if err := netlink.QdiscAdd(in); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("ingress of %s: %w", card, err)
	}
	attrs := netlink.FilterAttrs{
		LinkIndex: link.Attrs().Index, Parent: netlink.MakeHandle(0xffff, 0), Priority: major, Protocol: unix.ETH_P_ALL,
	}
	to := netlink.NewMirredAction(dev.Attrs().Index)
	err = netlink.FilterAdd(&netlink.U32{FilterAttrs: attrs, Actions: []netlink.Action{to}})
	if err != nil {
		err = netlink.FilterAdd(&netlink.MatchAll{FilterAttrs: attrs, Actions: []netlink.Action{to}})
	}
	if err != nil {
		return fmt.Errorf("redirecting what %s receives: %w", card, err)
	}
	return nil
}

// oursIngress reports whether the card's ingress is ours: it redirects to our
// device, which exists.
func (s *Shaper) oursIngress(link netlink.Link) bool {
	if _, err := netlink.LinkByName(device); err != nil {
		return false
	}
	filters, err := netlink.FilterList(link, netlink.MakeHandle(0xffff, 0))
	if err != nil {
		return false
	}
	for _, f := range filters {
		if f.Attrs().Priority != major {
			return false
		}
	}
	return true
}

// unredirect takes our device and the redirection away.
func (s *Shaper) unredirect(card string) error {
	link, err := netlink.LinkByName(card)
	if err == nil && s.oursIngress(link) {
		in := &netlink.Ingress{QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_INGRESS,
		}}
		if err := netlink.QdiscDel(in); err != nil && !absent(err) {
			return fmt.Errorf("ingress of %s: %w", card, err)
		}
	}
	dev, err := netlink.LinkByName(device)
	if err != nil || dev.Type() != "ifb" {
		return nil
	}
	if err := netlink.LinkDel(dev); err != nil && !absent(err) {
		return fmt.Errorf("removing %s: %w", device, err)
	}
	return nil
}

func absent(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENODEV)
}

// Remove takes away what is ours, on whatever card, also what a killed process
// left behind.
func (s *Shaper) Remove() error {
	if !s.used {
		return nil
	}
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("listing network cards: %w", err)
	}
	var errs []error
	if _, err := netlink.LinkByName(device); err == nil {
		for _, l := range links {
			if l.Attrs().Flags&net.FlagLoopback == 0 && hasIngress(l) && s.oursIngress(l) {
				errs = append(errs, s.unredirect(l.Attrs().Name))
			}
		}
		errs = append(errs, s.unredirect(""))
	}
	for _, l := range links {
		if l.Attrs().Name != device && hasRoot(l) {
			errs = append(errs, delRoot(l))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("removing queues: %w", err)
	}
	s.conf, s.status, s.cards, s.used = Config{}, Status{}, nil, false
	return nil
}

func hasIngress(l netlink.Link) bool {
	all, err := netlink.QdiscList(l)
	if err != nil {
		return false
	}
	for _, q := range all {
		if q.Attrs().Parent == netlink.HANDLE_INGRESS {
			return true
		}
	}
	return false
}

// hasRoot reports whether the card's root queue is ours.
func hasRoot(l netlink.Link) bool {
	all, err := netlink.QdiscList(l)
	if err != nil {
		return false
	}
	for _, q := range all {
		if q.Attrs().Parent == netlink.HANDLE_ROOT && q.Attrs().Handle == major<<16 {
			return true
		}
	}
	return false
}

// intact reports whether our queues are where we put them.
func (s *Shaper) intact() bool {
	if len(s.cards) == 0 {
		return false
	}
	for _, card := range s.cards {
		l, err := netlink.LinkByName(card)
		if err != nil || !hasRoot(l) {
			return false
		}
	}
	if s.status.Where == "ifb" {
		l, err := netlink.LinkByName(s.conf.WAN)
		return err == nil && hasIngress(l)
	}
	return true
}

// Cleanup is Remove for whatever a killed process left.
func Cleanup() error { return New(slog.New(slog.DiscardHandler)).Remove() }
