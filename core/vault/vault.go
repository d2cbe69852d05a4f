// Package vault keeps the cell's secrets: private keys, passwords of others,
// tokens. The document refers to them by id ([config.Secret]) and never holds
// them.
//
// Each secret is one file, sealed with XChaCha20-Poly1305 under a key that
// follows (HKDF-SHA-256) from the machine key in the file "key" beside them. The
// id, kind and time of making are authenticated with it, so that files cannot be
// exchanged, renamed or edited unnoticed. [Vault.Seal] does the same for data
// that others keep.
//
// Files are replaced as a whole and durable when a method returns. The machine
// key is made at the first [Open]; a folder that holds secrets but no key is
// refused rather than given a new one, and so is a key that others can read.
//
// What the vault does not do: protect against whoever can read its folder as
// root, or keep secrets out of memory once they were asked for.
package vault

import (
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"pic/core/config"
	"pic/internal/atomicfile"
	"pic/internal/faultfs"
	"pic/internal/order"
)

var (
	// ErrNotFound says that there is no secret of that id.
	ErrNotFound = errors.New("there is no such secret in the vault")
	// ErrSealed says that sealed data cannot be opened: it was changed, or sealed
	// for another context or by another cell.
	ErrSealed = errors.New("the secret cannot be unsealed: it is damaged, or sealed under another key")
)

// MaxSize bounds a secret, in bytes.
const MaxSize = 1 << 20

// A Vault is an open vault. Its methods are safe for concurrent use.
type Vault struct {
	dir     string
	fs      faultfs.FS
	secrets cipher.AEAD
	blobs   cipher.AEAD
}

// An Entry is what is known of a secret without opening it.
type Entry struct {
	ID      config.Secret `json:"id"`
	Kind    string        `json:"kind"`
	Created time.Time     `json:"created"`
}

// Open opens the vault in dir, and makes folder and machine key where there is
// neither.
func Open(dir string) (*Vault, error) { return open(faultfs.OS, dir) }

func open(fsys faultfs.FS, dir string) (*Vault, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := atomicfile.Sweep(dir); err != nil {
		return nil, fmt.Errorf("opening the vault: %w", err)
	}
	v := &Vault{dir: dir, fs: fsys}
	key, err := v.machineKey()
	if err != nil {
		return nil, err
	}
	if v.secrets, err = derive(key, "pic vault: secrets, 1"); err != nil {
		return nil, err
	}
	if v.blobs, err = derive(key, "pic vault: blobs, 1"); err != nil {
		return nil, err
	}
	return v, nil
}

func derive(key []byte, purpose string) (cipher.AEAD, error) {
	sub, err := hkdf.Key(sha256.New, key, nil, purpose, chacha20poly1305.KeySize)
	if err != nil {
		return nil, err
	}
	return chacha20poly1305.NewX(sub)
}

// keyHead begins the file of the machine key, which goes on in base64.
const keyHead = "pic-vault-key-1 "

func (v *Vault) machineKey() ([]byte, error) {
	path := filepath.Join(v.dir, "key")
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return v.makeKey(path)
	}
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("the vault's key %s must be a plain file, not a link or folder", path)
	}
	if m := st.Mode().Perm(); m&0o077 != 0 {
		return nil, fmt.Errorf("others can read or change the vault's key (mode %04o): run `chmod 600 %s`, "+
			"and consider who may have read it", m, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the vault's key: %w", err)
	}
	b64, ok := strings.CutPrefix(strings.TrimSpace(string(text)), keyHead)
	key, err := base64.StdEncoding.DecodeString(b64)
	if !ok || err != nil || len(key) != 32 {
		return nil, fmt.Errorf("the vault's key %s is damaged: put it back from a backup", path)
	}
	return key, nil
}

