package arm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/plan"
)

// NameOf returns the name of an element of a list of rules.
func NameOf(raw json.RawMessage) string { return Text(Object(raw)["name"]) }

// Owned reports whether an element of a list of rules is ours.
func Owned(raw json.RawMessage) bool { return label.Owned(NameOf(raw)) }

// Changed returns a list of rules with the changes made. Unchanged rules keep their bytes and order, a changed one
// keeps its place, new ones come last. It refuses a change of a foreign rule, and two changes of the same rule.
func Changed(rules []json.RawMessage, c plan.Changes, encode func(jit.Rule) (json.RawMessage, error)) ([]json.RawMessage, error) {
	put, gone, err := split(c, encode)
	if err != nil {
		return nil, err
	}
	kept := make([]json.RawMessage, 0, len(rules)+len(put))
	for _, raw := range rules {
		name := strings.ToLower(NameOf(raw))
		if i := slices.IndexFunc(put, func(p change) bool { return p.name == name }); i >= 0 {
			kept, put = append(kept, put[i].text), slices.Delete(put, i, i+1)
		} else if !gone[name] {
			kept = append(kept, raw)
		}
	}
	for _, p := range put {
		kept = append(kept, p.text)
	}
	return kept, nil
}

// Parts is what changes of our rules leave untouched in a document: everything around the array of rules, and the
// foreign rules in it.
type Parts struct {
	Before, After []byte
	Foreign       []json.RawMessage
}

// SameButOurs is the last check before a write: everything except our rules is as it was read.
func SameButOurs(read, sent Parts) error {
	if !bytes.Equal(read.Before, sent.Before) || !bytes.Equal(read.After, sent.After) ||
		!slices.EqualFunc(read.Foreign, sent.Foreign, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
		return errors.New("the body to be sent would change what is not ours")
	}
	return nil
}

// change is a rule to write.
type change struct {
	name string // in lower case
	text json.RawMessage
}

// split returns the rules to write, and the names in lower case of those to remove.
func split(c plan.Changes, encode func(jit.Rule) (json.RawMessage, error)) ([]change, map[string]bool, error) {
	var put []change
	gone, seen := map[string]bool{}, map[string]bool{}
	for _, r := range slices.Concat(c.Create, c.Update, c.Delete) {
		name := strings.ToLower(r.Name)
		if !label.Owned(name) {
			return nil, nil, fmt.Errorf("the rule %q is not ours to change", r.Name)
		}
		if seen[name] {
			return nil, nil, fmt.Errorf("the rule %q stands twice in the changes", r.Name)
		}
		seen[name] = true
	}
	for _, r := range slices.Concat(c.Update, c.Create) {
		text, err := encode(r)
		if err != nil {
			return nil, nil, err
		}
		put = append(put, change{strings.ToLower(r.Name), text})
	}
	for _, r := range c.Delete {
		gone[strings.ToLower(r.Name)] = true
	}
	return put, gone, nil
}

// Confirm returns an error for the first change that the rules do not show.
func Confirm(rules []jit.Rule, c plan.Changes) error {
	stands := map[string]jit.Rule{}
	for _, r := range rules {
		stands[strings.ToLower(r.Name)] = r
	}
	for _, want := range slices.Concat(c.Create, c.Update) {
		if got, ok := stands[strings.ToLower(want.Name)]; !ok || !got.Equal(want) {
			return fmt.Errorf("the answer does not show the rule %s as it was written", want.Name)
		}
	}
	for _, r := range c.Delete {
		if _, ok := stands[strings.ToLower(r.Name)]; ok {
			return fmt.Errorf("the answer still shows the rule %s", r.Name)
		}
	}
	return nil
}

// Array encodes the elements without changing their bytes.
func Array(elements []json.RawMessage) []byte {
	out := []byte{'['}
	for i, e := range elements {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, e...)
	}
	return append(out, ']')
}
