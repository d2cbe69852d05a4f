package api

import (
	"context"
	"fmt"
	"time"

	"pic/api/wire"
	"pic/core/config"
)

func (a *API) documentRoutes() {
	route(a, Viewers, "GET /api/config", "The document, as chosen or with all defaults", a.document)
	route(a, Viewers, "GET /api/config/value", "One part of the document", a.value)
	route(a, Admins, "PUT /api/config/value", "Set one value of the document", a.setValue, wide)
	route(a, Admins, "DELETE /api/config/value", "Return a value to its default, or remove an entry", a.deleteValue)
	route(a, Admins, "POST /api/tx", "Several edits that come into force together or not at all", a.tx, wide)
	route(a, Viewers, "GET /api/config/history", "The revisions that are kept, newest first", a.history)
	route(a, Viewers, "GET /api/config/diff", "What differs between two revisions", a.diff)
	route(a, Admins, "POST /api/config/rollback", "Bring back the document of an old revision", a.rollback)
	route(a, Admins, "POST /api/config/confirm", "Make the pending change final", a.confirm)
	route(a, Admins, "POST /api/config/revert", "Undo the pending change now", a.revert)
}

// Which document a request is about.
type Which struct {
	Resolved bool `query:"resolved" doc:"With all defaults filled in"`
}

func (q Which) pick(s *config.Store) *config.Document {
	if q.Resolved {
		return s.Resolved()
	}
	return s.Current()
}

func (a *API) document(_ context.Context, in *Which) (*tagged[*config.Document], error) {
	doc := in.pick(a.Store)
	return &tagged[*config.Document]{etag(doc.Revision), doc}, nil
}

type valueInput struct {
	Which
	Path string `query:"path" maxLength:"256" example:"dns.upstreams" doc:"Empty for the whole document"`
}

func (a *API) value(_ context.Context, in *valueInput) (*tagged[wire.Value], error) {
	doc := in.pick(a.Store)
	v, err := config.Get(doc, in.Path)
	if err != nil {
		return nil, err
	}
	return &tagged[wire.Value]{etag(doc.Revision), wire.Value{Path: in.Path, Value: v}}, nil
}

type setValueInput struct {
	Changing
	Body wire.Put
}

func (a *API) setValue(ctx context.Context, in *setValueInput) (*outcome, error) {
	return a.edited(ctx, edit{
		Changing: in.Changing,
		reason:   in.Body.Reason,
		confirm:  time.Duration(in.Body.ConfirmSeconds) * time.Second,
		do:       func(d *config.Document) error { return config.Set(d, in.Body.Path, in.Body.Value) },
	})
}

type deleteValueInput struct {
	Changing
	Path           string `query:"path" required:"true" minLength:"1" maxLength:"256"`
	Reason         string `query:"reason" maxLength:"300"`
	ConfirmSeconds int    `query:"confirmSeconds" minimum:"0" maximum:"3600"`
}

func (a *API) deleteValue(ctx context.Context, in *deleteValueInput) (*outcome, error) {
	return a.edited(ctx, edit{
		Changing: in.Changing,
		reason:   in.Reason,
		confirm:  time.Duration(in.ConfirmSeconds) * time.Second,
		do:       func(d *config.Document) error { return config.Delete(d, in.Path) },
	})
}

type txInput struct {
	Changing
	Body wire.Tx
}

func (a *API) tx(ctx context.Context, in *txInput) (*outcome, error) {
	for i, e := range in.Body.Edits {
		if e.Delete == (e.Value != nil) {
			return nil, wrong(fmt.Sprintf("edits[%d]", i), "give either a value or delete")
		}
	}
	return a.edited(ctx, edit{
		Changing: in.Changing,
		reason:   in.Body.Reason,
		confirm:  time.Duration(in.Body.ConfirmSeconds) * time.Second,
		do:       func(d *config.Document) error { return applyAll(d, in.Body.Edits) },
	})
}

func applyAll(d *config.Document, edits []wire.Edit) error {
	for _, e := range edits {
		if e.Delete {
			if err := config.Delete(d, e.Path); err != nil {
				return err
			}
		} else if err := config.Set(d, e.Path, e.Value); err != nil {
			return err
		}
	}
	return nil
}

type historyInput struct {
	Limit int `query:"limit" default:"100" minimum:"1" maximum:"1000"`
}

func (a *API) history(_ context.Context, in *historyInput) (*body[[]wire.Revision], error) {
	revs, err := a.Store.History(in.Limit)
	if err != nil {
		return nil, err
	}
	for i := range revs {
		revs[i].Diff = list(revs[i].Diff)
	}
	return &body[[]wire.Revision]{list(revs)}, nil
}

type diffInput struct {
	From int64 `query:"from" required:"true" minimum:"1"`
	To   int64 `query:"to" minimum:"0" doc:"Default: the present one"`
}

func (a *API) diff(_ context.Context, in *diffInput) (*body[wire.Diff], error) {
	from, err := a.Store.Revision(in.From)
	if err != nil {
		return nil, err
	}
	to := a.Store.Current()
	if in.To != 0 {
		if to, err = a.Store.Revision(in.To); err != nil {
			return nil, err
		}
	}
	return &body[wire.Diff]{wire.Diff{From: in.From, To: to.Revision, Diff: list(config.Diff(from, to))}}, nil
}

type rollbackInput struct {
	Changing
	Body wire.Rollback
}

func (a *API) rollback(ctx context.Context, in *rollbackInput) (*outcome, error) {
	old, err := a.Store.Revision(in.Body.Revision)
	if err != nil {
		return nil, err
	}
	return a.edited(ctx, edit{
		Changing: in.Changing,
		reason:   fmt.Sprintf("back to revision %d", in.Body.Revision),
		do:       func(d *config.Document) error { *d = *old.Clone(); return nil },
	})
}

func (a *API) confirm(ctx context.Context, _ *struct{}) (*outcome, error) {
	if err := a.Store.Confirm(ctx, callerOf(ctx).Name); err != nil {
		return nil, err
	}
	return a.settled(), nil
}

func (a *API) revert(ctx context.Context, _ *struct{}) (*outcome, error) {
	before := a.Store.Current()
	doc, err := a.Store.Revert(context.WithoutCancel(ctx), callerOf(ctx).Name)
	if err != nil {
		return nil, err
	}
	out := a.settled()
	out.Body.Diff = list(config.Diff(before, doc))
	return out, nil
}

func (a *API) settled() *outcome {
	rev := a.Store.Current().Revision
	return &outcome{etag(rev), wire.Outcome{Revision: rev, Diff: []wire.Difference{}}}
}
