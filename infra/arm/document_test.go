package arm_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"portcullis/infra/arm"
)

// slowMembers implements Members with the standard library's decoder.
func slowMembers(object []byte, base int, names ...string) (map[string]arm.Span, error) {
	d := json.NewDecoder(bytes.NewReader(object))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	found := map[string]arm.Span{}
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
		found[name] = arm.Span{Start: base + end - len(value), End: base + end}
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	return found, nil
}

// slowPage implements ReadPage with the standard library.
func slowPage(text []byte) ([]arm.Listed, string, bool) {
	if !json.Valid(text) {
		return nil, "", false
	}
	top, err := slowMembers(text, 0, "value", "nextLink")
	if err != nil {
		return nil, "", false
	}
	var value []json.RawMessage
	if raw := top["value"].Of(text); len(raw) > 0 && json.Unmarshal(raw, &value) != nil {
		return nil, "", false
	}
	var out []arm.Listed
	for _, raw := range value {
		out = append(out, arm.Listed{ID: arm.Text(arm.Object(raw)["id"]), Raw: raw})
	}
	return out, arm.Text(top["nextLink"].Of(text)), true
}

// sameMembers compares Members with slowMembers.
func sameMembers(t interface{ Fatalf(string, ...any) }, text []byte) {
	names := []string{"a", "id", "", "value"}
	want, errWant := slowMembers(text, 3, names...)
	got, err := arm.Members(text, 3, names...)
	if (err == nil) != (errWant == nil) {
		t.Fatalf("Members(%q): %v; the decoder: %v", text, err, errWant)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("Members(%q) (-want +got):\n%s", text, diff)
	}
}

// samePage compares ReadPage with slowPage.
func samePage(t interface{ Fatalf(string, ...any) }, text []byte) {
	want, link, ok := slowPage(text)
	got, next, err := arm.ReadPage(text)
	if ok != (err == nil) {
		t.Fatalf("ReadPage(%q): %v; the decoder takes it: %t", text, err, ok)
	}
	if diff := cmp.Diff(want, got); diff != "" || next != link {
		t.Fatalf("ReadPage(%q): next %q, want %q; value (-want +got):\n%s", text, next, link, diff)
	}
}

// sameObject compares Object, Elements and Text with the standard library.
func sameObject(t interface{ Fatalf(string, ...any) }, text []byte) {
	var want map[string]json.RawMessage
	if json.Unmarshal(text, &want) != nil {
		want = nil
	}
	if diff := cmp.Diff(want, arm.Object(text)); diff != "" {
		t.Fatalf("Object(%q) (-want +got):\n%s", text, diff)
	}
	var elements []json.RawMessage
	isArray := json.Unmarshal(text, &elements) == nil && elements != nil
	got, err := arm.Elements(text)
	if diff := cmp.Diff(elements, got); (err == nil) != isArray || isArray && diff != "" {
		t.Fatalf("Elements(%q): %v (-want +got):\n%s", text, err, diff)
	}
	var s *string
	words := ""
	switch err := json.Unmarshal(text, &s); {
	case err != nil && len(text) > 0:
		words = arm.AsWritten(text)
	case s != nil:
		words = strings.TrimSpace(*s)
	}
	if got := arm.Text(text); got != words {
		t.Fatalf("Text(%q) is %q, want %q", text, got, words)
	}
}

