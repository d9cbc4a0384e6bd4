package jit_test

import (
	"testing"
	"time"

	"portcullis/core/decide"
	"portcullis/core/jit"
)

// decided checks a request and decides it at the same time.
func decided(policy func(jit.ID) (jit.Policy, bool), floor jit.Options, r jit.Request, id string, now time.Time) (jit.Grant, error) {
	checked, err := decide.Validate(r, now, decide.DefaultAhead)
	if err != nil {
		return jit.Grant{}, err
	}
	return decide.Request(policy, floor, checked, id, now)
}

// Nothing is granted for a request that nobody has checked, nor until an end that has passed since it was checked.
func TestDecideRefusesWhatIsNotValidNow(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	r := jit.Request{VMs: []jit.RequestVM{{VM: vm("web"), Ports: []jit.RequestPort{{Number: 22, End: now.Add(time.Minute), Sources: jit.AnySource()}}}}}
	checked, err := decide.Validate(r, now, decide.DefaultAhead)
	if err != nil {
		t.Fatal(err)
	}
	policy := func(id jit.ID) (jit.Policy, bool) { return jit.Policy{VM: id, Ports: jit.DefaultPorts()}, true }
	for _, tt := range []struct {
		name   string
		r      decide.ValidRequest
		now    time.Time
		code   jit.Code
		target string
	}{
		{"the zero value", decide.ValidRequest{}, now, jit.CodeNoVMs, "virtualMachines"},
		{"an end that has passed meanwhile", checked, now.Add(time.Minute), jit.CodeEndInPast, "virtualMachines[0].ports[0].endTimeUtc"},
		{"an end to come", checked, now.Add(59 * time.Second), "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, err := decide.Request(policy, jit.Options{}, tt.r, "id", tt.now)
			refused := jit.Refused(err)
			switch {
			case tt.code == "" && (err != nil || len(g.VMs) != 1):
				t.Fatalf("got %v, %v, want a grant for one machine", g, err)
			case tt.code != "" && (refused == nil || refused.Code != tt.code || refused.Target != tt.target || len(g.VMs) != 0):
				t.Fatalf("got %v, %v, want %s at %s and no grant", g, err, tt.code, tt.target)
			}
		})
	}
}

// Of several things that are wrong with policies the first in their order is told.
func TestValidatePolicies(t *testing.T) {
	web := jit.Policy{VM: vm("web"), Ports: jit.DefaultPorts()}
	bad := jit.Policy{VM: vm("bad")}
	upper := web
	upper.VM = vm("WEB")
	for _, tt := range []struct {
		name     string
		policies []jit.Policy
		code     jit.Code
		target   string
	}{
		{"none", nil, jit.CodeNoVMs, "virtualMachines"},
		{"one more than a call takes, each twice", make([]jit.Policy, jit.MaxVMs+1), jit.CodeNoVMs, "virtualMachines"},
		{"one without ports", []jit.Policy{web, bad}, jit.CodeNoPorts, "virtualMachines[1].ports"},
		{"a machine twice, in other case, before one without ports", []jit.Policy{web, upper, bad}, jit.CodeDuplicateVM, "virtualMachines[1].id"},
		{"one without ports before a machine twice", []jit.Policy{web, bad, upper}, jit.CodeNoPorts, "virtualMachines[1].ports"},
		{"one", []jit.Policy{web}, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := jit.ValidatePolicies(tt.policies)
			if tt.code == "" {
				if err != nil || len(got.Policies()) != len(tt.policies) {
					t.Fatalf("got %v, %v, want the policies", got, err)
				}
				return
			}
			if r := jit.Refused(err); r == nil || r.Code != tt.code || r.Target != tt.target || got.Policies() != nil {
				t.Fatalf("got %v, %v, want %s at %s and no policies", got, err, tt.code, tt.target)
			}
		})
	}
}
