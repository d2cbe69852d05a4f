package ca

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"

	"pic/core/state/journal"
	"pic/internal/faultfs"
)

// forget is how long after its end a certificate stays in the record.
const forget = 90 * 24 * time.Hour

// A record knows every certificate that was issued, until long after its end. A
// certificate is added before anybody gets it.
type record struct {
	log *journal.Log

	mu   sync.Mutex
	live []*x509.Certificate // not expired, oldest first
}

const recordName = "issued.log"

// damaged is added to the name of a record that cannot be read.
const damaged = ".damaged"

// openRecord opens the record at path. A damaged one is moved away, because
// missing history is better than a household without certificates.
func openRecord(fsys faultfs.FS, path string, now time.Time) (*record, error) {
	r, err := readRecord(fsys, path, now)
	if bad := new(journal.DamageError); errors.As(err, &bad) {
		if err := fsys.Rename(path, path+damaged); err != nil {
			return nil, err
		}
		r, err = readRecord(fsys, path, now)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the record of issued certificates: %w", err)
	}
	return r, nil
}

func readRecord(fsys faultfs.FS, path string, now time.Time) (*record, error) {
	r := &record{}
	var keep [][]byte
	old := 0
	log, err := journal.Open(path, func(rec []byte) error {
		c, err := x509.ParseCertificate(bytes.Clone(rec))
		if err != nil {
			return err
		}
		if now.After(c.NotAfter.Add(forget)) {
			old++
			return nil
		}
		keep = append(keep, c.Raw)
		if now.Before(c.NotAfter) {
			r.live = append(r.live, c)
		}
		return nil
	}, journal.WithFS(fsys))
	if err != nil {
		return nil, err
	}
	r.log = log
	if old > 100+len(keep) {
		err = log.Rewrite(context.Background(), func(emit func([]byte) error) error {
			for _, c := range keep {
				if err := emit(c); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			log.Close()
			return nil, err
		}
	}
	return r, nil
}

// add records c durably.
func (r *record) add(ctx context.Context, c *x509.Certificate, now time.Time) error {
	if err := r.log.Append(ctx, c.Raw); err != nil {
		return fmt.Errorf("recording the certificate: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	live := r.live[:0:0]
	for _, o := range r.live {
		if now.Before(o.NotAfter) {
			live = append(live, o)
		}
	}
	r.live = append(live, c)
	return nil
}

// list returns the certificates that have not expired; nobody changes it.
func (r *record) list() []*x509.Certificate {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.live
}

func (r *record) close() error { return r.log.Close() }
