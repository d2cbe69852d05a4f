package config

import (
	"encoding/json"
	"fmt"
)

// Named returns the secrets that the document in force, or any revision that can
// still be gone back to, may refer to. It holds every text of theirs, so that no
// field can be forgotten here. With a revision that cannot be read nothing can be
// said, which is an error.
func (s *Store) Named() (map[Secret]bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[Secret]bool{}
	now, err := json.Marshal(s.Current())
	if err != nil {
		return nil, err
	}
	texts := func(doc json.RawMessage) error {
		var v any
		if err := json.Unmarshal(doc, &v); err != nil {
			return err
		}
		gather(v, out)
		return nil
	}
	if err := texts(now); err != nil {
		return nil, err
	}
	for _, n := range s.disk.numbers() {
		kept, err := s.disk.load(n)
		if err == nil {
			err = texts(kept.Document)
		}
		if err != nil {
			return nil, fmt.Errorf("which secrets revision %d refers to: %w", n, err)
		}
	}
	return out, nil
}

func gather(v any, out map[Secret]bool) {
	switch v := v.(type) {
	case string:
		out[Secret(v)] = true
	case []any:
		for _, e := range v {
			gather(e, out)
		}
	case map[string]any:
		for _, e := range v {
			gather(e, out)
		}
	}
}
