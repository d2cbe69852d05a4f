// Package validate finds out by DNSSEC whether answers that a forwarding
// resolver got from others are what the owners of the zones have signed.
//
// It promises, by RFC 4033 to 4035, 5155, 6605, 6840, 8080 and 9364:
//
//   - An answer is Secure only if everything that is then left in the message is
//     signed by keys that a trust anchor leads to: records, the CNAMEs and DNAMEs
//     on the way, wildcards with the proof that nothing closer exists, and NSEC
//     or NSEC3 proofs that a name or type does not exist.
//   - An answer is Insecure only where a proof says so: of a delegation without
//     DS records, with opt-out, with algorithms that are not known, or with NSEC3
//     of more than 50 iterations (RFC 9276 §3.2).
//   - Everything else below a trust anchor is Bogus, with the reason as an
//     extended error (RFC 8914).
//   - The work of one answer is bounded, whoever wrote it: see the limits in
//     limits.go. Signatures are checked by few goroutines at a time, so that
//     others keep a processor.
//
// RSA/SHA-256, RSA/SHA-512, ECDSA P-256 and P-384 and Ed25519 are checked, with
// DS digests SHA-256 and SHA-384. SHA-1 counts as unknown in both places, thus as
// insecure, which is what RFC 9905 §2 tells operators. RSA keys below 1024 bits
// count as unknown too.
//
// The keys that a zone is trusted by are followed as they change (RFC 5011): see
// [Followed], which keeps nothing itself.
//
// It does not resolve: it asks for DS and DNSKEY records through [Fetch]. It does
// not make answers of proofs it has seen (RFC 8198).
package validate

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// A State is what is known of an answer (RFC 4033 §5, RFC 4035 §4.3).
type State uint8

const (
	Indeterminate State = iota // no trust anchor is above it
	Insecure                   // a proof says that it is not signed
	Secure
	Bogus // must not be told
)

// String returns the name of the state in small letters.
func (s State) String() string {
	return [...]string{"indeterminate", "insecure", "secure", "bogus"}[s&3]
}

// worse returns the state of an answer that is made of both.
func worse(a, b State) State {
	rank := [...]int{Indeterminate: 2, Insecure: 1, Secure: 0, Bogus: 3}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

// A Result is what came of an answer. Code and Text are an extended error
// (RFC 8914) and say why it is Bogus, or why it is Insecure although there are
// signatures; Text is empty otherwise.
type Result struct {
	State State
	Code  uint16
	Text  string
	// Brief says that the reason is about this moment, such as an upstream that
	// did not answer, and should soon be looked at again.
	Brief bool
}

// Fetch asks for records with DO and CD set and returns the whole message. The
// name is in presentation format with the last dot, in lower case. The message
// becomes the validator's. It is called by several goroutines at once and must
// return soon after ctx ends.
//
// An error that is [ErrSpent] says that it is about this judging alone.
type Fetch func(ctx context.Context, name string, typ uint16) (*dns.Msg, error)

// ErrSpent is the error of a [Fetch] that did not ask, for what is judged has cost
// all it may. Nothing is remembered of it: somebody else may well be answered.
var ErrSpent = errors.New("it has cost all it may")

// Options are what a Validator may be told besides; the zero value is good.
type Options struct {
	// Unsigned are domains, in presentation format, that are taken as insecure
	// without any proof (RFC 7646), unless a trust anchor is at or below them.
	Unsigned []string
	// Now tells the time; nil is time.Now.
	Now func() time.Time
	// Credible is the earliest time that a clock may show. While it shows an
	// earlier one, the dates of signatures do not count.
	Credible time.Time
	// Relieve sees to what is more urgent than to judge, and is called every 100 µs
	// or so by whoever does; nil: nothing is.
	Relieve func()
}

// A Validator judges answers. Use [New]. Its methods may be called from any
// goroutine.
type Validator struct {
	fetch    Fetch
	now      func() time.Time
	anchors  map[name][]*dns.DS
	unsigned map[name]bool
	credible time.Time
	cuts     *cuts
	desk     *desk // where signatures are checked and hashes made
	relieve  func()

	checks, fetches, hashes atomic.Uint64
	states                  [4]atomic.Uint64
}

// New returns a validator that trusts the anchors, whose names say for which
// zones; see [Root].
func New(anchors []*dns.DS, fetch Fetch, o Options) *Validator {
	v := &Validator{
		fetch: fetch, now: o.Now, anchors: map[name][]*dns.DS{}, unsigned: map[name]bool{}, credible: o.Credible,
		cuts: newCuts(), desk: newDesk(max(1, runtime.GOMAXPROCS(0)/2)), relieve: o.Relieve,
	}
	if v.now == nil {
		v.now = time.Now
	}
	if v.relieve == nil {
		v.relieve = func() {}
	}
	for _, ds := range anchors {
		if n := toName(ds.Hdr.Name); n != "" {
			v.anchors[n] = append(v.anchors[n], ds)
		}
	}
	for _, s := range o.Unsigned {
		v.unsigned[toName(s)] = true
	}
	return v
}

// Flush forgets all keys and delegations that were found out.
func (v *Validator) Flush() { v.cuts.flush() }

// Stats are counts since the start.
type Stats struct {
	Secure, Insecure, Bogus, Indeterminate uint64 // answers
	Checks                                 uint64 // of signatures
	Fetches                                uint64 // of DS and DNSKEY records
	Hashes                                 uint64 // of names, for NSEC3
	Known                                  int    // names of which is known whether they are zones
}

// Stats returns the counts.
func (v *Validator) Stats() Stats {
	return Stats{
		Secure: v.states[Secure].Load(), Insecure: v.states[Insecure].Load(),
		Bogus: v.states[Bogus].Load(), Indeterminate: v.states[Indeterminate].Load(),
		Checks: v.checks.Load(), Fetches: v.fetches.Load(), Hashes: v.hashes.Load(), Known: v.cuts.len(),
	}
}

// Validate judges the answer m to q. It changes m: TTLs are brought down to what
// signatures allow (RFC 4035 §5.3.3). If the result is Secure, records that are
// no proven part of the answer are taken out, with all of the additional section
// but OPT, and a response code that the proofs contradict is put right.
// Signatures and proofs stay. The end of ctx makes the result Bogus and Brief.
func (v *Validator) Validate(ctx context.Context, q dns.Question, m *dns.Msg) Result {
	return v.ValidateTo(ctx, q, m, nil)
}

// ValidateTo is Validate for an answer that is looked at up to the first alias to
// a name that leaves says yes to: others are asked about that. The name is in
// wire format, lower case.
func (v *Validator) ValidateTo(ctx context.Context, q dns.Question, m *dns.Msg, leaves func(name string) bool) (r Result) {
	ctx, cancel := context.WithCancel(ctx)
	j := &job{v: v, ctx: ctx, now: v.now(), cuts: map[name]cut{}, asked: map[ask]*pending{}}
	defer j.wg.Wait()
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			r = Result{State: Bogus, Code: dns.ExtendedErrorCodeDNSBogus, Text: fmt.Sprint("a record broke the validator: ", p)}
		}
		v.states[r.State].Add(1)
	}()
	return j.judge(q, m, leaves)
}
