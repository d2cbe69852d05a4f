package ca

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/caddyserver/certmagic"

	"pic/internal/atomicfile"
)

var errStoreClosed = errors.New("the certificate store is closed")

// A store keeps certmagic's files in the folder of a domain. What ends in .key
// is sealed. Its locks are of this process: nobody else writes there.
type store struct {
	shelf

	mu     sync.Mutex
	locks  map[string]chan struct{} // closed when released
	closed bool
}

// openStore removes what writes that were cut short left behind.
func openStore(sh shelf) (*store, error) {
	err := filepath.WalkDir(filepath.Join(sh.dir, "certificates"), func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && d.IsDir() {
			err = atomicfile.Sweep(p)
		}
		return err
	})
	return &store{shelf: sh, locks: map[string]chan struct{}{}}, err
}

// close refuses new locks and waits for those that are held.
func (s *store) close() {
	s.mu.Lock()
	s.closed = true
	var held []chan struct{}
	for _, c := range s.locks {
		held = append(held, c)
	}
	s.mu.Unlock()
	for _, c := range held {
		<-c
	}
}

func (s *store) path(key string) (string, error) {
	p := filepath.FromSlash(key)
	if !filepath.IsLocal(p) {
		return "", fmt.Errorf("certificate store: %q is not a key", key)
	}
	return filepath.Join(s.dir, p), nil
}

func (s *store) Lock(ctx context.Context, name string) error {
	for {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return errStoreClosed
		}
		held, ok := s.locks[name]
		if !ok {
			s.locks[name] = make(chan struct{})
			s.mu.Unlock()
			return nil
		}
		s.mu.Unlock()
		select {
		case <-held:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *store) Unlock(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	held, ok := s.locks[name]
	if !ok {
		return fmt.Errorf("certificate store: %q is not locked", name)
	}
	delete(s.locks, name)
	close(held)
	return nil
}

func (s *store) Store(_ context.Context, key string, value []byte) error {
	p, err := s.path(key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
		return err
	}
	if strings.HasSuffix(key, ".key") {
		value = s.seal.Seal(s.context(key), value)
	}
	return replace(s.fs, p, value, 0o600)
}

func (s *store) Load(_ context.Context, key string) ([]byte, error) {
	p, err := s.path(key)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(p)
	if err != nil || !strings.HasSuffix(key, ".key") {
		return b, err
	}
	if b, err = s.seal.Unseal(s.context(key), b); err != nil {
		return nil, fmt.Errorf("unsealing %s: %w", path.Base(key), err)
	}
	return b, nil
}

func (s *store) Delete(_ context.Context, key string) error {
	p, err := s.path(key)
	if err != nil {
		return err
	}
	return os.RemoveAll(p)
}

func (s *store) Exists(_ context.Context, key string) bool {
	p, err := s.path(key)
	if err != nil {
		return false
	}
	_, err = os.Stat(p)
	return err == nil
}

func (s *store) List(_ context.Context, prefix string, recursive bool) ([]string, error) {
	p, err := s.path(prefix)
	if err != nil {
		return nil, err
	}
	var keys []string
	err = filepath.WalkDir(p, func(q string, d fs.DirEntry, err error) error {
		if err != nil || q == p {
			return err
		}
		rel, err := filepath.Rel(s.dir, q)
		if err != nil {
			return err
		}
		keys = append(keys, filepath.ToSlash(rel))
		if d.IsDir() && !recursive {
			return filepath.SkipDir
		}
		return nil
	})
	return keys, err
}

func (s *store) Stat(_ context.Context, key string) (certmagic.KeyInfo, error) {
	p, err := s.path(key)
	if err != nil {
		return certmagic.KeyInfo{}, err
	}
	fi, err := os.Stat(p)
	if err != nil {
		return certmagic.KeyInfo{}, err
	}
	return certmagic.KeyInfo{Key: key, Modified: fi.ModTime(), Size: fi.Size(), IsTerminal: !fi.IsDir()}, nil
}
