package azfirewall_test

import (
	"testing"

	"portcullis/core/network"
	"portcullis/infra/arm"
	"portcullis/infra/arm/armtest"
	"portcullis/infra/azfirewall"
)

// TestPriorities: the read of an address, the read before a write and the poll after it are paced as what they are for.
func TestPriorities(t *testing.T) {
	a := mine("a", 50022)
	before, after := string(gate().Body), []string{ourCollection(t, 64999, a)}
	armtest.TestPriorities(t, 7, func(t *testing.T, pacer *arm.Pacer, p network.Priority) {
		s := play(t, answer(200, before), answer(200, ipDoc), answer(200, `{"value":[`+before+`]}`), answer(200, before),
			answer(200, shown("v8", "Updating", after...), "Azure-AsyncOperation", operation), answer(200, `{"status":"Succeeded"}`), answer(200, shown("v9", "Succeeded", after...)))
		c := client(t, s.Server, func(cfg *azfirewall.Config) { cfg.Pacer = pacer })
		snap, err := c.Rules(t.Context(), p, fwID("gate"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.All(t.Context(), p, sub); err != nil {
			t.Error(err)
		}
		if _, err := c.Apply(t.Context(), p, snap, create(a)); err != nil {
			t.Error(err)
		}
	})
}
