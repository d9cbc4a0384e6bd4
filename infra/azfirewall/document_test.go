package azfirewall_test

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
	"portcullis/infra/azfirewall"
)

// theirs are foreign NAT rule collections, written as no SDK would.
func theirs() []string {
	return []string{
		`{ "properties" : {"rules":[ {"name":"web\u002dtraffic" , "x":12345678901234567890.10,"protocols":["TCP"],"sourceAddresses":["*"],"destinationAddresses":["198.51.100.1"],"destinationPorts":["443"],"translatedAddress":"10.0.1.9","translatedPort":"8443"} ], "priority" : 200,"action":{"type":"Dnat"}}, "name":"published", "etag":"W/\"1\"" }`,
		"{\n\t\"name\": \"Portcullis-not-ours\",\n\t\"properties\": {\"priority\": 6.5e4, \"\\u003cnew\\u003e\": {\"b\":1,\"a\":[null]},\"rules\":[{\"name\":\"portcullis-decoy\"},{\"name\":\"web-traffic\"}]}}",
		`{"name":"empty","properties":{"priority":300}}`,
	}
}

const head = `{ "name":"gate", "id":"/subscriptions/` + sub + `/resourcegroups/RG/providers/Microsoft.Network/azureFirewalls/GATE",
  "etag":"W/\"7\"", "tags":{"z":"1","a":"<&>"}, "zones" : [ ],
  "properties": {"provisioningState":"Succeeded","threatIntelMode" : "Alert", "notYetInvented":{"natRuleCollections":[{"name":"decoy"}]},
    "ipConfigurations":[{"name":"main","properties":{"publicIPAddress":{"id":"` + scope + `publicIPAddresses/ip"},"privateIPAddress":"10.0.0.4"}}],
    "networkRuleCollections":[{"name":"net","properties":{"rules":[{"name":"portcullis-net"}]}}], "firewallPolicy":null,
    "natRuleCollections": `

const tail = `  ,"applicationRuleCollections":[ ],"resourceGuid":"g"} , "type":"Microsoft.Network/azureFirewalls" } `

// gate is the snapshot of a firewall with the NAT rule collections, at version 7.
func gate(collections ...string) network.Snapshot {
	return network.Snapshot{Standing: network.Standing{Target: fwID("gate")}, Version: `W/"7"`, Body: []byte(head + "[ " + strings.Join(collections, " ,\n ") + " ]" + tail)}
}

