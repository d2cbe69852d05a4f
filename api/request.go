package api

import (
	"encoding"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"pic/api/wire"
)

// A sent input takes along what is neither a parameter nor the body.
type sent interface{ sent(*http.Request) }

// read makes the input of a request, a pointer to the struct, or says what is
// wrong with it.
func (e *endpoint) read(hc huma.Context) (any, *problem) {
	if p := e.unknown(hc); p != nil {
		return nil, p
	}
	in := reflect.New(e.in)
	status := http.StatusUnprocessableEntity
	found := &huma.ValidateResult{}
	for _, p := range e.params {
		e.readParam(hc, p, in.Elem().FieldByIndex(p.index), found)
	}
	if e.body != nil {
		raw, p := e.readBody(hc)
		if p != nil {
			return nil, p
		}
		status = e.decode(hc, raw, in.Elem().FieldByIndex(e.body).Addr().Interface(), found)
	}
	if len(found.Errors) > 0 {
		return nil, unfit(status, found.Errors)
	}
	if in, ok := in.Interface().(sent); ok {
		r, _ := humago.Unwrap(hc)
		in.sent(r)
	}
	return in.Interface(), nil
}

// unknown refuses queries with other parameters than those of the route: a
// misspelt dry-run must not become a real edit.
func (e *endpoint) unknown(hc huma.Context) *problem {
	u := hc.URL()
	if u.RawQuery == "" {
		return nil
	}
	var fields []wire.FieldError
	for _, name := range slices.Sorted(maps.Keys(u.Query())) {
		if !slices.ContainsFunc(e.params, func(p param) bool { return p.in == "query" && p.name == name }) {
			fields = append(fields, wire.FieldError{Path: name, Message: "unknown query parameter"})
		}
	}
	if fields == nil {
		return nil
	}
	return unfitting(http.StatusUnprocessableEntity, fields)
}

func (e *endpoint) readParam(hc huma.Context, p param, field reflect.Value, found *huma.ValidateResult) {
	where := huma.NewPathBuffer(nil, 0)
	where.Push(p.in)
	where.Push(p.name)
	var text string
	switch p.in {
	case "path":
		text = hc.Param(p.name)
	case "query":
		text = hc.Query(p.name)
	case "header":
		text = hc.Header(p.name)
	}
	if text == "" {
		text = p.fallback
	}
	if text == "" {
		if p.required {
			found.Add(where, nil, "required "+p.in+" parameter is missing")
		}
		return
	}
	v, err := parse(field, text)
	if err != nil {
		found.Add(where, nil, err.Error())
		return
	}
	huma.Validate(e.api.huma.OpenAPI().Components.Schemas, p.schema, where, huma.ModeWriteToServer, v, found)
}

// parse sets a field from text and returns the value for its schema to look at.
func parse(field reflect.Value, text string) (any, error) {
	switch v := field.Addr().Interface().(type) {
	case *[]string:
		*v = strings.Split(text, ",")
		return *v, nil
	case *time.Time:
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return nil, errors.New("invalid date/time for format " + time.RFC3339Nano)
		}
		*v = t
		return text, nil
	case encoding.TextUnmarshaler:
		if err := v.UnmarshalText([]byte(text)); err != nil {
			return nil, fmt.Errorf("invalid value: %w", err)
		}
		return text, nil
	}
	switch field.Kind() {
	case reflect.String:
		field.SetString(text)
		return text, nil
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, errors.New("invalid integer")
		}
		field.SetInt(n)
		return n, nil
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return nil, errors.New("invalid boolean")
		}
		field.SetBool(b)
		return b, nil
	}
	panic("a parameter cannot be a " + field.Type().String()) // TestRulesDecideWhoMayCall would see it
}

// readBody reads the whole body, within the limits of the route.
func (e *endpoint) readBody(hc huma.Context) ([]byte, *problem) {
	_ = hc.SetReadDeadline(time.Now().Add(bodyTime)) // a listener that has none is in memory
	most := int64(e.spec.MaxBodyBytes)
	raw, err := io.ReadAll(io.LimitReader(hc.BodyReader(), most))
	var late net.Error
	switch {
	case int64(len(raw)) == most:
		return nil, fail(http.StatusRequestEntityTooLarge, "invalid", fmt.Sprintf("request body is too large limit=%d bytes", most))
	case errors.As(err, &late) && late.Timeout():
		return nil, fail(http.StatusRequestTimeout, "invalid", "request body read timeout")
	case err != nil:
		return nil, fail(http.StatusBadRequest, "invalid", "cannot read request body")
	case len(raw) == 0:
		return nil, fail(http.StatusBadRequest, "invalid", "request body is required")
	}
	return raw, nil
}

// decode reads a body into the field. What is wrong with it is added to found,
// and the status of the failure, should there be one, is returned.
func (e *endpoint) decode(hc huma.Context, raw []byte, field any, found *huma.ValidateResult) int {
	kind := hc.Header("Content-Type")
	where := huma.NewPathBuffer(nil, 0)
	where.Push("body")
	var loose any
	if err := e.api.huma.Unmarshal(kind, raw, &loose); err != nil {
		found.Add(where, nil, err.Error())
		if errors.Is(err, huma.ErrUnknownContentType) {
			return http.StatusUnsupportedMediaType
		}
		return http.StatusBadRequest
	}
	before := len(found.Errors)
	huma.Validate(e.api.huma.OpenAPI().Components.Schemas, e.schema, where, huma.ModeWriteToServer, loose, found)
	if len(found.Errors) > before {
		return http.StatusUnprocessableEntity
	}
	// What the schema lets through may still be no address, for one.
	if err := e.api.huma.Unmarshal(kind, raw, field); err != nil {
		found.Add(where, nil, err.Error())
	}
	return http.StatusUnprocessableEntity
}

// unfit is the problem of a request that its schema refuses. It leaves out the
// values, which may be secrets.
func unfit(status int, errs []error) *problem {
	var fields []wire.FieldError
	for _, err := range errs {
		f := wire.FieldError{Message: err.Error()}
		if d := (*huma.ErrorDetail)(nil); errors.As(err, &d) {
			f = wire.FieldError{Path: d.Location, Message: d.Message}
		}
		for _, prefix := range []string{"body.", "query.", "path."} {
			f.Path = strings.TrimPrefix(f.Path, prefix)
		}
		fields = append(fields, f)
	}
	return unfitting(status, fields)
}

func unfitting(status int, fields []wire.FieldError) *problem {
	p := fail(status, "invalid", sentence(fields))
	p.body.Errors = fields
	return p
}
