// Package sign signs zones while they answer, and keeps and exchanges their keys.
//
// It promises:
//
//   - Signatures of ECDSA P-256 with SHA-256 (RFC 6605) over whatever set of
//     records is asked for (RFC 4034 §3), made when first needed and kept in
//     bounded memory. What is signed depends on the keys, the set and the day
//     alone: the same set has the same signature in every answer, in a transfer,
//     and after a restart (RFC 6979).
//   - A signature begins an hour before the day it is made for, lives two weeks
//     and is replaced after one. Sets are spread over the days of the week, so
//     that a secondary never has to fetch all of them at once.
//   - Each zone has a key that signs its keys (KSK) and one that signs the rest
//     (ZSK). The ZSK is exchanged every 90 days by pre-publication, the KSK on
//     demand by double signature, both with the intervals of RFC 7583 and 6781
//     §4.1. The parent hears of it by CDS and CDNSKEY (RFC 7344, 8078); validators
//     that hold the key as trust anchor follow by RFC 5011.
//   - Keys are made here, sealed, and replaced as a whole on disk. Keys that cannot
//     be read are never replaced by others: the zone is then not signed, and that
//     is told as a problem.
//
// It knows no zones: which names there are, and the NSEC records that say so, is
// the business of whoever has the names; [Compare] is their order. It does no
// NSEC3, no other algorithms, and does not take over keys made elsewhere.
package sign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/miekg/dns"
)

// A Role is what a key signs.
type Role string

const (
	KSK Role = "ksk" // the keys of the zone
	ZSK Role = "zsk" // everything else
)

// A State is where a key is in its life (RFC 7583 §3.1).
type State string

const (
	// Published keys are told, so that everybody has them before they count. A
	// KSK signs then too.
	Published State = "published"
	// Active keys sign.
	Active State = "active"
	// Retired keys are told as long as what they signed may be remembered.
	Retired State = "retired"
	// Revoked keys tell by their own signature that they count no more
	// (RFC 5011 §2.1).
	Revoked State = "revoked"
)

// The intervals of an exchange. RFC 7583 has their names.
const (
	// keyTTL is how long DNSKEY, CDS and CDNSKEY records may be remembered: TTLkey.
	keyTTL = time.Hour
	// propagation is how far a secondary may lag behind: Dprp.
	propagation = 24 * time.Hour
	// longest is the longest TTL of a record that we sign: TTLsig.
	longest = 7 * 24 * time.Hour
	// publish is how long a key is told before it counts: Ipub (§3.2.1).
	publish = propagation + keyTTL
	// retire is how long a ZSK is told after it signed: Iret (§3.2.1). Dsgn is 0,
	// for signatures are made when asked for.
	retire = propagation + longest
	// zskLife is how long a ZSK signs.
	zskLife = 90 * 24 * time.Hour
	// registered is how long the parent must have had the DS record of a new KSK:
	// two days, the longest TTL that is usual for DS, and propagation.
	registered = 48*time.Hour + propagation
	// holdDown is how long a KSK is told before validators that follow by RFC 5011
	// trust it, and how long it is told after it was revoked: 30 days (§2.4), and
	// five for those that were away.
	holdDown = 35 * 24 * time.Hour
)

// Options are what [Keys] stand on. Log, Dir, Seal and Unseal are required.
type Options struct {
	Log *slog.Logger
	// Dir is the folder of the keys; it is made when the first key is.
	Dir    string
	Seal   func(context string, plain []byte) []byte
	Unseal func(context string, sealed []byte) ([]byte, error)
	// Now is the clock; nil is time.Now. It may jump.
	Now func() time.Time
	// Credible is the earliest time that the clock may show. While it shows an
	// earlier one keys stay as they are: once it is set, all that time would seem to
	// have passed at once.
	Credible time.Time
}

// A key is one key of a zone.
type key struct {
	Role    Role      `json:"role"`
	State   State     `json:"state"`
	Since   time.Time `json:"since"`         // of State
	Seen    time.Time `json:"seen,omitzero"` // when the parent was first seen to have its DS record
	Secret  []byte    `json:"secret"`        // the private key, 32 bytes
	private *ecdsa.PrivateKey
}

// make returns a new key whose tag none of others has, now or once revoked.
func newKey(zone string, role Role, state State, now time.Time, others []key) (key, error) {
	for range 100 {
		p, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return key{}, err
		}
		k := key{Role: role, State: state, Since: now, private: p}
		if k.Secret, err = p.Bytes(); err != nil {
			return key{}, err
		}
		if k.distinct(zone, others) {
			return k, nil
		}
	}
	return key{}, fmt.Errorf("making a key for %s: no free key tag", zone)
}

func (k key) distinct(zone string, others []key) bool {
	tags := map[uint16]bool{0: true} // the library takes 0 for none
	add := func(k key) bool {
		for _, s := range []State{Active, Revoked} {
			k.State = s
			tag := k.record(zone).KeyTag()
			if tags[tag] {
				return false
			}
			tags[tag] = true
			if k.Role == ZSK {
				break // is never revoked
			}
		}
		return true
	}
	for _, o := range others {
		add(o)
	}
	return add(k)
}

// load makes the key usable that was read from disk.
func (k *key) load() error {
	p, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), k.Secret)
	if err != nil {
		return err
	}
	known := k.Role == KSK && k.State != Retired || k.Role == ZSK && k.State != Revoked
	switch k.State {
	case Published, Active, Retired, Revoked:
	default:
		known = false
	}
	if !known {
		return fmt.Errorf("there is no %s that is %s", k.Role, k.State)
	}
	k.private = p
	return nil
}

// record returns the DNSKEY record of k.
func (k key) record(zone string) *dns.DNSKEY {
	point, err := k.private.PublicKey.Bytes()
	if err != nil {
		panic(err) // only a curve of one's own has it
	}
	rr := &dns.DNSKEY{
		Hdr:       dns.RR_Header{Name: zone, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: uint32(keyTTL / time.Second)},
		Flags:     dns.ZONE,
		Protocol:  3,
		Algorithm: dns.ECDSAP256SHA256,
		PublicKey: base64.StdEncoding.EncodeToString(point[1:]), // without the mark of its form (RFC 6605 §4)
	}
	if k.Role == KSK {
		rr.Flags |= dns.SEP
	}
	if k.State == Revoked {
		rr.Flags |= dns.REVOKE
	}
	return rr
}

// A signer signs the same in the same way each time (RFC 6979).
type signer struct{ *ecdsa.PrivateKey }

func (s signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.PrivateKey.Sign(nil, digest, opts)
}
