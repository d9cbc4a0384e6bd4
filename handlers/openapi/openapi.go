// Package openapi writes an OpenAPI 3.1 document from Go types: the schema of a body or an answer is read off the
// struct that the door reads or writes, so that the two cannot differ.
//
// A field's json tag gives its name, and in an answer whether it is always there. Its api tag gives the rest, in words
// between blanks: "required" says that a body must have it, "needed" that even a loose one must; of the two fields of a struct with "one" a body
// has exactly one, and of the two with "either" at most one, where null is none. Every other word is the name of a shape of [API.Shapes], which bounds the field, or after "answer:" only in answers. A shape with minItems or maxItems bounds a list, every other one what is in it.
//
// It knows of no operation and no shape; who has them hands them in, as an [API]. Every field of a struct
// needs a json tag; of what is embedded only the fallback for members that nothing declares is known.
package openapi

import (
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"portcullis/handlers/query"
)

// API is what a document tells.
type API struct {
	Title, Version, Description string
	Operations                  []Operation
	// Failure is how every operation answers an error, by a value of its type.
	Failure any
	// Codes are the codes of errors by status; a status that an operation names has some.
	Codes map[int][]string
	// Types have a schema of their own, in place of the one that their Go type gives.
	Types map[reflect.Type]Object
	// Shapes bound fields and parameters, by the names in their api tags. In a body an enum is closed; in an answer it is
	// open, since a later version may have more and its clients must not break.
	Shapes map[string]Object
	// Paths are the shapes of the parameters of paths, by their names.
	Paths map[string]string
	// Headers describe headers of answers; every answer has those of Always.
	Headers map[string]Object
	Always  []string
	// Prefixes begin the names of schemas from a package, by its import path, where a name of its own would be another's.
	Prefixes map[string]string
	// Tags group operations, in order, with what they are.
	Tags []Tag
}

// Tag is a group of operations.
type Tag struct{ Name, Says string }

// Operation is one operation as the document tells it.
type Operation struct {
	Method, Path string // with parameters as {name}
	ID, Tag      string
	Summary      string // what stands before its first semicolon is the short form
	Query        []query.Parameter
	Headers      []Header         // request headers that count
	Body, Answer any              // values of their types, nil for none
	Others       []any            // further forms of the answer, by values of their types
	Example      string           // of the body, as JSON
	Loose        bool             // the body is read as far as it is understood: nothing in it is bounded
	Texts        []string         // media types in which the answer can be had as text
	Statuses     []int            // of success
	Refusals     []int            // of refusals and failures
	Says         map[int][]string // headers of the answer of a status
	Open         bool             // needs no token
}

// Header is a header by its name, with the name of its shape, "" for any text.
type Header struct{ Name, Shape string }

// Object is a JSON object of the document.
type Object = map[string]any

