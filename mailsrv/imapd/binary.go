package imapd

import (
	"io"

	"github.com/emersion/go-imap/v2"

	"pic/mailsrv/message"
	"pic/mailsrv/store"
)

// open returns what an item with a section is answered with, and its length.
func (it *item) open(c *store.Content, m *message.Message) (io.Reader, int64, error) {
	if !it.raw {
		return it.sec.open(c, m)
	}
	p := m.Find(it.sec.part)
	if len(it.sec.part) == 0 || p == nil || len(p.Parts) > 0 { // what has parts has no encoding
		return it.sec.open(c, m)
	}
	// It is decoded twice, as its length comes first.
	r, ok := p.Decoded(c)
	if !ok {
		return nil, 0, no(imap.ResponseCodeUnknownCTE, "The part is encoded in a way that is not known")
	}
	n, err := io.Copy(io.Discard, r)
	if err != nil {
		return nil, 0, no(imap.ResponseCodeUnknownCTE, "The part is not encoded as it says")
	}
	lo, hi := it.sec.partial(n)
	r, _ = p.Decoded(c)
	if _, err := io.CopyN(io.Discard, r, lo); err != nil {
		return nil, 0, err
	}
	return r, hi - lo, nil
}
