package dnssrv

import (
	"encoding/binary"

	"github.com/miekg/dns"

	"pic/dnssrv/wire"
)

// maxSignatures is how many signatures over one set of records an answer may have.
// Zones have one or two, four while they change their algorithm; the validator tries
// eight.
const maxSignatures = 16

// laden reports whether b has more. Nobody needs such an answer, and who sends it
// wants that it is read, kept and checked (CVE-2023-50387): to see this costs a
// hundredth of that.
func laden(b []byte) bool {
	n := 0
	for _, r := range wire.Records(b) {
		if r.Type == dns.TypeRRSIG {
			n++
		}
	}
	if n <= maxSignatures {
		return false
	}
	type set struct {
		owner string
		typ   uint16
	}
	count := map[set]int{}
	var buf [maxName]byte
	for _, r := range wire.Records(b) {
		if r.Type != dns.TypeRRSIG || r.End-r.Data < 2 {
			continue
		}
		owner, _, ok := wire.Name(buf[:0], b, r.At)
		if !ok {
			return false // the decoder will say so
		}
		s := set{string(owner), binary.BigEndian.Uint16(b[r.Data:])}
		if count[s]++; count[s] > maxSignatures {
			return true
		}
	}
	return false
}
