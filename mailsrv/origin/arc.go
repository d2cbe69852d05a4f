package origin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

const maxInstances = 50 // RFC 8617 §4.2.1

// A Chain is what ARC says of a message (RFC 8617).
type Chain struct {
	Verdict   Verdict // None, Pass, Fail or TempError
	Why       string
	Instances int
	Sealers   []string // domains, the first that passed the message on at the beginning
	Found     string   // what the last of them had found: the value of its field, without instance
}

// A set is one link of a chain.
type set struct {
	results, message, seal field
	claim                  *claim // of message
	sealed                 sealTags
}

type sealTags struct {
	verdict, algorithm, domain, selector string
	sig                                  []byte
}

type chain struct {
	sets []*set
	err  error // it is none
}

// newChain collects the fields of ARC (RFC 8617 §5.2, steps 1 to 3).
func newChain(h *header, now time.Time) *chain {
	c := &chain{}
	count := 0
	for name, place := range map[string]func(*set) *field{
		"arc-authentication-results": func(s *set) *field { return &s.results },
		"arc-message-signature":      func(s *set) *field { return &s.message },
		"arc-seal":                   func(s *set) *field { return &s.seal },
	} {
		for _, f := range h.all(name) {
			i, ok := instance(f)
			if count++; !ok || count > 3*maxInstances {
				c.err = failed("the chain's fields cannot be told apart")
				return c
			}
			for len(c.sets) < i {
				c.sets = append(c.sets, &set{})
			}
			if p := place(c.sets[i-1]); p.raw == nil {
				*p = f
				continue
			}
			c.err = failed("link %d of the chain is there twice", i)
			return c
		}
	}
	for i, s := range c.sets {
		if s.results.raw == nil || s.message.raw == nil || s.seal.raw == nil {
			c.err = failed("link %d of the chain is not whole", i+1)
			return c
		}
		if c.err = s.parse(i, now); c.err != nil {
			return c
		}
	}
	return c
}

// instance is the number of a field's link.
func instance(f field) (int, bool) {
	v := strings.TrimLeft(string(f.value()), " \t\r\n")
	if f.name != "arc-authentication-results" {
		t, err := tags(v)
		if err != nil {
			return 0, false
		}
		v = "i=" + t["i"]
	}
	v, _, _ = strings.Cut(v, ";")
	v, ok := strings.CutPrefix(pressed(v), "i=")
	i, err := strconv.Atoi(v)
	return i, ok && err == nil && i >= 1 && i <= maxInstances
}

func (s *set) parse(i int, now time.Time) error {
	s.claim = parseClaim(s.message, now, true)
	t, err := tags(string(s.seal.value()))
	if err != nil {
		return failed("seal %d cannot be read", i+1)
	}
	s.sealed = sealTags{
		verdict: strings.ToLower(pressed(t["cv"])), algorithm: strings.ToLower(pressed(t["a"])),
		domain: strings.ToLower(pressed(t["d"])), selector: pressed(t["s"]),
	}
	if s.sealed.sig, err = base64.StdEncoding.DecodeString(pressed(t["b"])); err != nil || len(s.sealed.sig) == 0 || len(s.sealed.sig) > 1024 {
		return failed("seal %d cannot be read", i+1)
	}
	if _, covers := t["h"]; covers || !hostName(s.sealed.domain) || !hostName(s.sealed.selector) {
		return failed("seal %d cannot be read", i+1)
	}
	want := "pass"
	if i == 0 {
		want = "none"
	}
	if s.sealed.verdict != want {
		return failed("seal %d says %.20q of the chain before it", i+1, s.sealed.verdict)
	}
	return nil
}

// last is the message signature that has to be right, nil if there is none.
func (c *chain) last() *claim {
	if c.err != nil || len(c.sets) == 0 {
		return nil
	}
	return c.sets[len(c.sets)-1].claim
}

func (k *Check) settleChain(ctx context.Context) Chain {
	out := Chain{Instances: len(k.chain.sets)}
	if out.Instances == 0 && k.chain.err == nil {
		out.Verdict = None
		return out
	}
	err := k.chain.err
	if err == nil {
		err = k.verify(ctx, k.chain.last())
	}
	for i := len(k.chain.sets) - 1; i >= 0 && err == nil; i-- {
		err = k.verifySeal(ctx, i)
	}
	out.Verdict, out.Why = judged(err)
	switch out.Verdict {
	case Pass:
		for _, s := range k.chain.sets {
			out.Sealers = append(out.Sealers, s.sealed.domain)
		}
		v := string(k.chain.sets[out.Instances-1].results.value())
		_, v, _ = strings.Cut(v, ";")
		out.Found = strings.Join(strings.Fields(v), " ")
	case TempError:
	default:
		out.Verdict = Fail // there are but these (RFC 8617 §4.4)
	}
	return out
}

func (k *Check) verifySeal(ctx context.Context, i int) error {
	s := k.chain.sets[i].sealed
	key, err := k.key(ctx, s.selector, s.domain)
	if err != nil {
		return err
	}
	if !key.sha256 {
		return permanent("the key is not for this")
	}
	sum := sealSum(k.chain.sets[:i+1])
	return key.verify(s.algorithm, sum, s.sig)
}

// sealSum hashes what the last seal of sets covers (RFC 8617 §5.1.1).
func sealSum(sets []*set) []byte {
	var b []byte
	for i, s := range sets {
		b = relaxed.header(b, s.results)
		b = relaxed.header(b, s.message)
		seal := s.seal
		if i == len(sets)-1 {
			seal.raw = blanked(seal.raw)
		}
		b = relaxed.header(b, seal)
	}
	sum := sha256.Sum256(bytes.TrimSuffix(b, []byte("\r\n")))
	return sum[:]
}
