package azfirewall

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/infra/arm"
)

// Collection is the name of our NAT rule collection; case is ignored.
const Collection = "portcullis"

// The priorities that a collection may have.
const (
	firstPriority = 100
	lastPriority  = 65000
)

// CodeManaged: the firewall takes its rules from elsewhere, so classic rules have no effect there.
const CodeManaged jit.Code = "FirewallManagerNotSupported"

// document is a firewall as ARM writes it, with the positions of the parts that are read and changed. Everything
// else stays unparsed.
type document struct {
	text        []byte
	id          string
	etag        string
	state       string   // provisioningState
	managed     string   // why its rules are not classic ones; "" if they are
	public      []string // ids of its public IP addresses
	array       arm.Span // properties.natRuleCollections with its brackets
	collections []collection
}

// collection is a NAT rule collection.
type collection struct {
	raw      json.RawMessage
	name     string
	priority int // 0 if it cannot be read
	rules    []json.RawMessage
}

func (c collection) ours() bool { return strings.EqualFold(c.name, Collection) }

var errNoCollections = errors.New("the answer has no natRuleCollections array")

// parseDocument finds the parts of a firewall. It refuses a text in which a necessary part is missing or
// duplicated. For a managed firewall it reads only that it is managed.
func parseDocument(text []byte) (document, error) {
	d := document{text: text}
	top, err := arm.Members(text, 0, "id", "etag", "properties")
	if err != nil {
		return d, err
	}
	d.id, d.etag = arm.Text(top["id"].Of(text)), arm.Text(top["etag"].Of(text))
	at, ok := top["properties"]
	if !ok {
		return d, errNoCollections
	}
	p, err := arm.Members(at.Of(text), at.Start, "provisioningState", "natRuleCollections", "ipConfigurations", "firewallPolicy", "virtualHub")
	if err != nil {
		return d, fmt.Errorf("properties: %w", err)
	}
	d.state = arm.Text(p["provisioningState"].Of(text))
	for name, why := range map[string]string{"firewallPolicy": "it takes its rules from a firewall policy", "virtualHub": "it is in a virtual hub"} {
		if v := p[name].Of(text); len(v) > 0 && string(v) != "null" && d.managed == "" {
			d.managed = why
		}
	}
	if d.managed != "" {
		return d, nil
	}
	if d.public, err = publicOf(p["ipConfigurations"].Of(text)); err != nil {
		return d, err
	}
	if d.array, ok = p["natRuleCollections"]; !ok {
		return d, errNoCollections
	}
	return d, d.parseCollections()
}

// publicOf returns the ids of the public IP addresses of the configurations. A firewall with forced tunnelling may
// have a configuration without one.
func publicOf(raw json.RawMessage) ([]string, error) {
	var list []json.RawMessage
	if len(raw) > 0 && json.Unmarshal(raw, &list) != nil {
		return nil, errors.New("ipConfigurations is no array")
	}
	var out []string
	for _, config := range list {
		if id := arm.Text(arm.Object(arm.Object(arm.Object(config)["properties"])["publicIPAddress"])["id"]); id != "" {
			out = append(out, id)
		}
	}
	return out, nil
}

func (d *document) parseCollections() error {
	array := d.array.Of(d.text)
	var list []json.RawMessage
	if len(array) == 0 || array[0] != '[' {
		return errNoCollections
	}
	if err := json.Unmarshal(array, &list); err != nil {
		return fmt.Errorf("natRuleCollections: %w", err)
	}
	for _, raw := range list {
		c := collection{raw: raw, name: arm.NameOf(raw)}
		p := arm.Object(arm.Object(raw)["properties"])
		var priority float64 // in any notation
		if json.Unmarshal(p["priority"], &priority) == nil {
			c.priority = int(priority)
		}
		if rules := p["rules"]; len(rules) > 0 {
			if err := json.Unmarshal(rules, &c.rules); err != nil {
				return fmt.Errorf("natRuleCollections: rules of %s: %w", c.name, err)
			}
		}
		if c.ours() && slices.ContainsFunc(d.collections, collection.ours) {
			return fmt.Errorf("natRuleCollections: %s stands twice", c.name)
		}
		d.collections = append(d.collections, c)
	}
	return nil
}

