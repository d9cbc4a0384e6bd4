package access_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"portcullis/core"
	"portcullis/core/access"
	"portcullis/core/coretest"
	"portcullis/core/decide"
	"portcullis/core/defender"
	"portcullis/core/doctor"
	"portcullis/core/guard"
	"portcullis/core/inventory"
	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/lockdown"
	"portcullis/core/network"
	"portcullis/core/pending"
	"portcullis/core/permit"
	"portcullis/core/protect"
	"portcullis/core/round"
	"portcullis/core/store"
	"portcullis/core/sweep"
)

const sub = "00000000-0000-0000-0000-00000000d3e0"

func vmID(name string) jit.ID {
	return jit.ID{Subscription: sub, ResourceGroup: "demo", Type: jit.TypeVM, Name: name}
}

func nsgID(name string) jit.ID {
	return jit.ID{Subscription: sub, ResourceGroup: "demo", Type: jit.TypeNSG, Name: name}
}

// world is a whole installation in memory, with a clock that only the test moves.
type world struct {
	rooms
	ports core.Ports
	t     *testing.T
	cloud *coretest.Cloud
	mem   *coretest.Memory
	store *coretest.Faulty
	bell  *coretest.Bell

	mu    sync.Mutex
	clock time.Time
	ids   int
	other string // a grant behind a firewall, of tests that have one
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// foreign rules of the NSG of web: a web server's, and one that opens SSH to everybody.
func foreignRules() []jit.Rule {
	rule := func(name string, priority int, port uint16) jit.Rule {
		return jit.Rule{Name: name, Priority: priority, Access: jit.Allow, Protocol: jit.TCP, Source: jit.AnyPeer(), Destination: jit.AnyPeer(),
			SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.OnePort(port)}}
	}
	return []jit.Rule{rule("AllowWeb", 200, 443), rule("AllowSshAny", 300, 22)}
}

// newWorld has the machine web behind web-nsg, and app1 and app2 behind apps-nsg.
func newWorld(t *testing.T) *world {
	w := &world{t: t, cloud: coretest.NewCloud(), mem: coretest.NewMemory(), bell: &coretest.Bell{}, clock: noon}
	w.store = &coretest.Faulty{Store: w.mem}
	w.cloud.SetRules(nsgID("web-nsg"), foreignRules()...)
	w.cloud.SetRules(nsgID("apps-nsg"))
	w.place("web", "web-nsg", "10.0.0.4")
	w.place("app1", "apps-nsg", "10.0.1.4")
	w.place("app2", "apps-nsg", "10.0.1.5")
	w.start()
	return w
}

// rooms are the verbs of all rooms, without permissions.
type rooms struct {
	*access.Service
	*protect.Protection
	*round.Rounds
	*sweep.Sweeper
	*inventory.Inventory
	desk  *pending.Desk
	doors doors
	lock  *lockdown.Service
	ready func(context.Context) error
}

// doors are the verbs of all rooms behind the permissions.
type doors struct {
	*guard.Verbs
	*pending.Approvals
	*inventory.Inventory
	*defender.Named
	*sweep.Sweeper
	*doctor.Doctor
	lock *lockdown.Service
}

func roomsOf(p core.Ports) rooms {
	app := core.New(p)
	return rooms{app.Verbs, app.Protection, app.Rounds, app.Sweeper, app.Inventory, app.Desk, doors{app.Access, app.Approvals, app.Inventory, app.Named, app.Sweeper, app.Doctor, app.Lockdown}, app.Lockdown, app.Ready}
}

// permitted has the permissions of all verbs from an authority from now on, and gives the verbs behind them.
func (w *world) permitted(a permit.Authority) doors {
	w.startWith(func(p *core.Ports) { p.Authority = a })
	return w.doors
}

// start makes the service as a new process would: nothing but the stores is kept.
func (w *world) start() { w.startWith(func(p *core.Ports) { *p = w.portsOf() }) }

// startWith is start with other ports than before.
func (w *world) startWith(change func(*core.Ports)) {
	change(&w.ports)
	w.rooms = roomsOf(w.ports)
}

