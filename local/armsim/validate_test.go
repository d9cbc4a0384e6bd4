package armsim_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/local/armsim"
)

// Each row is a rule that ARM refuses, put beside good ones; the NSG must stay as it was.
func TestValidationRefuses(t *testing.T) {
	const (
		prefix  = "SecurityRuleInvalidAddressPrefix"
		ports   = "SecurityRuleInvalidPortRange"
		both    = "SecurityRuleParameterCannotHaveBothValues"
		missing = "SecurityRuleParameterValueMissing"
		tag     = "SecurityRuleParameterContainsUnsupportedValue"
		overlap = "OverlappingSubnetsNotPermittedInSecurityRule"
		form    = "InvalidRequestFormat"
		name    = "InvalidResourceName"
	)
	asg := func(n int) string {
		var ids []string
		for i := range n {
			ids = append(ids, fmt.Sprintf(`{"id":"%sapplicationSecurityGroups/g%d"}`, scope, i))
		}
		return "[" + strings.Join(ids, ",") + "]"
	}
	r := newRig(t, armsim.Knobs{})
	r.put(nsgID, nsg(rule("keep", 4096)))
	before := r.get(nsgID)
	for _, test := range []struct{ name, rule, code string }{
		{"rule is text", `"x"`, form},
		{"rule without properties", `{"name":"x"}`, form},
		{"no name", rule("", 100), name},
		{"name of 81", rule(strings.Repeat("a", 81), 100), name},
		{"name begins with underscore", rule("_a", 100), name},
		{"name begins with dash", rule("-a", 100), name},
		{"name ends with dash", rule("a-", 100), name},
		{"name ends with dot", rule("a.", 100), name},
		{"name with blank", rule("a b", 100), name},
		{"name with slash", rule("a/b", 100), name},
		{"name with umlaut", rule("\u00fc", 100), name},
		{"name with newline", rule("a\n", 100), name},
		{"name taken in another case", rule("GOOD", 100), "DuplicateResourceName"},
		{"description of 141", rule("x", 100, "description", `"`+strings.Repeat("é", 141)+`"`), "SecurityRuleInvalidDescription"},
		{"priority 99", rule("x", 99), "SecurityRuleInvalidPriority"},
		{"priority 4097", rule("x", 4097), "SecurityRuleInvalidPriority"},
		{"priority missing", rule("x", 100, "priority", "-"), "SecurityRuleInvalidPriority"},
		{"priority as text", rule("x", 100, "priority", `"100"`), "SecurityRuleInvalidPriority"},
		{"priority with fraction", rule("x", 100, "priority", `100.5`), "SecurityRuleInvalidPriority"},
		{"priority taken", rule("x", 200), "SecurityRuleConflict"},
		{"priority taken, direction in another case", rule("x", 200, "direction", `"inbound"`), "SecurityRuleConflict"},
		{"direction unknown", rule("x", 100, "direction", `"Inboundx"`), "SecurityRuleInvalidDirection"},
		{"direction missing", rule("x", 100, "direction", "-"), "SecurityRuleInvalidDirection"},
		{"access unknown", rule("x", 100, "access", `"Permit"`), "SecurityRuleInvalidAccessType"},
		{"protocol unknown", rule("x", 100, "protocol", `"Sctp"`), "SecurityRuleInvalidProtocol"},
		{"protocol empty", rule("x", 100, "protocol", `""`), "SecurityRuleInvalidProtocol"},
		{"protocol Any", rule("x", 100, "protocol", `"Any"`), "SecurityRuleInvalidProtocol"},
		{"port 65536", rule("x", 100, "destinationPortRange", `"65536"`), ports},
		{"port negative", rule("x", 100, "destinationPortRange", `"-1"`), ports},
		{"port with sign", rule("x", 100, "destinationPortRange", `"+22"`), ports},
		{"port range backwards", rule("x", 100, "destinationPortRange", `"30-20"`), ports},
		{"port range open", rule("x", 100, "destinationPortRange", `"20-"`), ports},
		{"ports by comma", rule("x", 100, "destinationPortRange", `"22,80"`), ports},
		{"port too long", rule("x", 100, "destinationPortRange", `"99999999999999999999"`), ports},
		{"port missing", rule("x", 100, "destinationPortRange", "-"), missing},
		{"source port missing", rule("x", 100, "sourcePortRange", "-"), missing},
		{"port list empty", rule("x", 100, "destinationPortRange", "-", "destinationPortRanges", `[]`), missing},
		{"port and ports", rule("x", 100, "destinationPortRanges", `["80"]`), both},
		{"star in port list", rule("x", 100, "destinationPortRange", "-", "destinationPortRanges", `["22","*"]`), "SecurityRuleParameterContainsInvalidPortRanges"},
		{"port list of numbers", rule("x", 100, "destinationPortRange", "-", "destinationPortRanges", `[22]`), form},
		{"source missing", rule("x", 100, "sourceAddressPrefix", "-"), missing},
		{"source empty", rule("x", 100, "sourceAddressPrefix", `""`), missing},
		{"prefix and prefixes", rule("x", 100, "sourceAddressPrefixes", `["198.51.100.1"]`), both},
		{"prefix and groups", rule("x", 100, "sourceApplicationSecurityGroups", asg(1)), both},
		{"not an address", rule("x", 100, "sourceAddressPrefix", `"AzureBastionSubnet"`), prefix},
		{"address Any", rule("x", 100, "sourceAddressPrefix", `"Any"`), prefix},
		{"five octets", rule("x", 100, "sourceAddressPrefix", `"1.2.3.4.5"`), prefix},
		{"octet 256", rule("x", 100, "sourceAddressPrefix", `"1.2.3.256"`), prefix},
		{"leading zero", rule("x", 100, "sourceAddressPrefix", `"1.2.3.04"`), prefix},
		{"mask 33", rule("x", 100, "sourceAddressPrefix", `"1.2.3.4/33"`), prefix},
		{"dotted mask", rule("x", 100, "sourceAddressPrefix", `"1.2.3.4/255.255.255.0"`), prefix},
		{"two addresses in one", rule("x", 100, "sourceAddressPrefix", `"1.2.3.4 1.2.3.5"`), prefix},
		{"zone", rule("x", 100, "sourceAddressPrefix", `"fe80::1%eth0"`, "destinationAddressPrefix", `"*"`), prefix},
		{"mapped address", rule("x", 100, "sourceAddressPrefix", `"::ffff:1.2.3.4"`, "destinationAddressPrefix", `"*"`), prefix},
		{"unknown tag", rule("x", 100, "sourceAddressPrefix", `"Intranet"`), prefix},
		{"tag without region", rule("x", 100, "sourceAddressPrefix", `"Storage."`), prefix},
		{"tag in a list", rule("x", 100, "sourceAddressPrefix", "-", "sourceAddressPrefixes", `["Internet"]`), tag},
		{"star in a list", rule("x", 100, "sourceAddressPrefix", "-", "sourceAddressPrefixes", `["*"]`), tag},
		{"families in a list", rule("x", 100, "sourceAddressPrefix", "-", "sourceAddressPrefixes", `["1.2.3.4","2001:db8::1"]`, "destinationAddressPrefix", `"*"`), prefix},
		{"families across", rule("x", 100, "sourceAddressPrefix", `"2001:db8::1"`), prefix},
		{"the same twice", rule("x", 100, "sourceAddressPrefix", "-", "sourceAddressPrefixes", `["1.2.3.4","1.2.3.4/32"]`), overlap},
		{"one within another", rule("x", 100, "sourceAddressPrefix", "-", "sourceAddressPrefixes", `["10.0.0.0/16","10.1.0.0/16","10.0.255.1"]`), overlap},
		{"destinations overlap", rule("x", 100, "destinationAddressPrefix", "-", "destinationAddressPrefixes", `["10.0.0.4","10.0.0.0/24"]`), overlap},
		{"eleven groups", rule("x", 100, "sourceAddressPrefix", "-", "sourceApplicationSecurityGroups", asg(11)), "SecurityRuleInvalidApplicationSecurityGroups"},
		{"group of another type", rule("x", 100, "sourceAddressPrefix", "-", "sourceApplicationSecurityGroups", `[{"id":"`+nsgID+`"}]`), "LinkedInvalidPropertyId"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := r.on(t)
			r.want(400, test.code, "PUT", nsgID, nsg(rule("good", 200), test.rule))
			if diff := cmp.Diff(before, r.get(nsgID)); diff != "" {
				t.Errorf("a refused PUT changed the NSG:\n%s", diff)
			}
		})
	}
	r.want(400, form, "PUT", nsgID, `{"location":"westeurope","properties":{"securityRules":{}}}`)
	r.want(400, "SecurityRuleInvalidPriority", "PUT", nsgID+"/securityRules/x", rule("x", 1))
	r.want(400, "SecurityRuleConflict", "PUT", nsgID+"/securityRules/x", rule("x", 4096))
	r.want(400, name, "PUT", nsgID+"/securityRules/_x", rule("_x", 100))
	if err := armsim.Validate(nsgID, json.RawMessage(nsg(rule("x", 1)))); err == nil {
		t.Error("Validate finds nothing wrong")
	}
	if err := armsim.Validate(nsgID, json.RawMessage(nsg(rule("x", 100)))); err != nil {
		t.Errorf("Validate refuses a good rule: %v", err)
	}
	if err := r.arm.Put(nsgID, json.RawMessage(nsg(rule("x", 1)))); err == nil {
		t.Error("the direct writer may put what ARM refuses")
	}
	if diff := cmp.Diff(before, r.get(nsgID)); diff != "" {
		t.Errorf("a refused rule changed the NSG:\n%s", diff)
	}
}

