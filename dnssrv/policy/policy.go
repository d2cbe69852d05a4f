// Package policy decides which names a household does not want answered, and
// which lead elsewhere, by who asks and at what time.
//
// An [Engine] keeps the lists of others (fetched, on disk, read again when they
// change) and makes a [Set] of them and of the document. A Set never changes:
// where lists, document, a schedule or a pause change what counts, the Engine
// puts another in its place. A [View] is what counts for one client.
//
// What is asked first, first answers ([View.Decide]):
//
//  1. the rules of the client's groups,
//  2. their schedules, then the services they block,
//  3. the rules of the household,
//  4. the services it blocks,
//  5. the lists that count for the client.
//
// Among rules and among lists, the strongest counts: an exception with
// $important, a block with $important, an exception, $dnsrewrite, a block.
// Rewrites and safe search ([View.Rewrite]) come before all that, but safe
// search does not open what is blocked.
//
// A client is told by its address, by a device of the VPN (peer:) or its owner
// (user:), by its MAC address, by what it says itself (id:), or by the longest
// network that holds it, in this order: what a device says counts only where it is
// not known better, for it may say anything. Where it is in several groups, the rules,
// services and schedules of all of them count, and the lists of any of them; of
// rewrites those of the first. It is filtered not at all if one of them is off,
// not logged if one is unlogged, and searches safely if one says so.
//
// Rules are a name (with all below it, in the document; alone, in a list), *.name,
// lines of hosts files, adblock syntax as far as it is about names ([Stats] counts
// the rest), and response policy zones with QNAME triggers. rpz-drop. is answered
// like any other block. What a list would send to another name or address counts
// only if the document says that this list may. Schedules follow the clock on the wall of the host's time
// zone, as it was when the process began.
//
// A million names of lists take less than 30 MB, outside of the garbage
// collector's heap; no hash stands for a name. Nothing here asks or answers DNS
// queries, and nothing about a query is kept.
package policy

import (
	"net/netip"

	"pic/core/config"
)

// Config is what an [Engine] follows.
type Config struct {
	Filter config.Filter // resolved
	People People
}

// People are the devices that clients of the document are told by.
type People struct {
	Peers map[string][]netip.Addr // addresses of a device of the VPN
	Owner map[string]string       // of a device of the VPN: the user
	MACs  map[string]netip.Addr   // addresses given for good
}

// An Action is what becomes of a name.
type Action uint8

const (
	None    Action = iota // nothing is said of it
	Allow                 // it is let through, whatever weaker rules say
	Block                 // it is answered as config.Filter.Answer says
	Rewrite               // it is answered with something else
)

// A Decision says what becomes of a name, and why.
type Decision struct {
	Action Action
	Reason string // list, rule, service, schedule, safesearch, rewrite or pause
	List   string // the list's name, or the group's that the rule is of
	Rule   string // as written, or the service's name, or the schedule's times

	// Of Rewrite: addresses, or the name that is the target of a CNAME, in wire
	// form; neither means that there is nothing, with Rcode.
	Addrs  []netip.Addr
	Target string
	Rcode  int
}

// Reasons of a Decision.
const (
	ByList       = "list"
	ByRule       = "rule"
	ByService    = "service"
	BySchedule   = "schedule"
	BySafeSearch = "safesearch"
	ByRewrite    = "rewrite"
	ByPause      = "pause"
)
