package access_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"portcullis/core"
	"portcullis/core/jit"
	"portcullis/core/limit"
)

// TestQuota: one requestor takes no more of a security group that machines share than the quota, in windows and in addresses; what he closes, what a
// new request takes the place of, what is elsewhere and what is others' does not count; a refusal changes nothing, and a dry run tells it.
func TestQuota(t *testing.T) {
	ctx := t.Context()
	sources := func(n, from int) []string {
		var out []string
		for i := range n {
			out = append(out, fmt.Sprintf("203.0.113.%d", from+2*i))
		}
		return out
	}
	ask := func(who string, port uint16, vm string, from []string) jit.Request {
		s, err := jit.ParseSources(from...)
		if err != nil {
			t.Fatal(err)
		}
		return jit.Request{Requestor: who, VMs: []jit.RequestVM{{VM: vmID(vm), Ports: []jit.RequestPort{{Number: port, Duration: time.Hour, Sources: s}}}}}
	}
	for name, quota := range map[string]limit.Quota{"windows": {Windows: 2}, "addresses": {Addresses: 10}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.startWith(func(p *core.Ports) { *p = w.portsOf(); p.Quota = quota })
			for _, vm := range []string{"web", "app1", "app2"} {
				w.enable(vm)
			}
			refused := func(what string, r jit.Request) {
				t.Helper()
				w.leap(time.Second)
				before := len(w.log())
				writes := w.cloud.Writes()
				_, _, dry := w.Preview(ctx, r)
				_, err := w.ask(r)
				for how, err := range map[string]error{"dry run": dry, "request": err} {
					if bad := jit.Refused(err); bad == nil || bad.Code != limit.CodeQuota || bad.Target != nsgID("apps-nsg").String() {
						t.Errorf("%s, %s: %v, want %s at the group", what, how, err, limit.CodeQuota)
					}
				}
				if log := w.log()[before:]; w.cloud.Writes() != writes || len(log) != 1 || !strings.Contains(log[0], "Refused") {
					t.Errorf("%s: %d writes, log %q", what, w.cloud.Writes()-writes, log)
				}
			}
			first := w.mustAsk(ask("alice", 22, "app1", sources(5, 1)))
			w.leap(time.Second)
			w.mustAsk(ask("alice", 22, "app2", sources(5, 1)))
			w.leap(time.Second)
			refused("one more", ask("alice", 3389, "app2", sources(1, 101)))
			w.mustAsk(ask("alice", 3389, "web", sources(5, 1)))  // another group
			w.mustAsk(ask("bob", 3389, "app1", sources(5, 101))) // another person
			w.leap(time.Minute)
			again := ask("alice", 22, "app2", sources(5, 1)) // takes the place of what is open
			again.VMs[0].Ports[0].Duration = 2 * time.Hour
			w.mustAsk(again)
			refused("one more, after a renewal", ask("alice", 3389, "app2", sources(1, 101)))
			if _, err := w.Revoke(ctx, who("alice"), first); err != nil {
				t.Fatal(err)
			}
			w.mustAsk(ask("alice", 3389, "app2", sources(1, 101)))
		})
	}
}
