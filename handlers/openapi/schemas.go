package openapi

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// direction says on which way a value is, since what may be left out of a body is there in an answer.
type direction int

const (
	answered direction = iota // a later version may add members
	sent                      // a member that is not known is refused
	passed                    // sent, and passed over as far as it is not understood
)

// suffix ends the names of schemas of what is sent, whose types may be answered too.
func (d direction) suffix() string {
	return [...]string{"", "Input", "Loose"}[d]
}

// schemas are the named schemas of the document.
type schemas struct {
	api   API
	named Object
}

// shape gives the schema of a text with a shape, "" for any text.
func (s schemas) shape(name string) Object {
	out := Object{"type": "string"}
	if name != "" {
		maps.Copy(out, s.known(name))
	}
	return out
}

// known gives a shape; a name that nobody has declared is a mistake in the program.
func (s schemas) known(name string) Object {
	shape, ok := s.api.Shapes[name]
	if !ok {
		panic(fmt.Sprintf("openapi: no shape is called %q", name))
	}
	return shape
}

// headers refers to headers of an answer, and to those that every answer has.
func (s schemas) headers(names ...string) Object {
	out := Object{}
	for _, name := range append(names, s.api.Always...) {
		if s.api.Headers[name] == nil {
			panic(fmt.Sprintf("openapi: no header is called %q", name))
		}
		out[name] = Object{"$ref": "#/components/headers/" + name}
	}
	return out
}

// of gives the schema of a wire type, by reference where it is a struct.
func (s schemas) of(t reflect.Type, how direction) Object {
	if own, ok := s.api.Types[t]; ok {
		return maps.Clone(own)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem(), how)
	case reflect.Slice:
		items := s.of(t.Elem(), how)
		if how == passed {
			items = orNull(items)
		}
		return Object{"type": "array", "items": items}
	case reflect.Map:
		return Object{"type": "object", "additionalProperties": s.of(t.Elem(), how)}
	case reflect.Bool:
		return Object{"type": "boolean"}
	case reflect.String:
		return Object{"type": "string"}
	case reflect.Uint16:
		return Object{"type": "integer", "minimum": 0, "maximum": 65535}
	case reflect.Struct:
		if t.Name() == "" {
			return s.fields(t, how)
		}
		name := s.name(t, how)
		if _, known := s.named[name]; !known {
			s.named[name] = nil // what refers to itself finds its name taken
			s.named[name] = s.fields(t, how)
		}
		return Object{"$ref": "#/components/schemas/" + name}
	}
	return Object{"type": "integer"}
}

func (s schemas) fields(t reflect.Type, how direction) Object {
	properties, out := Object{}, Object{"type": "object"}
	closed := how == sent
	var required []string
	pairs := map[string][]string{}
	for field := range t.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		words := strings.Fields(field.Tag.Get("api"))
		if options == "embed" { // members that nothing declares
			closed = closed && !slices.Contains(words, "open")
			continue
		}
		must := slices.Contains(words, "needed") || how == sent && slices.Contains(words, "required")
		if how == answered {
			must = !strings.Contains(options, "omit")
		}
		if must {
			required = append(required, name)
		}
		properties[name] = s.field(field.Type, words, how, must)
		for _, word := range words {
			if keywords[word] && how == sent {
				pairs[word] = append(pairs[word], name)
			}
		}
	}
	exclude(out, pairs)
	out["properties"] = properties
	if required != nil {
		out["required"] = required
	}
	if closed {
		out["additionalProperties"] = false
	}
	return out
}

// keywords are the words of api tags that are no names of shapes.
var keywords = map[string]bool{"required": true, "needed": true, "one": true, "either": true}

// exclude says of an object which of two members exclude each other. The words of JSON Schema for it are those that generators of clients pass
// over: of alternatives they would make types of their own.
func exclude(object Object, pairs map[string][]string) {
	there := func(name string) Object {
		return Object{"required": []string{name}, "properties": Object{name: Object{"not": Object{"type": "null"}}}}
	}
	if two := pairs["one"]; two != nil {
		object["if"], object["else"] = there(two[0]), there(two[1])
		object["then"] = Object{"properties": Object{two[1]: Object{"type": "null"}}}
	}
	if two := pairs["either"]; two != nil {
		object["not"] = Object{"required": two, "properties": Object{two[0]: Object{"not": Object{"type": "null"}}, two[1]: Object{"not": Object{"type": "null"}}}}
	}
}

// field gives the schema of a field.
func (s schemas) field(t reflect.Type, words []string, how direction, must bool) Object {
	schema := s.of(t, how)
	for _, word := range words {
		word, answers := strings.CutPrefix(word, "answer:")
		if keywords[word] || how == passed || answers && how != answered {
			continue
		}
		shape, into := s.known(word), schema
		_, least := shape["minItems"]
		_, most := shape["maxItems"]
		if items, list := schema["items"].(Object); list && !least && !most {
			into = items
		}
		maps.Copy(into, shape)
		if values, ok := into["enum"]; ok && how == answered {
			delete(into, "enum")
			into["x-extensible-enum"] = values
		}
	}
	// In a body null is the same as absent. In an answer a pointer that is always there is null where nothing is known.
	if how != answered && !must || how == answered && must && t.Kind() == reflect.Pointer {
		return orNull(schema)
	}
	return schema
}

// orNull gives a schema that takes null too.
func orNull(schema Object) Object {
	kind, typed := schema["type"].(string)
	if !typed {
		if len(schema) == 1 && schema["$ref"] != nil {
			return Object{"anyOf": []any{schema, Object{"type": "null"}}}
		}
		return schema // one that takes whatever comes
	}
	schema["type"] = []string{kind, "null"}
	if values, ok := schema["enum"].([]string); ok {
		all := []any{}
		for _, v := range values {
			all = append(all, v)
		}
		schema["enum"] = append(all, nil)
	}
	return schema
}

// name gives the name of a type's schema: that of List[portcullis/handlers/wire.Entry] is EntryList.
func (s schemas) name(t reflect.Type, how direction) string {
	outer, inner, generic := strings.Cut(t.Name(), "[")
	if !generic {
		name := s.api.Prefixes[t.PkgPath()] + capital(t.Name())
		if strings.HasSuffix(name, "Body") {
			return name
		}
		return name + how.suffix()
	}
	inner = strings.TrimSuffix(inner, "]")
	dot := strings.LastIndex(inner, ".")
	return s.api.Prefixes[inner[:max(dot, 0)]] + capital(inner[dot+1:]) + capital(outer)
}

func capital(name string) string { return strings.ToUpper(name[:1]) + name[1:] }
