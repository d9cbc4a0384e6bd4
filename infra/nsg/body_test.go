package nsg_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/infra/nsg/document"
)

// foreign are rules of others as no SDK would write them: keys in an order of their own,
// spaces, escapes, large numbers, fields that nobody knows, a name in a later key.
func foreign() []string {
	return []string{
		`{ "properties" : {"direction":"Inbound","access":"Allow" , "priority":200,"protocol":"TCP","sourceAddressPrefix":"Internet","destinationAddressPrefix":"*","sourcePortRange":"*","destinationPortRange":"443","x":12345678901234567890.10}, "name":"web\u002dtraffic", "etag":"W/\"1\"" }`,
		"{\n\t\"name\": \"AllowSsh\",\n\t\"properties\": {\"priority\": 3e2, \"sourceAddressPrefixes\": [ \"192.0.2.0\\/24\" ], \"\\u003cnew\\u003e\": {\"b\":1,\"a\":[null]}}\n}",
		`{"properties":{"priority":400,"direction":"Outbound"},"name":"Portculli-not-ours"}`,
	}
}

const head = `{ "name":"shop", "id":"/subscriptions/` + sub + `/resourcegroups/RG/providers/Microsoft.Network/networkSecurityGroups/SHOP",
  "etag":"W/\"7\"", "tags":{"z":"1","a":"<&>"}, "zones" : [ ],
  "properties": {"provisioningState":"Succeeded","flushConnection" : true, "notYetInvented":{"securityRules":[{"name":"decoy"}]},
    "securityRules": `

const tail = `  ,"defaultSecurityRules":[ {"name":"DenyAllInBound"} ],"resourceGuid":"g"} , "type":"Microsoft.Network/networkSecurityGroups" } `

// shop is the snapshot of an NSG with the rules, and its version 7.
func shop(rules ...string) network.Snapshot {
	s := network.Snapshot{Standing: network.Standing{Target: nsgID("shop")}, Version: `W/"7"`, Body: []byte(head + "[ " + strings.Join(rules, " ,\n ") + " ]" + tail)}
	for _, r := range rules {
		s.Rules = append(s.Rules, document.DecodeRule(json.RawMessage(r)))
	}
	return s
}

func mine(name string, priority int) jit.Rule {
	return widest(func(r *jit.Rule) {
		r.Name, r.Priority, r.Protocol = "portcullis-"+name, priority, jit.TCP
		r.Destination = jit.Peers{Prefixes: prefixes("10.0.0.4/32")}
		r.DestinationPorts = []jit.PortRange{jit.OnePort(22)}
	})
}

func encoded(t interface{ Fatal(...any) }, r jit.Rule) string {
	text, err := document.EncodeRule(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestEditRefuses(t *testing.T) {
	good := shop(foreign()...)
	with := func(change func(*network.Snapshot)) network.Snapshot {
		s := good
		change(&s)
		return s
	}
	body := func(text string) network.Snapshot { return with(func(s *network.Snapshot) { s.Body = []byte(text) }) }
	change := plan.Changes{Create: []jit.Rule{mine("a", 100)}}
	theirs := mine("a", 100)
	theirs.Name = "AllowSsh"
	empty := mine("a", 100)
	empty.Source = jit.Peers{}
	id := `"id":"` + good.Target.String() + `"`
	for _, tc := range []struct {
		name string
		s    network.Snapshot
		c    plan.Changes
		want string
	}{
		{"no body", body(""), change, "not a JSON object"},
		{"a body that is no object", body("[]"), change, "not a JSON object"},
		{"a body cut off", body(string(good.Body[:len(good.Body)-5])), change, "unexpected EOF"},
		{"no properties", body(`{` + id + `}`), change, "no securityRules"},
		{"no rules", body(`{` + id + `,"properties":{}}`), change, "no securityRules"},
		{"rules null", body(`{` + id + `,"properties":{"securityRules":null}}`), change, "no securityRules"},
		{"rules twice", body(`{` + id + `,"properties":{"securityRules":[],"securityRules":[]}}`), change, "twice"},
		{"properties twice", body(`{` + id + `,"properties":{"securityRules":[]},"properties":{"securityRules":[]}}`), change, "twice"},
		{"body of another", with(func(s *network.Snapshot) { s.Target = nsgID("other") }), change, "the body is that of"},
		{"no version", with(func(s *network.Snapshot) { s.Version = "" }), change, "no version"},
		{"any version", with(func(s *network.Snapshot) { s.Version = "*" }), change, "no version"},
		{"create a rule of others", good, plan.Changes{Create: []jit.Rule{theirs}}, "not ours"},
		{"update a rule of others", good, plan.Changes{Update: []jit.Rule{theirs}}, "not ours"},
		{"delete a rule of others", good, plan.Changes{Delete: []jit.Rule{theirs}}, "not ours"},
		{"the same rule twice", good, plan.Changes{Create: []jit.Rule{mine("a", 100)}, Delete: []jit.Rule{mine("A", 100)}}, "twice"},
		{"a rule without a source", good, plan.Changes{Create: []jit.Rule{empty}}, "no addresses"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := document.Edit(tc.s, tc.c)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q; body %s", err, tc.want, got)
			}
		})
	}
}

