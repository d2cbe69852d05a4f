package origin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"pic/mailsrv/message"
)

const (
	maxSignatures = 8 // that are checked, of one message
	maxSigned     = 200
)

// A Signature is one of a message's DKIM signatures and what it is worth.
type Signature struct {
	Verdict  Verdict
	Why      string // for people, if it is not Pass
	Domain   string // d=, in lower case
	Selector string
	Identity string // i=
	Sum      string // the beginning of b=, header.b of RFC 6008
	Testing  bool   // its domain says that it only tries (t=y)
	Partial  bool   // it covers only the beginning of the body (l=)
}

// A claim is a signature of DKIM or of ARC that is being checked.
type claim struct {
	Signature

	field      field
	algorithm  string
	canon      canon // of the header
	names      []string
	sig        []byte
	bodySum    []byte
	body       *bodyHash
	bodyCanon  canon
	limit      int64
	expired    bool
	err        error // why it is worth nothing already
	identityOf string
}

// parseClaim reads a signature. arc is that of ARC (RFC 8617 §4.1.2), which has
// neither version nor identity.
func parseClaim(f field, now time.Time, arc bool) *claim {
	c := &claim{field: f, limit: -1}
	t, err := tags(string(f.value()))
	if err != nil {
		c.err = permanent("the signature cannot be read")
		return c
	}
	c.Domain, c.Selector = strings.ToLower(pressed(t["d"])), pressed(t["s"])
	c.Sum = prefix(pressed(t["b"]), 8)
	c.err = c.read(t, now, arc)
	return c
}

func prefix(s string, n int) string { return s[:min(n, len(s))] }

func (c *claim) read(t map[string]string, now time.Time, arc bool) error {
	if !arc && t["v"] != "1" {
		return permanent("the signature has version %.20q", t["v"])
	}
	for _, name := range []string{"a", "b", "bh", "d", "h", "s"} {
		if t[name] == "" {
			return permanent("the signature has no tag %s", name)
		}
	}
	if !hostName(c.Domain) || !hostName(c.Selector) {
		return permanent("the signature's domain or selector is none")
	}
	if c.algorithm = strings.ToLower(pressed(t["a"])); c.algorithm != "rsa-sha256" && c.algorithm != "ed25519-sha256" {
		return permanent("signatures by %.20q do not count", c.algorithm) // also rsa-sha1, RFC 8301 §3.1
	}
	var err error
	if c.sig, err = base64.StdEncoding.DecodeString(pressed(t["b"])); err != nil || len(c.sig) > 1024 {
		return permanent("the signature cannot be read")
	}
	if c.bodySum, err = base64.StdEncoding.DecodeString(pressed(t["bh"])); err != nil || len(c.bodySum) != sha256.Size {
		return permanent("the body's hash cannot be read")
	}
	head, body, _ := strings.Cut(strings.ToLower(pressed(t["c"])), "/")
	var ok, ok2 bool
	c.canon, ok = parseCanon(head)
	c.bodyCanon, ok2 = parseCanon(body)
	if !ok || !ok2 {
		return permanent("the canonicalization %.20q is not known", t["c"])
	}
	c.names = list(t["h"])
	if !slices.Contains(c.names, "from") {
		return permanent("the signature does not cover From")
	}
	if len(c.names) > maxSigned {
		return permanent("the signature covers too many fields")
	}
	if arc && slices.Contains(c.names, "arc-seal") {
		return permanent("a message signature must not cover a seal")
	}
	if l, ok := t["l"]; ok {
		if c.limit, err = strconv.ParseInt(pressed(l), 10, 64); err != nil || c.limit < 0 {
			return permanent("the body's length cannot be read")
		}
	}
	if err := c.times(t, now); err != nil || arc {
		return err
	}
	if q := list(t["q"]); len(q) > 0 && !slices.Contains(q, "dns/txt") {
		return permanent("the key is nowhere where it could be asked for")
	}
	c.Identity = "@" + c.Domain
	if i := pressed(t["i"]); i != "" {
		c.Identity = i
	}
	at := strings.LastIndexByte(c.Identity, '@')
	c.identityOf = strings.ToLower(c.Identity[at+1:])
	if at < 0 || c.identityOf != c.Domain && !strings.HasSuffix(c.identityOf, "."+c.Domain) {
		return permanent("the identity is not of the signature's domain")
	}
	return nil
}

