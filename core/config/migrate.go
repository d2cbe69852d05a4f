package config

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// A migration turns the document of one schema into the next. It is pure and
// works on decoded JSON, since the types of old schemas are gone.
type migration func(map[string]any) error

// migrations[n] turns schema n into n+1. The first schema is 1.
var migrations = map[int]migration{}

// Parse reads a document of any schema up to today's, strictly: a setting that
// does not exist is an error that names it.
func Parse(data []byte) (*Document, error) {
	return parse(data, migrations, Schema)
}

func parse(data []byte, steps map[int]migration, today int) (*Document, error) {
	var head struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, decodeError("", err)
	}
	switch {
	case head.Schema > today:
		return nil, &FieldError{"schema", fmt.Sprintf(
			"the document was written by a newer version (schema %d, this one knows %d); update pic", head.Schema, today)}
	case head.Schema < 1:
		return nil, &FieldError{"schema", "must be a number from 1 on"}
	case head.Schema == today:
		return Decode(data)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var t map[string]any
	if err := dec.Decode(&t); err != nil {
		return nil, decodeError("", err)
	}
	for n := head.Schema; n < today; n++ {
		step := steps[n]
		if step == nil {
			return nil, &FieldError{"schema", fmt.Sprintf("schema %d is too old to be read", n)}
		}
		if err := step(t); err != nil {
			return nil, fmt.Errorf("migrating the document from schema %d: %w", n, err)
		}
		t["schema"] = n + 1
	}
	data, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	return Decode(data)
}
