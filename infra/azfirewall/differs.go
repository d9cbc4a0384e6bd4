package azfirewall

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// differing returns the names of settings that differ between the response to a write and what was sent, except in
// our collection: somebody else has written meanwhile. What ARM writes by itself (etags, states) does not count,
// nor do members that are not known to be settings: a read-only one may change at any time.
func differing(sent, answered []byte) []string {
	before, after := settings(sent), settings(answered)
	var out []string
	for _, name := range []string{"tags", "zones", "sku", "threatIntelMode", "additionalProperties", "autoscaleConfiguration", "firewallPolicy", "virtualHub",
		"ipConfigurations", "managementIpConfiguration", "natRuleCollections", "networkRuleCollections", "applicationRuleCollections"} {
		if !bytes.Equal(before[name], after[name]) {
			out = append(out, name)
		}
	}
	return out
}

// settings returns the members of a firewall and of its properties, each in one spelling.
func settings(text []byte) map[string][]byte {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var doc map[string]any
	if d.Decode(&doc) != nil {
		return nil
	}
	out := map[string][]byte{}
	members := func(object map[string]any) {
		for name, v := range object {
			if list, ok := v.([]any); ok && name == "natRuleCollections" {
				v = slices.DeleteFunc(list, func(c any) bool {
					object, _ := c.(map[string]any)
					name, _ := object["name"].(string)
					return strings.EqualFold(name, Collection)
				})
			}
			forget(v)
			out[name], _ = json.Marshal(v) // it was decoded, so it can be encoded; keys are sorted
		}
	}
	properties, _ := doc["properties"].(map[string]any)
	delete(doc, "properties")
	members(doc)
	members(properties)
	return out
}

// forget removes what ARM writes by itself, at every depth.
func forget(v any) {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "etag")
		delete(v, "provisioningState")
		for _, e := range v {
			forget(e)
		}
	case []any:
		for _, e := range v {
			forget(e)
		}
	}
}
