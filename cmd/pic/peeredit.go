package main

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"pic/api/client"
	"pic/api/wire"
)

// rightFlags are those of peers and groups.
type rightFlags struct {
	internet, lan, fallback               bool
	services, peers, cells, exit, inherit string
}

func (r *rightFlags) add(fs *flag.FlagSet) {
	fs.BoolVar(&r.internet, "internet", true, "may reach the internet through the cell")
	fs.BoolVar(&r.lan, "lan", true, "may reach the LAN")
	fs.StringVar(&r.services, "services", "", "`names` of the cell's services that it may use, with commas: dns, ntp, web, proxy, mail; all or none")
	fs.StringVar(&r.peers, "peers", "", "`names` of devices and groups that it may reach; all or none")
	fs.StringVar(&r.cells, "cells", "", "`names` of linked cells that it may reach; all or none")
	fs.StringVar(&r.exit, "exit", "", "the `exit` by which its internet goes; none: the cell's own line")
	fs.BoolVar(&r.fallback, "fallback", false, "may use the cell's own line while its exit is down")
	fs.StringVar(&r.inherit, "inherit", "", "`rights` that come from groups and defaults again: internet, lan, services, peers, cells, exit, fallback")
}

// rights are what was said on the line.
func (r *rightFlags) rights(fs *flag.FlagSet) (out wire.PeerRights) {
	fs.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "internet":
			out.Internet = &r.internet
		case "lan":
			out.LAN = &r.lan
		case "fallback":
			out.Fallback = &r.fallback
		case "services":
			out.Services = new(words(r.services))
		case "peers":
			out.Peers = new(words(r.peers))
		case "cells":
			out.Cells = new(words(r.cells))
		case "exit":
			out.Exit = &r.exit
		case "inherit":
			out.Inherit = words(r.inherit)
		}
	})
	return out
}

// deviceFlags are what can be said of a device, at first and later.
type deviceFlags struct {
	rightFlags
	owner, address, device, mac, dns, expires, site, groups string
	keepalive                                               int
	split                                                   bool
}

func peerFlags(fs *flag.FlagSet) *deviceFlags {
	d := &deviceFlags{}
	fs.StringVar(&d.owner, "owner", "", "the `user` whose device it is")
	fs.StringVar(&d.address, "address", "", "its `address`; default: the next free one")
	fs.StringVar(&d.device, "device", "", "what it `is`: phone, laptop, desktop, tablet, tv, server, router or other")
	fs.StringVar(&d.mac, "mac", "", "its hardware `address`, to wake it up")
	fs.StringVar(&d.dns, "dns", "", "`addresses` of its name servers, with commas; default: the cell")
	fs.IntVar(&d.keepalive, "keepalive", 25, "`seconds` between signs of life; negative: none")
	fs.StringVar(&d.expires, "expires", "", "when it is shut out: a `time` such as 36h, 14d, 2026-12-31, or never")
	fs.StringVar(&d.site, "site", "", "`networks` behind the device, with commas")
	fs.StringVar(&d.groups, "groups", "", "`names` of its groups, with commas")
	fs.BoolVar(&d.split, "split", false, "route only the cell's networks into the tunnel")
	d.add(fs)
	return d
}

// edit is what was said on the line.
func (d *deviceFlags) edit(fs *flag.FlagSet) (out wire.PeerEdit, err error) {
	out.PeerRights = d.rights(fs)
	said := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { said[f.Name] = true })
	for name, to := range map[string]struct {
		field **string
		value *string
	}{"owner": {&out.Owner, &d.owner}, "device": {&out.Device, &d.device}, "mac": {&out.MAC, &d.mac}} {
		if said[name] {
			*to.field = to.value
		}
	}
	if said["keepalive"] {
		out.Keepalive = &d.keepalive
	}
	if said["split"] {
		out.Split = &d.split
	}
	if said["groups"] {
		out.Groups = new(words(d.groups))
	}
	if said["address"] {
		a, err := netip.ParseAddr(d.address)
		if err != nil {
			return out, usage("--address: %v", err)
		}
		out.Address = &a
	}
	if said["dns"] {
		if out.DNS, err = parsed(d.dns, netip.ParseAddr); err != nil {
			return out, usage("--dns: %v", err)
		}
	}
	if said["site"] {
		if out.Site, err = parsed(d.site, netip.ParsePrefix); err != nil {
			return out, usage("--site: %v", err)
		}
	}
	if said["expires"] {
		at, err := moment(d.expires, time.Now())
		if err != nil {
			return out, usage("--expires: %v", err)
		}
		out.Expires = &at
	}
	return out, nil
}

