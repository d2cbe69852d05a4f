package api

import (
	"encoding/json"
	"errors"
	"io"

	"github.com/danielgtaylor/huma/v2"
)

// maxDepth is how deep JSON may nest. The document needs six levels.
const maxDepth = 32

var errDepth = errors.New("JSON is nested too deep")

// jsonFormat reads and writes bodies.
func jsonFormat() huma.Format {
	return huma.Format{
		Marshal: func(w io.Writer, v any) error {
			enc := json.NewEncoder(w)
			enc.SetEscapeHTML(false)
			return enc.Encode(v)
		},
		Unmarshal: func(data []byte, v any) error {
			if depth(data) > maxDepth {
				return errDepth
			}
			return json.Unmarshal(data, v)
		},
	}
}

// depth is how deep arrays and objects of data nest, whether or not data is
// valid JSON.
func depth(data []byte) int {
	deepest, now, quoted := 0, 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}
