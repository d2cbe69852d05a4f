package imapd

import (
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	inorder "pic/internal/order"
	"pic/mailsrv/store"
)

const (
	maxKeys  = 200 // of one search, counted with those within others
	maxDepth = 50  // of keys within others
)

// A kind says what a key looks at. They are in the order of what that costs.
type kind int

const (
	keyAll kind = iota
	keyNone
	keySeq
	keyUID
	keyFlag   // has it
	keyNoFlag // has it not
	keySince  // internal date; SINCE and BEFORE, ON is both
	keyBefore
	keyLarger
	keySmaller
	keyModSeq
	keySavedSince
	keySavedBefore
	keyOlder // by the second (RFC 5032)
	keyYounger
	keyEmail
	keySentSince // from here on the message is opened
	keySentBefore
	keyThread
	keyField  // of the envelope
	keyHeader // field of the header
	keyBody
	keyText
	keyAnd // these cost what is in them
	keyOr
	keyNot
)

// A key is a condition on messages.
type key struct {
	kind kind
	set  set
	flag string
	when time.Time
	size int64
	name string // of a field
	text string
	subs []key
}

// cost is the kind of the dearest part.
func (k *key) cost() kind {
	if k.kind < keyAnd {
		return k.kind
	}
	c := keyAll
	for i := range k.subs {
		c = max(c, k.subs[i].cost())
	}
	return c
}

// A reading is the state of taking the keys of a search.
type reading struct {
	p     *parser
	keys  int
	depth int

	modseq bool // MODSEQ was said, which the answer is to have then
}

// all takes search keys up to the end of the command or list.
func (r *reading) all() key { return r.rest(r.one()) }

// rest takes those that follow the first.
func (r *reading) rest(first key) key {
	k := key{kind: keyAnd, subs: []key{first}}
	for r.p.take(' ') {
		k.subs = append(k.subs, r.one())
	}
	return k.sorted()
}

// sorted puts what is cheap first.
func (k key) sorted() key {
	inorder.Stable(k.subs, func(a, b key) int { return int(a.cost() - b.cost()) })
	return k
}

var errKeys = no(imap.ResponseCodeLimit, "Too many conditions")

func (r *reading) one() key {
	p := r.p
	r.depth++
	defer func() { r.depth-- }()
	if r.keys++; (r.keys > maxKeys || r.depth > maxDepth) && p.err == nil {
		p.err = errKeys
	}
	switch c := p.peek(); {
	case p.err != nil:
		return key{}
	case c == '(':
		p.skip()
		k := r.all()
		p.need(')')
		return k
	case c >= '0' && c <= '9', c == '*', c == '$':
		set := p.set()
		if set.saved {
			return key{kind: keyUID, set: set}
		}
		return key{kind: keySeq, set: set}
	}
	return r.named(p.verb())
}

// named takes the key whose first word was taken.
func (r *reading) named(w string) key {
	p := r.p
	if k, ok := simple(w); ok {
		return k
	}
	p.sp()
	switch w {
	case "UID":
		return key{kind: keyUID, set: p.set()}
	case "KEYWORD":
		return key{kind: keyFlag, flag: p.atom()}
	case "UNKEYWORD":
		return key{kind: keyNoFlag, flag: p.atom()}
	case "LARGER":
		return key{kind: keyLarger, size: p.num64()}
	case "SMALLER":
		return key{kind: keySmaller, size: p.num64()}
	case "SINCE":
		return key{kind: keySince, when: p.date()}
	case "BEFORE":
		return key{kind: keyBefore, when: p.date()}
	case "ON":
		return on(keySince, p.date())
	case "SENTSINCE":
		return key{kind: keySentSince, when: p.date()}
	case "SENTBEFORE":
		return key{kind: keySentBefore, when: p.date()}
	case "SENTON":
		return on(keySentSince, p.date())
	case "SUBJECT", "FROM", "TO", "CC", "BCC":
		return key{kind: keyField, name: w, text: fold(p.astring())}
	case "HEADER":
		name := p.astring()
		p.sp()
		return key{kind: keyHeader, name: name, text: fold(p.astring())}
	case "OLDER":
		return key{kind: keyOlder, size: int64(p.num32())}
	case "YOUNGER":
		return key{kind: keyYounger, size: int64(p.num32())}
	case "SAVEDSINCE":
		return key{kind: keySavedSince, when: p.date()}
	case "SAVEDBEFORE":
		return key{kind: keySavedBefore, when: p.date()}
	case "SAVEDON":
		return on(keySavedSince, p.date())
	case "EMAILID":
		return key{kind: keyEmail, text: p.atom()}
	case "THREADID":
		return key{kind: keyThread, text: p.atom()}
	case "MODSEQ":
		r.modseq = true
		if p.is('"') { // of which flag, of which all have one in common here
			p.string()
			p.sp()
			p.atom()
			p.sp()
		}
		return key{kind: keyModSeq, size: p.num64()}
	case "BODY":
		return key{kind: keyBody, text: fold(p.astring())}
	case "TEXT":
		return key{kind: keyText, text: fold(p.astring())}
	case "NOT":
		return key{kind: keyNot, subs: []key{r.one()}}
	case "OR":
		a := r.one()
		p.sp()
		return key{kind: keyOr, subs: []key{a, r.one()}}.sorted()
	}
	p.fail("SEARCH does not know " + w)
	return key{}
}

// on is a whole day; before follows since in the kinds.
func on(since kind, day time.Time) key {
	return key{kind: keyAnd, subs: []key{{kind: since, when: day}, {kind: since + 1, when: day.AddDate(0, 0, 1)}}}
}

// simple are the keys that are one word.
func simple(w string) (key, bool) {
	switch w {
	case "ALL", "OLD", "SAVEDATESUPPORTED": // no message is recent here
		return key{kind: keyAll}, true
	case "NEW", "RECENT":
		return key{kind: keyNone}, true
	case "SEEN", "ANSWERED", "FLAGGED", "DELETED", "DRAFT":
		return key{kind: keyFlag, flag: `\` + w}, true
	case "UNSEEN", "UNANSWERED", "UNFLAGGED", "UNDELETED", "UNDRAFT":
		return key{kind: keyNoFlag, flag: `\` + w[2:]}, true
	}
	return key{}, false
}

func fold(s string) string { return strings.ToLower(s) }

// A test is a key made ready for one search.
type test struct {
	kind  kind
	bits  store.Flags // none: no message has it
	limit int64       // Unix seconds, or a size
	name  string
	text  string
	uids  []uint32 // of a set
	subs  []test
}

// ready makes a key ready.
func (k *key) ready(s *session) (test, error) {
	t := test{kind: k.kind, limit: k.size, name: k.name, text: k.text}
	switch k.kind {
	case keyFlag, keyNoFlag:
		if bits, known := s.acct.FlagBits(k.flag); known {
			t.bits = bits
		}
	case keySince, keyBefore, keySentSince, keySentBefore:
		t.limit = k.when.Unix()
	case keySeq, keyUID:
		if t.uids = s.view.saved; !k.set.saved {
			t.uids = s.view.in(k.set, k.kind == keyUID)
		}
	case keyOlder, keyYounger:
		t.limit = time.Now().Unix() - k.size
	case keySavedSince, keySavedBefore:
		t.limit = k.when.Unix()
	}
	for i := range k.subs {
		sub, err := k.subs[i].ready(s)
		if err != nil {
			return t, err
		}
		t.subs = append(t.subs, sub)
	}
	return t, nil
}
