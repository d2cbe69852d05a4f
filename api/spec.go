package api

import (
	"bytes"
	"encoding/json"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"pic/api/wire"
	"pic/core/config"
	"pic/core/event"
	"pic/core/service"
)

// Spec returns the OpenAPI 3.1 of the API as indented JSON. It needs no cell.
func Spec() ([]byte, error) {
	raw, err := json.Marshal(New(Deps{}).huma.OpenAPI())
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// specification is huma's configuration: JSON only, no pages of its own.
func specification() huma.Config {
	names := huma.NewMapRegistry("#/components/schemas/", schemaName)
	for t, words := range map[reflect.Type]reflect.Type{
		reflect.TypeFor[config.Role]():      reflect.TypeFor[roleWords](),
		reflect.TypeFor[config.Mode]():      reflect.TypeFor[modeWords](),
		reflect.TypeFor[config.Access]():    reflect.TypeFor[accessWords](),
		reflect.TypeFor[event.Severity]():   reflect.TypeFor[eventWords](),
		reflect.TypeFor[service.Severity](): reflect.TypeFor[severityWords](),
		reflect.TypeFor[service.State]():    reflect.TypeFor[stateWords](),
	} {
		names.RegisterTypeAlias(t, words)
	}
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:       "Personal Internet Cell",
				Version:     "1",
				Description: "Everything that the cell's web UI and command line do. x-rule says who may call a route.",
			},
			Components: &huma.Components{
				Schemas: names,
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"session": {Type: "apiKey", In: "cookie", Name: SessionCookie},
					"token":   {Type: "http", Scheme: "bearer"},
				},
			},
			OnAddOperation: []huma.AddOpFunc{describeFailure},
		},
		Formats:       map[string]huma.Format{jsonType: jsonFormat(), "json": jsonFormat()},
		DefaultFormat: jsonType,
	}
}

// schemaName keeps the sections of the document apart from what the API says of
// the same things: ConfigPeer is what the user chose, Peer what is known of it.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name := huma.DefaultSchemaNamer(t, hint)
	switch t {
	case reflect.TypeFor[config.Document](), reflect.TypeFor[wire.Difference](), reflect.TypeFor[wire.Revision](), reflect.TypeFor[wire.Pending]():
		return name
	}
	if t.PkgPath() == reflect.TypeFor[config.Document]().PkgPath() {
		return "Config" + name
	}
	return name
}

// describeFailure says that every failure is a wire.Error.
func describeFailure(oapi *huma.OpenAPI, op *huma.Operation) {
	op.Responses["default"] = &huma.Response{
		Description: "A problem (RFC 9457)",
		Content: map[string]*huma.MediaType{problemType: {
			Schema: oapi.Components.Schemas.Schema(reflect.TypeFor[wire.Error](), true, ""),
		}},
	}
}

// finish straightens what huma says of lists: ours are never null.
func finish(o *huma.OpenAPI) {
	schemas := o.Components.Schemas.Map()
	for _, s := range schemas {
		solid(s)
	}
	for _, p := range o.Paths {
		for _, op := range []*huma.Operation{p.Get, p.Post, p.Put, p.Delete} {
			if op == nil {
				continue
			}
			for _, r := range op.Responses {
				for _, m := range r.Content {
					solid(m.Schema)
				}
			}
			if op.RequestBody != nil && op.RequestBody.Content[jsonType] != nil {
				solid(op.RequestBody.Content[jsonType].Schema)
			}
			for _, q := range op.Parameters {
				solid(q.Schema)
			}
		}
	}
}

func solid(s *huma.Schema) {
	if s == nil {
		return
	}
	if s.Type == huma.TypeArray {
		s.Nullable = false
	}
	solid(s.Items)
	for _, p := range s.Properties {
		solid(p)
	}
	if more, ok := s.AdditionalProperties.(*huma.Schema); ok {
		solid(more)
	}
}

// The words that some types of the core can be.
type (
	roleWords     string
	modeWords     string
	accessWords   string
	eventWords    string
	severityWords string
	stateWords    string
)

func words[T ~string](all ...T) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, w := range all {
		s.Enum = append(s.Enum, string(w))
	}
	return s
}

func (roleWords) Schema(huma.Registry) *huma.Schema {
	return words(config.Admin, config.Viewer, config.Member)
}

func (modeWords) Schema(huma.Registry) *huma.Schema { return words(config.Trial, config.Appliance) }

func (accessWords) Schema(huma.Registry) *huma.Schema {
	return words(config.AccessLAN, config.AccessVPN, config.AccessPublic)
}

func (eventWords) Schema(huma.Registry) *huma.Schema {
	return words(event.Info, event.Warning, event.Error)
}

func (severityWords) Schema(huma.Registry) *huma.Schema {
	return words(service.Warning, service.Failure)
}

func (stateWords) Schema(huma.Registry) *huma.Schema {
	return words(service.Starting, service.Running, service.Failing, service.Stopped, service.Off)
}
