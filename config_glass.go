package main

import (
	"fmt"

	"portcullis/core/glass"
	"portcullis/core/jit"
	"portcullis/handlers/wire"
)

// glassSettings returns the setting of break-glass. That anybody may do it is no setting: it is the app role, which nobody has unless it is given.
func glassSettings() []setting {
	return []setting{{"PORTCULLIS_BREAK_GLASS_MAX_DURATION", deployed,
		"how long a window that somebody with the app role " + jit.RoleBreakGlass + " opens without approval lasts at most, from PT5M to P1D, whatever the policy allows; PT1H where it is empty", readBreakGlass}}
}

func readBreakGlass(c *config, v string) (err error) {
	if c.BreakGlass = glass.Default; v == "" {
		return nil
	}
	c.BreakGlass, err = wire.ParseDuration(v, "")
	if err != nil || c.BreakGlass < glass.Shortest || c.BreakGlass > glass.Longest {
		return fmt.Errorf("%q is not a length in ISO 8601 from PT5M to P1D", v)
	}
	return nil
}
