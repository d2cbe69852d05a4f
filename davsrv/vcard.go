package davsrv

import (
	"bytes"
	"errors"
	"net/http"
	"strings"

	"github.com/emersion/go-vcard"
)

// readCard parses exactly one vCard into go-vcard's model. As with calendars
// the library's decoder, quadratic in folded lines, never sees it.
func readCard(data []byte) (vcard.Card, error) {
	c := make(vcard.Card)
	const (
		before = iota
		within
		after
	)
	state := before
	err := contentLines(data, func(cl contentLine) error {
		isCard := strings.EqualFold(strings.TrimSpace(cl.value), "VCARD")
		switch {
		case state == before && cl.name == "BEGIN" && isCard:
			state = within
		case state == before:
			return errors.New("it does not begin with BEGIN:VCARD")
		case state == after:
			return errors.New("it holds more than one card")
		case cl.name == "BEGIN":
			return errors.New("a card within the card is not accepted")
		case cl.name == "END":
			if !isCard {
				return errors.New("END does not close the card")
			}
			state = after
		default:
			c[cl.name] = append(c[cl.name], &vcard.Field{Group: cl.group, Params: cl.params, Value: unescape(cl.value)})
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case state == before:
		return nil, errors.New("it does not begin with BEGIN:VCARD")
	case state == within:
		return nil, errors.New("it has no END:VCARD")
	}
	return c, nil
}

// readContact checks what a client wants to put into an address book (RFC 6352
// §5.1, §6.3.2.1).
func readContact(data []byte) (*draft, error) {
	invalid := card("valid-address-data")
	if bytes.IndexByte(data, 0) >= 0 {
		return nil, violates(http.StatusForbidden, invalid, "The card holds NUL bytes.")
	}
	c, err := readCard(data)
	if err != nil {
		return nil, violates(http.StatusForbidden, invalid, "This is no vCard: "+err.Error()+".")
	}
	uid := c.Value(vcard.FieldUID)
	switch {
	case c.Value(vcard.FieldVersion) == "":
		return nil, violates(http.StatusForbidden, invalid, "The card has no VERSION.")
	case uid == "" || len(uid) > maxUID || len(c[vcard.FieldUID]) > 1:
		return nil, violates(http.StatusForbidden, invalid, "The card needs exactly one UID of at most 1024 bytes.")
	}
	return &draft{raw: data, uid: uid, comp: "VCARD"}, nil
}