// portsOf gives the ports of one more service over the same stores.
func (w *world) portsOf() core.Ports {
	return core.Ports{
		Network: w.cloud, Kinds: network.KindsOf(network.SecurityGroups(w.cloud.Kind(jit.TypeNSG)), network.AzureFirewalls(w.cloud.Kind(jit.TypeFirewall))), Policies: w.store, Grants: w.store, Keys: w.store, History: w.store, Targets: w.store,
		Activity: w.store, Holds: w.store, Sweeps: w.store, Reviews: w.store, BreakGlass: time.Hour, Ahead: decide.DefaultAhead, Alarm: w.bell, Authority: everybody{}, Subscriptions: []string{sub}, Now: w.now, NewID: w.newID,
	}
}

// instance makes one more service over the same stores.
func (w *world) instance() rooms { return w.instanceWith(func(*core.Ports) {}) }

// instanceWith is instance with other ports.
func (w *world) instanceWith(change func(*core.Ports)) rooms {
	p := w.portsOf()
	change(&p)
	return roomsOf(p)
}

// everybody may do everything.
type everybody struct{}

func (everybody) Missing(context.Context, jit.Caller, string, ...string) (string, error) {
	return "", nil
}

func (w *world) place(vm, nsg string, addrs ...string) {
	m := network.Machine{VM: vmID(vm), Location: "westeurope", Placements: []store.Placement{{Target: nsgID(nsg)}}}
	for _, a := range addrs {
		m.Private = append(m.Private, netip.MustParseAddr(a))
	}
	m.Placements[0].Addresses = m.Private
	w.cloud.Place(m)
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

// newID gives version 7 UUIDs that are the same in every run.
func (w *world) newID() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ids++
	var id uuid.UUID
	ms := uint64(w.clock.UnixMilli())
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6], id[8] = 0x70, 0x80
	id[12], id[13], id[14], id[15] = byte(w.ids>>24), byte(w.ids>>16), byte(w.ids>>8), byte(w.ids)
	return id.String()
}

// pass moves the clock and delivers the wake-ups that are due.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	w.mu.Lock()
	w.clock = w.clock.Add(d)
	w.mu.Unlock()
	for _, wake := range w.bell.Due(w.now()) {
		if err := w.Wake(w.t.Context(), wake.Grant, wake.Generation); err != nil {
			w.t.Fatalf("wake %s: %v", wake.Grant, err)
		}
	}
}

// leap moves the clock and delivers nothing.
func (w *world) leap(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}

func who(name string) jit.Caller { return jit.Caller{Name: name, Correlation: "test"} }

func policyOf(vm string, ports ...uint16) jit.Policy {
	p := jit.Policy{VM: vmID(vm)}
	for _, n := range ports {
		p.Ports = append(p.Ports, jit.PortRule{Number: n, Protocol: jit.TCP, Sources: jit.AnySource(), Maximum: 3 * time.Hour})
	}
	return p
}

func (w *world) enable(vms ...string) {
	w.t.Helper()
	var ps []jit.Policy
	for _, vm := range vms {
		ps = append(ps, policyOf(vm, 22, 3389))
	}
	if _, _, err := w.Enable(w.t.Context(), who("admin"), ps, false); err != nil {
		w.t.Fatalf("enable %v: %v", vms, err)
	}
}

// want builds a request of one port of machines.
func want(requestor string, port uint16, length time.Duration, source string, vms ...string) jit.Request {
	sources, err := jit.ParseSources(source)
	if err != nil {
		panic("the caller has introduced a bug: " + err.Error())
	}
	r := jit.Request{Requestor: requestor, Justification: "a test"}
	for _, vm := range vms {
		r.VMs = append(r.VMs, jit.RequestVM{VM: vmID(vm), Ports: []jit.RequestPort{{Number: port, Duration: length, Sources: sources}}})
	}
	return r
}

