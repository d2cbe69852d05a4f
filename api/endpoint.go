package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// bodyTime is how long the body of a request may take to arrive.
const bodyTime = 5 * time.Second

// An endpoint is one route at work: it reads a request into its input, calls the
// handler and sends what that returns. The fields of the input and of the output
// say how, with the tags that huma has for them.
//
// It stands where huma.Register would: that is one generic function, compiled
// anew for each route, which made 2 MB of the binary. All that depends on the
// types here is the call.
type endpoint struct {
	api    *API
	spec   *huma.Operation
	in     reflect.Type // a struct
	params []param
	body   []int        // the index of the field Body, nil: no body is read
	schema *huma.Schema // of that body
	out    answerShape
	call   func(ctx context.Context, in any) (out any, err error) // pointers to structs; nil: nothing to say
}

// A param is a field of the input that comes from the path, the query or a header.
type param struct {
	index    []int
	in, name string
	required bool
	fallback string // for where it is absent
	schema   *huma.Schema
}

// An answerShape says which fields of an output are what; -1 is none.
type answerShape struct {
	status, body int
	headers      map[string]int // by name
}

// add makes the route of op work and puts it into the OpenAPI.
func (a *API) add(op *huma.Operation, in, out reflect.Type, call func(context.Context, any) (any, error)) {
	names := a.huma.OpenAPI().Components.Schemas
	e := &endpoint{api: a, spec: op, in: in, call: call}
	for _, f := range reflect.VisibleFields(in) {
		if p, ok := paramOf(names, f); ok {
			e.params = append(e.params, p)
			if f.Tag.Get("hidden") == "" {
				op.Parameters = append(op.Parameters, p.describe())
			}
		}
	}
	if f, ok := in.FieldByName("Body"); ok {
		e.body = f.Index
		e.schema = huma.SchemaFromField(names, f, cmp.Or(in.Name(), op.OperationID+"Request")+f.Name)
		e.schema.PrecomputeMessages()
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{jsonType: {Schema: e.schema}}}
	}
	e.out = describeAnswer(names, op, out)
	a.huma.OpenAPI().AddOperation(op)
	a.huma.Adapter().Handle(op, a.huma.Middlewares().Handler(e.serve))
}

// paramOf reads the tags of a field; ok is whether it is a parameter at all.
func paramOf(names huma.Registry, f reflect.StructField) (p param, ok bool) {
	for _, in := range []string{"path", "query", "header"} {
		if name := f.Tag.Get(in); name != "" {
			return param{
				index: f.Index, in: in, name: name,
				required: in == "path" || f.Tag.Get("required") == "true",
				fallback: f.Tag.Get("default"),
				schema:   huma.SchemaFromField(names, f, ""),
			}, true
		}
	}
	return param{}, false
}

func (p param) describe() *huma.Param {
	d := &huma.Param{Name: p.name, Description: p.schema.Description, In: p.in, Required: p.required, Schema: p.schema}
	if p.in == "query" {
		d.Explode = new(bool) // lists are one value with commas
	}
	return d
}

// describeAnswer finds the parts of an output and adds them to op.
func describeAnswer(names huma.Registry, op *huma.Operation, out reflect.Type) answerShape {
	shape := answerShape{status: -1, body: -1, headers: map[string]int{}}
	op.DefaultStatus = http.StatusNoContent
	if f, ok := out.FieldByName("Body"); ok {
		op.DefaultStatus = http.StatusOK
		shape.body = f.Index[0]
	}
	status := strconv.Itoa(op.DefaultStatus)
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	success := op.Responses[status]
	if success == nil {
		success = &huma.Response{Description: http.StatusText(op.DefaultStatus)}
		op.Responses[status] = success
	}
	for i := range out.NumField() {
		switch f := out.Field(i); {
		case f.Name == "Status":
			shape.status = i
		case f.Name != "Body":
			name := f.Tag.Get("header")
			shape.headers[name] = i
			if success.Headers == nil {
				success.Headers = map[string]*huma.Param{}
			}
			success.Headers[name] = &huma.Header{Schema: &huma.Schema{Type: huma.TypeString}}
		case f.Type.Kind() != reflect.Func && success.Content == nil:
			schema := huma.SchemaFromField(names, f, cmp.Or(out.Name(), op.OperationID+"Response")+f.Name)
			success.Content = map[string]*huma.MediaType{jsonType: {Schema: schema}}
		}
	}
	return shape
}

// serve answers one request.
func (e *endpoint) serve(hc huma.Context) {
	in, p := e.read(hc)
	if p != nil {
		send(p, hc.SetHeader, hc.SetStatus, hc.BodyWriter().Write)
		return
	}
	out, err := e.call(hc.Context(), in)
	if err != nil {
		e.api.refuse(hc, err)
		return
	}
	if out == nil {
		hc.SetStatus(e.spec.DefaultStatus)
		return
	}
	e.answer(hc, reflect.ValueOf(out).Elem())
}

// answer sends an output.
func (e *endpoint) answer(hc huma.Context, out reflect.Value) {
	for name, i := range e.out.headers {
		switch v := out.Field(i).Addr().Interface().(type) {
		case *string:
			if *v != "" {
				hc.SetHeader(name, *v)
			}
		case fmt.Stringer:
			hc.SetHeader(name, v.String())
		}
	}
	status := e.spec.DefaultStatus
	if e.out.status >= 0 {
		status = int(out.Field(e.out.status).Int())
	}
	if e.out.body < 0 {
		hc.SetStatus(status)
		return
	}
	switch body := out.Field(e.out.body).Interface().(type) {
	case func(huma.Context):
		body(hc)
	case []byte:
		hc.SetStatus(status)
		_, _ = hc.BodyWriter().Write(body) // whoever is gone does not need it
	default:
		hc.SetHeader("Content-Type", jsonType)
		hc.SetStatus(status)
		if err := e.api.huma.Marshal(hc.BodyWriter(), jsonType, body); err != nil && hc.Context().Err() == nil {
			panic(fmt.Errorf("answering %s %s: %w", e.spec.Method, e.spec.Path, err))
		}
	}
}
