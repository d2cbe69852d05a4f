package imapd

import (
	"github.com/emersion/go-imap/v2"

	"pic/mailsrv/store"
)

// quotaFor refuses messages that there is no room for.
func (s *session) quotaFor(size int64, messages int) error {
	if s.o.Quota == nil {
		return nil
	}
	bytes, count := s.o.Quota(s.acct)
	sum := s.acct.Summary()
	if bytes > 0 && sum.Bytes+size > bytes || count > 0 && sum.Messages+messages > count {
		return no(imap.ResponseCodeOverQuota, "There is no room left for that")
	}
	return nil
}

// quotaForCopy is quotaFor of copies of messages.
func (s *session) quotaForCopy(uids []uint32) error {
	if s.o.Quota == nil {
		return nil
	}
	size := int64(0)
	s.view.each(uids, func(_ uint32, row store.Message) bool {
		size += int64(row.Size)
		return true
	})
	return s.quotaFor(size, len(uids))
}

// writeQuota tells of the one quota there is, which is of the whole account and
// has no name (RFC 9208).
func (s *session) writeQuota() {
	bytes, count := s.o.Quota(s.acct)
	sum := s.acct.Summary()
	s.str("* QUOTA \"\" (")
	if bytes > 0 {
		s.str("STORAGE ")
		s.num((sum.Bytes + 1023) / 1024)
		s.str(" ")
		s.num(bytes / 1024)
	}
	if count > 0 {
		if bytes > 0 {
			s.str(" ")
		}
		s.str("MESSAGE ")
		s.num(int64(sum.Messages))
		s.str(" ")
		s.num(int64(count))
	}
	s.str(")\r\n")
}

// getQuota is GETQUOTA.
func (s *session) getQuota(bool) error {
	p := &s.p
	p.sp()
	root := p.astring()
	if err := p.end(); err != nil {
		return err
	}
	if root != "" {
		return no(imap.ResponseCodeNonExistent, "There is no such quota")
	}
	s.writeQuota()
	return nil
}

// getQuotaRoot is GETQUOTAROOT.
func (s *session) getQuotaRoot(bool) error {
	return s.named(func(name string) error {
		m, err := s.acct.Mailbox(name)
		if err != nil {
			return err
		}
		s.str("* QUOTAROOT ")
		s.mailbox(m.Name)
		s.str(" \"\"\r\n")
		s.writeQuota()
		return nil
	})
}