func TestEditKeepsEveryByteOfOthers(t *testing.T) {
	f := foreign()
	oldA, newA, b, c := mine("a", 100), mine("a", 101), mine("b", 102), mine("c", 103)
	upper := strings.Replace(encoded(t, oldA), "portcullis-a", "PORTCULLIS-A", 1)
	for _, tc := range []struct {
		name  string
		rules []string
		c     plan.Changes
		want  []string
	}{
		{"into an empty group", nil, plan.Changes{Create: []jit.Rule{b}}, []string{encoded(t, b)}},
		{"create", f, plan.Changes{Create: []jit.Rule{b, c}}, append(f[:3:3], encoded(t, b), encoded(t, c))},
		{"update in place", []string{f[0], upper, f[1], f[2]}, plan.Changes{Update: []jit.Rule{newA}}, []string{f[0], encoded(t, newA), f[1], f[2]}},
		{"delete", []string{f[0], upper, f[1], encoded(t, b), f[2]}, plan.Changes{Delete: []jit.Rule{oldA}}, []string{f[0], f[1], encoded(t, b), f[2]}},
		{"delete what is gone", f, plan.Changes{Delete: []jit.Rule{oldA}}, f},
		{"the last one", []string{encoded(t, b)}, plan.Changes{Delete: []jit.Rule{b}}, nil},
		{"all at once", []string{upper, f[0], encoded(t, b)}, plan.Changes{Create: []jit.Rule{c}, Update: []jit.Rule{newA}, Delete: []jit.Rule{b}}, []string{encoded(t, newA), f[0], encoded(t, c)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := document.Edit(shop(tc.rules...), tc.c)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(head+"["+strings.Join(tc.want, ",")+"]"+tail, string(got)); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			if !json.Valid(got) {
				t.Error("the body is not JSON")
			}
		})
	}
}

// TestSameButOurs holds the last check before a write by bodies that an error elsewhere might make.
func TestSameButOurs(t *testing.T) {
	f := foreign()
	a, b := encoded(t, mine("a", 100)), encoded(t, mine("b", 101))
	before := string(shop(f[0], a, f[1], f[2]).Body)
	for _, tc := range []struct{ name, after string }{
		{"a rule less", string(shop(f[0], a, f[1]).Body)},
		{"no rules", string(shop().Body)},
		{"a rule more", string(shop(f[0], a, f[1], f[2], `{"name":"new"}`).Body)},
		{"another order", string(shop(f[1], a, f[0], f[2]).Body)},
		{"a byte of a rule", strings.Replace(before, "443", "444", 1)},
		{"a rule that is ours by a new name", strings.Replace(before, "AllowSsh", "portcullis-AllowSsh", 1)},
		{"a tag", strings.Replace(before, `"z":"1"`, `"z":"2"`, 1)},
		{"a property behind the rules", strings.Replace(before, `"resourceGuid":"g"`, `"resourceGuid":"h"`, 1)},
		{"no JSON", before[:len(before)-3]},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := sameButOurs([]byte(before), []byte(tc.after)); err == nil {
				t.Error("no error")
			}
		})
	}
	if err := sameButOurs([]byte(before), shop(f[0], f[1], b, f[2]).Body); err != nil {
		t.Errorf("a change of ours: %v", err)
	}
}

// TestEditProperty draws rules of both owners in any order and any changes of ours.
func TestEditProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var rules, theirs []string
		standing := map[string]jit.Rule{}
		for i := range rapid.IntRange(0, 8).Draw(t, "rules") {
			if rapid.Bool().Draw(t, "ours") {
				r := mine(fmt.Sprint(i), 100+i)
				standing[r.Name] = r
				rules = append(rules, encoded(t, r))
				continue
			}
			text := strings.Replace(foreign()[i%3], `"name"`, fmt.Sprintf(`"n%d":0,"name"`, i), 1)
			rules, theirs = append(rules, text), append(theirs, text)
		}
		var c plan.Changes
		for _, r := range standing {
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 1:
				r.Priority += 1000
				c.Update = append(c.Update, r)
			case 2:
				c.Delete = append(c.Delete, r)
			}
		}
		for i := range rapid.IntRange(0, 3).Draw(t, "new") {
			c.Create = append(c.Create, mine(fmt.Sprint("new", i), 3000+i))
		}
		s := shop(rules...)
		text, err := document.Edit(s, c)
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Properties struct {
				SecurityRules []json.RawMessage `json:"securityRules"`
			} `json:"properties"`
		}
		if err := json.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
		var got []string
		rest := map[string]jit.Rule{}
		for _, raw := range doc.Properties.SecurityRules {
			if r := document.DecodeRule(raw); label.Owned(r.Name) {
				rest[r.Name] = r
			} else {
				got = append(got, string(raw))
			}
		}
		if diff := cmp.Diff(theirs, got); diff != "" {
			t.Fatalf("rules of others (-want +got):\n%s", diff)
		}
		for _, r := range c.Apply(s.Rules) {
			if o, ok := rest[r.Name]; label.Owned(r.Name) && (!ok || !o.Equal(r)) {
				t.Fatalf("the body has %+v, want %+v", o, r)
			}
			delete(rest, r.Name)
		}
		if len(rest) > 0 {
			t.Fatalf("rules that nobody wants: %v", rest)
		}
	})
}

// sameButOurs compares two bodies as Apply does before it sends the second.
func sameButOurs(before, after []byte) error {
	d, err := document.Parse(before)
	if err != nil {
		return err
	}
	return d.SameButOurs(after)
}
