package access_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/inventory"
	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/network"
	"portcullis/core/store"
)

// surveyor is a network that knows of firewalls and classic machines, and counts how often it is asked.
type surveyor struct {
	*coretest.Cloud
	classic []jit.ID
	tags    map[string]map[string]string
	behind  map[string]bool
	fails   map[string]error // by subscription
	asked   atomic.Int64
}

func (s *surveyor) Survey(ctx context.Context, subscription string) (network.Survey, error) {
	s.asked.Add(1)
	if err := s.fails[subscription]; err != nil {
		return network.Survey{}, err
	}
	machines, err := s.Machines(ctx, subscription)
	out := network.Survey{Machines: machines, Behind: s.behind, Tags: s.tags}
	for _, vm := range s.classic {
		if vm.Subscription == subscription {
			out.Classic = append(out.Classic, vm)
		}
	}
	return out, err
}

const sub2 = "00000000-0000-0000-0000-00000000d3e1"

// inventoryWorld has web (enabled, with a public address), app1 and app2 (not enabled), bare (no security group), managedfw (the
// same, behind a managed firewall) and old (classic).
func inventoryWorld(t *testing.T) (*world, *surveyor) {
	w := newWorld(t)
	s := &surveyor{Cloud: w.cloud, behind: map[string]bool{vmID("managedfw").Key(): true, vmID("app1").Key(): true}, fails: map[string]error{}}
	s.classic = []jit.ID{{Subscription: sub, ResourceGroup: "legacy", Type: jit.TypeClassicVM, Name: "old"}}
	s.tags = map[string]map[string]string{vmID("web").Key(): {"Env": "Prod", "team": "shop"}, vmID("app1").Key(): {"env": "test", "note": "app2"}, s.classic[0].Key(): {"env": "prod"}, vmID("bare").Key(): {}}
	w.startWith(func(p *core.Ports) { p.Network = s })
	web := network.Machine{VM: vmID("web"), Location: "westeurope", Private: []netip.Addr{netip.MustParseAddr("10.0.0.4")}, Public: []netip.Addr{netip.MustParseAddr("198.51.100.4")}}
	web.Placements = []store.Placement{{Target: nsgID("web-nsg"), Addresses: web.Private}}
	w.cloud.Place(web)
	for i, name := range []string{"bare", "managedfw"} {
		w.cloud.Place(network.Machine{VM: vmID(name), Location: "westeurope", Private: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 9, byte(i)})}, Unguarded: []string{name + "-nic"}})
	}
	w.enable("web")
	return w, s
}

// silentAuthority cannot tell what anybody may do.
type silentAuthority struct{}

func (silentAuthority) Missing(context.Context, jit.Caller, string, ...string) (string, error) {
	return "", errFault
}

func (w *world) machines(q inventory.MachineQuery) inventory.MachinePage { return w.machinesOf(ann, q) }

func (w *world) machinesOf(who jit.Caller, q inventory.MachineQuery) inventory.MachinePage {
	w.t.Helper()
	page, err := w.Machines(w.t.Context(), who, q)
	if err != nil {
		w.t.Fatal(err)
	}
	return page
}

// briefly writes a machine on one line: name, state, reason.
func briefly(machines []inventory.MachineView) []string {
	out := []string{}
	for _, m := range machines {
		out = append(out, strings.TrimSpace(fmt.Sprint(m.VM.Name, " ", m.State, " ", m.Reason)))
	}
	return out
}

