package cell

import (
	"context"

	"pic/core/config"
	"pic/core/service"
	"pic/core/state"
)

// storage watches over what the cell keeps on disk. It serves nothing; it is a
// unit so that its problems show where all others do.
type storage struct {
	store *config.Store
	db    *state.DB
}

func (storage) Check(context.Context, struct{}) error { return nil }
func (storage) Apply(context.Context, struct{}) error { return nil }

func (storage) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (storage) Sockets() []string     { return nil }
func (storage) Facts() []service.Fact { return nil }

func (s storage) Problems() []service.Problem {
	var out []service.Problem
	if err := s.db.Err(); err != nil {
		out = append(out, service.Problem{
			Code: "storage/disk-failed", Title: "Nothing is saved any more", Text: err.Error(), Severity: service.Failure,
			Fix: "Check the disk of the data folder and its free space, then restart pic.",
		})
	}
	if d := s.store.Damage(); d != nil {
		p := service.Problem{Code: "storage/" + d.Code, Text: d.Err.Error(), Since: d.Time, Severity: service.Failure}
		switch d.Code {
		case "not-synced":
			p.Title, p.Severity = "The last change could be lost if the power goes now", service.Warning
			p.Fix = "Check the disk of the data folder. The next change that is saved whole puts this right."
		case "undo-failed":
			p.Title = "A refused change could not be undone everywhere"
			p.Fix = "Look for services that do not work, and restart them on the Services page."
		case "not-valid":
			p.Title = "The settings do not fit this host"
			p.Fix = "Change the settings that it names, or give the host its address back."
		default:
			p.Title = "An unconfirmed change could not be undone"
			p.Fix = "Undo it by hand: pick the revision before it in the timeline. The cell keeps trying."
		}
		out = append(out, p)
	}
	return out
}
