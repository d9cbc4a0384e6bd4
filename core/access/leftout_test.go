package access_test

import (
	"testing"
	"time"

	"portcullis/core/jit"
)

// TestLeftOutTakesNoPlace: a window is not said to have lost its place to a newer request that was left out.
func TestLeftOutTakesNoPlace(t *testing.T) {
	w := newWorld(t)
	if _, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{policyOf("web", 22, 3389)}, false); err != nil {
		t.Fatal(err)
	}
	rec, _, err := w.Request(t.Context(), who("ann"), want("ann", 22, time.Hour, "203.0.113.7", "web"), "")
	if err != nil {
		t.Fatal(err)
	}
	both := rec
	both.Version, both.Grant.ID, both.Grant.Start = "", "ffffffff-ffff-7fff-8fff-ffffffffffff", rec.Grant.Start.Add(time.Millisecond)
	w.cloud.SetRules(nsgID("web-nsg"), append(w.cloud.Standing(nsgID("web-nsg")), theirs("DenyRdp", jit.Deny, 100, 3389))...)
	second := rec.Grant.VMs[0].Ports[0]
	second.Number = 3389
	both.Grant.VMs = []jit.GrantVM{{VM: rec.Grant.VMs[0].VM, Ports: append([]jit.Window{}, rec.Grant.VMs[0].Ports[0], second)}}
	w.leap(time.Second)
	if _, err := w.mem.InsertGrant(t.Context(), both, nil, w.now()); err != nil {
		t.Fatal(err)
	}
	opened, err := w.Open(t.Context(), who("ann"), rec)
	if err != nil || opened.Grant.VMs[0].Ports[0].Status != jit.Initiated {
		t.Errorf("%v, %v", opened.Grant.VMs, err)
	}
}
