package config

import "time"

// DefaultTSIG is the algorithm of a TSIG key that names none.
const DefaultTSIG = "hmac-sha256"

func resolveDNS(r *Document, env Env, on onDefault, port portDefault) {
	d := &r.DNS
	on(&d.Enabled, true)
	on(&d.TLS, true)
	on(&d.HTTPS, true)
	on(&d.Rebind, true)
	port(&d.Port, env.Ports, "DNS_PORT", 53, 10053)
	port(&d.TLSPort, env.Ports, "DOT_PORT", 853, 10853)
	if d.Resolver == "" {
		d.Resolver = ResolveForward
	}
	if d.Upstreams == nil {
		for _, a := range env.Resolvers {
			if r.Cell.Mode == Appliance && (a.Addr().IsLoopback() || a.Addr() == r.Network.LAN.Address.Addr()) {
				continue // that is this cell, or asks it
			}
			d.Upstreams = append(d.Upstreams, a.String())
		}
	}
	if d.Validate == "" {
		d.Validate = ValidateAuto
	}
	if d.Stale == 0 {
		d.Stale = Duration(24 * time.Hour)
	}
	number(&d.Rate, 1000)
	number(&d.Responses, 20)
	for i := range d.Keys {
		if d.Keys[i].Algorithm == "" {
			d.Keys[i].Algorithm = DefaultTSIG
		}
	}
	f := &d.Filter
	on(&f.Enabled, true)
	if f.Answer == "" {
		f.Answer = BlockNull
	}
	if f.Refresh == 0 {
		f.Refresh = Duration(24 * time.Hour)
	}
	on(&d.Log.Enabled, true)
	if d.Log.Keep == 0 {
		d.Log.Keep = Duration(7 * 24 * time.Hour)
	}
	if d.Log.MaxSize == 0 {
		d.Log.MaxSize = 256 << 20
	}
}

// number fills in a number that zero does not stand for the default of.
func number(p **int, def int) {
	if *p == nil {
		*p = &def
	}
}
