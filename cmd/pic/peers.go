package main

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"rsc.io/qr"

	"pic/api/client"
	"pic/api/wire"
)

var peerCommand = command{name: "peer", words: []command{
	peerLs, peerShow, peerAdd, peerEdit, peerRm, peerConfig, peerQR, peerLink,
	peerSwitch("enable", "Let a device in again", false), peerSwitch("disable", "Shut a device out at once", true),
	peerExpire, peerRotate, peerHistory,
}}

var peerLs = command{
	name: "ls", short: "List the devices of the VPN",
	run: func(p *program, _ *flag.FlagSet) action {
		return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
			all, err := cell.Peers(ctx)
			switch {
			case err != nil:
				return err
			case p.json:
				return p.printJSON(all)
			}
			var rows [][]string
			for _, x := range all {
				rows = append(rows, []string{x.Name, x.Owner, x.Device, x.Address.String(), x.Endpoint, peerState(x), size(x.RxTotal), size(x.TxTotal)})
			}
			p.table("NAME OWNER DEVICE ADDRESS ENDPOINT SEEN RECEIVED SENT", rows)
			return nil
		})
	},
}

// peerState is what is to know of a device at first sight.
func peerState(x wire.Peer) string {
	state := ago(x.LastHandshake)
	switch {
	case x.Expired:
		state = "expired"
	case x.Disabled:
		state = "disabled"
	case x.Connected:
		state = "connected"
	}
	if len(x.Reinstall) > 0 {
		state = strings.TrimSpace(state + " (reinstall)")
	}
	return state
}

var peerShow = command{
	name: "show", args: "NAME", short: "Show what is known of a device and what it may reach",
	run: func(p *program, _ *flag.FlagSet) action {
		return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
			x, err := cell.Peer(ctx, args[0])
			switch {
			case err != nil:
				return err
			case p.json:
				return p.printJSON(x)
			}
			fact := func(name, value string) {
				if value != "" {
					fmt.Fprintf(p.out, "%-12s %s\n", name, value)
				}
			}
			fact("name", x.Name)
			fact("owner", x.Owner)
			fact("device", x.Device)
			fact("groups", strings.Join(x.Groups, ", "))
			fact("addresses", strings.TrimSpace(x.Address.String()+" "+valid(x.Address6)))
			fact("public key", x.PublicKey)
			fact("state", peerState(x))
			fact("heard from", x.Endpoint)
			fact("carried", size(x.RxTotal)+" received, "+size(x.TxTotal)+" sent")
			if !x.Expires.IsZero() {
				fact("expires", x.Expires.Local().Format("2006-01-02 15:04"))
			}
			if !x.Link.IsZero() {
				fact("link", "good until "+x.Link.Local().Format("2006-01-02 15:04"))
			}
			if x.NextKey != "" {
				fact("next key", x.NextKey+", at the latest on "+x.NextUntil.Local().Format("2006-01-02 15:04"))
			}
			for _, why := range x.Reinstall {
				fact("reinstall", why)
			}
			fact("rights", x.May)
			for _, r := range x.Rights {
				from := r.Source
				if r.Groups != nil {
					from = "group " + strings.Join(r.Groups, ", ")
				}
				fmt.Fprintf(p.out, "  %-10s %s (%s)\n", r.Name, r.Text, from)
			}
			return nil
		}, "NAME")
	},
}

var peerAdd = command{
	name: "add", args: "NAME", short: "Add a device and print its WireGuard configuration",
	more: "Standard output is the .conf alone: pic peer add phone --endpoint vpn.example.org:51820 > phone.conf\n" +
		"With --link it is a one-time link by which the device enrols itself, with --qr the code for its camera.",
	run: func(p *program, fs *flag.FlagSet) action {
		var e editing
		e.dry(fs)
		n := wire.NewPeer{}
		fs.StringVar(&n.Endpoint, "endpoint", "", "`host:port` that the device dials; default: wireguard.endpoint")
		fs.StringVar(&n.PublicKey, "public-key", "", "its public `key`, where the device made its own")
		fs.BoolVar(&n.Link, "link", false, "print a one-time link instead of the configuration")
		fs.IntVar(&n.LinkHours, "link-hours", 0, "how many `hours` the link is good; default: 24")
		code := fs.Bool("qr", false, "draw the configuration as a QR code")
		flags := peerFlags(fs)
		return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
			ed, err := flags.edit(fs)
			if err != nil {
				return err
			}
			n.Name = args[0]
			flags.into(&n, ed)
			out, err := cell.AddPeer(ctx, n, e.Edit)
			switch {
			case err != nil:
				return err
			case p.json:
				return p.printJSON(out)
			case e.DryRun:
				return p.changed(out.Outcome)
			case out.Link != nil:
				p.link(*out.Link)
			case *code:
				err = p.draw(out.Config)
			default:
				fmt.Fprint(p.out, out.Config)
			}
			if out.Note != "" {
				fmt.Fprintln(p.err, "pic:", out.Note)
			}
			return err
		}, "NAME")
	},
}

var peerRm = command{
	name: "rm", args: "NAME", short: "Remove a device; it is shut out at once",
	run: func(p *program, fs *flag.FlagSet) action {
		var e editing
		e.dry(fs)
		return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
			out, err := cell.RemovePeer(ctx, args[0], e.Edit)
			if err != nil {
				return err
			}
			return p.changed(out)
		}, "NAME")
	},
}

var (
	peerConfig = peerText("config", "Print the WireGuard configuration of a device", func(p *program, conf string) error {
		_, err := fmt.Fprint(p.out, conf)
		return err
	})
	peerQR = peerText("qr", "Draw the configuration as a QR code for the phone's camera", (*program).draw)
)

// peerText makes a command that shows the configuration in one way or another; as
// JSON it is what the code says, for the drawing is for eyes.
func peerText(name, short string, show func(*program, string) error) command {
	return command{
		name: name, args: "NAME", short: short,
		run: func(p *program, fs *flag.FlagSet) action {
			endpoint := fs.String("endpoint", "", "`host:port` that the device dials; default: wireguard.endpoint")
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				conf, err := cell.PeerConfig(ctx, args[0], *endpoint)
				switch {
				case err != nil:
					return err
				case p.json:
					return p.printJSON(map[string]string{"config": string(conf)})
				}
				return show(p, string(conf))
			}, "NAME")
		},
	}
}

// draw draws a QR code.
func (p *program) draw(text string) error {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return fmt.Errorf("drawing the QR code: %w", err)
	}
	_, err = fmt.Fprint(p.out, blocks(code))
	return err
}

// blocks draws a QR code with half blocks, light on dark or dark on light by
// colours of its own, so that it reads on every terminal.
func blocks(code *qr.Code) string {
	const quiet = 2
	var b strings.Builder
	for y := -quiet; y < code.Size+quiet; y += 2 {
		b.WriteString("\x1b[30;107m") // black on white
		for x := -quiet; x < code.Size+quiet; x++ {
			switch up, down := code.Black(x, y), code.Black(x, y+1); {
			case up && down:
				b.WriteString("█")
			case up:
				b.WriteString("▀")
			case down:
				b.WriteString("▄")
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteString("\x1b[0m\n")
	}
	return b.String()
}

// size is a number of bytes for people.
func size(n uint64) string {
	const units = "kMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/1024, 0
	for v >= 1024 && i < len(units)-1 {
		v /= 1024
		i++
	}
	return fmt.Sprintf("%.1f %ciB", v, units[i])
}