// times reads when a signature was made and until when it is good.
func (c *claim) times(t map[string]string, now time.Time) error {
	made, x := t["t"], t["x"]
	var from, until int64
	var err error
	if made != "" {
		if from, err = strconv.ParseInt(pressed(made), 10, 64); err != nil {
			return permanent("the signature's time cannot be read")
		}
	}
	if x != "" {
		if until, err = strconv.ParseInt(pressed(x), 10, 64); err != nil || made != "" && until < from {
			return permanent("the signature's expiry cannot be read")
		}
		c.expired = now.Unix() > until
	}
	return nil
}

// hostName reports whether s can be put into the name of a key.
func hostName(s string) bool {
	if s == "" || len(s) > 200 {
		return false
	}
	for l := range strings.SplitSeq(s, ".") {
		if l == "" || len(l) > 63 {
			return false
		}
		for _, c := range []byte(l) {
			if c <= ' ' || c >= 0x7F || strings.IndexByte(`"\;@()<>[],:`, c) >= 0 {
				return false
			}
		}
	}
	return true
}

// settle finds out what a signature is worth.
func (k *Check) settle(ctx context.Context, c *claim) {
	c.Verdict, c.Why = judged(k.verify(ctx, c))
}

func (k *Check) verify(ctx context.Context, c *claim) error {
	if c.err != nil {
		return c.err
	}
	if c.expired {
		return failed("the signature has expired")
	}
	if !bytes.Equal(k.sum(c), c.bodySum) {
		return failed("the body was changed")
	}
	if c.limit >= 0 && c.body.size < c.limit {
		return failed("the body is shorter than the signature says")
	}
	key, err := k.key(ctx, c.Selector, c.Domain)
	if err != nil {
		return err
	}
	switch {
	case !key.sha256 || !key.mail:
		return permanent("the key is not for this")
	case key.strict && c.identityOf != "" && c.identityOf != c.Domain:
		return permanent("the key is for its own domain only")
	}
	c.Testing = key.test
	if err := key.verify(c.algorithm, c.headerSum(k.header), c.sig); err != nil {
		return err
	}
	if c.Partial = c.limit >= 0 && c.limit < c.body.size; c.Partial {
		return &flaw{Policy, "the signature covers only a part of the body"}
	}
	return nil
}

// headerSum hashes the fields that a signature covers, and its own.
func (c *claim) headerSum(h *header) []byte {
	b := h.chosen(nil, c.names, c.canon)
	own := c.canon.header(nil, field{c.field.name, blanked(c.field.raw)})
	sum := sha256.Sum256(append(b, bytes.TrimSuffix(own, []byte("\r\n"))...))
	return sum[:]
}

// A header is the fields of a message, to be found by name.
type header struct {
	fields []field
	byName map[string][]int // places in fields, from above
}

func newHeader(raw []byte) *header {
	h := &header{byName: map[string][]int{}}
	for f := range message.RawFields(raw) {
		name, _, ok := bytes.Cut(f, []byte(":"))
		if !ok {
			continue
		}
		key := strings.ToLower(string(bytes.TrimRight(name, " \t")))
		h.byName[key] = append(h.byName[key], len(h.fields))
		h.fields = append(h.fields, field{key, f})
	}
	return h
}

// all returns the fields of a name, from above.
func (h *header) all(name string) []field {
	var out []field
	for _, i := range h.byName[name] {
		out = append(out, h.fields[i])
	}
	return out
}

// chosen appends the named fields; of a name that comes again, the next one up
// (RFC 6376 §5.4.2).
func (h *header) chosen(b []byte, names []string, c canon) []byte {
	used := make(map[string]int, len(names))
	for _, name := range names {
		at := h.byName[name]
		if n := len(at) - 1 - used[name]; n >= 0 {
			b = c.header(b, h.fields[at[n]])
			used[name]++
		}
	}
	return b
}