func encoded(t interface{ Fatal(...any) }, r jit.Rule) string {
	text, err := azfirewall.EncodeRule(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// ourCollection is our collection as it is written.
func ourCollection(t interface{ Fatal(...any) }, priority int, rules ...jit.Rule) string {
	var texts []string
	for _, r := range rules {
		texts = append(texts, encoded(t, r))
	}
	return asOurs(priority, texts...)
}

func asOurs(priority int, rules ...string) string {
	return fmt.Sprintf(`{"name":"portcullis","properties":{"priority":%d,"action":{"type":"Dnat"},"rules":[%s]}}`, priority, strings.Join(rules, ","))
}

func TestEditRefuses(t *testing.T) {
	good := gate(theirs()...)
	body := func(text string) network.Snapshot {
		s := good
		s.Body = []byte(text)
		return s
	}
	with := func(change func(*network.Snapshot)) network.Snapshot {
		s := good
		change(&s)
		return s
	}
	change := plan.Changes{Create: []jit.Rule{mine("a", 50022)}}
	foreign := mine("a", 50022)
	foreign.Name = "web-traffic"
	id := `"etag":"1","id":"` + good.Target.String() + `"`
	every := make([]string, 0, 64901)
	for p := 100; p <= 65000; p++ {
		every = append(every, fmt.Sprintf(`{"name":"c%d","properties":{"priority":%d}}`, p, p))
	}
	for _, tc := range []struct {
		name string
		s    network.Snapshot
		c    plan.Changes
		want string
	}{
		{"no body", body(""), change, "not a JSON object"},
		{"a body cut off", body(string(good.Body[:len(good.Body)-5])), change, "unexpected EOF"},
		{"no properties", body(`{` + id + `}`), change, "no natRuleCollections"},
		{"no collections", body(`{` + id + `,"properties":{}}`), change, "no natRuleCollections"},
		{"collections null", body(`{` + id + `,"properties":{"natRuleCollections":null}}`), change, "no natRuleCollections"},
		{"collections twice", body(`{` + id + `,"properties":{"natRuleCollections":[],"natRuleCollections":[]}}`), change, "twice"},
		{"properties twice", body(`{` + id + `,"properties":{"natRuleCollections":[]},"properties":{"natRuleCollections":[]}}`), change, "twice"},
		{"our collection twice", gate(asOurs(100), strings.Replace(asOurs(101), "portcullis", "PORTCULLIS", 1)), change, "twice"},
		{"rules that are no array", gate(`{"name":"c","properties":{"rules":{}}}`), change, "rules of c"},
		{"a policy", body(strings.Replace(string(good.Body), `"firewallPolicy":null`, `"firewallPolicy":{"id":"/p"}`, 1)), change, "firewall policy"},
		{"a hub", body(strings.Replace(string(good.Body), `"firewallPolicy":null`, `"virtualHub":{"id":"/h"}`, 1)), change, "virtual hub"},
		{"body of another", with(func(s *network.Snapshot) { s.Target = fwID("other") }), change, "the body is that of"},
		{"no version", with(func(s *network.Snapshot) { s.Version = "" }), change, "no version"},
		{"any version", with(func(s *network.Snapshot) { s.Version = "*" }), change, "no version"},
		{"create a rule of others", good, plan.Changes{Create: []jit.Rule{foreign}}, "not ours"},
		{"update a rule of others", good, plan.Changes{Update: []jit.Rule{foreign}}, "not ours"},
		{"delete a rule of others", good, plan.Changes{Delete: []jit.Rule{foreign}}, "not ours"},
		{"the same rule twice", good, plan.Changes{Create: []jit.Rule{mine("a", 1)}, Delete: []jit.Rule{mine("A", 1)}}, "twice"},
		{"a rule that closes", good, plan.Changes{Create: []jit.Rule{mine("a", 1, func(r *jit.Rule) { r.Access = jit.Deny })}}, "only lets in"},
		{"no priority left", gate(every...), change, "no priority is free"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := azfirewall.Edit(tc.s, tc.c)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q; body %.200s", err, tc.want, got)
			}
		})
	}
}