func (v *Vault) makeKey(path string) ([]byte, error) {
	old, err := v.List()
	if err != nil {
		return nil, err
	}
	if len(old) > 0 {
		return nil, fmt.Errorf("the vault's key %s is gone, while %d secrets sealed under it are there: put it back from a backup",
			path, len(old))
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	text := keyHead + base64.StdEncoding.EncodeToString(key) + "\n"
	if err := atomicfile.Write(v.fs, path, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("making the vault's key: %w", err)
	}
	return key, nil
}

// Put seals a secret and returns its new id, which nobody can guess. The kind is
// for people who look at a list of secrets, and is not secret: 1 to 64 of a-z,
// 0-9 and "-./".
func (v *Vault) Put(ctx context.Context, kind string, secret []byte) (config.Secret, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if !validKind(kind) {
		return "", fmt.Errorf("%q cannot be the kind of a secret", kind)
	}
	if len(secret) > MaxSize {
		return "", fmt.Errorf("a secret of %d bytes; at most %d are possible", len(secret), MaxSize)
	}
	id := config.Secret(strings.ToLower(rand.Text()))
	file := seal(v.secrets, head{kind, time.Now()}, id, secret)
	if err := atomicfile.Write(v.fs, v.path(id), file, 0o600); err != nil && !errors.Is(err, atomicfile.ErrUnsynced) {
		return "", fmt.Errorf("keeping a secret: %w", err)
	} else if err != nil {
		_ = v.fs.Remove(v.path(id)) // nobody will learn its id
		return "", fmt.Errorf("keeping a secret: %w", err)
	}
	return id, nil
}

// Get opens a secret. The error wraps [ErrNotFound] or [ErrSealed] where that is
// the reason, and never holds anything of the secret.
func (v *Vault) Get(id config.Secret) ([]byte, error) {
	h, sealed, err := v.read(id)
	if err != nil {
		return nil, err
	}
	secret, err := unseal(v.secrets, h, id, sealed)
	if err != nil {
		return nil, fmt.Errorf("opening the secret %s (%s): %w", id, h.kind, err)
	}
	return secret, nil
}

// Delete removes a secret; there being none is no error. Delete a secret only
// once no kept revision of the document refers to it.
func (v *Vault) Delete(id config.Secret) error {
	if !validID(id) {
		return nil
	}
	err := v.fs.Remove(v.path(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = v.fs.SyncDir(v.dir)
	}
	if err != nil {
		return fmt.Errorf("deleting the secret %s: %w", id, err)
	}
	return nil
}

// List returns all secrets, oldest first, without opening them: a file that was
// tampered with shows only at [Vault.Get].
func (v *Vault) List() ([]Entry, error) {
	files, err := os.ReadDir(v.dir)
	if err != nil {
		return nil, fmt.Errorf("listing the vault: %w", err)
	}
	out := []Entry{}
	for _, f := range files {
		id := config.Secret(f.Name())
		if !validID(id) {
			continue
		}
		h, _, err := v.read(id)
		if errors.Is(err, ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			h.kind = "damaged" // Get tells more
		}
		out = append(out, Entry{id, h.kind, h.created})
	}
	order.Stable(out, func(a, b Entry) int { return a.Created.Compare(b.Created) })
	return out, nil
}

// Seal seals data that others keep, for a context that says what and whose it
// is; [Vault.Unseal] wants the same. Sealing the same twice gives different
// bytes.
func (v *Vault) Seal(context string, plain []byte) []byte {
	nonce := make([]byte, v.blobs.NonceSize(), v.blobs.NonceSize()+len(plain)+v.blobs.Overhead())
	_, _ = rand.Read(nonce) // never fails
	return v.blobs.Seal(nonce, nonce, plain, []byte(context))
}

// Unseal opens what [Vault.Seal] sealed for the same context, or returns
// [ErrSealed].
func (v *Vault) Unseal(context string, sealed []byte) ([]byte, error) {
	n := v.blobs.NonceSize()
	if len(sealed) < n {
		return nil, ErrSealed
	}
	plain, err := v.blobs.Open(nil, sealed[:n], sealed[n:], []byte(context))
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}