// jsons generates texts that are JSON, or nearly.
func jsons() *rapid.Generator[string] {
	space := rapid.SampledFrom([]string{"", "", "", " ", "\n\t", "\r\n "})
	word := rapid.SampledFrom([]string{`""`, `"a"`, `"id"`, `"i\u0064"`, `"value"`, `"nextLink"`, `"v\\\"/\n"`, `"\ud83d\ude00\ud83d"`, "\"\xff\"", `"{[,:]}"`,
		"0", "-1", "1.50e+7", "-0.0E-0", "12345678901234567890.10", "true", "false", "null"})
	broken := rapid.SampledFrom([]string{`"`, `"\x"`, `"\u12g4"`, "\"\n\"", "01", "-", "1.", "1e", ".5", "+1", "nul", "True", "", "]", "}", ",", ":"})
	list := func(open, shut string, item *rapid.Generator[string]) *rapid.Generator[string] {
		return rapid.Custom(func(t *rapid.T) string {
			items := rapid.SliceOfN(item, 0, 4).Draw(t, "items")
			return space.Draw(t, "before") + open + space.Draw(t, "inside") + strings.Join(items, space.Draw(t, "comma")+",") + shut + space.Draw(t, "behind")
		})
	}
	var value *rapid.Generator[string]
	deep := rapid.Deferred(func() *rapid.Generator[string] { return value })
	member := rapid.Custom(func(t *rapid.T) string {
		return space.Draw(t, "before") + word.Draw(t, "name") + space.Draw(t, "colon") + ":" + space.Draw(t, "value") + deep.Draw(t, "of")
	})
	value = rapid.Custom(func(t *rapid.T) string {
		switch n := rapid.IntRange(0, 40).Draw(t, "kind"); {
		case n == 0:
			return broken.Draw(t, "broken")
		case n < 20:
			return word.Draw(t, "word")
		case n < 30:
			return list("[", "]", deep).Draw(t, "array")
		}
		return list("{", "}", member).Draw(t, "object")
	})
	return value
}

// TestMembersIsTheDecoders checks that Members returns what the standard library's decoder returns, for JSON and
// for other texts.
func TestMembersIsTheDecoders(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { sameMembers(t, []byte(jsons().Draw(t, "text"))) })
}

// TestObjectIsTheDecoders does the same for Object, Elements and Text.
func TestObjectIsTheDecoders(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { sameObject(t, []byte(jsons().Draw(t, "text"))) })
}

// TestReadPageIsTheDecoders does the same for a page of a list.
func TestReadPageIsTheDecoders(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := jsons()
		parts := []string{`"value":` + value.Draw(t, "value"), `"value":[` + value.Draw(t, "element") + `]`, `"nextLink":` + value.Draw(t, "next"), `"other":` + value.Draw(t, "other")}
		samePage(t, []byte("{"+strings.Join(parts[rapid.IntRange(0, 1).Draw(t, "from"):], ",")+"}"))
		samePage(t, []byte("{"+strings.Join(parts[1:], ",")+"}"+rapid.SampledFrom([]string{"", " ", "\x00", "x", "{}"}).Draw(t, "behind")))
	})
}

func FuzzDocument(f *testing.F) {
	for _, seed := range []string{`{"value":[{"id":"a"},{"i\u0064":null,"id":7}],"nextLink":"x"}`, `{"a":{"b":[1,2,{"c":"\ud800"}]}}`, `{"value":null}`, `[]`, `{"id":1,"id":2}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		sameMembers(t, text)
		sameObject(t, text)
		samePage(t, text)
	})
}

func TestReadPageRefuses(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"nothing", ``, "not a JSON object"},
		{"no object", `[]`, "not a JSON object"},
		{"an object cut off", `{"value":[{"id":"a"}]`, "unexpected EOF"},
		{"an element cut off", `{"value":[{"id":"a"]}`, "offset 19"},
		{"something behind it", `{"value":[]} {}`, "something stands behind byte 12 of 15"},
		{"a value that is no array", `{"value":{}}`, "not a JSON array"},
		{"two lists", `{"value":[],"val\u0075e":[]}`, "stands twice"},
		{"two next pages", `{"nextLink":"a","nextLink":"b"}`, "stands twice"},
		{"too deep", `{"value":` + strings.Repeat("[", 10001) + strings.Repeat("]", 10001) + `}`, "exceeded max depth"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got, next, err := arm.ReadPage([]byte(tc.text)); err == nil || !strings.Contains(err.Error(), tc.want) || got != nil || next != "" {
				t.Errorf("%v, %q and error %v, want one with %q", got, next, err, tc.want)
			}
		})
	}
}
