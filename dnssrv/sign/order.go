package sign

// maxLabels is how many labels a name of 255 bytes can have.
const maxLabels = 127

// Compare says how names in wire format and lower case are ordered in a zone:
// by their labels from the right on, each as bytes (RFC 4034 §6.1). It is
// negative where a comes first.
func Compare(a, b string) int {
	var as, bs [maxLabels + 1]uint8
	i, j := labels(a, &as), labels(b, &bs)
	for i > 0 && j > 0 {
		i--
		j--
		x, y := label(a, int(as[i])), label(b, int(bs[j]))
		if x != y {
			if x < y {
				return -1
			}
			return 1
		}
	}
	return i - j
}

// labels notes where the labels of a name begin, but for the root's.
func labels(s string, at *[maxLabels + 1]uint8) int {
	n := 0
	for off := 0; off < len(s) && s[off] != 0 && n < maxLabels; off += 1 + int(s[off]) {
		at[n] = uint8(off)
		n++
	}
	return n
}

func label(s string, off int) string {
	return s[off+1 : min(off+1+int(s[off]), len(s))]
}
