package nsg

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

// document is an NSG as ARM writes it, with the places of what we read and change.
// Everything else is never taken apart.
type document struct {
	text  []byte
	id    string
	etag  string
	state string   // provisioningState
	place string   // location
	array arm.Span // properties.securityRules with its brackets
	rules []json.RawMessage
}

var errNoRules = errors.New("the answer has no securityRules array")

// parseDocument finds the parts of an NSG. It refuses a text in which a part that we
// need is missing or stands twice, since then ARM and we might mean different ones.
func parseDocument(text []byte) (document, error) {
	d := document{text: text}
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
	d.state = arm.Text(properties["provisioningState"].Of(text))
	if d.array, ok = properties["securityRules"]; !ok {
		return d, errNoRules
	}
	if d.rules, err = arm.Elements(d.array.Of(text)); err != nil {
		return d, errNoRules
	}
	return d, nil
}

// snapshot gives the document as the port has it.
func (d document) snapshot(target jit.ID) (network.Snapshot, error) {
	if d.etag == "" {
		return network.Snapshot{}, errors.New("the answer has no etag")
	}
	s := network.Snapshot{Standing: network.Standing{Target: target, Unconfirmed: !strings.EqualFold(d.state, arm.Succeeded)}, Version: d.etag, Region: d.place, Body: d.text}
	for _, raw := range d.rules {
		s.Rules = append(s.Rules, decodeRule(raw))
	}
	return s, nil
}

// edit gives the snapshot's body with the changes made. The rules that stay keep
// their bytes and their order, a changed one its place, new ones come last. It refuses a
// change of a rule that is not ours, and checks what it made before it gives it away.
func edit(s network.Snapshot, c plan.Changes) ([]byte, error) {
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
	kept, err := arm.Changed(d.rules, c, encodeRule)
	if err != nil {
		return nil, err
	}
	out := slices.Concat(d.text[:d.array.Start], arm.Array(kept), d.text[d.array.End:])
	return out, sameButOurs(d, out)
}

// sameButOurs is [arm.SameButOurs] of what was read and a body to be sent.
func sameButOurs(before document, text []byte) error {
	after, err := parseDocument(text)
	if err != nil {
		return fmt.Errorf("the body to be sent: %w", err)
	}
	return arm.SameButOurs(before.parts(), after.parts())
}

func (d document) parts() arm.Parts {
	return arm.Parts{Before: d.text[:d.array.Start], After: d.text[d.array.End:], Foreign: d.foreign()}
}

func (d document) foreign() []json.RawMessage {
	return slices.DeleteFunc(slices.Clone(d.rules), arm.Owned)
}