func TestValidationAccepts(t *testing.T) {
	r := newRig(t, armsim.Knobs{})
	for _, test := range []struct{ name, rule string }{
		{"lowest priority", rule("x", 4096)},
		{"name of 80", rule(strings.Repeat("a", 79)+"_", 100)},
		{"name of one", rule("7", 100)},
		{"description of 140 characters, not bytes", rule("x", 100, "description", `"`+strings.Repeat("é", 140)+`"`)},
		{"priority of the other direction", rule("x", 200, "direction", `"Outbound"`)},
		{"protocol in small letters", rule("x", 100, "protocol", `"udp"`)},
		{"any protocol", rule("x", 100, "protocol", `"*"`)},
		{"port 0", rule("x", 100, "destinationPortRange", `"0"`)},
		{"all ports", rule("x", 100, "destinationPortRange", `"0-65535"`)},
		{"port lists", rule("x", 100, "destinationPortRange", "-", "destinationPortRanges", `["22","5985-5986"]`)},
		{"singular null beside a list", rule("x", 100, "sourceAddressPrefix", "null", "sourceAddressPrefixes", `["1.2.3.4","1.2.3.5"]`)},
		{"empty list beside singular", rule("x", 100, "sourceAddressPrefixes", `[]`, "sourceApplicationSecurityGroups", `[]`)},
		{"IPv6 on both sides", rule("x", 100, "sourceAddressPrefix", `"2001:db8::/32"`, "destinationAddressPrefix", `"fd00::4"`)},
		{"IPv6 to any", rule("x", 100, "sourceAddressPrefix", `"::/0"`, "destinationAddressPrefix", `"*"`)},
		{"neighbours", rule("x", 100, "sourceAddressPrefix", "-", "sourceAddressPrefixes", `["10.0.0.0/17","10.0.128.0/17"]`)},
		{"bits below the mask", rule("x", 100, "sourceAddressPrefix", `"10.0.0.5/24"`)},
		{"service tag", rule("x", 100, "sourceAddressPrefix", `"internet"`)},
		{"regional service tag", rule("x", 100, "sourceAddressPrefix", `"Storage.WestEurope"`)},
		{"groups", rule("x", 100, "destinationAddressPrefix", "-", "destinationApplicationSecurityGroups", `[{"id":"`+scope+`applicationSecurityGroups/g"}]`)},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := r.on(t)
			res, text := r.do("PUT", nsgID, nsg(rule("good", 200), test.rule))
			if res.StatusCode > 201 {
				t.Errorf("%d: %s", res.StatusCode, text)
			}
		})
	}
}

