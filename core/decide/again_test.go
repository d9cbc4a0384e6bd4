package decide_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/decide"
	"portcullis/core/jit"
)

// TestAgain: whatever has become of a grant, the same ports are asked for again for the lengths that were granted at first.
func TestAgain(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	vm := func(name string) jit.ID {
		return jit.ID{Subscription: "00000000-0000-0000-0000-00000000d3e0", ResourceGroup: "demo", Type: jit.TypeVM, Name: name}
	}
	sources := func(text string) jit.Sources {
		s, err := jit.ParseSources(text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	policy := func(id jit.ID) (jit.Policy, bool) { return jit.Policy{VM: id, Ports: jit.DefaultPorts()}, true }
	asked := jit.Request{RequestorID: "tid/oid", Requestor: "alice", Justification: "ticket 4711", VMs: []jit.RequestVM{
		{VM: vm("web"), Ports: []jit.RequestPort{{Number: 22, Duration: time.Hour, Sources: jit.AnySource()}, {Number: 3389, End: now.Add(90*time.Minute + 1500*time.Microsecond), Sources: sources("198.51.100.0/24")}}},
		{VM: vm("app"), Ports: []jit.RequestPort{{Number: 22, Duration: 2 * time.Second, Sources: sources("192.0.2.1")}}},
	}}
	checked, err := decide.Validate(asked, now, decide.DefaultAhead)
	if err != nil {
		t.Fatal(err)
	}
	g, err := decide.Request(policy, jit.Options{}, checked, "id", now)
	if err != nil {
		t.Fatal(err)
	}
	extended, err := decide.Extend(g.Opened(now), policy, jit.Options{}, 2*time.Hour, time.Time{}, now.Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	from := sources("203.0.113.7")
	want := jit.Request{RequestorID: "tid/oid", Requestor: "alice", Justification: "ticket 4711", VMs: []jit.RequestVM{
		{VM: vm("web"), Ports: []jit.RequestPort{{Number: 22, Duration: time.Hour, Sources: from}, {Number: 3389, Duration: 90*time.Minute + time.Millisecond, Sources: from}}},
		{VM: vm("app"), Ports: []jit.RequestPort{{Number: 22, Duration: 2 * time.Second, Sources: from}}},
	}}
	for name, g := range map[string]jit.Grant{
		"still opening":  g,
		"extended":       extended,
		"closed by hand": g.Opened(now).Revoke(now.Add(time.Minute), jit.UserRequested).Settled(now.Add(time.Minute)),
		"never opened":   g.Settled(now.Add(time.Hour)),
		"at its end":     g.Opened(now).Settled(now.Add(3 * time.Hour)),
	} {
		got, err := decide.Again(g, from)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	old := g.Each(func(id jit.ID, w jit.Window) jit.Window {
		if id.Equal(vm("app")) {
			w.Length = 0 // as it was stored before lengths were
		}
		return w
	})
	got, err := decide.Again(old, from)
	if refused := jit.Refused(err); refused == nil || refused.Code != jit.CodeLengthUnknown || refused.Target != "virtualMachines[1].ports[0]" || len(got.VMs) != 0 {
		t.Errorf("a length that is not stored: %v, %v", got, err)
	}
}