// ask requests and opens, and gives the grant's id.
func (w *world) ask(r jit.Request, key ...string) (store.GrantRecord, error) {
	rec, _, err := w.Request(w.t.Context(), who(r.Requestor), r, strings.Join(key, ""))
	if err != nil || rec.Grant.Status() != jit.Initiating {
		return rec, err
	}
	return w.Open(w.t.Context(), who(r.Requestor), rec)
}

func (w *world) mustAsk(r jit.Request, key ...string) string {
	w.t.Helper()
	rec, err := w.ask(r, key...)
	if err != nil {
		w.t.Fatalf("request: %v", err)
	}
	return rec.Grant.ID
}

// sweep runs one that must succeed.
func (w *world) sweep() store.SweepRecord {
	w.t.Helper()
	rec, err := w.Sweep(w.t.Context(), who("portcullis"))
	if err != nil {
		w.t.Fatalf("sweep: %v", err)
	}
	return rec
}

// lines writes the rules of a target so that people can compare them: priority,
// access, sources, destinations, ports.
func (w *world) lines(nsg string) []string {
	var out []string
	for _, r := range w.cloud.Standing(nsgID(nsg)) {
		name := r.Name
		if label.Owned(name) {
			name = "ours"
		}
		out = append(out, fmt.Sprintf("%04d %s %s %s -> %s :%s", r.Priority, strings.ToLower(r.Access.String()), name, peers(r.Source), peers(r.Destination), ports(r.DestinationPorts)))
	}
	slices.Sort(out)
	return out
}

func peers(p jit.Peers) string {
	if p.Any {
		return "*"
	}
	var out []string
	for _, q := range p.Prefixes {
		out = append(out, jit.PrefixString(q))
	}
	return strings.Join(append(out, p.Tags...), ",")
}

func ports(list []jit.PortRange) string {
	var out []string
	for _, p := range list {
		out = append(out, fmt.Sprint(p.First))
	}
	return strings.Join(out, ",")
}

func (w *world) stands(nsg string, want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.lines(nsg), cmp.Transformer("nil", func(s []string) []string { return append([]string{}, s...) })); diff != "" {
		w.t.Errorf("rules of %s (-want +got):\n%s", nsg, diff)
	}
}

// allows counts the allow rules of ours on a target.
func (w *world) allows(nsg string) int {
	n := 0
	for _, r := range w.cloud.Standing(nsgID(nsg)) {
		if label.Owned(r.Name) && r.Access == jit.Allow {
			n++
		}
	}
	return n
}

// log gives the activity log, oldest first, one short line each.
func (w *world) log() []string {
	entries, _, err := w.mem.Entries(w.t.Context(), store.EntryFilter{}, "", 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		line := fmt.Sprintf("%s %s", e.Operation, e.Result)
		if e.VM.Name != "" {
			line += " " + e.VM.Name
		}
		if e.Reason != "" {
			line += " " + e.Reason
		}
		out = append(out, line)
	}
	slices.Reverse(out)
	return out
}

func (w *world) grant(id string) jit.Grant {
	w.t.Helper()
	rec, err := w.mem.Grant(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return rec.Grant
}

func code(err error) jit.Code {
	if refused, ok := errors.AsType[*jit.Error](err); ok {
		return refused.Code
	}
	return ""
}

var errFault = errors.New("an injected fault")

// crashAt makes the n-th step from now, and every one after it, fail: the
// process is dead. It gives a count of the steps seen.
func (w *world) crashAt(n int) *int {
	var mu sync.Mutex
	seen := 0
	fault := func(_ context.Context, s coretest.Step) error {
		mu.Lock()
		defer mu.Unlock()
		seen++
		if n > 0 && seen >= n {
			return fmt.Errorf("%s: %w", s.Op, errFault)
		}
		return nil
	}
	w.cloud.Fault, w.store.Fault, w.bell.Fault = fault, fault, fault
	return &seen
}

// restart is the new process after a crash.
func (w *world) restart() {
	w.cloud.Fault, w.store.Fault, w.bell.Fault = nil, nil, nil
	w.start()
}
