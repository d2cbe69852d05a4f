package cell

import (
	"context"
	"errors"

	"pic/core/config"
)

// A hook is a part that follows the document without serving anything.
type hook[C any] func(C) error

func (h hook[C]) Check(context.Context, C) error     { return nil }
func (h hook[C]) Apply(_ context.Context, c C) error { return h(c) }

func (h hook[C]) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// A fixed is a part that refuses every change of what it was started with.
type fixed struct{ mode config.Mode }

var errMode = errors.New("a cell keeps the mode that it was set up with; set up another data folder for the other mode")

func (f fixed) Check(_ context.Context, m config.Mode) error {
	if m != f.mode {
		return errMode
	}
	return nil
}

func (f fixed) Apply(ctx context.Context, m config.Mode) error { return f.Check(ctx, m) }

func (f fixed) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
