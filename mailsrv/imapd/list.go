package imapd

import (
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"pic/internal/order"
	"pic/mailsrv/store"
)

// A name is what LIST knows of one: of a mailbox, of a subscription without a
// mailbox, or of a level above others.
type name struct {
	store.Mailbox
	exists   bool
	children bool
	under    bool // there are subscriptions below
}

// names returns all that LIST may speak of, sorted.
func (s *session) names() []name {
	all := map[string]*name{}
	at := func(n string) *name {
		if all[n] == nil {
			all[n] = &name{Mailbox: store.Mailbox{Name: n}}
		}
		return all[n]
	}
	for _, m := range s.acct.Mailboxes() {
		*at(m.Name) = name{Mailbox: m, exists: true, children: at(m.Name).children}
		for up := parent(m.Name); up != ""; up = parent(up) {
			at(up).children = true
		}
	}
	for _, sub := range s.acct.Subscriptions() {
		at(sub).Subscribed = true
		for up := parent(sub); up != ""; up = parent(up) {
			at(up).under = true
		}
	}
	out := make([]name, 0, len(all))
	for _, n := range all {
		out = append(out, *n)
	}
	order.By(out, func(a, b name) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func parent(n string) string {
	i := strings.LastIndexByte(n, '/')
	if i < 0 {
		return ""
	}
	return n[:i]
}

func (s *session) List(w *imapserver.ListWriter, ref string, patterns []string, o *imap.ListOptions) error {
	if len(patterns) == 0 { // asks for the delimiter alone
		return w.WriteList(&imap.ListData{Attrs: []imap.MailboxAttr{imap.MailboxAttrNoSelect}, Delim: '/'})
	}
	for _, n := range s.names() {
		if !slices.ContainsFunc(patterns, func(p string) bool { return match(n.Name, ref+p) }) {
			continue
		}
		data := n.data(o)
		if data == nil {
			continue
		}
		if o.ReturnStatus != nil && n.exists {
			data.Status = status(n.Mailbox, o.ReturnStatus, s.AppendLimit())
		}
		if err := w.WriteList(data); err != nil {
			return err
		}
	}
	return nil
}

// data is what LIST says of a name, nil if it is not asked for.
func (n name) data(o *imap.ListOptions) *imap.ListData {
	d := &imap.ListData{Mailbox: n.Name, Delim: '/'}
	below := o.SelectRecursiveMatch && n.under
	switch {
	case o.SelectSubscribed && !n.Subscribed && !below:
		return nil
	case o.SelectSpecialUse && n.Use == "":
		return nil
	case !o.SelectSubscribed && !n.exists && !n.children:
		return nil // only a subscription
	}
	if !n.exists {
		d.Attrs = append(d.Attrs, imap.MailboxAttrNonExistent, imap.MailboxAttrNoSelect)
	}
	if n.Subscribed && (o.ReturnSubscribed || o.SelectSubscribed) {
		d.Attrs = append(d.Attrs, imap.MailboxAttrSubscribed)
	}
	if n.children {
		d.Attrs = append(d.Attrs, imap.MailboxAttrHasChildren)
	} else if n.exists {
		d.Attrs = append(d.Attrs, imap.MailboxAttrHasNoChildren)
	}
	if n.Use != "" {
		d.Attrs = append(d.Attrs, imap.MailboxAttr(n.Use))
	}
	if below {
		d.ChildInfo = &imap.ListDataChildInfo{Subscribed: true}
	}
	return d
}

// match reports whether a name matches a pattern, in which * stands for anything
// and % for anything within a level. It takes time in proportion to the product
// of their lengths.
func match(name, pattern string) bool {
	if len(name) >= 5 && strings.EqualFold(name[:5], store.Inbox) && len(pattern) >= 5 && strings.EqualFold(pattern[:5], store.Inbox) {
		pattern = store.Inbox + pattern[5:]
	}
	// at[i] says that what was seen of the pattern matches name[:i].
	at := make([]bool, len(name)+1)
	at[0] = true
	for _, c := range []byte(pattern) {
		switch c {
		case '*', '%':
			for i := range len(name) {
				at[i+1] = at[i+1] || at[i] && (c == '*' || name[i] != '/')
			}
		default:
			for i := len(name); i > 0; i-- {
				at[i] = at[i-1] && name[i-1] == c
			}
			at[0] = false
		}
	}
	return at[len(name)]
}

func (s *session) Status(name string, o *imap.StatusOptions) (*imap.StatusData, error) {
	m, err := s.acct.Mailbox(name)
	if err != nil {
		return nil, fail(err)
	}
	return status(m, o, s.AppendLimit()), nil
}

func status(m store.Mailbox, o *imap.StatusOptions, limit uint32) *imap.StatusData {
	d := &imap.StatusData{Mailbox: m.Name, UIDNext: imap.UID(m.UIDNext), UIDValidity: m.UIDValidity}
	if o.NumMessages {
		d.NumMessages = new(uint32(m.Messages))
	}
	if o.NumUnseen {
		d.NumUnseen = new(uint32(m.Unseen))
	}
	if o.NumDeleted {
		d.NumDeleted = new(uint32(m.Deleted))
	}
	if o.NumRecent {
		d.NumRecent = new(uint32(0))
	}
	if o.Size {
		d.Size = new(m.Bytes)
	}
	if o.AppendLimit {
		d.AppendLimit = &limit
	}
	if o.DeletedStorage {
		d.DeletedStorage = new(int64(0))
	}
	return d
}
