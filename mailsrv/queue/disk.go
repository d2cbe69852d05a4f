package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"pic/internal/atomicfile"
)

// A disk is the folder of a queue.
type disk struct{ dir string }

const (
	textSuffix  = ".eml"
	stateSuffix = ".json"
	maxState    = 4 << 20
)

func goodID(id string) bool {
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return id != "" && len(id) <= 64
}

func (d disk) at(id, suffix string) string { return filepath.Join(d.dir, id+suffix) }

// load reads all messages. What was cut short when it came, and so never
// acknowledged, is removed; what cannot be read is left where it is.
func (d disk) load(log *slog.Logger) (map[string]*Message, error) {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return nil, err
	}
	if err := atomicfile.Sweep(d.dir); err != nil {
		return nil, err
	}
	list, err := os.ReadDir(d.dir)
	if err != nil {
		return nil, err
	}
	all, bad := map[string]*Message{}, map[string]bool{}
	for _, e := range list {
		id, ok := strings.CutSuffix(e.Name(), stateSuffix)
		if !ok || !goodID(id) {
			continue
		}
		m, err := d.read(id)
		if err != nil {
			log.Error("queued mail is damaged and stays where it is", "id", id, "err", err)
			bad[id] = true
			continue
		}
		all[id] = m
	}
	for _, e := range list {
		id, ok := strings.CutSuffix(e.Name(), textSuffix)
		if ok && all[id] == nil && !bad[id] {
			if err := os.Remove(filepath.Join(d.dir, e.Name())); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

func (d disk) read(id string) (*Message, error) {
	f, err := os.Open(d.at(id, stateSuffix))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxState))
	if err != nil {
		return nil, err
	}
	var m Message
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, err
	}
	if m.ID != id || len(m.Recipients) == 0 {
		return nil, errors.New("it is not what was written")
	}
	_, err = os.Stat(d.at(id, textSuffix))
	return &m, err
}

// put stores a message: first its text, then its state, which makes it one.
func (d disk) put(m *Message, text io.Reader) (size int64, err error) {
	name := d.at(m.ID, textSuffix)
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			os.Remove(name)
		}
	}()
	size, err = io.Copy(f, text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, err
	}
	m.Size = size
	return size, d.save(m) // which syncs the folder
}

func (d disk) save(m *Message) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(d.at(m.ID, stateSuffix), b, 0o600)
}

func (d disk) remove(id string) error {
	err := os.Remove(d.at(id, stateSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return err
	}
	if err := os.Remove(d.at(id, textSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (d disk) text(id string) (*os.File, error) {
	f, err := os.Open(d.at(id, textSuffix))
	if err != nil {
		return nil, fmt.Errorf("reading queued mail: %w", err)
	}
	return f, nil
}
