// Package origin finds out who a message is from, and signs what the house
// sends.
//
// # Promises
//
// A [Check] looks at a message once, while it comes in, and says in the end:
//   - SPF (RFC 7208): whether the host that brings it may use the name in MAIL
//     FROM, or in HELO if that is empty;
//   - DKIM (RFC 6376, 8301, 8463): whose signatures are right. RSA with SHA-1 and
//     keys below 1024 bits do not count, nor does a signature that leaves out a
//     part of the body;
//   - DMARC (RFC 7489, 9091): whether one of these stands for the domain that the
//     reader sees in From, and what that domain wants to be done if not;
//   - ARC (RFC 8617): what those who passed the message on have found, and whether
//     their chain is whole. Whose word counts is not for this package to say.
//
// [Result.Field] writes that down for those who read the message (RFC 8601), and
// [Forged] tells a field that claims to be ours. [Sign] makes signatures, [Seal]
// adds to a chain what we found before a message goes on.
//
// All DNS questions of a message together end when the context does. What cannot
// be found out now is TempError and never counts against a sender for good.
// A message costs at most eight signatures, fifty seals, ten questions of SPF,
// and one pass over its body, whatever is in it.
//
// # Whose is what
//
// SPF is blitiri.com.ar/go/spf's. The rest is ours: go-msgauth's DKIM reads the
// message anew for each signature, its DMARC does not decide, and ARC shares all
// but the names with DKIM. It is the oracle of the tests.
//
// Nothing here decides what becomes of a message, and nothing listens or stores.
package origin

import (
	"context"
	"crypto/sha256"
	"io"
	"net/netip"
	"time"

	"pic/mailsrv/lookup"
)

// A Verdict is the outcome of one examination (RFC 8601 §2.7).
type Verdict string

const (
	None      Verdict = "none" // there was nothing to examine
	Pass      Verdict = "pass"
	Fail      Verdict = "fail"
	SoftFail  Verdict = "softfail"
	Neutral   Verdict = "neutral"
	Policy    Verdict = "policy" // right, but not good enough for us
	TempError Verdict = "temperror"
	PermError Verdict = "permerror"
)

// A Sender is what is known of who brings a message, before it comes.
type Sender struct {
	Addr netip.Addr
	Helo string
	From string // MAIL FROM, "" for <>
}

// A Check examines one message. It is for one goroutine.
type Check struct {
	Resolver lookup.Resolver
	Now      time.Time

	header *header
	claims []*claim
	chain  *chain
	bodies []*bodyHash
	sums   map[*bodyHash][]byte
	keys   map[string]found
}

// Begin takes the header of the message, with lines that end in CRLF. What it
// returns takes the body, which begins after the empty line.
func (k *Check) Begin(raw []byte) io.Writer {
	k.header = newHeader(raw)
	k.keys, k.sums = map[string]found{}, map[*bodyHash][]byte{}
	for _, f := range k.header.all("dkim-signature") {
		if len(k.claims) == maxSignatures {
			break
		}
		k.add(parseClaim(f, k.Now, false))
	}
	k.chain = newChain(k.header, k.Now)
	if c := k.chain.last(); c != nil {
		k.hash(c)
	}
	var all []io.Writer
	for _, b := range k.bodies {
		all = append(all, b)
	}
	if len(all) == 1 {
		return all[0]
	}
	return io.MultiWriter(all...)
}

func (k *Check) add(c *claim) {
	k.claims = append(k.claims, c)
	k.hash(c)
}

// hash has the body hashed as a signature says. Those that say the same share
// it.
func (k *Check) hash(c *claim) {
	if c.err != nil {
		return
	}
	for _, b := range k.bodies {
		if b.canon == c.bodyCanon && b.limit == c.limit {
			c.body = b
			return
		}
	}
	c.body = &bodyHash{canon: c.bodyCanon, limit: c.limit, sum: sha256.New()}
	k.bodies = append(k.bodies, c.body)
}

func (k *Check) sum(c *claim) []byte {
	if _, ok := k.sums[c.body]; !ok {
		k.sums[c.body] = c.body.end()
	}
	return k.sums[c.body]
}

// A Result is what was found out about a message.
type Result struct {
	Sender     Sender
	SPF        SPF
	Signatures []Signature
	ARC        Chain
	DMARC      DMARC
}

// End says what was found out, after all of the body was written. It asks DNS.
func (k *Check) End(ctx context.Context, s Sender) *Result {
	r := &Result{Sender: s}
	spf := make(chan SPF, 1) // its questions go out beside those of the rest
	go func() {
		defer func() {
			if recover() != nil { // the library met what it was not made for
				spf <- SPF{Verdict: PermError, Why: "the record cannot be read"}
			}
		}()
		spf <- checkSPF(ctx, k.Resolver, s)
	}()
	for _, c := range k.claims {
		k.settle(ctx, c)
		r.Signatures = append(r.Signatures, c.Signature)
	}
	r.ARC = k.settleChain(ctx)
	r.SPF = <-spf
	r.DMARC = k.dmarc(ctx, r)
	return r
}
