package nsg_test

import (
	"encoding/json"
	"errors"
	"testing"

	"portcullis/core/store"
	"portcullis/local/armsim"
)

// TestHasGroup: one read says whether a resource group is there, in any case; what cannot be read is not "no".
func TestHasGroup(t *testing.T) {
	r := newRig(t, armsim.Knobs{Down: true})
	if _, err := r.HasGroup(t.Context(), sub, "rg"); err == nil {
		t.Error("down: no error")
	}
	r.Tune(t, func(k *armsim.Knobs) {
		k.Down, k.Denied = false, []armsim.Denied{{Action: "Microsoft.Resources/subscriptions/resourceGroups/read"}}
	})
	if _, err := r.HasGroup(t.Context(), sub, "rg"); !errors.Is(err, store.ErrForbidden) {
		t.Errorf("without permission: error %v, want %v", err, store.ErrForbidden)
	}
	r.Tune(t, func(k *armsim.Knobs) { k.Denied = nil })
	r.ARM.Reset()
	if err := r.ARM.Put("/subscriptions/"+sub+"/resourceGroups/Mine", json.RawMessage(`{"location":"westeurope"}`)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"Mine": true, "MINE": true, "nowhere": false, "mine(2)": false} {
		before := r.ARM.Counts().Reads
		if has, err := r.HasGroup(t.Context(), sub, name); has != want || err != nil {
			t.Errorf("%s: %t, %v", name, has, err)
		}
		if n := r.ARM.Counts().Reads - before; n != 1 {
			t.Errorf("%s: %d reads, want 1", name, n)
		}
	}
}
