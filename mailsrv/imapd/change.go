package imapd

import (
	"slices"
	"strconv"

	"github.com/emersion/go-imap/v2"

	"pic/mailsrv/store"
)

func (s *session) store(uid bool) error {
	p := &s.p
	p.sp()
	set := p.set()
	p.sp()
	since := uint64(1<<64 - 1)
	if p.is('(') {
		p.list(func() {
			if p.verb() != "UNCHANGEDSINCE" {
				p.fail("STORE knows UNCHANGEDSINCE only")
			}
			p.sp()
			since = uint64(p.num64())
		})
		s.condstore = true
		p.sp()
	}
	how := store.SetFlags
	if p.take('+') {
		how = store.AddFlags
	} else if p.take('-') {
		how = store.RemoveFlags
	}
	silent := false
	switch p.verb() {
	case "FLAGS":
	case "FLAGS.SILENT":
		silent = true
	default:
		p.fail("STORE changes FLAGS only")
	}
	p.sp()
	var flags []imap.Flag
	if p.is('(') {
		flags = p.flags()
	} else {
		flags = append(flags, p.flag())
		for p.take(' ') {
			flags = append(flags, p.flag())
		}
	}
	if err := p.end(); err != nil {
		return err
	}
	v := s.view
	if v.readOnly {
		return errReadOnly
	}
	uids, err := v.resolve(set, uid)
	if err != nil {
		return err
	}
	names, err := flagNames(flags)
	if err != nil {
		return err
	}
	modseq, failed, err := s.acct.SetFlagsSince(s.ctx, v.box, uids, how, names, since)
	if err != nil {
		return err
	}
	if len(failed) > 0 {
		nums := failed
		if !uid {
			nums = nil
			for _, u := range failed {
				nums = append(nums, v.seq(u))
			}
		}
		s.code = string(setOf(nums).append([]byte("MODIFIED ")))
	}
	complete := v.each(uids, func(seq uint32, row store.Message) bool {
		if row.ModSeq == modseq {
			v.tell(row.UID, modseq)
		}
		_, not := slices.BinarySearch(failed, row.UID)
		switch {
		case not:
		case !silent:
			s.flagsOf(seq, row, uid || s.qresync)
		case s.condstore && row.ModSeq == modseq: // what came of it (RFC 7162 §3.1.3)
			s.str("* ")
			s.num(int64(seq))
			s.str(" FETCH (UID ")
			s.num(int64(row.UID))
			s.str(" MODSEQ (")
			s.num(int64(modseq))
			s.str("))\r\n")
		}
		return s.conn.err == nil
	})
	return missing(complete, uid)
}

func (s *session) expunge(uid bool) error {
	p := &s.p
	var set set
	if uid {
		p.sp()
		set = p.set()
	}
	if err := p.end(); err != nil {
		return err
	}
	v := s.view
	if v.readOnly {
		return errReadOnly
	}
	var uids []uint32
	if uid {
		var err error
		if uids, err = v.resolve(set, true); err != nil || len(uids) == 0 {
			return err
		}
	}
	gone, err := s.acct.Expunge(s.ctx, v.box, uids)
	if err != nil {
		return err
	}
	v.drop(s, gone)
	s.upTo()
	return nil
}

// upTo says how far the client knows all now, which it keeps for QRESYNC.
func (s *session) upTo() {
	if s.condstore {
		s.view.update(s, true)
		s.code = "HIGHESTMODSEQ " + strconv.FormatUint(s.view.modseq, 10)
	}
}

// transfer takes the arguments of COPY and MOVE.
func (s *session) transfer(uid bool) (uids []uint32, to uint32, err error) {
	p := &s.p
	p.sp()
	set := p.set()
	p.sp()
	name := p.mailbox()
	if err := p.end(); err != nil {
		return nil, 0, err
	}
	m, err := s.acct.Mailbox(name)
	if err != nil {
		return nil, 0, tryCreate(err)
	}
	uids, err = s.view.resolve(set, uid)
	return uids, m.ID, err
}

func (s *session) copy(uid bool) error {
	uids, to, err := s.transfer(uid)
	if err != nil {
		return err
	}
	if err := s.quotaForCopy(uids); err != nil {
		return err
	}
	c, err := s.acct.Copy(s.ctx, s.view.box, to, uids)
	if err == nil && len(c.Src) > 0 {
		s.code = copied(c)
	}
	return err
}

func (s *session) move(uid bool) error {
	uids, to, err := s.transfer(uid)
	if err != nil {
		return err
	}
	if s.view.readOnly {
		return errReadOnly
	}
	c, err := s.acct.Move(s.ctx, s.view.box, to, uids)
	if err != nil || len(c.Src) == 0 {
		return err
	}
	s.status("OK", copied(c), "COPY completed")
	s.view.drop(s, c.Src)
	s.upTo()
	return nil
}

// copied is the code that says what became of what (RFC 4315).
func copied(c store.Copied) string {
	b := append([]byte("COPYUID "), decimal(c.UIDValidity)...)
	b = append(b, ' ')
	b = append(setOf(c.Src).append(b), ' ')
	return string(setOf(c.Dst).append(b))
}
