package armsim_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
	"github.com/google/go-cmp/cmp"

	"portcullis/local/armsim"
)

const fwID = scope + "azureFirewalls/fw"

// natRule is a good NAT rule with some members changed, as for rule.
func natRule(name string, change ...string) string {
	p := map[string]json.RawMessage{
		"name": json.RawMessage(`"` + name + `"`), "protocols": json.RawMessage(`["TCP"]`), "sourceAddresses": json.RawMessage(`["203.0.113.7"]`),
		"destinationAddresses": json.RawMessage(`["198.51.100.1"]`), "destinationPorts": json.RawMessage(`["50022"]`),
		"translatedAddress": json.RawMessage(`"10.0.1.4"`), "translatedPort": json.RawMessage(`"22"`),
	}
	for i := 0; i+1 < len(change); i += 2 {
		if p[change[i]] = json.RawMessage(change[i+1]); change[i+1] == "-" {
			delete(p, change[i])
		}
	}
	text, err := json.Marshal(p)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func natCollection(name string, priority int, rules ...string) string {
	return fmt.Sprintf(`{"name":%q,"properties":{"priority":%d,"action":{"type":"Dnat"},"rules":[%s]}}`, name, priority, strings.Join(rules, ","))
}

// firewall is a firewall document with the NAT rule collections.
func firewall(collections ...string) string {
	return `{"location":"westeurope","tags":{"a":"1"},"zones":["1"],"properties":{"sku":{"name":"AZFW_VNet","tier":"Standard"},"threatIntelMode":"Alert","notYetInvented":[1.50],
		"ipConfigurations":[{"name":"main","properties":{"privateIPAddress":"10.0.0.4","subnet":{"id":"` + scope + `virtualNetworks/v/subnets/AzureFirewallSubnet"},"publicIPAddress":{"id":"` + scope + `publicIPAddresses/ip"}}}],
		"networkRuleCollections":[{"name":"net","properties":{"priority":100,"action":{"type":"Allow"},"rules":[{"name":"x","anything":1}]}}],
		"natRuleCollections":[` + strings.Join(collections, ",") + `]}}`
}

func newFirewallRig(t *testing.T, knobs armsim.Knobs) *rig {
	t.Helper()
	r := newRig(t, knobs)
	r.put(scope+"publicIPAddresses/ip", `{"location":"westeurope","properties":{"ipAddress":"198.51.100.1"}}`)
	return r
}

func TestFirewallValidationRefuses(t *testing.T) {
	r := newFirewallRig(t, armsim.Knobs{})
	r.put(fwID, firewall(natCollection("keep", 65000, natRule("keep"))))
	before := r.get(fwID)
	with := func(change ...string) string {
		return natCollection("c", 100, natRule("good"), natRule("x", change...))
	}
	var many []string
	for i := range armsim.MaxNATDestinations {
		many = append(many, natRule(fmt.Sprint("r", i), "destinationPorts", fmt.Sprintf(`["%d"]`, 1000+i)))
	}
	const (
		name        = "AzureFirewallRuleInvalidName"
		protocol    = "AzureFirewallRuleInvalidProtocol"
		source      = "AzureFirewallRuleInvalidSource"
		destination = "AzureFirewallRuleInvalidDestination"
		ports       = "AzureFirewallRuleInvalidDestinationPort"
		translation = "AzureFirewallRuleInvalidTranslation"
	)
	for _, test := range []struct{ name, doc, code string }{
		{"two collections of a name", firewall(natCollection("c", 100, natRule("a")), natCollection("C", 101, natRule("a"))), "DuplicateResourceName"},
		{"the name of a network rule collection", firewall(natCollection("NET", 100, natRule("a"))), "DuplicateResourceName"},
		{"a bad name", firewall(natCollection("-c", 100, natRule("a"))), "InvalidResourceName"},
		{"priority 99", firewall(natCollection("c", 99, natRule("a"))), "AzureFirewallRuleCollectionInvalidPriority"},
		{"priority 65001", firewall(natCollection("c", 65001, natRule("a"))), "AzureFirewallRuleCollectionInvalidPriority"},
		{"a priority taken", firewall(natCollection("c", 100, natRule("a")), natCollection("d", 100, natRule("a"))), "AzureFirewallRuleCollectionPriorityConflict"},
		{"another action", firewall(strings.Replace(natCollection("c", 100, natRule("a")), "Dnat", "Allow", 1)), "AzureFirewallRuleCollectionInvalidAction"},
		{"no rules", firewall(natCollection("c", 100)), "AzureFirewallRuleCollectionHasNoRules"},
		{"too many destinations", firewall(natCollection("c", 100, many...)), "AzureFirewallDnatDestinationLimitReached"},
		{"rules beside a policy", strings.Replace(firewall(natCollection("c", 100, natRule("a"))), `"sku"`, `"firewallPolicy":{"id":"/p"},"sku"`, 1), "AzureFirewallRuleCollectionsNotAllowedWithPolicy"},
		{"another subnet", strings.Replace(firewall(), "AzureFirewallSubnet", "work", 1), "AzureFirewallSubnetNameInvalid"},
		{"collections that are no list", `{"location":"westeurope","properties":{"natRuleCollections":{}}}`, "InvalidRequestFormat"},
		{"the same name in another case", firewall(with("name", `"GOOD"`)), name},
		{"no name", firewall(with("name", `""`)), name},
		{"no protocols", firewall(with("protocols", "[]")), protocol},
		{"any protocol", firewall(with("protocols", `["Any"]`)), protocol},
		{"no source", firewall(with("sourceAddresses", "-")), source},
		{"source and groups", firewall(with("sourceIpGroups", `["/g"]`)), source},
		{"an IPv6 source", firewall(with("sourceAddresses", `["2001:db8::1"]`)), source},
		{"a range backwards", firewall(with("sourceAddresses", `["10.0.0.9-10.0.0.1"]`)), source},
		{"no destination", firewall(with("destinationAddresses", "[]")), destination},
		{"an address of others", firewall(with("destinationAddresses", `["198.51.100.2"]`)), destination},
		{"any destination", firewall(with("destinationAddresses", `["*"]`)), destination},
		{"no port", firewall(with("destinationPorts", "-")), destination},
		{"port 0", firewall(with("destinationPorts", `["0"]`)), ports},
		{"all ports", firewall(with("destinationPorts", `["*"]`)), ports},
		{"port 65536", firewall(with("destinationPorts", `["65536"]`)), ports},
		{"no translated address", firewall(with("translatedAddress", "-")), translation},
		{"a translated IPv6 address", firewall(with("translatedAddress", `"fd00::4"`)), translation},
		{"address and name", firewall(with("translatedFqdn", `"vm.example"`)), translation},
		{"no translated port", firewall(with("translatedPort", "-")), translation},
		{"translated port 0", firewall(with("translatedPort", `"0"`)), translation},
		{"a number as translated port", firewall(with("translatedPort", "22")), translation},
		{"protocols of numbers", firewall(with("protocols", "[6]")), "InvalidRequestFormat"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := r.on(t)
			r.want(400, test.code, "PUT", fwID, test.doc)
			if diff := cmp.Diff(before, r.get(fwID)); diff != "" {
				t.Errorf("a refused PUT changed the firewall:\n%s", diff)
			}
		})
	}
	r.want(200, "", "PUT", fwID, firewall(natCollection("c", 100, many[1:]...)))
	r.want(200, "", "PUT", fwID, firewall(natCollection("c", 100, natRule("a", "protocols", `["tcp","UDP"]`, "sourceAddresses", `["*","10.0.0.0/8","10.1.0.1-10.1.0.9"]`, "destinationPorts", `["80","90-99"]`))))
}

