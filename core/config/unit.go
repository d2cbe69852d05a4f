package config

import "context"

// A Unit is anything that must follow the document. Its methods get resolved
// documents and are never called at the same time by one Store.
type Unit interface {
	Name() string
	// Check reports why the unit could not follow next. It changes nothing.
	Check(ctx context.Context, next *Document) error
	// Apply makes the unit follow next. On error it still follows what it
	// followed before.
	Apply(ctx context.Context, next *Document) error
}
