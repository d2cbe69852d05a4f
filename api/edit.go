package api

import (
	"context"
	"strconv"
	"strings"
	"time"

	"pic/api/wire"
	"pic/core/config"
)

// Changing is what every request that edits the document may carry. It is
// exported because huma passes over embedded types that are not.
type Changing struct {
	IfMatch string `header:"If-Match" doc:"The ETag of the document that the edit was made for; 412 where it has changed since"`
	DryRun  bool   `query:"dry-run" doc:"Change nothing and answer with the difference"`
}

// base is the revision that the edit was made for, 0 where the request does not
// say. If-Match: * asks for any document, and there always is one.
func (c Changing) base() (int64, error) {
	tag := strings.TrimSpace(c.IfMatch)
	if tag == "" || tag == "*" {
		return 0, nil
	}
	n, err := strconv.ParseInt(strings.Trim(tag, `"`), 10, 64)
	if err != nil || n <= 0 || tag != etag(n) {
		return 0, config.ErrConflict // some ETag, and not of this document
	}
	return n, nil
}

func etag(revision int64) string { return `"` + strconv.FormatInt(revision, 10) + `"` }

// An edit is one change of the document on behalf of a caller.
type edit struct {
	Changing
	actor   string // default: the caller
	reason  string
	confirm time.Duration
	do      func(*config.Document) error
}

// change makes the edit, or only tells what it would do. It returns the document
// after it. A client that goes away does not stop an edit halfway.
func (a *API) change(ctx context.Context, e edit) (*config.Document, wire.Outcome, error) {
	base, err := e.base()
	if err != nil {
		return nil, wire.Outcome{}, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTime)
	defer cancel()
	if e.actor == "" {
		e.actor = callerOf(ctx).Name
	}
	c := config.Change{Base: base, Actor: e.actor, Reason: e.reason, Confirm: e.confirm, Edit: e.do}
	began := time.Now()
	if e.DryRun {
		doc, diff, err := a.Store.Probe(ctx, c)
		if err != nil {
			return nil, wire.Outcome{}, err
		}
		return doc, wire.Outcome{Revision: a.Store.Current().Revision, DryRun: true, Diff: list(diff)}, nil
	}
	// The difference is taken inside the edit, where nobody else can change
	// the document.
	var before, after *config.Document
	c.Edit = func(d *config.Document) error {
		before = d.Clone()
		if err := e.do(d); err != nil {
			return err
		}
		after = d.Clone()
		return nil
	}
	doc, err := a.Store.Change(ctx, c)
	if err != nil {
		return nil, wire.Outcome{}, err
	}
	return doc, wire.Outcome{
		Revision:   doc.Revision,
		DurationMs: time.Since(began).Milliseconds(),
		Diff:       list(config.Diff(before, after)),
		Pending:    a.Store.Pending(),
	}, nil
}

// outcome is the answer of an edit that has nothing else to say.
type outcome = tagged[wire.Outcome]

func (a *API) edited(ctx context.Context, e edit) (*outcome, error) {
	_, out, err := a.change(ctx, e)
	if err != nil {
		return nil, err
	}
	return &outcome{etag(out.Revision), out}, nil
}

// list makes nil an empty list: JSON clients expect [].
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