// Refused just above each limit, accepted just below it.
func TestLimits(t *testing.T) {
	many := func(n int, at func(i int) string) string {
		rules := make([]string, n)
		for i := range rules {
			rules[i] = at(i)
		}
		return nsg(rules...)
	}
	addresses := func(i, n int) string {
		list := make([]string, n)
		for j := range list {
			list[j] = fmt.Sprintf(`"10.%d.%d.%d"`, i, j/256, j%256)
		}
		return "[" + strings.Join(list, ",") + "]"
	}
	plain := func(i int) string { return rule(fmt.Sprintf("r%d", i), 100+i) }
	lists := func(side string, extra int) func(int) string {
		return func(i int) string {
			n := 1000
			if i == 0 {
				n += extra
			}
			return rule(fmt.Sprintf("r%d", i), 100+i, side+"AddressPrefix", "-", side+"AddressPrefixes", addresses(i, n))
		}
	}
	r := newRig(t, armsim.Knobs{})
	r.want(400, "SecurityRuleCountLimitReached", "PUT", nsgID, many(1001, plain))
	for _, side := range []string{"source", "destination"} {
		r.want(400, "SecurityRuleAddressesOrPortsPerSecurityGroupLimitReached", "PUT", nsgID, many(4, lists(side, 1)))
	}
	if _, ok := r.arm.Get(nsgID); ok {
		t.Fatal("a refused PUT made the NSG")
	}
	r.want(201, "", "PUT", nsgID, many(1000, plain))
	r.want(400, "SecurityRuleCountLimitReached", "PUT", nsgID+"/securityRules/more", rule("more", 4000))
	for _, side := range []string{"source", "destination"} {
		r.want(200, "", "PUT", nsgID, many(4, lists(side, 0)))
	}
}