// snapshot returns the document as a snapshot, without its addresses.
func (d document) snapshot(target jit.ID) (network.Snapshot, error) {
	switch {
	case d.managed != "":
		return network.Snapshot{}, &jit.Error{Code: CodeManaged, Target: target.String(), Message: "the firewall " + target.Name + " cannot be used: " + d.managed + ", and classic rules do not count there"}
	case d.etag == "":
		return network.Snapshot{}, errors.New("the answer has no etag")
	}
	s := network.Snapshot{Standing: network.Standing{Target: target, Unconfirmed: !strings.EqualFold(d.state, arm.Succeeded)}, Version: d.etag, Body: d.text}
	taken := map[string]bool{}
	for _, ours := range []bool{true, false} { // foreign rules cannot take our rules' names
		for _, c := range d.collections {
			if c.ours() != ours {
				continue
			}
			for _, raw := range c.rules {
				r := decodeRule(raw)
				if name := strings.ToLower(r.Name); !ours && (label.Owned(name) || taken[name] || name == "") {
					r.Name = "/" + c.name + "/" + r.Name
				}
				taken[strings.ToLower(r.Name)] = true
				s.Rules = append(s.Rules, r)
			}
		}
	}
	return s, nil
}

// edit returns the snapshot's body with the changes made, after checking the result.
func edit(s network.Snapshot, c plan.Changes) ([]byte, error) {
	d, err := parseDocument(s.Body)
	if err != nil {
		return nil, err
	}
	if _, err := d.snapshot(s.Target); err != nil {
		return nil, err
	}
	switch {
	case !strings.EqualFold(d.id, s.Target.String()):
		return nil, fmt.Errorf("the body is that of %q", d.id)
	case s.Version == "" || s.Version == "*":
		return nil, errors.New("the snapshot has no version")
	}
	mine := collection{name: Collection}
	if i := slices.IndexFunc(d.collections, collection.ours); i >= 0 {
		mine = d.collections[i]
	}
	rules, err := arm.Changed(mine.rules, c, encodeRule)
	if err != nil {
		return nil, err
	}
	if c.Empty() {
		return d.text, nil // write it again as shown
	}
	written, err := d.collection(mine, rules)
	if err != nil {
		return nil, err
	}
	out := slices.Concat(d.text[:d.array.Start], arm.Array(d.with(written)), d.text[d.array.End:])
	return out, sameButOurs(d, out)
}

// with returns the collections with ours replaced in its place; nil is none.
func (d document) with(written json.RawMessage) []json.RawMessage {
	var out []json.RawMessage
	for _, c := range d.collections {
		switch {
		case !c.ours():
			out = append(out, c.raw)
		case written != nil:
			out, written = append(out, written), nil
		}
	}
	if written != nil {
		out = append(out, written)
	}
	return out
}

// collection encodes our collection; nil if it has no rules. It is assembled as text, since an encoder would
// change the bytes of foreign rules in it.
func (d document) collection(mine collection, rules []json.RawMessage) (json.RawMessage, error) {
	if len(rules) == 0 {
		return nil, nil
	}
	priority, err := d.priority(mine)
	if err != nil {
		return nil, err
	}
	name, err := arm.Encode(mine.name)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `{"name":%s,"properties":{"priority":%d,"action":{"type":"Dnat"},"rules":%s}}`, name, priority, arm.Array(rules)), nil
}

// priority returns the priority of our collection, or the last one that no other NAT rule collection has.
func (d document) priority(mine collection) (int, error) {
	used := map[int]bool{}
	for _, c := range d.collections {
		if !c.ours() {
			used[c.priority] = true
		}
	}
	if mine.priority >= firstPriority && mine.priority <= lastPriority && !used[mine.priority] {
		return mine.priority, nil
	}
	for p := lastPriority; p >= firstPriority; p-- {
		if !used[p] {
			return p, nil
		}
	}
	return 0, errors.New("no priority is free for a NAT rule collection")
}

// sameButOurs is [arm.SameButOurs] for a document and a body to send.
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

// foreign returns the foreign collections, and the foreign rules in ours.
func (d document) foreign() []json.RawMessage {
	var out, inside []json.RawMessage
	for _, c := range d.collections {
		if !c.ours() {
			out = append(out, c.raw)
			continue
		}
		inside = append(inside, slices.DeleteFunc(slices.Clone(c.rules), arm.Owned)...)
	}
	return append(out, inside...)
}
