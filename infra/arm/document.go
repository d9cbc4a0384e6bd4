package arm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Span is where a value stands in a text.
type Span struct{ Start, End int }

// Of gives the value.
func (s Span) Of(text []byte) json.RawMessage { return text[s.Start:s.End] }

// Members finds the named members of an object whose text begins at offset base of a
// larger one. It refuses an object in which one of them stands twice, since then ARM and we
// might mean different ones.
func Members(object []byte, base int, names ...string) (map[string]Span, error) {
	s := scan{text: object}
	if s.peek() != '{' {
		return nil, errors.New("not a JSON object")
	}
	found := map[string]Span{}
	err := s.object(func(written []byte) error {
		at, err := s.value()
		if err != nil {
			return err
		}
		i := slices.IndexFunc(names, func(name string) bool { return named(written, name) })
		if i < 0 {
			return nil
		}
		if _, twice := found[names[i]]; twice {
			return fmt.Errorf("%s stands twice", names[i])
		}
		found[names[i]] = Span{base + at.Start, base + at.End}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Object gives the members of an object, the last one where one stands twice; none for anything else. They share their
// bytes with raw.
func Object(raw json.RawMessage) map[string]json.RawMessage {
	s := scan{text: raw}
	if s.peek() != '{' {
		return nil
	}
	m := map[string]json.RawMessage{}
	err := s.object(func(name []byte) error {
		at, err := s.value()
		m[nameOf(name)] = at.Of(raw)
		return err
	})
	if err != nil || !s.ended() {
		return nil
	}
	return m
}

// Elements gives the elements of an array; an error for anything else. They share their bytes with raw.
func Elements(raw json.RawMessage) ([]json.RawMessage, error) {
	s := scan{text: raw}
	if s.peek() != '[' {
		return nil, errors.New("not a JSON array")
	}
	out := []json.RawMessage{}
	err := s.array(func() error {
		at, err := s.value()
		out = append(out, at.Of(raw))
		return err
	})
	if err == nil && !s.ended() {
		err = s.fail()
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Text gives a string, "" for null or nothing, and anything else as it is written.
func Text(raw json.RawMessage) string {
	if plain(raw) {
		return strings.TrimSpace(string(raw[1 : len(raw)-1]))
	}
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

// AsWritten gives what is no string as its text, in which bytes that are no UTF-8 are replaced.
func AsWritten(raw json.RawMessage) string {
	return strings.ToValidUTF8(string(raw), string(utf8.RuneError))
}

// Encode writes a value as one line of JSON without escaping what HTML would mind.
func Encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(b.Bytes()), nil
}
