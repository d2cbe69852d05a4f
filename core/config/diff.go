package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Difference is one place where two documents differ. Before or After is
// missing where the value was added or taken away.
type Difference struct {
	Path   string          `json:"path"`
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
	Text   string          `json:"text"` // one line for a person
}

// Diff lists what changed from a to b, in the order of paths. Lists of named
// things are compared by name, other lists as a whole.
func Diff(a, b *Document) []Difference {
	ta, erra := tree(a)
	tb, errb := tree(b)
	if erra != nil || errb != nil {
		return nil // a document always encodes; netip values that do not are refused by Validate
	}
	for _, t := range []any{ta, tb} {
		delete(t.(map[string]any), "revision")
		delete(t.(map[string]any), "schema")
	}
	var out []Difference
	compare(&out, "", ta, tb)
	return out
}

func compare(out *[]Difference, path string, a, b any) {
	ma, oka := fields(a)
	mb, okb := fields(b)
	if !(oka && okb) {
		add(out, path, a, b)
		return
	}
	keys := slices.Sorted(maps.Keys(ma))
	for k := range mb {
		if _, ok := ma[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		p := Quote(k)
		if path != "" {
			p = path + "." + p
		}
		va, ina := ma[k]
		vb, inb := mb[k]
		switch {
		case ina && inb:
			compare(out, p, va, vb)
		case ina:
			leaves(out, p, va, nil)
		default:
			leaves(out, p, nil, vb)
		}
	}
}

// leaves reports a value that stands on one side only: a list of named things
// one by one, a section by its fields, anything else whole.
func leaves(out *[]Difference, path string, a, b any) {
	v := a
	if v == nil {
		v = b
	}
	m, ok := fields(v)
	if _, isList := v.([]any); !ok || len(m) == 0 || !isList && strings.Contains(path, ".") {
		add(out, path, a, b)
		return
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if a != nil {
			add(out, path+"."+Quote(k), m[k], nil)
		} else {
			add(out, path+"."+Quote(k), nil, m[k])
		}
	}
}

// fields returns the parts of a section, or of a list whose elements have names.
func fields(v any) (map[string]any, bool) {
	switch v := v.(type) {
	case map[string]any:
		return v, true
	case []any:
		out := make(map[string]any, len(v))
		for _, e := range v {
			m, ok := e.(map[string]any)
			if !ok {
				return nil, false
			}
			name, ok := m["name"].(string)
			if !ok || out[name] != nil || m["type"] != nil { // records share names
				return nil, false
			}
			out[name] = m
		}
		return out, len(v) > 0
	}
	return nil, false
}

func add(out *[]Difference, path string, a, b any) {
	d := Difference{Path: path}
	if a != nil {
		d.Before, _ = json.Marshal(a)
	}
	if b != nil {
		d.After, _ = json.Marshal(b)
	}
	if bytes.Equal(d.Before, d.After) {
		return
	}
	d.Text = clip(path + " " + words(a, b))
	*out = append(*out, d)
}

// clip makes one line of s that a list of lines has room for.
func clip(s string) string {
	const most = 300
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) <= most {
		return s
	}
	cut := most
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

func words(a, b any) string {
	_, named := b.(map[string]any)
	_, gone := a.(map[string]any)
	la, isA := a.([]any)
	lb, isB := b.([]any)
	switch {
	case a == nil && named:
		return "added"
	case b == nil && gone:
		return "removed"
	case (isA || a == nil) && (isB || b == nil) && (isA || isB):
		var parts []string
		if s := only(lb, la); s != "" {
			parts = append(parts, "gains "+s)
		}
		if s := only(la, lb); s != "" {
			parts = append(parts, "loses "+s)
		}
		if parts == nil {
			return "changes its order"
		}
		return strings.Join(parts, ", ")
	case a == nil:
		return "set to " + text(b)
	case b == nil:
		return "back to its default (was " + text(a) + ")"
	}
	return text(a) + " → " + text(b)
}

// only lists what stands in a and not in b.
func only(a, b []any) string {
	in := map[string]bool{}
	for _, v := range b {
		in[text(v)] = true
	}
	var out []string
	for _, v := range a {
		if s := text(v); !in[s] {
			out = append(out, s)
		}
	}
	if len(out) > 4 {
		return strconv.Itoa(len(out)) + " entries"
	}
	return strings.Join(out, ", ")
}

func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case map[string]any:
		var parts []string
		for _, k := range []string{"name", "type", "value", "address", "to"} {
			if v[k] != nil {
				parts = append(parts, fmt.Sprint(v[k]))
			}
		}
		if parts != nil {
			return strings.Join(parts, " ")
		}
	}
	b, _ := json.Marshal(v)
	return string(b)
}

// Quote returns a path element that may have dots in it.
func Quote(key string) string {
	if strings.Contains(key, ".") {
		return `"` + key + `"`
	}
	return key
}
