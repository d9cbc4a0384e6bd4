package arm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Span is the position of a value in a text.
type Span struct{ Start, End int }

// Of returns the value.
func (s Span) Of(text []byte) json.RawMessage { return text[s.Start:s.End] }

// Members finds the named members of an object whose text begins at offset base of a larger one. It refuses an
// object in which one of them is duplicated, since ARM and the app might use different ones.
func Members(object []byte, base int, names ...string) (map[string]Span, error) {
	found := map[string]Span{}
	_, err := walk(object, '{', func(name string, at Span) error {
		if !slices.Contains(names, name) {
			return nil
		}
		if _, twice := found[name]; twice {
			return fmt.Errorf("%s stands twice", name)
		}
		found[name] = Span{base + at.Start, base + at.End}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Object returns the members of an object, the last one if one is duplicated; none for anything else. They share
// their bytes with raw.
func Object(raw json.RawMessage) map[string]json.RawMessage {
	m := map[string]json.RawMessage{}
	if whole(raw, '{', func(name string, at Span) error { m[name] = at.Of(raw); return nil }) != nil {
		return nil
	}
	return m
}

// Elements returns the elements of an array; an error for anything else. They share their bytes with raw.
func Elements(raw json.RawMessage) ([]json.RawMessage, error) {
	out := []json.RawMessage{}
	if err := whole(raw, '[', func(_ string, at Span) error { out = append(out, at.Of(raw)); return nil }); err != nil {
		return nil, err
	}
	return out, nil
}

// Listed is an element of a list: its id, "" if it has none, and its bytes.
type Listed struct {
	ID  string
	Raw json.RawMessage
}

// ReadPage parses a page of a list: its elements, whose bytes are those of text, and the link to the next page, ""
// for the last one. It refuses anything else, and a page with a duplicate member.
func ReadPage(text []byte) (value []Listed, next string, err error) {
	parts := map[string]json.RawMessage{}
	err = whole(text, '{', func(name string, at Span) error {
		if name != "value" && name != "nextLink" {
			return nil
		}
		if parts[name] != nil {
			return fmt.Errorf("%s stands twice", name)
		}
		parts[name] = at.Of(text)
		return nil
	})
	var elements []json.RawMessage
	if list := parts["value"]; err == nil && list != nil && string(list) != "null" {
		elements, err = Elements(list)
	}
	if err != nil {
		return nil, "", fmt.Errorf("read a page: %w", err)
	}
	for _, raw := range elements {
		value = append(value, Listed{ID: Text(Object(raw)["id"]), Raw: raw})
	}
	return value, Text(parts["nextLink"]), nil
}

// walk calls each for every member of an object or every element of an array, which has no name, and returns the
// rest of the text. It accepts what encoding/json accepts, including invalid UTF-8 in strings.
func walk(text []byte, kind jsontext.Kind, each func(name string, at Span) error) (rest []byte, err error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if t, err := d.ReadToken(); err != nil || t.Kind() != kind {
		if err == nil || errors.Is(err, io.EOF) {
			err = fmt.Errorf("not a JSON %s", map[jsontext.Kind]string{'{': "object", '[': "array"}[kind])
		}
		return nil, err
	}
	for {
		if next := d.PeekKind(); next == '}' || next == ']' {
			_, err := d.ReadToken()
			return text[d.InputOffset():], err
		}
		name := ""
		if kind == '{' {
			t, err := d.ReadToken()
			if err != nil {
				return nil, err
			}
			name = t.String()
		}
		value, err := d.ReadValue()
		if err != nil {
			return nil, err
		}
		end := int(d.InputOffset())
		if err := each(name, Span{end - len(value), end}); err != nil {
			return nil, err
		}
	}
}

// whole is walk for a text with nothing after the value.
func whole(text []byte, kind jsontext.Kind, each func(name string, at Span) error) error {
	rest, err := walk(text, kind, each)
	if err == nil && len(bytes.Trim(rest, " \t\r\n")) > 0 {
		err = fmt.Errorf("something stands behind byte %d of %d", len(text)-len(rest), len(text))
	}
	return err
}

// Text returns a string, "" for null or nothing, and anything else as it is written.
func Text(raw json.RawMessage) string {
	var s *string
	switch {
	case len(raw) == 0:
		return ""
	case json.Unmarshal(raw, &s) != nil:
		return AsWritten(raw)
	case s == nil:
		return ""
	}
	return strings.TrimSpace(*s)
}

// Value returns the value of a field of an SDK model, or the zero value if the field is nil.
func Value[T any](field *T) T {
	if field == nil {
		var zero T
		return zero
	}
	return *field
}

// AsWritten returns a value that is not a string as text, with invalid UTF-8 replaced.
func AsWritten(raw json.RawMessage) string {
	return strings.ToValidUTF8(string(raw), string(utf8.RuneError))
}

// Encode encodes a value as one line of JSON without HTML escapes.
func Encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(b.Bytes()), nil
}
