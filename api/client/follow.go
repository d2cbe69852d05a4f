package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"pic/api/wire"
)

// A LogQuery picks lines of the log.
type LogQuery struct {
	Unit  string
	Level string // debug, info, warn, error
	Limit int
}

// Logs returns the last lines of the log, oldest first.
func (c *Client) Logs(ctx context.Context, q LogQuery) ([]wire.Line, error) {
	values := map[string]string{"unit": q.Unit, "level": q.Level}
	if q.Limit > 0 {
		values["limit"] = strconv.Itoa(q.Limit)
	}
	return call[[]wire.Line](ctx, c, http.MethodGet, query("/api/logs", values), nil)
}

// A Message is one message of the event stream.
type Message struct {
	ID, Type string
	Data     json.RawMessage
}

// maxMessage bounds one message of the stream, in bytes.
const maxMessage = 4 << 20

// patience is how long Follow tries to reach a cell that went away.
const patience = 2 * time.Minute

// Follow calls each with every message of these types until ctx ends, each
// returns an error, or the cell refuses. A lost connection is made anew and goes
// on where it was; a cell that stays away for two minutes is unreachable.
func (c *Client) Follow(ctx context.Context, since string, types []string, each func(Message) error) error {
	wait, heard := time.Second, time.Now()
	for {
		next, err := c.stream(ctx, since, types, each)
		var refused *Error
		var stop *stopped
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &stop):
			return stop.err
		case errors.As(err, &refused):
			return err
		case !errors.Is(err, ErrUnreachable): // it was connected
			since, wait, heard = next, time.Second, time.Now()
		case time.Since(heard) > patience:
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait = min(2*wait, 10*time.Second)
	}
}

// stopped is an error of the caller's, not of the connection.
type stopped struct{ err error }

func (s *stopped) Error() string { return s.err.Error() }

// stream reads one connection to its end and returns the id of the last message.
func (c *Client) stream(ctx context.Context, since string, types []string, each func(Message) error) (string, error) {
	path := query("/api/events", map[string]string{"types": strings.Join(types, ","), "since": since})
	resp, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return since, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	var m Message
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			m.ID = value
		case "event":
			m.Type = value
		case "data":
			if m.Data = append(m.Data, value...); len(m.Data) > maxMessage {
				return since, errors.New("a message of the event stream is too large")
			}
		case "": // a comment, or the blank line that ends a message
			if lines.Text() != "" || m.Type == "" {
				continue
			}
			if m.ID != "" {
				since = m.ID
			}
			if err := each(m); err != nil {
				return since, &stopped{err}
			}
			m = Message{}
		}
	}
	return since, lines.Err()
}
