package imapd

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"pic/mailsrv/message"
	"pic/mailsrv/store"
)

const maxHeaderRead = 1 << 20 // of a header that fields are picked from

func (s *session) Fetch(w *imapserver.FetchWriter, set imap.NumSet, opts *imap.FetchOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.view
	if len(opts.BinarySection) > 0 || len(opts.BinarySectionSize) > 0 {
		return &imap.Error{Type: imap.StatusResponseTypeBad, Text: "BINARY is not offered"}
	}
	uids, err := v.resolve(set)
	if err != nil {
		return err
	}
	o := *opts
	seen, err := s.see(uids, &o)
	if err != nil {
		return err
	}
	var damaged error
	complete := v.each(uids, func(seq uint32, row store.Message) bool {
		if err = s.ctx.Err(); err == nil {
			err = s.fetch(w, seq, row, &o)
		}
		if errors.Is(err, store.ErrDamaged) { // the others can still be had
			s.o.Log.Error("message cannot be read", "user", s.acct.User, "err", err)
			damaged, err = err, nil
		}
		if seen != 0 && row.ModSeq == seen {
			v.told[row.UID] = seen
		}
		return err == nil
	})
	if err != nil || damaged != nil {
		return fail(cmp.Or(err, damaged))
	}
	if _, byUID := set.(imap.UIDSet); !complete && !byUID {
		return no("EXPUNGEISSUED", "Some of the messages are gone")
	}
	return nil
}

// see sets \Seen on messages whose text is asked for without PEEK (RFC 9051
// §6.4.5), and has their flags told.
func (s *session) see(uids []uint32, o *imap.FetchOptions) (modseq uint64, err error) {
	peek := !slices.ContainsFunc(o.BodySection, func(b *imap.FetchItemBodySection) bool { return !b.Peek })
	if peek || s.view.readOnly {
		return 0, nil
	}
	var unseen []uint32
	s.view.each(uids, func(_ uint32, row store.Message) bool {
		if row.Flags&store.Seen == 0 {
			unseen = append(unseen, row.UID)
		}
		return true
	})
	if len(unseen) == 0 {
		return 0, nil
	}
	o.Flags = true
	modseq, err = s.acct.SetFlags(s.ctx, s.view.box, unseen, store.AddFlags, []string{`\Seen`})
	return modseq, fail(err)
}

// fetch writes what is asked for of one message. What needs the content is
// opened before anything is written, so that a message that cannot be read is
// an answer and not a torn response.
func (s *session) fetch(w *imapserver.FetchWriter, seq uint32, row store.Message, o *imap.FetchOptions) error {
	var c *store.Content
	var m *message.Message
	var parts []io.Reader
	var sizes []int64
	if o.Envelope || o.BodyStructure != nil || len(o.BodySection) > 0 {
		var err error
		if c, err = s.acct.Open(row); err != nil {
			return err
		}
		defer c.Close()
		if m, err = structure(c); err != nil {
			return err
		}
		for _, b := range o.BodySection {
			r, n, err := section(c, m, b)
			if err != nil {
				return err
			}
			parts, sizes = append(parts, r), append(sizes, n)
		}
	}
	out := w.CreateMessage(seq)
	if o.UID {
		out.WriteUID(imap.UID(row.UID))
	}
	if o.Flags {
		out.WriteFlags(toFlags(s.acct.FlagNames(row.Flags)))
	}
	if o.InternalDate {
		out.WriteInternalDate(date(row))
	}
	if o.RFC822Size {
		out.WriteRFC822Size(int64(row.Size))
	}
	if o.Envelope {
		out.WriteEnvelope(envelope(m.Root.Envelope))
	}
	if o.BodyStructure != nil {
		out.WriteBodyStructure(bodyStructure(m.Root))
	}
	for i, b := range o.BodySection {
		lit := out.WriteBodySection(b, sizes[i])
		_, err := io.Copy(writer{lit}, parts[i])
		if cerr := lit.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			s.gate.Close() // in the middle of a literal there is no other way to say it
			out.Close()
			return fmt.Errorf("sending UID %d: %w", row.UID, err)
		}
	}
	return out.Close()
}

// A writer hides everything but Write.
type writer struct{ io.Writer }

// structure is what was kept with the message, or else what a scan finds.
func structure(c *store.Content) (*message.Message, error) {
	if m, err := message.Parse(c.Aux); err == nil {
		return m, nil
	}
	return message.Scan(io.NewSectionReader(c, 0, c.Size()))
}

// section returns the text that BODY[…] means and its length (RFC 9051 §6.4.5.1).
// What does not exist is empty.
func section(c *store.Content, m *message.Message, b *imap.FetchItemBodySection) (io.Reader, int64, error) {
	from, to := span(m, b)
	if len(b.HeaderFields) > 0 || len(b.HeaderFieldsNot) > 0 {
		h := make([]byte, min(to-from, maxHeaderRead))
		if _, err := io.ReadFull(io.NewSectionReader(c, from, int64(len(h))), h); err != nil {
			return nil, 0, err
		}
		h = pick(h, b)
		lo, hi := partial(b.Partial, int64(len(h)))
		return bytes.NewReader(h[lo:hi]), hi - lo, nil
	}
	lo, hi := partial(b.Partial, to-from)
	return io.NewSectionReader(c, from+lo, hi-lo), hi - lo, nil
}

