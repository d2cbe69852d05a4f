// Package state keeps what the cell found out and must not forget.
package state

import "iter"

// Contract, to be implemented here over bbolt; nothing of the engine shows.
//
//	func Open(path string) (*DB, error)
//	func (db *DB) Space(name string) *Space        // a key space of one service
//	func (db *DB) Close() error
//	func (s *Space) View(fn func(Reader) error) error
//	func (s *Space) Update(ctx, fn func(Writer) error) error // durable on return; group commit

// A Reader reads one key space at one moment. What it returns is valid only
// until the function that got the Reader returns, and must not be changed.
type Reader interface {
	// Get returns nil where there is no such key.
	Get(key []byte) []byte
	// Scan yields the pairs whose key begins with prefix, from the key from on
	// (nil: from the first), in order.
	Scan(prefix, from []byte) iter.Seq2[[]byte, []byte]
}

// A Writer changes one key space. Changes of an Update that fails are undone.
type Writer interface {
	Reader
	Put(key, value []byte) error
	Delete(key []byte) error
	// Next returns a number that no call for this key space returned before.
	Next() (uint64, error)
}
