package imapd

import "errors"

// An inflater decompresses DEFLATE (RFC 1951) as it comes. Unlike that of the
// standard library it hands out what can be known from the bytes so far, which a
// client that ends what it says by a partial flush relies on; it can wait between
// any two symbols; and its window is as large as what has been said.
type inflater struct {
	src  func() (byte, bool) // the next byte if it is there already
	wait func() error        // until there is one

	bits uint64 // that are not used yet, the first one lowest
	n    uint   // so many
	used uint   // of them by what is being read

	state inflating
	final bool
	rest  int // bytes to come of a stored block
	dist  int // of a copy under way
	copy  int // bytes to come of it
	lit   huffman
	off   huffman

	win []byte // the last bytes, a ring once it is full
	at  int    // the oldest of a full one
}

type inflating int

const (
	atBlock inflating = iota
	inStored
	inSymbols
	atEnd
)

const window = 32 << 10

var (
	errInflate = errors.New("the compressed data is damaged")
	errMoreIn  = errors.New("more input is needed")
)

// get reads k bits, at most 16. What has been got is used for good after commit.
func (z *inflater) get(k uint) (int, error) {
	for z.n < z.used+k {
		b, ok := z.src()
		if !ok {
			return 0, errMoreIn
		}
		z.bits |= uint64(b) << z.n
		z.n += 8
	}
	v := int(z.bits >> z.used & (1<<k - 1))
	z.used += k
	return v, nil
}

func (z *inflater) commit() {
	z.bits >>= z.used
	z.n -= z.used
	z.used = 0
}

// must is get of what cannot be followed by a flush, so that it can be waited
// for; and commit.
func (z *inflater) must(k uint) (int, error) {
	for {
		v, err := z.get(k)
		if err == nil {
			z.commit()
			return v, nil
		}
		z.used = 0
		if err != errMoreIn {
			return 0, err
		}
		if err := z.wait(); err != nil {
			return 0, err
		}
	}
}

// symbol reads one.
func (z *inflater) symbol(h *huffman) (int, error) {
	code, first, index := 0, 0, 0
	for l := 1; l < 16; l++ {
		b, err := z.get(1)
		if err != nil {
			return 0, err
		}
		code |= b
		n := int(h.count[l])
		if code-first < n {
			return int(h.sym[index+code-first]), nil
		}
		index += n
		first = (first + n) << 1
		code <<= 1
	}
	return 0, errInflate
}

// put adds a byte to the window.
func (z *inflater) put(c byte) {
	if len(z.win) < window {
		z.win = append(z.win, c)
		return
	}
	z.win[z.at] = c
	z.at = (z.at + 1) % window
}

// back is the byte d before the next.
func (z *inflater) back(d int) byte {
	if len(z.win) < window {
		return z.win[len(z.win)-d]
	}
	return z.win[(z.at-d+window)%window]
}

// Read decompresses into b what it can. It may be nothing.
func (z *inflater) Read(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		if z.copy > 0 {
			c := z.back(z.dist)
			z.put(c)
			b[n] = c
			n++
			z.copy--
			continue
		}
		c, ok, err := z.step()
		if ok {
			z.put(c)
			b[n] = c
			n++
		}
		if err != nil {
			z.used = 0 // it is read again when there is more
			if err == errMoreIn || n > 0 && err != errInflate {
				return n, nil
			}
			return n, err
		}
	}
	return n, nil
}

// step goes on by one byte, one copy or one block.
func (z *inflater) step() (c byte, ok bool, err error) {
	switch z.state {
	case inStored:
		if z.rest == 0 {
			return 0, false, z.next()
		}
		v, err := z.get(8)
		if err != nil {
			return 0, false, err
		}
		z.commit()
		z.rest--
		return byte(v), true, nil
	case inSymbols:
		return z.code()
	case atEnd:
		return 0, false, errInflate // there is nothing after it in IMAP
	}
	return 0, false, z.block()
}

func (z *inflater) next() error {
	if z.state = atBlock; z.final {
		z.state = atEnd
	}
	return nil
}

