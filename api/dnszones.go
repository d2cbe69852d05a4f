package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"pic/api/wire"
	"pic/core/config"
	"pic/dnssrv"
)

func (a *API) zoneRoutes() {
	route(a, Viewers, "GET /api/dns/zones", "The zones that the cell answers for", a.dnsZones)
	route(a, Viewers, "GET /api/dns/zones/{zone}/export", "A zone as a master file", a.dnsExport, answers("text/dns", "The zone (RFC 1035 §5)"))
	route(a, Admins, "POST /api/dns/zones/{zone}/import", "Put the records of a master file into a zone", a.dnsImport, wide)
	route(a, Admins, "POST /api/dns/zones/{zone}/transfer", "Ask the primaries of a zone, and tell its secondaries, now", a.dnsTransfer)
	route(a, Admins, "POST /api/dns/zones/{zone}/rollover", "Begin to exchange the keys that sign a zone", a.dnsRollover)
	route(a, Admins, "DELETE /api/dns/zones/{zone}/updates", "Remove what programs put into a zone by updates", a.dnsClearUpdates)
	route(a, Admins, "POST /api/dns/keys", "Add a TSIG key; its secret is shown this once", a.dnsAddKey)
	route(a, Admins, "DELETE /api/dns/keys/{name}", "Remove a TSIG key", a.dnsRemoveKey)
}

func (a *API) dnsZones(context.Context, *struct{}) (*body[[]wire.DNSZone], error) {
	out := []wire.DNSZone{}
	for _, z := range a.DNS.Zones() {
		w := wire.DNSZone{
			Name: z.Name, Kind: string(z.Kind), Serial: z.Serial, Records: z.Records, Signed: z.Signed,
			DS: list(z.DS), Keys: []wire.DNSSignKey{}, Secondaries: []wire.DNSPartner{}, Primaries: []wire.DNSPartner{},
		}
		for _, k := range z.Keys {
			w.Keys = append(w.Keys, wire.DNSSignKey{Tag: k.Tag, Role: string(k.Role), State: string(k.State), Next: k.Next})
		}
		for _, p := range z.Sharing.Secondaries {
			w.Secondaries = append(w.Secondaries, partner(p))
		}
		for _, p := range z.Sharing.Primaries {
			w.Primaries = append(w.Primaries, partner(p))
		}
		w.Expires, w.Updates = z.Sharing.Expires, z.Sharing.Updates
		out = append(out, w)
	}
	return &body[[]wire.DNSZone]{out}, nil
}

func partner(p dnssrv.Partner) wire.DNSPartner {
	return wire.DNSPartner{Address: p.Address, Serial: p.Serial, Seen: p.Seen, Error: p.Error}
}

type zonePath struct {
	Zone string `path:"zone" maxLength:"254"`
}

func (a *API) dnsExport(_ context.Context, in *zonePath) (*text, error) {
	file, err := a.DNS.Export(in.Zone)
	if err != nil {
		return nil, fail(http.StatusNotFound, "not-found", err.Error())
	}
	return &text{http.StatusOK, "text/dns; charset=utf-8", []byte(file)}, nil
}

type importInput struct {
	Changing
	Zone string `path:"zone" maxLength:"254"`
	Body wire.DNSImport
}