func span(m *message.Message, b *imap.FetchItemBodySection) (from, to int64) {
	p := m.Find(b.Part)
	if p == nil {
		return 0, 0
	}
	if len(b.Part) > 0 {
		switch b.Specifier {
		case imap.PartSpecifierNone:
			return p.Body, p.End
		case imap.PartSpecifierMIME:
			return p.Start, p.Body
		}
		if p = p.Inner(); p == nil { // HEADER and TEXT are of messages
			return 0, 0
		}
	}
	switch b.Specifier {
	case imap.PartSpecifierHeader:
		return p.Start, p.Body
	case imap.PartSpecifierText:
		return p.Body, p.End
	case imap.PartSpecifierMIME:
		return 0, 0
	}
	return p.Start, p.End
}

// partial cuts a range out of size bytes.
func partial(p *imap.SectionPartial, size int64) (lo, hi int64) {
	if p == nil {
		return 0, size
	}
	lo = min(max(p.Offset, 0), size)
	return lo, lo + min(max(p.Size, 0), size-lo)
}

// pick returns the fields asked for, with the empty line that ends a header.
func pick(h []byte, b *imap.FetchItemBodySection) []byte {
	var out []byte
	in := func(names []string, name string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
	}
	for f := range message.RawFields(h) {
		name, _, ok := bytes.Cut(f, []byte(":"))
		if !ok {
			continue
		}
		n := string(bytes.TrimRight(name, " \t"))
		if len(b.HeaderFields) > 0 && in(b.HeaderFields, n) || len(b.HeaderFieldsNot) > 0 && !in(b.HeaderFieldsNot, n) {
			out = append(out, f...)
		}
	}
	return append(out, "\r\n"...)
}

func (s *session) Store(w *imapserver.FetchWriter, set imap.NumSet, change *imap.StoreFlags, _ *imap.StoreOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.view
	if v.readOnly {
		return errReadOnly
	}
	uids, err := v.resolve(set)
	if err != nil {
		return err
	}
	names, err := flagNames(change.Flags)
	if err != nil {
		return err
	}
	how := map[imap.StoreFlagsOp]store.FlagOp{
		imap.StoreFlagsSet: store.SetFlags, imap.StoreFlagsAdd: store.AddFlags, imap.StoreFlagsDel: store.RemoveFlags,
	}[change.Op]
	modseq, err := s.acct.SetFlags(s.ctx, v.box, uids, how, names)
	if err != nil {
		return fail(err)
	}
	_, byUID := set.(imap.UIDSet)
	complete := v.each(uids, func(seq uint32, row store.Message) bool {
		if row.ModSeq == modseq {
			v.told[row.UID] = modseq
		}
		if !change.Silent {
			err = s.fetch(w, seq, row, &imap.FetchOptions{Flags: true, UID: byUID})
		}
		return err == nil
	})
	if err == nil && !complete && !byUID {
		return no("EXPUNGEISSUED", "Some of the messages are gone")
	}
	return fail(err)
}

func (s *session) Expunge(w *imapserver.ExpungeWriter, set *imap.UIDSet) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.view
	if v.readOnly {
		if *w == (imapserver.ExpungeWriter{}) { // CLOSE, which then only closes
			return nil
		}
		return errReadOnly
	}
	var uids []uint32
	if set != nil {
		var err error
		if uids, err = v.resolve(*set); err != nil {
			return err
		}
		if uids == nil {
			return nil
		}
	}
	gone, err := s.acct.Expunge(s.ctx, v.box, uids)
	if err != nil {
		return fail(err)
	}
	return v.remove(w, func(uid uint32) bool {
		_, is := slices.BinarySearch(gone, uid)
		return is
	})
}

func (s *session) Copy(set imap.NumSet, dest string) (*imap.CopyData, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	uids, to, err := s.transfer(set, dest)
	if err != nil {
		return nil, err
	}
	c, err := s.acct.Copy(s.ctx, s.view.box, to, uids)
	return copyData(c), fail(err)
}

func (s *session) Move(w *imapserver.MoveWriter, set imap.NumSet, dest string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view.readOnly {
		return errReadOnly
	}
	uids, to, err := s.transfer(set, dest)
	if err != nil {
		return err
	}
	c, err := s.acct.Move(s.ctx, s.view.box, to, uids)
	if err != nil {
		return fail(err)
	}
	data := copyData(c)
	if data == nil {
		return nil
	}
	if err := w.WriteCopyData(data); err != nil {
		return err
	}
	return s.view.remove(w, func(uid uint32) bool {
		_, is := slices.BinarySearch(c.Src, uid)
		return is
	})
}

func (s *session) transfer(set imap.NumSet, dest string) (uids []uint32, to uint32, err error) {
	m, err := s.acct.Mailbox(dest)
	if err != nil {
		return nil, 0, tryCreate(err)
	}
	uids, err = s.view.resolve(set)
	return uids, m.ID, err
}

// copyData is nil where nothing was copied.
func copyData(c store.Copied) *imap.CopyData {
	if len(c.Src) == 0 {
		return nil
	}
	d := &imap.CopyData{UIDValidity: c.UIDValidity}
	for i := range c.Src {
		d.SourceUIDs.AddNum(imap.UID(c.Src[i]))
		d.DestUIDs.AddNum(imap.UID(c.Dst[i]))
	}
	return d
}