// block reads the head of one.
func (z *inflater) block() error {
	v, err := z.get(3)
	if err != nil {
		return err
	}
	final := v&1 == 1
	switch v >> 1 {
	case 0:
		z.used += (z.n - z.used) % 8
		size, err := z.get(16)
		if err != nil {
			return err
		}
		not, err := z.get(16)
		if err != nil {
			return err
		}
		if size != ^not&0xFFFF {
			return errInflate
		}
		z.rest, z.state = size, inStored
	case 1:
		var lens [288]byte
		for i := range lens {
			switch {
			case i < 144, i >= 280:
				lens[i] = 8
			case i < 256:
				lens[i] = 9
			default:
				lens[i] = 7
			}
		}
		z.lit.build(lens[:])
		var five [32]byte
		for i := range five {
			five[i] = 5
		}
		z.off.build(five[:])
		z.state = inSymbols
	case 2:
		z.commit()
		if err := z.dynamic(); err != nil {
			return err
		}
		z.state = inSymbols
	default:
		return errInflate
	}
	z.commit()
	z.final = final
	return nil
}

var lensOrder = [19]byte{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// dynamic reads the codes of a block.
func (z *inflater) dynamic() error {
	head, err := z.must(14)
	if err != nil {
		return err
	}
	nlit, noff, nlen := head&31+257, head>>5&31+1, head>>10+4
	if nlit > 286 || noff > 30 {
		return errInflate
	}
	var lens [320]byte
	for i := range nlen {
		v, err := z.must(3)
		if err != nil {
			return err
		}
		lens[lensOrder[i]] = byte(v)
	}
	if !z.lit.build(lens[:19]) {
		return errInflate
	}
	lens = [320]byte{}
	for i := 0; i < nlit+noff; {
		var s int
		for {
			if s, err = z.symbol(&z.lit); err != errMoreIn {
				break
			}
			z.used = 0
			if err := z.wait(); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
		z.commit()
		if s < 16 {
			lens[i] = byte(s)
			i++
			continue
		}
		bits, base := uint(2), 3
		var l byte
		switch s {
		case 16:
			if i == 0 {
				return errInflate
			}
			l = lens[i-1]
		case 17:
			bits = 3
		default:
			bits, base = 7, 11
		}
		v, err := z.must(bits)
		if err != nil {
			return err
		}
		if i+base+v > nlit+noff {
			return errInflate
		}
		for range base + v {
			lens[i] = l
			i++
		}
	}
	if lens[256] == 0 || !z.lit.build(lens[:nlit]) || !z.off.build(lens[nlit:nlit+noff]) {
		return errInflate
	}
	return nil
}

// code reads a symbol of a block with all that belongs to it.
func (z *inflater) code() (c byte, ok bool, err error) {
	s, err := z.symbol(&z.lit)
	switch {
	case err != nil:
		return 0, false, err
	case s < 256:
		z.commit()
		return byte(s), true, nil
	case s == 256:
		z.commit()
		return 0, false, z.next()
	case s > 285:
		return 0, false, errInflate
	}
	length := 258
	if s -= 257; s < 28 {
		extra := uint(0)
		if s >= 8 {
			extra = uint(s)/4 - 1
		}
		v, err := z.get(extra)
		if err != nil {
			return 0, false, err
		}
		length = 3 + s + v
		if s >= 8 {
			length = 3 + (4+s%4)<<extra + v
		}
	}
	d, err := z.symbol(&z.off)
	if err != nil {
		return 0, false, err
	}
	if d > 29 {
		return 0, false, errInflate
	}
	extra := uint(0)
	if d >= 4 {
		extra = uint(d)/2 - 1
	}
	v, err := z.get(extra)
	if err != nil {
		return 0, false, err
	}
	dist := 1 + d + v
	if d >= 4 {
		dist = 1 + (2+d%2)<<extra + v
	}
	if dist > len(z.win) {
		return 0, false, errInflate
	}
	z.commit()
	z.dist, z.copy = dist, length
	return 0, false, nil
}
