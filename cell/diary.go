package cell

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"sync"

	"pic/core/event"
	"pic/core/state/journal"
)

// A diary keeps the timeline on disk, so that it outlives a restart. Events tell
// people and no program waits for them, so they are written behind: a crash may
// lose the last moment of them.
type diary struct {
	log    *slog.Logger
	events *event.Log
	book   *journal.Log
	stop   context.CancelFunc
	wg     sync.WaitGroup
}

// diaryMost is the size at which the book is written anew with what the log
// still holds.
const diaryMost = 4 << 20

func openDiary(path string, events *event.Log, log *slog.Logger) (*diary, error) {
	var old []event.Event
	replay := func(rec []byte) error {
		var e event.Event
		if err := json.Unmarshal(rec, &e); err != nil {
			return err
		}
		old = append(old, e)
		return nil
	}
	book, err := journal.Open(path, replay)
	if bad := new(journal.DamageError); errors.As(err, &bad) {
		// What happened once is worth less than a household's internet.
		aside := path + ".damaged"
		if err := os.Rename(path, aside); err != nil {
			return nil, err
		}
		log.Warn("the timeline is damaged and begins anew", "kept", aside, "err", err)
		book, err = journal.Open(path, replay)
	}
	if err != nil {
		return nil, err
	}
	if len(old) > 2000 {
		old = old[len(old)-2000:]
	}
	events.Restore(old)
	ctx, stop := context.WithCancel(context.Background()) // ends with close
	d := &diary{log: log, events: events, book: book, stop: stop}
	next := events.Subscribe(ctx, events.LastID())
	d.wg.Go(func() { d.write(next) })
	return d, nil
}

func (d *diary) write(next <-chan event.Event) {
	for e := range next {
		rec, err := json.Marshal(e)
		if err == nil {
			err = d.book.Append(context.Background(), rec) // short, and ends with the disk
		}
		if err != nil {
			d.log.Error("the timeline is not saved", "err", err)
			continue
		}
		if d.book.Size() > diaryMost {
			if err := d.book.Rewrite(context.Background(), d.keep); err != nil {
				d.log.Error("the timeline is not shortened", "err", err)
			}
		}
	}
}

// keep emits what the log holds now.
func (d *diary) keep(emit func([]byte) error) error {
	for _, e := range d.events.Since(0, 0) {
		rec, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if err := emit(rec); err != nil {
			return err
		}
	}
	return nil
}

func (d *diary) close() {
	d.stop()
	d.wg.Wait()
	if err := d.book.Close(); err != nil {
		d.log.Error("closing the timeline failed", "err", err)
	}
}
