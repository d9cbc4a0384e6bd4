package access_test

import (
	"testing"
	"time"

	"portcullis/core"
	"portcullis/core/network"
)

// TestWhatARequestReads holds how often the rules of a target are read and written: once for a request to
// a target that this instance has not seen, and never again while nobody else writes there.
func TestWhatARequestReads(t *testing.T) {
	w := newWorld(t)
	w.enable("web", "app1")
	fw := &slow{RuleStore: w.cloud}
	w.start()
	w.startWith(func(p *core.Ports) { p.Kinds = network.KindsOf(network.SecurityGroups(fw)) })
	cost := func(what string, reads, writes int, do func()) {
		t.Helper()
		fw.reads, fw.writes = 0, 0
		do()
		if fw.reads != reads || fw.writes != writes {
			t.Errorf("%s: %d reads and %d writes, want %d and %d", what, fw.reads, fw.writes, reads, writes)
		}
	}
	cost("the first request to two targets", 2, 2, func() { w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web", "app1")) })
	var id string
	cost("the next one", 0, 1, func() { id = w.mustAsk(want("bob", 22, 2*time.Hour, "203.0.113.8", "web")) })
	cost("a window that ends", 0, 2, func() { w.pass(time.Hour) })
	cost("a revoke", 0, 1, func() {
		if _, err := w.Revoke(t.Context(), who("bob"), id); err != nil {
			t.Fatal(err)
		}
	})
	w.cloud.SetRules(nsgID("web-nsg"), append(foreignRules(), w.cloud.Standing(nsgID("web-nsg"))[2:]...)...)
	cost("a request after somebody else wrote", 1, 2, func() { w.mustAsk(want("carol", 22, time.Hour, "203.0.113.9", "web")) })
	if got := w.allows("web-nsg"); got != 1 {
		t.Errorf("%d rules of ours allow, want carol's", got)
	}
}
