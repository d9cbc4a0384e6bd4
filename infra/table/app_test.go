package table_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"portcullis/core"
	"portcullis/core/access"
	"portcullis/core/coretest"
	"portcullis/core/decide"
	"portcullis/core/defender"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/protect"
	"portcullis/core/round"
	"portcullis/core/sweep"
	"portcullis/infra/table"
)

// app is the verbs over a store of this package, with Resource Manager and Service Bus in memory, and a clock that
// stands until somebody moves it.
type app struct {
	*access.Service
	*protect.Protection
	*round.Rounds
	*sweep.Sweeper
	*defender.Named
	cloud *coretest.Cloud
	bell  *coretest.Bell
	clock *coretest.Clock
	ids   int
	asked []string
}

func newApp(s *table.Store) *app {
	a := &app{cloud: coretest.NewCloud(), bell: &coretest.Bell{}, clock: coretest.NewClock(day)}
	rooms := core.New(core.Ports{
		Network: a.cloud, Kinds: network.KindsOf(network.SecurityGroups(a.cloud.Kind(jit.TypeNSG))), Policies: s, Grants: s, Keys: s, History: s, Targets: s, Activity: s, Holds: s, Sweeps: s,
		Alarm: a.bell, Subscriptions: []string{subscription}, Now: a.clock.Now,
		NewID: func() string {
			a.ids++
			return grantID(a.clock.Now(), 1<<40+a.ids)
		},
	})
	a.Service, a.Protection, a.Rounds, a.Sweeper, a.Named = rooms.Verbs, rooms.Protection, rooms.Rounds, rooms.Sweeper, rooms.Named
	return a
}

// place has machine n of the crowd stand behind its group.
func (a *app) place(n int) {
	a.cloud.SetRules(nsg(n))
	p := ofCrowd(n)
	a.cloud.Place(network.Machine{VM: vm(n), Location: p.Location, Private: []netip.Addr{address(n)}, Placements: p.Placements})
}

// request opens a port of machine n for a minute, for somebody who has never asked before, and lets the window end.
func (a *app) request(t *testing.T, n int) {
	t.Helper()
	name := fmt.Sprint("requestor", a.ids)
	r := jit.Request{Requestor: name, RequestorID: name, VMs: []jit.RequestVM{{VM: vm(n), Ports: []jit.RequestPort{{Number: 22, Duration: time.Minute, Sources: jit.AnySource()}}}}}
	who := jit.Caller{ID: name, Name: name}
	checked, err := decide.Validate(r, a.clock.Now(), decide.DefaultAhead)
	if err != nil {
		t.Fatal(err)
	}
	rec, _, err := a.Request(t.Context(), who, checked, "")
	if err == nil {
		rec, err = a.Open(t.Context(), who, rec)
	}
	if err != nil || rec.Grant.Status() != jit.Initiated {
		t.Fatalf("request for machine %d: %s, %v", n, rec.Grant.Status(), err)
	}
	a.clock.Advance(time.Minute)
	for _, w := range a.bell.Due(a.clock.Now()) {
		if err := a.Wake(t.Context(), w.Grant, w.Generation); err != nil {
			t.Fatal(err)
		}
	}
	a.asked = append(a.asked, rec.Grant.ID)
}

// ended holds that everything that was asked for is closed.
func (a *app) ended(t *testing.T) {
	t.Helper()
	for _, id := range a.asked {
		if rec, err := a.Service.Grants.Grant(t.Context(), id); err != nil || !rec.Grant.Closed() {
			t.Fatalf("grant %s after its end: %s, %v", id, rec.Grant.Status(), err)
		}
	}
	a.asked = nil
}