func TestEditKeepsEveryByteOfOthers(t *testing.T) {
	f := theirs()
	a, b, c := mine("a", 50022), mine("b", 50023), mine("c", 50024)
	newA := mine("a", 50022, func(r *jit.Rule) { r.Source = jit.AnyPeer() })
	guest := `{ "name" : "guest", "x":1.0 }`
	read := strings.Replace(asOurs(123, encoded(t, a)), `{"name"`, `{"etag":"1","id":"/x","name"`, 1)
	for _, tc := range []struct {
		name string
		was  []string
		c    plan.Changes
		want []string
	}{
		{"the first rule of all", nil, plan.Changes{Create: []jit.Rule{a}}, []string{ourCollection(t, 65000, a)}},
		{"the first rule, where the last priority is taken", f, plan.Changes{Create: []jit.Rule{a, b}}, append(f[:3:3], ourCollection(t, 64999, a, b))},
		{"another rule, beside one that keeps its bytes and its priority", []string{f[0], read, f[1]}, plan.Changes{Create: []jit.Rule{b}}, []string{f[0], ourCollection(t, 123, a, b), f[1]}},
		{"an update in place", []string{ourCollection(t, 123, b, a, c), f[0]}, plan.Changes{Update: []jit.Rule{newA}}, []string{ourCollection(t, 123, b, newA, c), f[0]}},
		{"all at once", []string{ourCollection(t, 123, a, b), f[0]}, plan.Changes{Create: []jit.Rule{c}, Update: []jit.Rule{newA}, Delete: []jit.Rule{b}}, []string{ourCollection(t, 123, newA, c), f[0]}},
		{"the last rule", []string{f[0], ourCollection(t, 123, a), f[2]}, plan.Changes{Delete: []jit.Rule{a}}, []string{f[0], f[2]}},
		{"the last rule of all", []string{ourCollection(t, 123, a)}, plan.Changes{Delete: []jit.Rule{a}}, nil},
		{"delete what is gone", f, plan.Changes{Delete: []jit.Rule{a}}, f},
		{"the last rule beside one of others", []string{asOurs(123, guest, encoded(t, a)), f[0]}, plan.Changes{Delete: []jit.Rule{a}}, []string{asOurs(123, guest), f[0]}},
		{"a collection that others made useless", []string{strings.Replace(asOurs(7, encoded(t, a)), "Dnat", "Snat", 1)}, plan.Changes{Create: []jit.Rule{b}}, []string{ourCollection(t, 65000, a, b)}},
		{"a priority that another took", []string{f[0], asOurs(200, encoded(t, a))}, plan.Changes{Create: []jit.Rule{b}}, []string{f[0], ourCollection(t, 65000, a, b)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := azfirewall.Edit(gate(tc.was...), tc.c)
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
	got, err := azfirewall.Edit(gate(read), plan.Changes{})
	if err != nil || string(got) != string(gate(read).Body) {
		t.Errorf("no changes: %s, %v; want the body as it is", got, err)
	}
}

// TestSameButOurs tests the last check before a write with bodies that a bug elsewhere might produce.
func TestSameButOurs(t *testing.T) {
	f := theirs()
	guest := `{"name":"guest"}`
	ours := asOurs(100, encoded(t, mine("a", 1)), guest)
	before := string(gate(f[0], ours, f[1]).Body)
	for _, tc := range []struct{ name, after string }{
		{"a collection less", string(gate(f[0], ours).Body)},
		{"no collections", string(gate().Body)},
		{"a collection more", string(gate(f[0], ours, f[1], f[2]).Body)},
		{"another order", string(gate(f[1], ours, f[0]).Body)},
		{"a byte of a rule", strings.Replace(before, "8443", "8444", 1)},
		{"a guest less", string(gate(f[0], asOurs(100, encoded(t, mine("a", 1))), f[1]).Body)},
		{"a collection that is ours by a new name", strings.Replace(before, `"published"`, `"portcullis"`, 1)},
		{"a tag", strings.Replace(before, `"z":"1"`, `"z":"2"`, 1)},
		{"a network rule", strings.Replace(before, "portcullis-net", "portcullis-nat", 1)},
		{"a property behind the rules", strings.Replace(before, `"resourceGuid":"g"`, `"resourceGuid":"h"`, 1)},
		{"no JSON", before[:len(before)-3]},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := azfirewall.SameButOurs([]byte(before), []byte(tc.after)); err == nil {
				t.Error("no error")
			}
		})
	}
	if err := azfirewall.SameButOurs([]byte(before), gate(f[0], f[1], asOurs(7, guest, encoded(t, mine("b", 2)))).Body); err != nil {
		t.Errorf("a change of ours: %v", err)
	}
}

// TestDiffering: which settings, other than our collection, differ between a response and what was sent.
func TestDiffering(t *testing.T) {
	f := theirs()
	sent := string(gate(f[0], f[2], asOurs(100, encoded(t, mine("a", 1)))).Body)
	for _, tc := range []struct {
		name, answer string
		want         []string
	}{
		{"nothing", sent, nil},
		{"what ARM writes itself, in another spelling", strings.NewReplacer(`W/\"7\"`, `8`, `W/\"1\"`, `9`, `"Succeeded"`, `"Updating"`, `web\u002dtraffic`, `web-traffic`, `: 200`, `:200`, `"g"`, `"h"`).Replace(sent), nil},
		{"our collection", string(gate(f[0], f[2]).Body), nil},
		{"a property that is not known", strings.Replace(sent, "decoy", "decoys", 1), nil},
		{"a tag and a NAT rule", strings.NewReplacer(`"z":"1"`, `"z":"2"`, "8443", "8444").Replace(sent), []string{"tags", "natRuleCollections"}},
		{"a network rule", strings.Replace(sent, "portcullis-net", "x", 1), []string{"networkRuleCollections"}},
		{"a policy", strings.Replace(sent, `"firewallPolicy":null`, `"firewallPolicy":{"id":"/p"}`, 1), []string{"firewallPolicy"}},
		{"a public address", strings.Replace(sent, "publicIPAddresses/ip", "publicIPAddresses/other", 1), []string{"ipConfigurations"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, azfirewall.Differing([]byte(sent), []byte(tc.answer))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestEditProperty generates foreign collections, our rules with foreign ones among them, and changes of ours.
func TestEditProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var collections, foreign, standing []string
		rules := map[string]jit.Rule{}
		place := rapid.IntRange(-1, 4).Draw(t, "place")
		for i := range rapid.IntRange(0, 5).Draw(t, "collections") {
			if i == place {
				for j := range rapid.IntRange(1, 4).Draw(t, "ours") {
					if rapid.Bool().Draw(t, "guest") {
						standing = append(standing, fmt.Sprintf(`{ "name":"guest%d" }`, j))
						continue
					}
					r := mine(fmt.Sprint(j), uint16(50000+j))
					rules[r.Name] = r
					standing = append(standing, encoded(t, r))
				}
				collections = append(collections, asOurs(1000, standing...))
			}
			text := strings.Replace(theirs()[i%3], `"name"`, fmt.Sprintf(`"n%d":0,"name"`, i), 1)
			collections, foreign = append(collections, text), append(foreign, text)
		}
		var c plan.Changes
		want := map[string]jit.Rule{}
		for name, r := range rules {
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 1:
				r.Description = "changed"
				c.Update, want[name] = append(c.Update, r), r
			case 2:
				c.Delete = append(c.Delete, r)
			default:
				want[name] = r
			}
		}
		for i := range rapid.IntRange(0, 3).Draw(t, "new") {
			r := mine(fmt.Sprint("new", i), uint16(51000+i))
			c.Create, want[r.Name] = append(c.Create, r), r
		}
		text, err := azfirewall.Edit(gate(collections...), c)
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Properties struct {
				NatRuleCollections []json.RawMessage `json:"natRuleCollections"`
			} `json:"properties"`
		}
		if err := json.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
		var got, guests []string
		for _, raw := range doc.Properties.NatRuleCollections {
			var one struct {
				Name       string
				Properties struct{ Rules []json.RawMessage }
			}
			if err := json.Unmarshal(raw, &one); err != nil {
				t.Fatal(err)
			}
			if !strings.EqualFold(one.Name, azfirewall.Collection) {
				got = append(got, string(raw))
				continue
			}
			if len(one.Properties.Rules) == 0 {
				t.Fatal("our collection is empty")
			}
			for _, raw := range one.Properties.Rules {
				r := azfirewall.DecodeRule(raw)
				if !label.Owned(r.Name) {
					guests = append(guests, string(raw))
					continue
				}
				if w, ok := want[r.Name]; !ok || !w.Equal(r) {
					t.Fatalf("the body has %+v, want %+v", r, w)
				}
				delete(want, r.Name)
			}
		}
		if diff := cmp.Diff(foreign, got); diff != "" {
			t.Fatalf("collections of others (-want +got):\n%s", diff)
		}
		var before []string
		for _, s := range standing {
			if strings.Contains(s, "guest") {
				before = append(before, s)
			}
		}
		if diff := cmp.Diff(before, guests); diff != "" {
			t.Fatalf("guests (-want +got):\n%s", diff)
		}
		if len(want) > 0 {
			t.Fatalf("rules that are missing: %v", want)
		}
	})
}

