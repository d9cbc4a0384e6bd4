// Package openapi writes an OpenAPI 3 document from Go types: the schema of a body or an answer is read off the
// struct that the door reads or writes, so that the two cannot differ.
//
// It knows of no operation and no shape; who has them hands them in, as an [API]. Every field of a struct
// needs a json tag; of what is embedded only the fallback for members that nothing declares is known.
package openapi

import (
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"portcullis/handlers/query"
)

// API is what a document tells.
type API struct {
	Title, Version, Description string
	Operations                  []Operation
	// Failure is how every operation answers an error, by a value of its type.
	Failure any
	// Types have a schema of their own, in place of the one that their Go type gives.
	Types map[reflect.Type]Object
	// Prefixes begin the names of schemas from a package, by its import path, where a name of its own would be another's.
	Prefixes map[string]string
}

// Operation is one operation as the document tells it.
type Operation struct {
	Method, Path string // with parameters as {name}
	ID, Summary  string
	Query        []query.Parameter
	Headers      []string // request headers that count
	Body, Answer any      // values of their types, nil for none
	Statuses     []int    // of success
	Open         bool     // needs no token
}

// Object is a JSON object of the document.
type Object = map[string]any

// Document gives the document, to be marshalled.
func Document(api API) Object {
	schemas, paths := schemas{api: api, named: Object{}}, Object{}
	failure := Object{"description": "An error; its code is in x-ms-error-code too", "content": jsonContent(schemas.of(reflect.TypeOf(api.Failure)))}
	for _, d := range api.Operations {
		path, ok := paths[d.Path].(Object)
		if !ok {
			path = Object{}
			paths[d.Path] = path
		}
		path[strings.ToLower(d.Method)] = d.operation(schemas, failure)
	}
	return Object{
		"openapi":  "3.0.3",
		"info":     Object{"title": api.Title, "version": api.Version, "description": api.Description},
		"servers":  []any{Object{"url": "/"}},
		"security": []any{Object{"bearer": []any{}}},
		"paths":    paths,
		"components": Object{"schemas": schemas.named,
			"securitySchemes": Object{"bearer": Object{"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "an access token of Microsoft Entra ID for this app"}}},
	}
}

func (d Operation) operation(s schemas, failure Object) Object {
	out := Object{"operationId": d.ID, "summary": d.Summary}
	var parameters []any
	for segment := range strings.SplitSeq(d.Path, "/") {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			parameters = append(parameters, parameter("path", strings.TrimSuffix(name, "}"), "", true))
		}
	}
	for _, q := range d.Query {
		p := parameter("query", q.Name, q.Says, q.Required)
		switch {
		case q.Flag:
			p["schema"] = Object{"type": "boolean"}
		case q.Values != nil:
			p["schema"] = Object{"type": "string", "enum": q.Values}
		}
		parameters = append(parameters, p)
	}
	for _, h := range d.Headers {
		parameters = append(parameters, parameter("header", h, "", false))
	}
	if parameters != nil {
		out["parameters"] = parameters
	}
	if d.Body != nil {
		out["requestBody"] = Object{"required": true, "content": jsonContent(s.of(reflect.TypeOf(d.Body)))}
	}
	if d.Open {
		out["security"] = []any{}
	}
	responses := Object{"default": failure}
	for _, status := range d.Statuses {
		answer := Object{"description": http.StatusText(status)}
		if d.Answer != nil && status != http.StatusNoContent {
			answer["content"] = jsonContent(s.of(reflect.TypeOf(d.Answer)))
		}
		responses[strconv.Itoa(status)] = answer
	}
	out["responses"] = responses
	return out
}

func parameter(in, name, says string, required bool) Object {
	p := Object{"in": in, "name": name, "required": required, "schema": Object{"type": "string"}}
	if says != "" {
		p["description"] = says
	}
	return p
}

func jsonContent(schema Object) Object {
	return Object{"application/json": Object{"schema": schema}}
}

// schemas are the named schemas of the document.
type schemas struct {
	api   API
	named Object
}

// of gives the schema of a wire type, by reference where it is a struct.
func (s schemas) of(t reflect.Type) Object {
	if own, ok := s.api.Types[t]; ok {
		return own
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Slice:
		return Object{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return Object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Bool:
		return Object{"type": "boolean"}
	case reflect.String:
		return Object{"type": "string"}
	case reflect.Struct:
		if t.Name() == "" {
			return s.fields(t)
		}
		name := s.name(t)
		if _, known := s.named[name]; !known {
			s.named[name] = nil // what refers to itself finds its name taken
			s.named[name] = s.fields(t)
		}
		return Object{"$ref": "#/components/schemas/" + name}
	}
	return Object{"type": "integer"}
}

func (s schemas) fields(t reflect.Type) Object {
	properties := Object{}
	for field := range t.Fields() {
		name, how, _ := strings.Cut(field.Tag.Get("json"), ",")
		if how == "embed" { // members that nothing declares
			continue
		}
		properties[name] = s.of(field.Type)
	}
	return Object{"type": "object", "properties": properties}
}

// name gives the name of a type's schema: that of List[portcullis/handlers/wire.Entry] is EntryList.
func (s schemas) name(t reflect.Type) string {
	outer, inner, generic := strings.Cut(t.Name(), "[")
	if !generic {
		return s.api.Prefixes[t.PkgPath()] + capital(t.Name())
	}
	inner = strings.TrimSuffix(inner, "]")
	dot := strings.LastIndex(inner, ".")
	return s.api.Prefixes[inner[:max(dot, 0)]] + capital(inner[dot+1:]) + capital(outer)
}

func capital(name string) string { return strings.ToUpper(name[:1]) + name[1:] }
