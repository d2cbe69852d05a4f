package api

import (
	"slices"
	"strings"

	"pic/api/wire"
	"pic/core/config"
)

// serviceWords are the names of [config.Offers] for people.
var serviceWords = map[string]string{
	"dns": "DNS", "ntp": "the time", "web": "the web UI", "proxy": "web pages", "mail": "mail", "files": "files",
}

// rightWords says each right of a resolved peer in words; denied ones begin with
// not or no.
func rightWords(d *config.Document, r config.Rights) map[string]string {
	out := map[string]string{}
	line := d.Cell.Name + "'s own line"
	via := line
	if r.Exit != "" {
		via = "the exit " + r.Exit
	}
	out["internet"] = "not the internet"
	if config.On(r.Internet) {
		out["internet"] = "the internet through " + via
		if r.Exit != "" && config.On(r.Fallback) {
			out["internet"] += ", or " + line + " while that is down"
		}
	}
	out["lan"] = "not the LAN"
	if config.On(r.LAN) {
		out["lan"] = "the LAN"
	}
	switch {
	case slices.Contains(r.Services, config.All):
		out["services"] = "all services of " + d.Cell.Name
	default:
		words := []string{}
		for _, s := range r.Services {
			if s == config.None || s == "dns" {
				continue
			}
			if w := serviceWords[s]; w != "" {
				s = w
			}
			words = append(words, s)
		}
		out["services"] = join(append(words, "DNS"))
	}
	switch {
	case slices.Contains(r.Peers, config.All):
		out["peers"] = "all other devices"
	case slices.Contains(r.Peers, config.None) || len(r.Peers) == 0:
		out["peers"] = "no other devices"
	default:
		out["peers"] = "the devices of " + join(r.Peers)
	}
	switch {
	case slices.Contains(r.Cells, config.All):
		out["cells"] = "all linked cells"
	case slices.Contains(r.Cells, config.None) || len(r.Cells) == 0:
		out["cells"] = "no linked cells"
	default:
		out["cells"] = "the cells " + join(r.Cells)
	}
	out["exit"] = line
	if r.Exit != "" && r.Exit != config.None {
		out["exit"] = "the exit " + r.Exit
	}
	out["fallback"] = "nothing else while the exit is down"
	if config.On(r.Fallback) {
		out["fallback"] = line + " while the exit is down"
	}
	return out
}

// rightNames are the rights in the order in which they are told.
var rightNames = []string{"internet", "lan", "services", "peers", "cells", "exit", "fallback"}

// rightsOf lists the rights of a resolved peer.
func rightsOf(d *config.Document, r config.Rights, from map[string]config.Source) []wire.Right {
	words := rightWords(d, r)
	var out []wire.Right
	for _, name := range rightNames {
		w := wire.Right{Name: name, Text: words[name], Source: "default"}
		switch s := from[name]; {
		case s.Own:
			w.Source = "own"
		case s.Groups != nil:
			w.Source, w.Groups = "group", s.Groups
		}
		out = append(out, w)
	}
	return out
}

// may says in one sentence what a resolved peer may reach.
func may(d *config.Document, r config.Rights) string {
	words := rightWords(d, r)
	var yes, no []string
	for _, name := range rightNames[:5] {
		w := words[name]
		switch {
		case name == "cells" && len(d.Links) == 0:
		case strings.HasPrefix(w, "not "), strings.HasPrefix(w, "no "):
			no = append(no, w)
		case name == "services" && strings.Contains(w, " and "): // a list within the list
			yes = append(yes, strings.Split(strings.ReplaceAll(w, " and ", ", "), ", ")...)
		default:
			yes = append(yes, w)
		}
	}
	out := "may reach " + join(yes)
	if no != nil {
		out += "; " + strings.Join(no, ", ")
	}
	return out
}

// join makes "a, b and c".
func join(words []string) string {
	if n := len(words); n > 1 {
		return strings.Join(words[:n-1], ", ") + " and " + words[n-1]
	}
	return strings.Join(words, "")
}

// grant changes rights as in says.
func grant(r *config.Rights, in wire.PeerRights) {
	flag := func(to **bool, v *bool) {
		if v != nil {
			*to = v
		}
	}
	names := func(to *[]string, v *[]string) {
		if v == nil {
			return
		}
		*to = slices.Compact(slices.Sorted(slices.Values(*v)))
		if len(*v) == 0 { // an empty list is a decision, too
			*to = []string{config.None}
		}
	}
	flag(&r.Internet, in.Internet)
	flag(&r.LAN, in.LAN)
	flag(&r.Fallback, in.Fallback)
	names(&r.Services, in.Services)
	names(&r.Peers, in.Peers)
	names(&r.Cells, in.Cells)
	set(&r.Exit, in.Exit)
	for _, name := range in.Inherit {
		switch name {
		case "internet":
			r.Internet = nil
		case "lan":
			r.LAN = nil
		case "fallback":
			r.Fallback = nil
		case "services":
			r.Services = nil
		case "peers":
			r.Peers = nil
		case "cells":
			r.Cells = nil
		case "exit":
			r.Exit = ""
		}
	}
}

// grants reports whether in says anything.
func grants(in wire.PeerRights) bool {
	return in.Internet != nil || in.LAN != nil || in.Services != nil || in.Peers != nil || in.Cells != nil ||
		in.Exit != nil || in.Fallback != nil || len(in.Inherit) > 0
}
