package sim_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"portcullis/core/store"
)

// fault chooses what goes wrong with a call.
func (r *run) fault(c *call) error {
	r.seen.Faults++
	r.disturb()
	odds := 25
	if strings.HasPrefix(c.op, "request") {
		odds = 60 // half of an opening is left to the others
	}
	if r.crashes && r.chance(odds) {
		return errCrashed
	}
	dependency := "Table Storage"
	switch {
	case resourceManager(c):
		dependency = "Azure Resource Manager"
		if r.chance(30) {
			r.throttled = time.Now().Add(time.Duration(5+r.pick(60)) * time.Second)
			return r.throttle()
		}
	case c.step.Op == "Schedule":
		dependency = "Service Bus"
	case c.step.Op == "Send":
		dependency = "Azure Monitor"
	}
	if c.step.Op == "Apply" && r.chance(30) {
		return store.ErrConflict
	}
	return &store.Unavailable{Dependency: dependency, Err: errInjected}
}

// resourceManager reports whether Azure Resource Manager may throttle the call.
func resourceManager(c *call) bool {
	return !c.step.After && slices.Contains([]string{"Rules", "All", "Apply", "Machines", "Locate"}, c.step.Op)
}

// throttle is the response to every call to Resource Manager, including reads, while it throttles.
func (r *run) throttle() error {
	r.seen.Throttled++
	return &store.Unavailable{Dependency: "Azure Resource Manager", RetryAfter: time.Until(r.throttled), Err: errThrottled}
}

// disturb restarts the bounds.
func (r *run) disturb() { r.disturbed, r.clean = time.Now(), 0 }

func (r *run) crash(a *app) {
	r.note("%s dies", a.name)
	r.seen.Crashes++
	r.disturb()
	close(a.died)
	for i := range r.apps {
		if r.apps[i] == a {
			r.apps[i] = r.newApp(fmt.Sprintf("app%d.%d", i, r.ops))
		}
	}
}
