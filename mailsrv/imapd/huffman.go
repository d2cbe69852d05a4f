package imapd

// A huffman is a canonical code: how many codes there are of each length, and
// the symbols in the order of their codes.
type huffman struct {
	count [16]uint16
	sym   [288]uint16
}

// build makes the code of lengths, 0 for symbols that have none. Codes that do
// not use all there are are all right if there is one code at most.
func (h *huffman) build(lens []byte) bool {
	h.count = [16]uint16{}
	for _, l := range lens {
		h.count[l]++
	}
	left, codes := 1, 0
	for l := 1; l < 16; l++ {
		left = left<<1 - int(h.count[l])
		codes += int(h.count[l])
		if left < 0 {
			return false
		}
	}
	if left > 0 && codes > 1 {
		return false
	}
	var next [16]uint16
	for l := 1; l < 15; l++ {
		next[l+1] = next[l] + h.count[l]
	}
	for s, l := range lens {
		if l != 0 {
			h.sym[next[l]] = uint16(s)
			next[l]++
		}
	}
	h.count[0] = 0
	return true
}