// FuzzEdit: a body is refused, or its foreign parts come out unchanged.
func FuzzEdit(f *testing.F) {
	f.Add(string(gate(theirs()...).Body))
	f.Add(string(gate(asOurs(100, `{"name":"portcullis-a"}`, `{"name":"guest"}`)).Body))
	f.Add(`{"etag":"1","id":"` + fwID("gate").String() + `","properties":{"natRuleCollections":[null,1,"x",{"name":"c","properties":{"rules":[null]}}]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		s := gate()
		s.Body = []byte(text)
		out, err := azfirewall.Edit(s, plan.Changes{Create: []jit.Rule{mine("new", 50022)}, Delete: []jit.Rule{mine("a", 1)}})
		if err != nil {
			return
		}
		if err := azfirewall.SameButOurs(s.Body, out); err != nil || !json.Valid(out) {
			t.Fatalf("%v: %s became %s", err, text, out)
		}
		s.Body = out
		back, err := azfirewall.Edit(s, plan.Changes{Delete: []jit.Rule{mine("new", 50022)}})
		if err != nil {
			t.Fatalf("%s cannot be edited again: %v", out, err)
		}
		if err := azfirewall.SameButOurs([]byte(text), back); err != nil {
			t.Fatalf("there and back: %v: %s became %s", err, text, back)
		}
	})
}
