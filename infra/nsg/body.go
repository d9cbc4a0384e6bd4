package nsg

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"portcullis/core/access"
	"portcullis/core/jit"
	"portcullis/core/plan"
	"portcullis/infra/arm"
)

// document is an NSG as ARM writes it, with the places of what we read and change.
// Everything else is never taken apart.
type document struct {
	text  []byte
	id    string
	etag  string
	state string   // provisioningState
	array arm.Span // properties.securityRules with its brackets
	rules []json.RawMessage
}

var errNoRules = errors.New("the answer has no securityRules array")

// parseDocument finds the parts of an NSG. It refuses a text in which a part that we
// need is missing or stands twice, since then ARM and we might mean different ones.
func parseDocument(text []byte) (document, error) {
	d := document{text: text}
	top, err := arm.Members(text, 0, "id", "etag", "properties")
	if err != nil {
		return d, err
	}
	d.id, d.etag = arm.Text(top["id"].Of(text)), arm.Text(top["etag"].Of(text))
	at, ok := top["properties"]
	if !ok {
		return d, errNoRules
	}
	properties, err := arm.Members(at.Of(text), at.Start, "provisioningState", "securityRules")
	if err != nil {
		return d, fmt.Errorf("properties: %w", err)
	}
	d.state = arm.Text(properties["provisioningState"].Of(text))
	if d.array, ok = properties["securityRules"]; !ok {
		return d, errNoRules
	}
	array := d.array.Of(text)
	if len(array) == 0 || array[0] != '[' {
		return d, errNoRules
	}
	if err := json.Unmarshal(array, &d.rules); err != nil {
		return d, fmt.Errorf("securityRules: %w", err)
	}
	return d, nil
}

// snapshot gives the document as the port has it.
func (d document) snapshot(target jit.ID) (access.Snapshot, error) {
	if d.etag == "" {
		return access.Snapshot{}, errors.New("the answer has no etag")
	}
	s := access.Snapshot{Target: target, Version: d.etag, Body: d.text, Unconfirmed: !strings.EqualFold(d.state, arm.Succeeded)}
	for _, raw := range d.rules {
		s.Rules = append(s.Rules, decodeRule(raw))
	}
	return s, nil
}

func ruleName(raw json.RawMessage) string { return arm.Text(arm.Object(raw)["name"]) }

// edit gives the snapshot's body with the changes made. The rules that stay keep
// their bytes and their order, a changed one its place, new ones come last. It refuses a
// change of a rule that is not ours, and checks what it made before it gives it away.
func edit(s access.Snapshot, c plan.Changes) ([]byte, error) {
	d, err := parseDocument(s.Body)
	if err != nil {
		return nil, err
	}
	switch {
	case !strings.EqualFold(d.id, s.Target.String()):
		return nil, fmt.Errorf("the body is that of %q", d.id)
	case s.Version == "" || s.Version == "*":
		return nil, errors.New("the snapshot has no version")
	}
	put, gone, err := split(c)
	if err != nil {
		return nil, err
	}
	kept := make([][]byte, 0, len(d.rules)+len(put))
	for _, raw := range d.rules {
		name := strings.ToLower(ruleName(raw))
		if i := slices.IndexFunc(put, func(p change) bool { return p.name == name }); i >= 0 {
			kept, put = append(kept, put[i].text), slices.Delete(put, i, i+1)
		} else if !gone[name] {
			kept = append(kept, raw)
		}
	}
	for _, p := range put {
		kept = append(kept, p.text)
	}
	out := slices.Concat(d.text[:d.array.Start], []byte("["), bytes.Join(kept, []byte(",")), []byte("]"), d.text[d.array.End:])
	return out, sameButOurs(d, out)
}

// change is a rule to be written.
type change struct {
	name string // in lower case
	text json.RawMessage
}

// split gives the rules to be written and the names, in lower case, of those to be removed.
func split(c plan.Changes) ([]change, map[string]bool, error) {
	var put []change
	gone, seen := map[string]bool{}, map[string]bool{}
	for _, r := range slices.Concat(c.Create, c.Update, c.Delete) {
		name := strings.ToLower(r.Name)
		if !plan.Owned(name) {
			return nil, nil, fmt.Errorf("the rule %q is not ours to change", r.Name)
		}
		if seen[name] {
			return nil, nil, fmt.Errorf("the rule %q stands twice in the changes", r.Name)
		}
		seen[name] = true
	}
	for _, r := range slices.Concat(c.Update, c.Create) {
		text, err := encodeRule(r)
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

// sameButOurs is the last check before a write: all but our rules is as it was read.
func sameButOurs(before document, text []byte) error {
	after, err := parseDocument(text)
	if err != nil {
		return fmt.Errorf("the body to be sent: %w", err)
	}
	same := slices.EqualFunc(before.foreign(), after.foreign(), func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) &&
		bytes.Equal(before.text[:before.array.Start], after.text[:after.array.Start]) &&
		bytes.Equal(before.text[before.array.End:], after.text[after.array.End:])
	if !same {
		return errors.New("the body to be sent would change what is not ours")
	}
	return nil
}

func (d document) foreign() []json.RawMessage {
	return slices.DeleteFunc(slices.Clone(d.rules), func(raw json.RawMessage) bool { return plan.Owned(ruleName(raw)) })
}

// confirm reports, as an error, the first change that the rules do not show.
func confirm(rules []jit.Rule, c plan.Changes) error {
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
