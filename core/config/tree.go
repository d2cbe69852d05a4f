package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Paths name places in the document as the UI, the API and the CLI do:
// dns.upstreams, peers.laptop.split, dns.records.0.value. An element of a list
// is named by its "name" where it has one, and by its index otherwise.

// Get returns the value at path as JSON; the empty path is the whole document.
func Get(d *Document, path string) (json.RawMessage, error) {
	t, err := tree(d)
	if err != nil {
		return nil, err
	}
	for _, key := range split(path) {
		next, ok := child(t, key)
		if !ok {
			if _, inList := t.([]any); !inList && mayHold(d, path) {
				return json.RawMessage("null"), nil
			}
			if name := dotted(t, key); name != "" {
				return nil, &FieldError{path, quoteIt(path, name)}
			}
			return nil, &FieldError{path, "there is no such setting"}
		}
		t = next
	}
	return json.Marshal(t)
}

// Set puts value at path. Where path ends in the name of a list element that
// does not exist, the element is added.
func Set(d *Document, path string, value json.RawMessage) error {
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil || dec.More() {
		return &FieldError{path, `not a JSON value; text needs quotes: "like this"`}
	}
	return edit(d, path, func(parent any, key string) (any, error) { return put(parent, key, v, path) })
}

// Delete takes the value at path away: a setting returns to its default, a list
// element is removed.
func Delete(d *Document, path string) error {
	return edit(d, path, func(parent any, key string) (any, error) {
		switch p := parent.(type) {
		case map[string]any:
			if _, there := p[key]; !there && !mayHold(d, path) {
				break
			}
			delete(p, key)
			return p, nil
		case []any:
			if i := index(p, key); i >= 0 {
				return append(p[:i:i], p[i+1:]...), nil
			}
		}
		return nil, &FieldError{path, "there is no such setting"}
	})
}

// Decode reads a document strictly: an unknown field is an error that names it.
func Decode(data []byte) (*Document, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	d := new(Document)
	if err := dec.Decode(d); err != nil {
		return nil, decodeError("", err)
	}
	if dec.More() {
		return nil, &FieldError{"", "there is more after the end of the document"}
	}
	// encoding/json takes PORT for port, and of both the last.
	var t any
	if err := json.Unmarshal(data, &t); err != nil {
		return nil, decodeError("", err)
	}
	if err := spelled(t, reflect.TypeFor[Document](), ""); err != nil {
		return nil, err
	}
	return d, nil
}

// spelled refuses keys that are the name of a field only but for their case.
func spelled(t any, typ reflect.Type, path string) error {
	switch t := t.(type) {
	case []any:
		if typ.Kind() != reflect.Slice {
			return nil
		}
		for i, v := range t {
			if err := spelled(v, typ.Elem(), path+strconv.Itoa(i)+"."); err != nil {
				return err
			}
		}
	case map[string]any:
		if typ.Kind() != reflect.Struct {
			return nil
		}
		fields := settings(typ)
		for _, key := range slices.Sorted(maps.Keys(t)) {
			f, ok := fields[key]
			if !ok {
				return &FieldError{path + key, "there is no such setting; names are written as in the documentation"}
			}
			if err := spelled(t[key], f, path+key+"."); err != nil {
				return err
			}
		}
	}
	return nil
}

func edit(d *Document, path string, last func(parent any, key string) (any, error)) error {
	keys := split(path)
	if len(keys) == 0 {
		return &FieldError{path, "name a setting, such as dns.upstreams"}
	}
	if keys[0] == "revision" || keys[0] == "schema" {
		return &FieldError{path, "is counted by the cell; it cannot be set"}
	}
	t, err := tree(d)
	if err != nil {
		return err
	}
	if t, err = descend(t, reflect.TypeFor[Document](), keys, path, last); err != nil {
		return err
	}
	data, err := json.Marshal(t)
	if err != nil {
		return err
	}
	next, err := Decode(data)
	if err != nil {
		var f *FieldError
		if errors.As(err, &f) {
			f.Path = path
		}
		return err
	}
	*d = *next
	return nil
}

func descend(t any, typ reflect.Type, keys []string, path string, last func(any, string) (any, error)) (any, error) {
	inner := below(typ, keys[0])
	if len(keys) == 1 {
		return last(t, keys[0])
	}
	next, ok := child(t, keys[0])
	if !ok {
		if m, isMap := t.(map[string]any); isMap {
			next, ok = container(inner), true
			m[keys[0]] = next
		}
	}
	if name := dotted(t, keys[0]); !ok && name != "" {
		return nil, &FieldError{path, quoteIt(path, name)}
	}
	if !ok {
		return nil, &FieldError{path, fmt.Sprintf("there is no %q", keys[0])}
	}
	next, err := descend(next, inner, keys[1:], path, last)
	if err != nil {
		return nil, err
	}
	return put(t, keys[0], next, path)
}