// Document gives the document, to be marshalled.
func Document(api API) Object {
	schemas, paths := schemas{api: api, named: Object{}}, Object{}
	failure := jsonContent(schemas.of(reflect.TypeOf(api.Failure), answered))
	responses := Object{"Failure": Object{"description": "Any other error", "headers": schemas.headers(failed...), "content": failure}}
	for _, status := range api.refusals() {
		responses[responseName(status)] = Object{"description": http.StatusText(status) + ": " + strings.Join(api.Codes[status], ", "), "headers": schemas.headers(refused(status)...), "content": failure}
	}
	for _, d := range api.Operations {
		path, ok := paths[d.Path].(Object)
		if !ok {
			path = Object{}
			paths[d.Path] = path
		}
		path[strings.ToLower(d.Method)] = d.operation(schemas)
	}
	var tags []any
	for _, t := range api.Tags {
		tags = append(tags, Object{"name": t.Name, "description": t.Says})
	}
	return Object{
		"openapi":  "3.1.0",
		"info":     Object{"title": api.Title, "version": api.Version, "description": api.Description},
		"servers":  []any{Object{"url": "/", "description": "where the document was read"}},
		"security": []any{Object{"bearer": []any{}}},
		"tags":     tags,
		"paths":    paths,
		"components": Object{"schemas": schemas.named, "responses": responses, "headers": api.Headers,
			"securitySchemes": Object{"bearer": Object{"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "an access token of Microsoft Entra ID for this app"}}},
	}
}

// refusals gives the statuses that operations refuse with, sorted. A code of another status is told by the list of codes alone.
func (api API) refusals() []int {
	all := map[int]bool{}
	for _, o := range api.Operations {
		for _, status := range o.Refusals {
			all[status] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// failed are the headers of every refusal and failure.
var failed = []string{"x-ms-error-code"}

// refused gives the headers of a refusal with a status.
func refused(status int) []string {
	switch status {
	case http.StatusUnauthorized:
		return append([]string{"WWW-Authenticate"}, failed...)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return append([]string{"Retry-After"}, failed...)
	}
	return failed
}

func responseName(status int) string {
	return strings.ReplaceAll(http.StatusText(status), " ", "")
}

func (d Operation) operation(s schemas) Object {
	short, _, _ := strings.Cut(d.Summary, ";")
	out := Object{"operationId": d.ID, "summary": short, "description": d.Summary, "tags": []string{d.Tag}}
	if parameters := d.parameters(s); parameters != nil {
		out["parameters"] = parameters
	}
	if d.Body != nil {
		how := sent
		if d.Loose {
			how = passed
		}
		content := Object{"schema": s.of(reflect.TypeOf(d.Body), how)}
		if d.Example != "" {
			content["example"] = jsontext.Value(d.Example)
		}
		out["requestBody"] = Object{"required": true, "content": Object{"application/json": content}}
	}
	if d.Open {
		out["security"] = []any{}
	}
	responses := Object{"default": Object{"$ref": "#/components/responses/Failure"}}
	for _, status := range d.Refusals {
		responses[strconv.Itoa(status)] = Object{"$ref": "#/components/responses/" + responseName(status)}
	}
	for _, status := range d.Statuses {
		responses[strconv.Itoa(status)] = d.answer(s, status)
	}
	out["responses"] = responses
	return out
}

// answer tells of the answer of one status.
func (d Operation) answer(s schemas, status int) Object {
	answer := Object{"description": http.StatusText(status), "headers": s.headers(d.Says[status]...)}
	if d.Answer == nil || status == http.StatusNoContent {
		return answer
	}
	schema := s.of(reflect.TypeOf(d.Answer), answered)
	if d.Others != nil {
		forms := []any{schema}
		for _, other := range d.Others {
			forms = append(forms, s.of(reflect.TypeOf(other), answered))
		}
		schema = Object{"anyOf": forms}
	}
	content := jsonContent(schema)
	for _, media := range d.Texts {
		content[media] = Object{"schema": Object{"type": "string"}}
	}
	answer["content"] = content
	return answer
}

func (d Operation) parameters(s schemas) []any {
	var out []any
	for segment := range strings.SplitSeq(d.Path, "/") {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			name = strings.TrimSuffix(name, "}")
			out = append(out, parameter("path", name, "", true, s.shape(s.api.Paths[name])))
		}
	}
	for _, q := range d.Query {
		schema := s.shape(q.Shape)
		switch {
		case q.Flag:
			schema = Object{"type": "boolean"}
		case q.Values != nil:
			schema = Object{"type": "string", "enum": q.Values}
		}
		if q.Shape != "" && !q.Required { // without a value it is as if it was left out
			schema = Object{"anyOf": []any{schema, Object{"type": "string", "maxLength": 0}}}
		}
		out = append(out, parameter("query", q.Name, q.Says, q.Required, schema))
	}
	for _, h := range d.Headers {
		out = append(out, parameter("header", h.Name, "", false, s.shape(h.Shape)))
	}
	return out
}

func parameter(in, name, says string, required bool, schema Object) Object {
	p := Object{"in": in, "name": name, "required": required, "schema": schema}
	if says != "" {
		p["description"] = says
	}
	return p
}

func jsonContent(schema Object) Object {
	return Object{"application/json": Object{"schema": schema}}
}