// TestMachines holds the states with their reasons, the filters and the orders.
func TestMachines(t *testing.T) {
	w, _ := inventoryWorld(t)
	const web, app1, app2, bare, managed, old = "web configured", "app1 notConfigured", "app2 notConfigured", "bare unsupported MissingNetworkSecurityGroup",
		"managedfw unsupported FirewallManager", "old unsupported ClassicVirtualMachine"
	w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	rows := map[string]struct {
		q    inventory.MachineQuery
		want []string
	}{
		"all":                   {inventory.MachineQuery{}, []string{app1, app2, bare, managed, old, web}},
		"the other way round":   {inventory.MachineQuery{Descending: true}, []string{web, old, managed, bare, app2, app1}},
		"by state":              {inventory.MachineQuery{Sort: inventory.SortByState}, []string{web, app1, app2, bare, managed, old}},
		"by requests":           {inventory.MachineQuery{Sort: inventory.SortByRequests, Descending: true}, []string{web, app1, app2, bare, managed, old}},
		"by last access":        {inventory.MachineQuery{Sort: inventory.SortByLastAccess, Descending: true}, []string{web, app1, app2, bare, managed, old}},
		"by resource group":     {inventory.MachineQuery{Sort: inventory.SortByResourceGroup, Descending: true}, []string{old, app1, app2, bare, managed, web}},
		"configured":            {inventory.MachineQuery{State: inventory.MachineConfigured}, []string{web}},
		"unsupported":           {inventory.MachineQuery{State: inventory.MachineUnsupported}, []string{bare, managed, old}},
		"a part of the name":    {inventory.MachineQuery{Text: " APP"}, []string{app1, app2}},
		"an address":            {inventory.MachineQuery{Text: "198.51.100"}, []string{web}},
		"a private address":     {inventory.MachineQuery{Text: "10.0.0.4"}, []string{web}},
		"a resource group":      {inventory.MachineQuery{ResourceGroup: "LEGACY"}, []string{old}},
		"a machine":             {inventory.MachineQuery{VM: vmID("app2").Key()}, []string{app2}},
		"nothing":               {inventory.MachineQuery{Text: "no such thing"}, []string{}},
		"another subscription":  {inventory.MachineQuery{Subscription: sub2}, []string{}},
		"the subscription":      {inventory.MachineQuery{Subscription: strings.ToUpper(sub)}, []string{app1, app2, bare, managed, old, web}},
		"a text and a state":    {inventory.MachineQuery{Text: "a", State: inventory.MachineUnsupported}, []string{bare, managed, old}},
		"of a group, by a text": {inventory.MachineQuery{ResourceGroup: "legacy", Text: "web"}, []string{}},
		"words, each found":     {inventory.MachineQuery{Text: "demo\tAPP pp1"}, []string{app1}},
		"a word that is not":    {inventory.MachineQuery{Text: "demo app1 legacy"}, []string{}},
		"an id":                 {inventory.MachineQuery{Text: strings.ToUpper(vmID("app1").String())}, []string{app1}},
		"an id of a longer":     {inventory.MachineQuery{Text: vmID("app").String()}, []string{}},
		"the address of a page": {inventory.MachineQuery{Text: "https://portal.example/#@contoso/resource" + vmID("app1").String() + "/overview"}, []string{app1}},
		"a part of an id":       {inventory.MachineQuery{Text: "/subscriptions/" + sub + "/resourceGroups/legacy"}, []string{old}},
		"an end of an id":       {inventory.MachineQuery{Text: "virtualMachines/app"}, []string{app1, app2}},
		"a tag":                 {inventory.MachineQuery{Text: "ENV=prod"}, []string{old, web}},
		"a tag, of any value":   {inventory.MachineQuery{Text: "env="}, []string{app1, old, web}},
		"a tag and a word":      {inventory.MachineQuery{Text: "env=prod we"}, []string{web}},
		"two tags":              {inventory.MachineQuery{Text: "env=prod team=SHOP"}, []string{web}},
		"a part of a tag":       {inventory.MachineQuery{Text: "env=pro"}, []string{}},
		"a tag without a name":  {inventory.MachineQuery{Text: "=prod"}, []string{}},
		"a value is no word":    {inventory.MachineQuery{Text: "test"}, []string{}},
		"spaces alone":          {inventory.MachineQuery{Text: " \t "}, []string{app1, app2, bare, managed, old, web}},
		"more words than 20":    {inventory.MachineQuery{Text: strings.Repeat("app ", 20) + "web"}, []string{app1, app2}},
	}
	for name, row := range rows {
		if diff := cmp.Diff(row.want, briefly(w.machines(row.q).Machines)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	page := w.machines(inventory.MachineQuery{State: inventory.MachineConfigured})
	counts := map[inventory.MachineState]int{inventory.MachineConfigured: 1, inventory.MachineNotConfigured: 2, inventory.MachineUnsupported: 3}
	if diff := cmp.Diff(counts, page.Counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if !slices.Equal(page.ResourceGroups, []string{"demo", "legacy"}) || !slices.Equal(page.Subscriptions, []string{sub}) || len(page.Incomplete) != 0 || page.RequestsCut {
		t.Errorf("%+v", page)
	}
}

// TestMachinesRefused holds what a query may not ask.
func TestMachinesRefused(t *testing.T) {
	w, s := inventoryWorld(t)
	first := w.machines(inventory.MachineQuery{Limit: 1})
	for name, row := range map[string]struct {
		q    inventory.MachineQuery
		code jit.Code
	}{
		"an order":                  {inventory.MachineQuery{Sort: "colour"}, inventory.CodeInvalidQuery},
		"a state":                   {inventory.MachineQuery{State: "broken"}, inventory.CodeInvalidQuery},
		"no cursor of ours":         {inventory.MachineQuery{Cursor: "x"}, "InvalidSkipToken"},
		"no base64":                 {inventory.MachineQuery{Cursor: "!"}, "InvalidSkipToken"},
		"a cursor of another order": {inventory.MachineQuery{Cursor: first.Next, Sort: inventory.SortByState}, "InvalidSkipToken"},
		"a cursor of the other way": {inventory.MachineQuery{Cursor: first.Next, Descending: true}, "InvalidSkipToken"},
	} {
		if _, err := w.Machines(t.Context(), ann, row.q); code(err) != row.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.permitted(silentAuthority{}).Machines(t.Context(), ann, inventory.MachineQuery{}); !errors.Is(err, errFault) {
		t.Errorf("permissions that cannot be found out: %v", err)
	}
	w.permitted(everybody{})
	w.leap(time.Minute)
	s.fails[sub] = &store.Unavailable{Dependency: "Azure Resource Manager", Err: errFault}
	if _, err := w.Machines(t.Context(), ann, inventory.MachineQuery{}); !errors.Is(err, errFault) {
		t.Errorf("the only subscription cannot be listed: %v", err)
	}
	w.startWith(func(p *core.Ports) { p.Subscriptions = []string{sub, sub2} })
	page := w.machines(inventory.MachineQuery{})
	if diff := cmp.Diff(map[string]string{sub: "Azure Resource Manager is unavailable"}, page.Incomplete); diff != "" || len(page.Machines) != 0 {
		t.Errorf("one of two cannot be listed: %v\n%s", briefly(page.Machines), diff)
	}
	// Which one it is, and why, is for those who may read it.
	for _, row := range []struct {
		scope string // where the caller may read
		want  map[string]string
	}{
		{"/subscriptions/" + sub, map[string]string{sub: "Azure Resource Manager is unavailable"}},
		{"/subscriptions/" + sub2, map[string]string{"other subscriptions": "could not be listed"}},
	} {
		guard := w.permitted(readerAt(row.scope))
		page, err := guard.Machines(t.Context(), ann, inventory.MachineQuery{})
		if diff := cmp.Diff(row.want, page.Incomplete); diff != "" || err != nil {
			t.Errorf("a reader at %s: error %v, incomplete (-want +got):\n%s", row.scope, err, diff)
		}
	}
}

// readerAt lets everybody do everything at and below one scope, and nothing elsewhere.
type readerAt string

func (r readerAt) Missing(_ context.Context, _ jit.Caller, scope string, actions ...string) (string, error) {
	if scope == string(r) || strings.HasPrefix(scope, string(r)+"/") {
		return "", nil
	}
	return actions[0], nil
}

// TestMachineInFull holds everything that is said of a configured machine.
func TestMachineInFull(t *testing.T) {
	w, _ := inventoryWorld(t)
	id := w.mustAsk(asked(ann, 22, "203.0.113.7", "web"))
	w.leap(time.Second)
	w.mustAsk(want("bob", 3389, 2*time.Hour, "203.0.113.8", "web"))
	w.sweep()
	got := w.machines(inventory.MachineQuery{VM: vmID("web").Key()}).Machines[0]
	if got.Connect != inventory.ConnectionNSG || !got.Public || fmt.Sprint(got.Dial) != "[198.51.100.4]" || len(got.Targets) != 1 || len(got.Ports) != 2 {
		t.Errorf("%+v", got)
	}
	if got.Requests != 2 || got.LastRequestor != "bob" || !got.LastAccess.Equal(noon.Add(time.Second)) {
		t.Errorf("%d requests, the last by %q at %v", got.Requests, got.LastRequestor, got.LastAccess)
	}
	var windows []string
	for _, win := range got.Windows {
		windows = append(windows, fmt.Sprintf("%d %s %s %s %t", win.Number, win.Requestor, win.Sources, win.End.Sub(noon), win.Own))
	}
	if diff := cmp.Diff([]string{"22 " + ann.Name + " 203.0.113.7 1h0m0s true", "3389 bob 203.0.113.8 2h0m1s false"}, windows); diff != "" || got.Windows[0].Grant != id {
		t.Errorf("windows (-want +got):\n%s", diff)
	}
	// Somebody opens a management port that the policy does not name, after the sweep.
	w.leap(time.Minute)
	ours := slices.DeleteFunc(w.cloud.Standing(nsgID("web-nsg")), func(r jit.Rule) bool { return !label.Owned(r.Name) })
	w.cloud.SetRules(nsgID("web-nsg"), append(ours, jit.Rule{Name: "AllowVnc", Priority: 4000, Access: jit.Allow, Protocol: jit.TCP, Source: jit.AnyPeer(), Destination: jit.AnyPeer(),
		SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.OnePort(5900)}})...)
	for range 2 { // found once, however often it is found
		got = w.machines(inventory.MachineQuery{VM: vmID("web").Key()}).Machines[0]
		if len(got.Findings) != 1 || got.Findings[0].Kind != store.FindingReachable || got.Findings[0].Rule != "AllowVnc" {
			t.Errorf("findings: %+v", got.Findings)
		}
		w.sweep()
	}
	other := w.machines(inventory.MachineQuery{VM: vmID("app1").Key()}).Machines[0]
	if other.Windows != nil || other.Findings != nil || other.Ports != nil || other.Requests != 0 {
		t.Errorf("a machine without a policy: %+v", other)
	}
}

// TestMachinesAtOnce: what is enabled, requested, closed or made shows at once, a new machine as soon
// as the survey is no longer fresh; a machine that is gone keeps its policy in sight.
func TestMachinesAtOnce(t *testing.T) {
	w, s := inventoryWorld(t)
	state := func(name string) string {
		for _, line := range briefly(w.machines(inventory.MachineQuery{}).Machines) {
			if strings.HasPrefix(line, name+" ") {
				return line
			}
		}
		return ""
	}
	if got := state("app1"); got != "app1 notConfigured" {
		t.Error(got)
	}
	w.enable("app1")
	if got := state("app1"); got != "app1 configured" {
		t.Error(got)
	}
	id := w.mustAsk(want("bob", 22, time.Hour, "203.0.113.8", "app1"))
	app1 := func() inventory.MachineView {
		return w.machines(inventory.MachineQuery{VM: vmID("app1").Key()}).Machines[0]
	}
	if m := app1(); len(m.Windows) != 1 || m.Requests != 1 || m.LastRequestor != "bob" {
		t.Errorf("opened: %+v", m)
	}
	if _, err := w.Revoke(t.Context(), who("bob"), id); err != nil {
		t.Fatal(err)
	}
	w.leap(10 * time.Second)
	if m := app1(); len(m.Windows) != 0 || m.Requests != 1 {
		t.Errorf("closed: %+v", m)
	}
	asked := s.asked.Load()
	w.place("new", "apps-nsg", "10.0.1.9")
	state("new")
	if s.asked.Load() != asked {
		t.Error("a fresh survey was made again")
	}
	w.leap(6 * time.Second)
	if got := state("new"); got != "new notConfigured" {
		t.Errorf("a new machine: %q", got)
	}
	w.cloud.RemoveMachine(vmID("app1"))
	w.leap(6 * time.Second)
	if m := app1(); m.State != inventory.MachineConfigured || len(m.Findings) == 0 || m.Findings[0].Kind != store.FindingVMGone {
		t.Errorf("gone: %+v", m)
	}
	w.leap(8 * 24 * time.Hour)
	if m := app1(); m.Requests != 0 || !m.LastAccess.IsZero() {
		t.Errorf("after 8 days: %+v", m)
	}
}

// TestFailedOpeningsDoNotCount: a request whose opening failed was no access.
func TestFailedOpeningsDoNotCount(t *testing.T) {
	w, _ := inventoryWorld(t)
	w.cloud.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "Apply" {
			return errFault
		}
		return nil
	}
	if _, err := w.ask(want("bob", 22, time.Hour, "203.0.113.8", "web")); err == nil {
		t.Fatal("it opened")
	}
	w.cloud.Fault = nil
	if m := w.machines(inventory.MachineQuery{VM: vmID("web").Key()}).Machines[0]; m.Requests != 0 || m.LastRequestor != "" {
		t.Errorf("%+v", m)
	}
}
