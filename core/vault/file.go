package vault

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"pic/core/config"
)

// A file is one line in the clear, a nonce and what is sealed:
//
//	pic-secret-1 KIND UNIXTIME\n

// A head is what stands in the clear.
type head struct {
	kind    string
	created time.Time // to the second
}

const fileHead = "pic-secret-1 "

func (h head) line() []byte {
	return fmt.Appendf(nil, "%s%s %d\n", fileHead, h.kind, h.created.Unix())
}

// aad binds sealed bytes to their file's name and head.
func (h head) aad(id config.Secret) []byte { return append(h.line(), id...) }

func seal(key cipher.AEAD, h head, id config.Secret, secret []byte) []byte {
	nonce := make([]byte, key.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return key.Seal(append(h.line(), nonce...), nonce, secret, h.aad(id))
}

func unseal(key cipher.AEAD, h head, id config.Secret, sealed []byte) ([]byte, error) {
	n := key.NonceSize()
	if len(sealed) < n {
		return nil, ErrSealed
	}
	secret, err := key.Open(nil, sealed[:n], sealed[n:], h.aad(id))
	if err != nil {
		return nil, ErrSealed
	}
	return secret, nil
}

// parse splits a file into its head and what is sealed.
func parse(file []byte) (h head, sealed []byte, err error) {
	rest, ok := bytes.CutPrefix(file, []byte(fileHead))
	line, sealed, ok2 := bytes.Cut(rest, []byte("\n"))
	kind, stamp, ok3 := bytes.Cut(line, []byte(" "))
	unix, err := strconv.ParseInt(string(stamp), 10, 64)
	h = head{string(kind), time.Unix(unix, 0)}
	// The head must be what line writes, byte by byte, since that is what was sealed.
	if !ok || !ok2 || !ok3 || err != nil || !validKind(h.kind) || !bytes.HasPrefix(file, h.line()) {
		return head{}, nil, ErrSealed
	}
	return h, sealed, nil
}

func (v *Vault) read(id config.Secret) (h head, sealed []byte, err error) {
	if !validID(id) {
		return h, nil, ErrNotFound
	}
	f, err := os.Open(v.path(id))
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil, ErrNotFound
	}
	if err != nil {
		return h, nil, err
	}
	defer f.Close()
	file, err := io.ReadAll(io.LimitReader(f, MaxSize+1024))
	if err != nil {
		return h, nil, err
	}
	if h, sealed, err = parse(file); err != nil {
		return h, nil, fmt.Errorf("opening the secret %s: %w", id, err)
	}
	return h, sealed, nil
}

func (v *Vault) path(id config.Secret) string { return filepath.Join(v.dir, string(id)) }

// validID reports whether id can be one of ours: 26 characters of lower-case
// base 32, 128 bits and more. Nothing else becomes a path.
func validID(id config.Secret) bool {
	if len(id) != 26 {
		return false
	}
	for i := range len(id) {
		if c := id[i]; (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}

func validKind(kind string) bool {
	if kind == "" || len(kind) > 64 {
		return false
	}
	for i := range len(kind) {
		if c := kind[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '/' {
			return false
		}
	}
	return true
}
