package document

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/infra/arm"
)

// Document is an NSG as ARM writes it, with the places of what we read and change.
// Everything else is never taken apart.
type Document struct {
	text  []byte
	id    string
	etag  string
	State string   // provisioningState
	place string   // location
	array arm.Span // properties.securityRules with its brackets
	rules []json.RawMessage
}

var errNoRules = errors.New("the answer has no securityRules array")

// Parse finds the parts of an NSG. It refuses a text in which a part that we
// need is missing or stands twice, since then ARM and we might mean different ones.
func Parse(text []byte) (Document, error) {
	d := Document{text: text}
	top, err := arm.Members(text, 0, "id", "etag", "location", "properties")
	if err != nil {
		return d, err
	}
	d.id, d.etag, d.place = arm.Text(top["id"].Of(text)), arm.Text(top["etag"].Of(text)), arm.Text(top["location"].Of(text))
	at, ok := top["properties"]
	if !ok {
		return d, errNoRules
	}
	properties, err := arm.Members(at.Of(text), at.Start, "provisioningState", "securityRules")
	if err != nil {
		return d, fmt.Errorf("properties: %w", err)
	}
	d.State = arm.Text(properties["provisioningState"].Of(text))
	if d.array, ok = properties["securityRules"]; !ok {
		return d, errNoRules
	}
	if d.rules, err = arm.Elements(d.array.Of(text)); err != nil {
		return d, errNoRules
	}
	return d, nil
}

// Snapshot returns the document as the port has it.
func (d Document) Snapshot(target jit.ID) (network.Snapshot, error) {
	if d.etag == "" {
		return network.Snapshot{}, errors.New("the answer has no etag")
	}
	s := network.Snapshot{Standing: network.Standing{Target: target, Unconfirmed: !strings.EqualFold(d.State, arm.Succeeded)}, Version: d.etag, Region: d.place, Body: d.text}
	for _, raw := range d.rules {
		s.Rules = append(s.Rules, DecodeRule(raw))
	}
	return s, nil
}

// Edit returns the snapshot's body with the changes made. The rules that stay keep
// their bytes and their order, a changed one its place, new ones come last. It refuses a
// change of a rule that is not ours, and checks what it made before it gives it away.
func Edit(s network.Snapshot, c plan.Changes) ([]byte, error) {
	d, err := Parse(s.Body)
	if err != nil {
		return nil, err
	}
	switch {
	case !strings.EqualFold(d.id, s.Target.String()):
		return nil, fmt.Errorf("the body is that of %q", d.id)
	case s.Version == "" || s.Version == "*":
		return nil, errors.New("the snapshot has no version")
	}
	kept, err := arm.Changed(d.rules, c, EncodeRule)
	if err != nil {
		return nil, err
	}
	out := slices.Concat(d.text[:d.array.Start], arm.Array(kept), d.text[d.array.End:])
	return out, d.SameButOurs(out)
}

// SameButOurs is [arm.SameButOurs] of the document and a body to be sent.
func (d Document) SameButOurs(text []byte) error {
	after, err := Parse(text)
	if err != nil {
		return fmt.Errorf("the body to be sent: %w", err)
	}
	return arm.SameButOurs(d.parts(), after.parts())
}

func (d Document) parts() arm.Parts {
	return arm.Parts{Before: d.text[:d.array.Start], After: d.text[d.array.End:], Foreign: d.foreign()}
}

func (d Document) foreign() []json.RawMessage {
	return slices.DeleteFunc(slices.Clone(d.rules), arm.Owned)
}
