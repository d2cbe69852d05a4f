package transfer

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"

	"pic/internal/atomicfile"
)

// fileMagic begins a file of [Save]. A SHA-256 of all that follows it comes
// next, then each record with its length before it, the SOA first.
const fileMagic = "piczone1"

var errFile = errors.New("it is damaged")

// Save writes a version to path, whole or not at all. It is durable once Save
// returns without an error.
func Save(path string, c *Content) error {
	if err := atomicfile.WriteFile(path, encode(c), 0o600); err != nil {
		return fmt.Errorf("keeping a zone: %w", err)
	}
	return nil
}

func encode(c *Content) []byte {
	var body []byte
	for _, part := range [][]string{{c.SOA}, c.Records} {
		for _, r := range part {
			body = binary.BigEndian.AppendUint16(body, uint16(len(r)))
			body = append(body, r...)
		}
	}
	sum := sha256.Sum256(body)
	return slices.Concat([]byte(fileMagic), sum[:], body)
}

// Load reads what Save wrote.
func Load(path string) (*Content, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c, err := decode(b)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return c, nil
}

func decode(b []byte) (*Content, error) {
	head := len(fileMagic) + sha256.Size
	if len(b) < head || string(b[:len(fileMagic)]) != fileMagic {
		return nil, errFile
	}
	body := b[head:]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], b[len(fileMagic):head]) {
		return nil, errFile
	}
	var all []string
	for len(body) > 0 {
		if len(body) < 2 || len(body) < 2+int(binary.BigEndian.Uint16(body)) {
			return nil, errFile
		}
		n := 2 + int(binary.BigEndian.Uint16(body))
		all = append(all, string(body[2:n]))
		body = body[n:]
	}
	if len(all) == 0 {
		return nil, errFile
	}
	return NewContent(all[0], all[1:]), nil
}