// dotted returns the name of an element of the list t that begins with key and a
// dot, which whoever wrote the path may have meant.
func dotted(t any, key string) string {
	list, _ := t.([]any)
	for _, e := range list {
		m, _ := e.(map[string]any)
		if name, _ := m["name"].(string); strings.HasPrefix(name, key+".") {
			return name
		}
	}
	return ""
}

// quoteIt says how a path is written that has a name with dots.
func quoteIt(path, name string) string {
	return fmt.Sprintf("a name with dots is written in quotes: '%s'", strings.Replace(path, name, strconv.Quote(name), 1))
}

// below is the type of what key names within typ, nil where nothing can be.
func below(typ reflect.Type, key string) reflect.Type {
	switch {
	case typ == nil:
	case typ.Kind() == reflect.Slice:
		return typ.Elem()
	case typ.Kind() == reflect.Struct:
		return settings(typ)[key]
	}
	return nil
}

// settings are the fields of a struct by their names in JSON, those of embedded
// structs among them.
func settings(typ reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(typ) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			out[name] = f.Type
		}
	}
	return out
}

// container is what to make where a path leads through a field that is empty:
// lists and sections are left out of JSON when they are.
func container(typ reflect.Type) any {
	if typ != nil && typ.Kind() == reflect.Slice {
		return []any{}
	}
	return map[string]any{}
}

func put(parent any, key string, v any, path string) (any, error) {
	switch p := parent.(type) {
	case map[string]any:
		if key == "" {
			break
		}
		p[key] = v
		return p, nil
	case []any:
		if key == "" {
			break
		}
		_, err := strconv.Atoi(key)
		if m, ok := v.(map[string]any); ok && m["name"] == nil && err != nil {
			m["name"] = key // the path says it
		}
		if i := index(p, key); i >= 0 {
			p[i] = v
			return p, nil
		}
		if n, err := strconv.Atoi(key); err == nil && n != len(p) {
			return nil, &FieldError{path, fmt.Sprintf("the list has %d entries; the next one is %d", len(p), len(p))}
		}
		return append(p, v), nil
	}
	if key == "" {
		return nil, &FieldError{path, "a part of the path is empty"}
	}
	return nil, &FieldError{path, "there is nothing below a plain value"}
}

func child(t any, key string) (any, bool) {
	switch t := t.(type) {
	case map[string]any:
		v, ok := t[key]
		return v, ok
	case []any:
		if i := index(t, key); i >= 0 {
			return t[i], true
		}
	}
	return nil, false
}

// index finds the element that key names: by name first, then by number.
func index(list []any, key string) int {
	for i, v := range list {
		if m, ok := v.(map[string]any); ok && m["name"] == key {
			return i
		}
	}
	if n, err := strconv.Atoi(key); err == nil && n >= 0 && n < len(list) {
		return n
	}
	return -1
}

// mayHold reports whether path could hold a value that is not set now.
func mayHold(d *Document, path string) bool {
	probe := d.Clone()
	return Set(probe, path, json.RawMessage("null")) == nil
}

func split(path string) []string {
	if path == "" {
		return nil
	}
	// A name with dots, such as a route's host, is written in quotes:
	// proxy.routes."cam.example.org".access
	// An empty part, as in "peers." from a script whose variable is not set, names
	// nothing: it must not stand for the whole list.
	var keys []string
	for more := true; more; {
		var key string
		if end := strings.Index(path, `".`); path != "" && path[0] == '"' && end > 0 {
			key, path = path[1:end], path[end+2:]
		} else if len(path) > 1 && path[0] == '"' && path[len(path)-1] == '"' {
			key, path, more = path[1:len(path)-1], "", false
		} else {
			key, path, more = strings.Cut(path, ".")
		}
		keys = append(keys, key)
	}
	return keys
}

// tree is d as decoded JSON: maps, slices and plain values.
func tree(d *Document) (any, error) {
	data, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var t any
	err = dec.Decode(&t)
	return t, err
}

// decodeError puts what encoding/json says into words for the user.
func decodeError(path string, err error) error {
	var typ *json.UnmarshalTypeError
	var syn *json.SyntaxError
	switch {
	case errors.As(err, &typ):
		if typ.Field != "" {
			path = typ.Field
		}
		return &FieldError{path, fmt.Sprintf("needs %s, not a %s", kind(typ.Type.String()), typ.Value)}
	case errors.As(err, &syn):
		return &FieldError{path, fmt.Sprintf("not JSON at byte %d: %v", syn.Offset, syn)}
	}
	msg := strings.TrimPrefix(err.Error(), "json: ")
	if name, ok := strings.CutPrefix(msg, "unknown field "); ok {
		return &FieldError{path, "there is no setting " + name}
	}
	return &FieldError{path, msg}
}

func kind(goType string) string {
	switch {
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	case strings.HasPrefix(goType, "uint"), strings.HasPrefix(goType, "int"):
		return "a whole number in range"
	case goType == "bool":
		return "true or false"
	case goType == "string", goType == "netip.Addr", goType == "netip.Prefix":
		return "text in quotes"
	}
	return "another kind of value"
}
