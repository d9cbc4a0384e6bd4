package nsg_test

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/infra/arm/armtest"
	"portcullis/infra/nsg"
	"portcullis/local/armsim"
)

// The words of these tests are those of armtest.
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

// client gives the adapter for a server on loopback, with retries that do not wait.
func client(t testing.TB, server *httptest.Server, change func(*nsg.Config)) *nsg.Client {
	t.Helper()
	cfg := nsg.Config{Connection: armtest.Connection(server), Subscription: sub, PollEvery: time.Millisecond}
	if change != nil {
		change(&cfg)
	}
	c, err := nsg.New(armtest.Credential("app"), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// rig is the adapter in front of a stand-in for Azure Resource Manager. It is the
// fixture of both conformance suites.
type rig struct {
	*nsg.Client
	*armtest.Rig
}

func newRig(t *testing.T, knobs armsim.Knobs) *rig {
	t.Helper()
	r := armtest.NewRig(t, armtest.Kind{Type: "networkSecurityGroups", Writes: func(k *armsim.Knobs) *armsim.Writes { return &k.Writes }}, knobs)
	return &rig{client(t, r.HTTP, nil), r}
}

// client gives another client of the rig's.
func (r *rig) client(t *testing.T, change func(*nsg.Config)) *nsg.Client {
	t.Helper()
	return client(t, r.HTTP, change)
}

// nsgID is the id of an NSG of the fixture.
func nsgID(name string) jit.ID {
	return jit.ID{Subscription: sub, ResourceGroup: "rg", Type: jit.TypeNSG, Name: name}
}

func (r *rig) Target(t *testing.T, rules ...jit.Rule) jit.ID {
	t.Helper()
	list := []any{}
	for _, rule := range rules {
		list = append(list, wire(rule))
	}
	target := nsgID(fmt.Sprintf("Nsg-%d", r.Next()))
	r.Put(t, target.String(), object{
		"location": "westeurope", "tags": object{"owner": "network team", "costCentre": "4711"},
		"properties": object{"securityRules": list, "flushConnection": true, "notYetInvented": object{"depth": []any{1, "two"}}},
	})
	return target
}

// wire writes a rule as another tool would: everything in lists that can be.
func wire(r jit.Rule) object {
	p := object{
		"priority": r.Priority, "direction": "Inbound", "access": r.Access.String(), "protocol": string(r.Protocol),
		"notYetInvented": r.Name,
	}
	if r.Direction == jit.Outbound {
		p["direction"] = "Outbound"
	}
	if r.Description != "" {
		p["description"] = r.Description
	}
	for side, peers := range map[string]jit.Peers{"source": r.Source, "destination": r.Destination} {
		switch {
		case peers.Any:
			p[side+"AddressPrefix"] = "*"
		case len(peers.Tags) == 1:
			p[side+"AddressPrefix"] = peers.Tags[0]
		default:
			list := []string{}
			for _, q := range peers.Prefixes {
				list = append(list, q.String())
			}
			p[side+"AddressPrefixes"] = list
		}
	}
	for side, ports := range map[string][]jit.PortRange{"source": r.SourcePorts, "destination": r.DestinationPorts} {
		if slices.Contains(ports, jit.AllPorts()) {
			p[side+"PortRange"] = "*"
			continue
		}
		list := []string{}
		for _, q := range ports {
			list = append(list, fmt.Sprintf("%d-%d", q.First, q.Last))
		}
		p[side+"PortRanges"] = list
	}
	return object{"name": r.Name, "properties": p}
}

func (r *rig) Remove(t *testing.T, id jit.ID) {
	t.Helper()
	if !strings.EqualFold(id.Type, jit.TypeVM) {
		r.Rig.Remove(t, id)
		return
	}
	for i := range 3 {
		if _, err := r.ARM.Delete(fmt.Sprintf("%snetworkInterfaces/%s-%d", scope, id.Name, i)); err != nil {
			t.Fatal(err)
		}
	}
}

func (r *rig) Write(t *testing.T, target jit.ID, rule jit.Rule) {
	t.Helper()
	r.Edit(t, target, func(p object) {
		rules := slices.DeleteFunc(p["securityRules"].([]any), func(e any) bool { return strings.EqualFold(e.(object)["name"].(string), rule.Name) })
		p["securityRules"] = append(rules, plain(t, wire(rule)))
	})
}

func (r *rig) Outside(t *testing.T, target jit.ID) string {
	t.Helper()
	return r.OutsideOf(t, target, "securityRules", func(rule object) bool { return label.Owned(rule["name"].(string)) })
}

// networkFixture is the rig as the suite of the network wants it: whatever is asked of ARM fails.
type networkFixture struct{ *rig }

func (r networkFixture) Fail(t *testing.T, how coretest.Failure) {
	t.Helper()
	if how == coretest.Forbidden {
		r.Tune(t, func(k *armsim.Knobs) { k.Denied = []armsim.Denied{{Action: "*"}} })
		return
	}
	r.rig.Fail(t, jit.ID{}, how)
}