func (a *API) dnsImport(ctx context.Context, in *importInput) (*tagged[wire.DNSImported], error) {
	zone := strings.ToLower(strings.TrimSuffix(in.Zone, "."))
	found, notes, err := a.DNS.Import(in.Body.Text, zone)
	if err != nil {
		return nil, wrong("text", err.Error())
	}
	_, out, err := a.change(ctx, edit{
		Changing: in.Changing,
		reason:   "import records into " + zone,
		do: func(d *config.Document) error {
			records, err := recordsOf(d, a.Store.Resolved().Cell.Domain, zone)
			if err != nil {
				return err
			}
			if in.Body.Replace {
				*records = nil
			}
			for _, r := range found {
				same := func(o config.Record) bool { return o.Name == r.Name && o.Type == r.Type && o.Value == r.Value }
				if i := slices.IndexFunc(*records, same); i >= 0 {
					(*records)[i] = r
				} else {
					*records = append(*records, r)
				}
			}
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	return &tagged[wire.DNSImported]{etag(out.Revision), wire.DNSImported{
		Outcome: out, Records: list(found), Notes: list(notes),
	}}, nil
}

// recordsOf returns where the document has the records of a zone.
func recordsOf(d *config.Document, own, zone string) (*[]config.Record, error) {
	if zone == own {
		return &d.DNS.Records, nil
	}
	i := slices.IndexFunc(d.DNS.Zones, func(z config.Zone) bool { return z.Name == zone })
	switch {
	case i < 0:
		return nil, missing(fmt.Sprintf("zone %q in dns.zones; add it first", zone))
	case len(d.DNS.Zones[i].Primaries) > 0:
		return nil, wrong("zone", "is copied from its primaries; import the records there")
	}
	return &d.DNS.Zones[i].Records, nil
}

func (a *API) dnsTransfer(ctx context.Context, in *zonePath) (*struct{}, error) {
	if err := a.DNS.Transfer(ctx, in.Zone); err != nil {
		return nil, wrong("zone", err.Error())
	}
	return nil, nil
}

func (a *API) dnsRollover(ctx context.Context, in *zonePath) (*struct{}, error) {
	if err := a.DNS.Rollover(ctx, in.Zone); err != nil {
		return nil, wrong("zone", err.Error())
	}
	a.tell(ctx, "dns.rollover", in.Zone, "the keys of the zone "+in.Zone+" are being exchanged")
	return nil, nil
}

func (a *API) dnsClearUpdates(ctx context.Context, in *zonePath) (*body[wire.DNSCleared], error) {
	n, err := a.DNS.ClearUpdates(ctx, in.Zone)
	if err != nil {
		return nil, wrong("zone", err.Error())
	}
	a.tell(ctx, "dns.cleared", in.Zone, fmt.Sprintf("%d records of updates were removed from the zone %s", n, in.Zone))
	return &body[wire.DNSCleared]{wire.DNSCleared{Records: n}}, nil
}

// tsigKind is what the vault calls TSIG secrets.
const tsigKind = "tsig"

type addKeyInput struct {
	Changing
	Body wire.NewDNSKey
}

func (a *API) dnsAddKey(ctx context.Context, in *addKeyInput) (*tagged[wire.DNSKeyOutcome], error) {
	key := config.TSIGKey{Name: strings.ToLower(strings.TrimSuffix(in.Body.Name, ".")), Algorithm: in.Body.Algorithm}
	algorithm := cmp.Or(key.Algorithm, config.DefaultTSIG)
	secret := in.Body.Secret
	if secret == "" {
		b := make([]byte, 32)
		_, _ = rand.Read(b) // never fails
		secret = base64.StdEncoding.EncodeToString(b)
	} else if b, err := base64.StdEncoding.DecodeString(secret); err != nil || len(b) < 16 {
		return nil, wrong("secret", "must be at least 16 bytes in base64; without one the cell makes it")
	}
	key.Secret = "not-kept-yet"
	if !in.DryRun {
		id, err := a.Vault.Put(ctx, tsigKind, []byte(secret))
		if err != nil {
			return nil, fmt.Errorf("keeping the key: %w", err)
		}
		key.Secret = id
	}
	_, out, err := a.change(ctx, edit{
		Changing: in.Changing,
		reason:   "add TSIG key " + key.Name,
		do: func(d *config.Document) error {
			if slices.ContainsFunc(d.DNS.Keys, func(k config.TSIGKey) bool { return k.Name == key.Name }) {
				return wrong("name", "there is a key of that name; remove it first")
			}
			d.DNS.Keys = append(d.DNS.Keys, key)
			return nil
		},
	})
	if err != nil {
		if !in.DryRun {
			if err := a.Vault.Delete(key.Secret); err != nil {
				a.Log.Warn("unused key stays in the vault", "key", key.Name, "err", err)
			}
		}
		return nil, err
	}
	answer := wire.DNSKeyOutcome{Outcome: out}
	if !in.DryRun {
		answer.Key = &wire.DNSKey{Name: key.Name, Algorithm: algorithm, Secret: secret}
	}
	return &tagged[wire.DNSKeyOutcome]{etag(out.Revision), answer}, nil
}

type keyPath struct {
	Changing
	Name string `path:"name" maxLength:"254"`
}

// dnsRemoveKey leaves the secret in the vault, since an undo needs it.
func (a *API) dnsRemoveKey(ctx context.Context, in *keyPath) (*outcome, error) {
	return a.edited(ctx, edit{
		Changing: in.Changing,
		reason:   "remove TSIG key " + in.Name,
		do: func(d *config.Document) error {
			n := len(d.DNS.Keys)
			d.DNS.Keys = slices.DeleteFunc(d.DNS.Keys, func(k config.TSIGKey) bool { return k.Name == in.Name })
			if len(d.DNS.Keys) == n {
				return missing(fmt.Sprintf("key %q", in.Name))
			}
			return nil
		},
	})
}
