package bench

import (
	"testing"
	"time"
)

// TestCounts holds what a request costs, exactly. Times are for TestBench alone.
func TestCounts(t *testing.T) {
	for _, s := range shapes()[:2] {
		for _, m := range ours(t, s, usual(), 5*time.Second, 5*time.Second, 2) {
			if m.open.Writes != s.groups || m.close.Writes != s.groups {
				t.Errorf("%s: %d writes to open and %d to close, want %d each", s, m.open.Writes, m.close.Writes, s.groups)
			}
			if got := [2]int{m.open.Bus.operations(), m.close.Bus.operations()}; got != [2]int{1, 2} {
				t.Errorf("%s: %v operations of the bus to open and to close, want 1 and 2", s, got)
			}
			if m.opensLeft > 0 || m.open.Rejected+m.close.Rejected > 0 {
				t.Errorf("%s: %d rules are left and %d calls were rejected", s, m.opensLeft, m.open.Rejected+m.close.Rejected)
			}
		}
	}
}

// TestCountsOfCrowd holds that requests that come together on one group share its writes.
func TestCountsOfCrowd(t *testing.T) {
	out := crowd(t, 32, usual(), 5*time.Second, byUs)
	if out.failed != 0 || out.lost != 0 || out.cost.Rejected != 0 {
		t.Errorf("32 requests: %d failed, %d rules lost, %d calls rejected; want none", out.failed, out.lost, out.cost.Rejected)
	}
	if out.cost.Writes >= 32 {
		t.Errorf("32 requests made %d writes", out.cost.Writes)
	}
}
