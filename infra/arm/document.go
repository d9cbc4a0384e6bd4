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
	d := json.NewDecoder(bytes.NewReader(object))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	found := map[string]Span{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := t.(string)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		end := int(d.InputOffset())
		if !slices.Contains(names, name) {
			continue
		}
		if _, twice := found[name]; twice {
			return nil, fmt.Errorf("%s stands twice", name)
		}
		found[name] = Span{base + end - len(value), base + end}
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	return found, nil
}

// Object gives the members of an object; none for anything else.
func Object(raw json.RawMessage) map[string]json.RawMessage {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		return nil
	}
	return m
}

// Text gives a string, "" for null or nothing, and anything else as it is written.
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