// TestFirewallWrite drives a write with the SDK's client and poller, as the NSG's.
func TestFirewallWrite(t *testing.T) {
	r := newFirewallRig(t, armsim.Knobs{Firewalls: armsim.Writes{LatencyMin: armsim.Duration(time.Minute), RetryAfter: armsim.Duration(7 * time.Second), Concurrent: armsim.Reject}})
	r.put(fwID, firewall(natCollection("theirs", 200, natRule("web"))))
	before := r.get(fwID)
	r.want(412, "PreconditionFailed", "PUT", fwID, firewall(), "If-Match", "W/\"other\"")

	client := r.net.NewAzureFirewallsClient()
	got, err := client.Get(t.Context(), "rg", "fw", nil)
	if err != nil {
		t.Fatal(err)
	}
	model := got.AzureFirewall
	model.Properties.NatRuleCollections = append(model.Properties.NatRuleCollections, &armnetwork.AzureFirewallNatRuleCollection{Name: to.Ptr("ours"), Properties: &armnetwork.AzureFirewallNatRuleCollectionProperties{
		Priority: to.Ptr[int32](65000), Action: &armnetwork.AzureFirewallNatRCAction{Type: to.Ptr(armnetwork.AzureFirewallNatRCActionTypeDnat)},
		Rules: []*armnetwork.AzureFirewallNatRule{{Name: to.Ptr("a"), Protocols: []*armnetwork.AzureFirewallNetworkRuleProtocol{to.Ptr(armnetwork.AzureFirewallNetworkRuleProtocolTCP)},
			SourceAddresses: []*string{to.Ptr("*")}, DestinationAddresses: []*string{to.Ptr("198.51.100.1")}, DestinationPorts: []*string{to.Ptr("50022")},
			TranslatedAddress: to.Ptr("10.0.1.4"), TranslatedPort: to.Ptr("22")}},
	}})
	poller, err := client.BeginCreateOrUpdate(policy.WithHTTPHeader(t.Context(), map[string][]string{"If-Match": {*got.Etag}}), "rg", "fw", model, nil)
	if err != nil {
		t.Fatal(err)
	}
	during := r.get(fwID)
	if at(during, "properties", "provisioningState") != "Updating" || during["etag"] == before["etag"] {
		t.Errorf("while it is written: %v, etag %v after %v", at(during, "properties", "provisioningState"), during["etag"], before["etag"])
	}
	if effective := r.parse(r.arm.Effective(fwID)); len(at(effective, "properties", "natRuleCollections").([]any)) != 1 {
		t.Error("what is being written is in effect already")
	}
	r.want(409, "AnotherOperationInProgress", "PUT", fwID, firewall())
	r.clock.Advance(time.Minute)
	if _, err := poller.PollUntilDone(patience(t), &runtime.PollUntilDoneOptions{Frequency: time.Second}); err != nil {
		t.Fatal(err)
	}
	after := r.get(fwID)
	if at(after, "properties", "provisioningState") != "Succeeded" || after["etag"] == during["etag"] {
		t.Errorf("after it: %v, etag %v after %v", at(after, "properties", "provisioningState"), after["etag"], during["etag"])
	}
	if at(after, "properties", "natRuleCollections", 1, "id") != fwID+"/natRuleCollections/ours" || at(after, "properties", "ipConfigurations", 0, "id") != fwID+"/azureFirewallIpConfigurations/main" {
		t.Errorf("ids of parts: %v", after)
	}
	if at(after, "properties", "notYetInvented") != nil {
		t.Error("a PUT without a property keeps it; the model of the SDK does not have it")
	}
}

