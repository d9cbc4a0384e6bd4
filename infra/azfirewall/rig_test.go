package azfirewall_test

import (
	"fmt"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/infra/arm/armtest"
	"portcullis/infra/azfirewall"
	"portcullis/local/armsim"
)

// Names from armtest that these tests use.
const (
	sub   = armtest.Subscription
	scope = armtest.Scope
)

var (
	play          = armtest.Play
	answer        = armtest.Answer
	refusal       = armtest.Refusal
	cut           = armtest.Cut
	plain         = armtest.Plain
	isUnavailable = armtest.Unavailable
)

type object = armtest.Object

var public = netip.MustParseAddr("198.51.100.1")

// client returns the adapter for a loopback server, with retries that do not wait.
func client(t *testing.T, server *httptest.Server, change func(*azfirewall.Config)) *azfirewall.Client {
	t.Helper()
	cfg := azfirewall.Config{Connection: armtest.Connection(server), PollEvery: time.Millisecond}
	if change != nil {
		change(&cfg)
	}
	c, err := azfirewall.New(armtest.Credential("app"), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func fwID(name string) jit.ID {
	return jit.ID{Subscription: sub, ResourceGroup: "rg", Type: jit.TypeFirewall, Name: name}
}

// rig is the adapter in front of the Resource Manager stand-in, and the fixture of the conformance suite.
type rig struct {
	*azfirewall.Client
	*armtest.Rig
}

func newRig(t *testing.T, knobs armsim.Knobs) *rig {
	t.Helper()
	r := armtest.NewRig(t, armtest.Kind{Type: "azureFirewalls", Writes: func(k *armsim.Knobs) *armsim.Writes { return &k.Firewalls }}, knobs)
	r.Put(t, scope+"publicIPAddresses/ip", object{"location": "westeurope", "properties": object{"ipAddress": public.String()}})
	return &rig{client(t, r.HTTP, nil), r}
}

// firewallDoc is a foreign firewall with NAT rules in a foreign collection.
func firewallDoc(rules ...jit.Rule) object {
	properties := object{
		"sku": object{"name": "AZFW_VNet", "tier": "Standard"}, "threatIntelMode": "Alert", "additionalProperties": object{"Network.DNS.EnableProxy": "true"},
		"ipConfigurations": []any{object{"name": "main", "properties": object{
			"privateIPAddress": "10.0.0.4", "subnet": object{"id": scope + "virtualNetworks/v/subnets/AzureFirewallSubnet"},
			"publicIPAddress": object{"id": strings.ToUpper(scope + "publicIPAddresses/ip")},
		}}},
		"networkRuleCollections": []any{object{"name": "net", "properties": object{"priority": 200, "action": object{"type": "Allow"}, "rules": []any{object{"name": "dns", "notYetInvented": 1}}}}},
		"notYetInvented":         object{"depth": []any{1, "two"}},
	}
	if len(rules) > 0 {
		properties["natRuleCollections"] = []any{theirCollection(rules...)}
	}
	return object{"location": "westeurope", "tags": object{"owner": "network team"}, "properties": properties}
}

func theirCollection(rules ...jit.Rule) object {
	var list []any
	for _, r := range rules {
		list = append(list, wire(r))
	}
	return object{"name": "theirs", "properties": object{"priority": 65000, "action": object{"type": "Dnat"}, "rules": list}}
}

func (r *rig) Target(t *testing.T, rules ...jit.Rule) jit.ID {
	t.Helper()
	target := fwID(fmt.Sprintf("Gate-%d", r.Next()))
	r.Put(t, target.String(), firewallDoc(rules...))
	return target
}

// wire encodes a NAT rule as another tool would.
func wire(r jit.Rule) object {
	out := object{"name": r.Name, "protocols": []string{string(r.Protocol)}, "notYetInvented": r.Name, "translatedAddress": r.Translated.Addr().String(), "translatedPort": strconv.Itoa(int(r.Translated.Port()))}
	if r.Protocol == jit.AnyProtocol {
		out["protocols"] = []string{"UDP", "TCP"}
	}
	if r.Description != "" {
		out["description"] = r.Description
	}
	addresses := func(p jit.Peers) []string {
		if p.Any {
			return []string{"*"}
		}
		var list []string
		for _, q := range p.Prefixes {
			list = append(list, jit.PrefixString(q))
		}
		return list
	}
	out["sourceAddresses"], out["destinationAddresses"] = addresses(r.Source), addresses(r.Destination)
	var ports []string
	for _, p := range r.DestinationPorts {
		ports = append(ports, fmt.Sprint(p.First))
	}
	out["destinationPorts"] = ports
	return out
}

func (r *rig) Write(t *testing.T, target jit.ID, rule jit.Rule) {
	t.Helper()
	r.Edit(t, target, func(p object) {
		collections := p["natRuleCollections"].([]any)
		for _, c := range collections {
			if c := c.(object); c["name"] == "theirs" {
				inner := c["properties"].(object)
				rules := slices.DeleteFunc(inner["rules"].([]any), func(e any) bool { return strings.EqualFold(e.(object)["name"].(string), rule.Name) })
				inner["rules"] = append(rules, plain(t, wire(rule)))
				return
			}
		}
		p["natRuleCollections"] = append(collections, plain(t, theirCollection(rule)))
	})
}

func (r *rig) Outside(t *testing.T, target jit.ID) string {
	t.Helper()
	return r.OutsideOf(t, target, "natRuleCollections", func(collection object) bool {
		rules := collection["properties"].(object)["rules"].([]any)
		return !slices.ContainsFunc(rules, func(r any) bool { return !label.Owned(r.(object)["name"].(string)) })
	})
}
