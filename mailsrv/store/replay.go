package store

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
)

// Damage is what could not be read when an account was opened.
type Damage struct {
	Places []string // file and offset
	Frames uint64   // at least so many transactions are lost
}

// A replayer rebuilds the state of an account from its segments.
type replayer struct {
	st     *state
	segs   []segment
	end    int64 // of the last segment, after its last good frame
	torn   bool  // something follows there
	damage Damage
	gap    bool // the frames missing before the next one are in damage
	healed int  // how many of damage.Places an opRenew has taken care of
}

// replay reads all segments. It changes nothing on disk.
func replay(segs []segment) (*replayer, error) {
	p := &replayer{st: newState(), segs: segs}
	for i := range segs {
		if want := uint32(i) + 1; i == 0 && segs[i].num != want || i > 0 && segs[i].num != segs[i-1].num+1 {
			p.hurt(&segs[i], 0)
		}
		if err := p.segment(i); err != nil {
			return nil, err
		}
	}
	for _, b := range p.st.boxes {
		b.rows = slices.Clip(b.rows)
	}
	return p, nil
}

// unhealed reports whether there is damage that no opRenew followed.
func (p *replayer) unhealed() bool { return p.healed < len(p.damage.Places) }

func (p *replayer) hurt(s *segment, off int64) {
	p.damage.Places = append(p.damage.Places, fmt.Sprintf("%s at byte %d", s.path, off))
	p.gap = true
}

// segment replays one of them.
func (p *replayer) segment(i int) error {
	s := &p.segs[i]
	f, err := os.Open(s.path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	w := &window{r: f, size: info.Size()}
	b, err := w.bytes(0, segHead)
	if err != nil {
		return err
	}
	if !s.readHeader(b) {
		p.hurt(s, 0)
	}
	end := w.size
	if i == len(p.segs)-1 {
		if end, err = tail(w, s.salt, p.st.seq); err != nil {
			return err
		}
		p.end, p.torn = end, end < w.size
	} else if prev, err := p.prevOf(i + 1); err != nil {
		return err
	} else if prev >= segHead && prev < end {
		end = prev
	}
	for pos := int64(segHead); pos < end; {
		h, meta, err := p.frame(w, s.salt, pos, end)
		if err != nil {
			return err
		}
		switch {
		case h.seq == 0: // not even its length is known
			p.hurt(s, pos)
			if pos, err = resync(w, s.salt, pos+1, end, p.st.seq); err != nil {
				return err
			}
			continue
		case meta == nil:
			p.hurt(s, pos)
		default:
			if err := p.apply(s, pos, h, meta); err != nil {
				return err
			}
		}
		pos += h.size()
	}
	return nil
}

// prevOf reads from segment i where the one before it ends.
func (p *replayer) prevOf(i int) (int64, error) {
	f, err := os.Open(p.segs[i].path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	b := make([]byte, segHead)
	if n, err := io.ReadFull(f, b); err == io.EOF || err == io.ErrUnexpectedEOF {
		b = b[:n]
	} else if err != nil {
		return 0, err
	}
	p.segs[i].readHeader(b)
	return p.segs[i].prev, nil
}

func (p *replayer) apply(s *segment, pos int64, h head, meta []byte) error {
	if h.seq != p.st.seq+1 {
		p.damage.Frames += h.seq - p.st.seq - 1
		if !p.gap {
			p.hurt(s, pos) // they are missing without a trace
		}
	}
	p.gap = false
	ops, err := parseOps(meta, s.num, uint32(pos))
	if err != nil {
		return fmt.Errorf("%s at byte %d: %w", s.path, pos, err)
	}
	for i := range ops {
		if ops[i].verb == opRenew {
			p.healed = len(p.damage.Places)
		}
		p.st.apply(&ops[i], h.seq)
	}
	p.st.seq = h.seq
	p.st.stored += int64(h.body)
	return nil
}

// frame reads the head and meta of the frame at pos. No meta means that it is
// not readable, no seq that not even its head is.
func (p *replayer) frame(w *window, salt uint64, pos, end int64) (head, []byte, error) {
	b, err := w.bytes(pos, headLen)
	if err != nil {
		return head{}, nil, err
	}
	h, err := parseHead(b, salt)
	if err != nil || h.seq <= p.st.seq || pos+h.size() > end {
		return head{}, nil, nil
	}
	meta, err := w.bytes(pos+headLen, int(h.meta))
	if err != nil {
		return head{}, nil, err
	}
	if crc32.Checksum(meta, table) != h.metaCRC {
		return h, nil, nil
	}
	return h, meta, nil
}

// resync returns where the next frame after from begins, or end. Only frames
// later than seq count.
func resync(w *window, salt uint64, from, end int64, seq uint64) (int64, error) {
	for from < end {
		b, err := w.bytes(from, 64<<10)
		if err != nil {
			return 0, err
		}
		b = b[:min(int64(len(b)), end-from)]
		for at := 0; ; at++ {
			i := bytes.Index(b[at:], marker[:])
			if i < 0 {
				break
			}
			at += i
			h, err := parseHead(b[at:], salt)
			if err == nil && h.seq > seq && from+int64(at)+h.size() <= end {
				return from + int64(at), nil
			}
		}
		if from+int64(len(b)) >= end {
			break
		}
		from += int64(len(b)) - headLen // a head may lie across the edge
	}
	return end, nil
}

// tail finds where the log ends in its last segment: after the last frame that
// is whole, or where a batch begins to be bad that was never finished. seq is
// the last number of the segment before.
func tail(w *window, salt uint64, seq uint64) (int64, error) {
	type place struct {
		pos int64
		h   head
	}
	var batch []place // the good heads of the latest batch
	var bad []place   // where heads are bad, with the number expected there
	for pos := int64(segHead); pos < w.size; {
		b, err := w.bytes(pos, headLen)
		if err != nil {
			return 0, err
		}
		h, err := parseHead(b, salt)
		if err != nil || h.seq <= seq || pos+h.size() > w.size {
			bad = append(bad, place{pos, head{seq: seq + 1}})
			if pos, err = resync(w, salt, pos+1, w.size, seq); err != nil {
				return 0, err
			}
			continue
		}
		// What came before this batch was safe when it was written. If it is
		// bad now, that is damage and not the end.
		bad = slices.DeleteFunc(bad, func(p place) bool { return p.h.seq < h.first() })
		if len(batch) > 0 && batch[0].h.first() != h.first() {
			batch = batch[:0]
		}
		batch = append(batch, place{pos, h})
		seq = h.seq
		pos += h.size()
	}
	end := w.size
	if len(bad) > 0 {
		end = bad[0].pos
	}
	for _, f := range batch {
		if f.pos >= end {
			break
		}
		if ok, err := whole(w, f.pos, f.h); err != nil || !ok {
			return f.pos, err
		}
	}
	return end, nil
}

// whole checks all of a frame.
func whole(w *window, pos int64, h head) (bool, error) {
	meta, err := w.bytes(pos+headLen, int(h.meta))
	if err != nil {
		return false, err
	}
	if crc32.Checksum(meta, table) != h.metaCRC {
		return false, nil
	}
	sum := crc32.New(table)
	rest := io.NewSectionReader(w.r, pos+headLen+int64(h.meta), int64(h.aux)+int64(h.body)+trailLen)
	if _, err := io.CopyN(sum, rest, int64(h.aux)+int64(h.body)); err != nil {
		return false, err
	}
	var trail [trailLen]byte
	if _, err := io.ReadFull(rest, trail[:]); err != nil {
		return false, err
	}
	return le.Uint32(trail[:]) == sum.Sum32(), nil
}