// What a GET shows can be put back and is the same; private addresses are the service's.
func TestFirewallRoundTrip(t *testing.T) {
	r := newFirewallRig(t, armsim.Knobs{})
	r.put(fwID, firewall(natCollection("theirs", 200, natRule("web", "newThing", `{"deep":[true]}`))))
	first := r.get(fwID)
	raw, _ := r.arm.Get(fwID)
	r.want(200, "", "PUT", fwID, strings.Replace(string(raw), `"privateIPAddress":"10.0.0.4"`, `"privateIPAddress":"10.0.0.9"`, 1))
	if diff := cmp.Diff(strippedETags(first), strippedETags(r.get(fwID))); diff != "" {
		t.Errorf("a round trip changed the firewall:\n%s", diff)
	}
	if !strings.Contains(string(raw), `"notYetInvented":[1.50]`) || at(first, "properties", "natRuleCollections", 0, "properties", "rules", 0, "newThing") == nil {
		t.Errorf("unknown properties were lost: %s", raw)
	}
	if diff := cmp.Diff([]any{}, at(first, "properties", "natRuleCollections", 0, "properties", "rules", 0, "sourceIpGroups")); diff != "" {
		t.Error(diff)
	}
	r.want(202, "", "DELETE", fwID, "")
	r.want(404, "ResourceNotFound", "GET", fwID, "")
	r.want(204, "", "DELETE", fwID, "")
}

// Firewalls share the buckets, locks and permissions of everything else.
func TestFirewallGuards(t *testing.T) {
	r := newFirewallRig(t, armsim.Knobs{})
	r.put(fwID, firewall())
	r.put(scope[:strings.Index(scope, "/providers")]+"/providers/Microsoft.Authorization/locks/l", `{"properties":{"level":"ReadOnly"}}`)
	r.want(409, "ScopeLocked", "PUT", fwID, firewall())
	if _, err := r.arm.Delete(scope[:strings.Index(scope, "/providers")] + "/providers/Microsoft.Authorization/locks/l"); err != nil {
		t.Fatal(err)
	}
	r.tune(func(k *armsim.Knobs) {
		k.Denied = []armsim.Denied{{Action: "Microsoft.Network/azureFirewalls/write"}}
	})
	r.want(403, "AuthorizationFailed", "PUT", fwID, firewall())
	r.tune(func(k *armsim.Knobs) { k.Denied, k.Throttle = nil, true })
	for range 200 {
		r.do("PUT", nsgID, nsg())
	}
	r.want(429, "SubscriptionRequestsThrottled", "PUT", fwID, firewall())
	r.tune(func(k *armsim.Knobs) { k.Throttle, k.Firewalls.FailNext = false, 1 })
	r.want(500, "InternalServerError", "PUT", fwID, firewall())
	r.want(200, "", "PUT", fwID, firewall())
}
