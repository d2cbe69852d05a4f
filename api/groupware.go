package api

import (
	"context"
	"errors"
	"net/http"

	"pic/api/wire"
	"pic/core/config"
	"pic/davsrv"
	"pic/mailsrv"
	"pic/mailsrv/queue"
)

// DAV is the server of calendars, contacts and files.
type DAV interface {
	// Collections lists those of a user, of everybody where user is empty.
	Collections(user string) ([]davsrv.CollectionInfo, error)
	// Files lists a folder among a user's files. An error with a method HTTP is a
	// refusal for people.
	Files(user, name string) ([]davsrv.FileInfo, error)
}

// Mail is the mail server.
type Mail interface {
	// Accounts returns the totals of everybody who has mail or could have.
	Accounts() ([]mailsrv.AccountStatus, error)
	// Outbound is what waits to be sent; nil while mail is off.
	Outbound() *queue.Queue
	// Domains examines what DNS says of the mail domains.
	Domains(context.Context) []mailsrv.DomainReport
}

func (a *API) groupwareRoutes() {
	route(a, SignedIn, "GET /api/email", "The mail server and its mailboxes; for the role user: their own", a.email)
	route(a, SignedIn, "GET /api/calendar", "Calendars and address books; for the role user: their own", a.calendar)
	route(a, SignedIn, "GET /api/files", "A folder of the caller's own files", a.files)
}

func (a *API) email(ctx context.Context, _ *struct{}) (*body[wire.Email], error) {
	c, m := callerOf(ctx), a.Store.Resolved().Mail
	all, err := a.Mail.Accounts()
	if err != nil {
		return nil, err
	}
	out := wire.Email{
		Enabled: config.On(m.Enabled), Domains: list(m.Domains), Mailboxes: []wire.Mailbox{},
		Ports: map[string]uint16{
			"smtp": m.SMTPPort, "submission": m.SubmissionPort, "submissions": m.SubmissionsPort, "imaps": m.IMAPPort,
		},
	}
	if h := m.Smarthost; h != nil && c.viewer() {
		out.Smarthost = &wire.Smarthost{Host: h.Host, Port: h.Port, User: h.User}
	}
	for _, x := range all {
		if c.viewer() || x.User == c.Name {
			out.Mailboxes = append(out.Mailboxes, wire.Mailbox{
				User: x.User, Messages: x.Messages, Unseen: x.Unseen, Bytes: x.Bytes, DiskBytes: x.Disk, Suspended: x.Suspended,
			})
		}
	}
	return &body[wire.Email]{out}, nil
}

func (a *API) calendar(ctx context.Context, _ *struct{}) (*body[wire.Calendar], error) {
	c := callerOf(ctx)
	user := c.Name
	if c.viewer() {
		user = ""
	}
	all, err := a.DAV.Collections(user)
	if err != nil {
		return nil, err
	}
	out := wire.Calendar{Collections: []wire.Collection{}}
	for _, x := range all {
		out.Collections = append(out.Collections, wire.Collection{
			Owner: x.Owner, Name: x.Name, Kind: x.Kind, Display: x.Display, Color: x.Color, Objects: x.Objects, URL: x.Path,
		})
	}
	return &body[wire.Calendar]{out}, nil
}

type filesInput struct {
	Path string `query:"path" maxLength:"4096" doc:"Relative to the caller's files; empty is their root"`
}

func (a *API) files(ctx context.Context, in *filesInput) (*body[wire.Listing], error) {
	c := callerOf(ctx)
	if err := a.known(c.Name); err != nil || c.local {
		return nil, fail(http.StatusConflict, "conflict", "files belong to people; sign in as a user of the cell")
	}
	all, err := a.DAV.Files(c.Name, in.Path)
	if err != nil {
		return nil, folderTrouble(err)
	}
	out := wire.Listing{Path: in.Path, Entries: []wire.FileEntry{}}
	for _, f := range all {
		out.Entries = append(out.Entries, wire.FileEntry{Name: f.Name, Dir: f.Dir, Size: f.Size, Modified: f.Modified})
	}
	return &body[wire.Listing]{out}, nil
}

// folderTrouble turns what the DAV server refused into a problem; any other
// error is the cell's own and goes to the log.
func folderTrouble(err error) error {
	var told interface {
		HTTP() (status int, text string)
	}
	if !errors.As(err, &told) {
		return err
	}
	switch status, text := told.HTTP(); {
	case status == http.StatusNotFound:
		return fail(status, "not-found", text)
	case status < http.StatusInternalServerError:
		return fail(http.StatusUnprocessableEntity, "invalid", text)
	}
	return err
}