func parsed[T any](list string, parse func(string) (T, error)) (*[]T, error) {
	out := []T{}
	for _, w := range words(list) {
		v, err := parse(w)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return &out, nil
}

// into makes a new device of an edit.
func (d *deviceFlags) into(n *wire.NewPeer, e wire.PeerEdit) {
	n.PeerRights, n.Owner, n.Device, n.MAC, n.Split = e.PeerRights, d.owner, d.device, d.mac, d.split
	take(&n.Address, e.Address)
	take(&n.DNS, e.DNS)
	take(&n.Keepalive, e.Keepalive)
	take(&n.Expires, e.Expires)
	take(&n.Site, e.Site)
	take(&n.Groups, e.Groups)
}

func take[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// moment reads a time to come: a span such as 36h or 14d, a day, whose end is
// meant, a day and a time, or never, which is the zero time.
func moment(s string, now time.Time) (time.Time, error) {
	if s == "never" {
		return time.Time{}, nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int
		if _, err := fmt.Sscanf(days+"!", "%d!", &n); err == nil && n > 0 && n <= 36500 {
			return now.AddDate(0, 0, n), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.Add(d), nil
	}
	if t, err := time.ParseInLocation("2006-01-02", s, now.Location()); err == nil {
		return t.AddDate(0, 0, 1), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04", "2006-01-02T15:04"} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time such as 36h, 14d, 2026-12-31 or never", s)
}

// valid is an address as text, nothing where there is none.
func valid(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

var peerEdit = command{
	name: "edit", args: "NAME", short: "Change a device: only what is said",
	run: func(p *program, fs *flag.FlagSet) action {
		var e editing
		e.dry(fs)
		name := fs.String("name", "", "another `name`")
		flags := peerFlags(fs)
		return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
			ed, err := flags.edit(fs)
			if err != nil {
				return err
			}
			if *name != "" {
				ed.Name = name
			}
			return p.edited(ctx, cell, args[0], ed, e)
		}, "NAME")
	},
}

// edited changes a device, and says whether it needs its file anew now.
func (p *program) edited(ctx context.Context, cell *client.Client, name string, ed wire.PeerEdit, e editing) error {
	out, err := cell.EditPeer(ctx, name, ed, e.Edit)
	if err != nil {
		return err
	}
	if out.Peer != nil && len(out.Peer.Reinstall) > 0 {
		fmt.Fprintf(p.err, "pic: %s needs its file anew (pic peer qr %s): %s\n", out.Peer.Name, out.Peer.Name, strings.Join(out.Peer.Reinstall, "; "))
	}
	return p.changed(out.Outcome)
}

func peerSwitch(name, short string, disabled bool) command {
	return command{
		name: name, args: "NAME", short: short,
		run: func(p *program, fs *flag.FlagSet) action {
			var e editing
			e.dry(fs)
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				return p.edited(ctx, cell, args[0], wire.PeerEdit{Disabled: &disabled}, e)
			}, "NAME")
		},
	}
}

var peerExpire = command{
	name: "expire", args: "NAME WHEN", short: "Say when a device is shut out: 36h, 14d, 2026-12-31, or never",
	run: func(p *program, fs *flag.FlagSet) action {
		var e editing
		e.dry(fs)
		return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
			at, err := moment(args[1], time.Now())
			if err != nil {
				return usage("%v", err)
			}
			return p.edited(ctx, cell, args[0], wire.PeerEdit{Expires: &at}, e)
		}, "NAME", "WHEN")
	},
}

var peerRotate = command{
	name: "rotate", args: "NAME", short: "Give a device new keys and print its new configuration",
	more: "The former keys are good until the device first uses the new ones, or for --hours.",
	run: func(p *program, fs *flag.FlagSet) action {
		var e editing
		e.dry(fs)
		r := wire.Rotation{}
		fs.StringVar(&r.PublicKey, "public-key", "", "its new public `key`, where the device made it")
		fs.StringVar(&r.Endpoint, "endpoint", "", "`host:port` that the device dials; default: wireguard.endpoint")
		hours := fs.Int("hours", 168, "how many `hours` the former keys are good; 0: not at all")
		return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
			r.Hours = hours
			out, err := cell.RotatePeer(ctx, args[0], r, e.Edit)
			switch {
			case err != nil:
				return err
			case p.json:
				return p.printJSON(out)
			case e.DryRun:
				return p.changed(out.Outcome)
			}
			fmt.Fprint(p.out, out.Config)
			if out.Note != "" {
				fmt.Fprintln(p.err, "pic:", out.Note)
			}
			return nil
		}, "NAME")
	},
}

var peerLink = command{
	name: "link", args: "NAME", short: "Make a one-time link by which a device enrols itself",
	more: "It takes the place of a former one, and the device's keys are new once it is used. --drop makes the link worthless.",
	run: func(p *program, fs *flag.FlagSet) action {
		n := wire.NewLink{}
		fs.IntVar(&n.Hours, "hours", 24, "how many `hours` it is good")
		fs.StringVar(&n.Endpoint, "endpoint", "", "`host:port` that the device dials; default: wireguard.endpoint")
		drop := fs.Bool("drop", false, "make the link worthless")
		return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
			if *drop {
				if err := cell.UnlinkPeer(ctx, args[0]); err != nil {
					return err
				}
				return p.done("the link of " + args[0] + " is worthless")
			}
			l, err := cell.LinkPeer(ctx, args[0], n)
			if err != nil {
				return err
			}
			if p.json {
				return p.printJSON(l)
			}
			p.link(l)
			return nil
		}, "NAME")
	},
}

// link prints a link, alone on standard output.
func (p *program) link(l wire.EnrolLink) {
	fmt.Fprintln(p.out, l.URL)
	if l.Plain != "" {
		fmt.Fprintln(p.err, "pic: where the device does not know that name:", l.Plain)
	}
	fmt.Fprintln(p.err, "pic: good once until", l.Expires.Local().Format("2006-01-02 15:04")+", at home and not from the internet;",
		"a device that is away gets its file by pic peer config")
}

var peerHistory = command{
	name: "history", args: "NAME", short: "Show what a device carried",
	run: func(p *program, fs *flag.FlagSet) action {
		hours := fs.Int("hours", 24, "how many `hours` back")
		by := fs.String("by", "", "minute, hour or day; default: what fits")
		return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
			h, err := cell.PeerHistory(ctx, args[0], *by, *hours)
			switch {
			case err != nil:
				return err
			case p.json:
				return p.printJSON(h)
			}
			var rows [][]string
			for _, x := range h.Points {
				rows = append(rows, []string{x.Time.Local().Format("2006-01-02 15:04"), size(x.RxBytes), size(x.TxBytes)})
			}
			p.table("FROM RECEIVED SENT", rows)
			return nil
		}, "NAME")
	},
}
