package nsg_test

import (
	"testing"

	"portcullis/core/network"
	"portcullis/infra/arm"
	"portcullis/infra/arm/armtest"
	"portcullis/infra/nsg"
)

// TestPriorities: a poll after the write is paced as the write is.
func TestPriorities(t *testing.T) {
	a := mine("a", 100)
	before, after := shown(`W/\"7\"`, "Succeeded", foreign()...), append(foreign(), encoded(t, a))
	armtest.TestPriorities(t, 5, func(t *testing.T, pacer *arm.Pacer, p network.Priority) {
		s := play(t, answer(200, before), answer(200, `{"value":[`+before+`]}`),
			answer(200, shown("v8", "Updating", after...), "Azure-AsyncOperation", operation), answer(200, shown("v9", "Succeeded", after...)),
			answer(200, shown("v9", "Succeeded", after...), "Azure-AsyncOperation", operation))
		c := client(t, s.Server, func(cfg *nsg.Config) { cfg.Pacer = pacer })
		snap, err := c.Rules(t.Context(), p, nsgID("shop"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.All(t.Context(), p, sub); err != nil {
			t.Error(err)
		}
		if _, err := c.Apply(t.Context(), p, snap, create(a)); err != nil {
			t.Error(err)
		}
		held, _, err := c.Turn(t.Context(), p, snap)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Apply(held, p, snap, create(a)); err != nil { // its PUT has its turn
			t.Error(err)
		}
	})
}
