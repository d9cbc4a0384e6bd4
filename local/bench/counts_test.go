package bench

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/local/armsim"
)

// TestCounts checks what a request costs, exactly, so that nothing becomes dearer unnoticed. A change that makes
// something cheaper changes the row. Times are for TestBench alone.
//
// Each shape is asked for twice. At the first request the app remembers what its caller may do; before the second ten
// minutes pass, so that it asks Resource Manager for roles anew (3 reads); that its row of the idempotency key for the first
// one still stands costs nothing. Where the machines stand is three lists, whatever their number, or one read for a
// machine that was found a short while ago. A write that takes 5 s is looked at three times, from the 3 s on for which
// Resource Manager asks to be left alone, each a read of its group and no poll of its operation.
func TestCounts(t *testing.T) {
	at := func(writes, reads, polls, table int, b bus) cost {
		return cost{Writes: writes, Reads: reads, Polls: polls, Table: table, Bus: b}
	}
	sent, handled := bus{Calls: 1, Scheduled: 1}, bus{Received: 1, Completed: 1}
	atOnce := mode{answer: armsim.AnswerSucceeded}
	for _, row := range []struct {
		name        string
		shape       shape
		mode        mode
		first, next [2]cost // opening, closing
	}{
		{"one port of one machine, confirmed at once", shape{1, 1, 1}, atOnce,
			[2]cost{at(1, 1, 0, 8, sent), at(1, 0, 0, 7, handled)}, [2]cost{at(1, 6, 0, 8, sent), at(1, 0, 0, 7, handled)}},
		{"one port of one machine", shape{1, 1, 1}, usual(),
			[2]cost{at(1, 4, 0, 8, sent), at(1, 3, 0, 7, handled)}, [2]cost{at(1, 9, 0, 8, sent), at(1, 3, 0, 7, handled)}},
		{"ten machines behind two groups, confirmed at once", shape{10, 2, 2}, atOnce,
			[2]cost{at(2, 3, 0, 8, sent), at(2, 0, 0, 7, handled)}, [2]cost{at(2, 6, 0, 8, sent), at(2, 0, 0, 7, handled)}},
		{"ten machines behind two groups", shape{10, 2, 2}, usual(),
			[2]cost{at(2, 9, 0, 8, sent), at(2, 6, 0, 7, handled)}, [2]cost{at(2, 12, 0, 8, sent), at(2, 6, 0, 7, handled)}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := ours(t, row.shape, row.mode, 5*time.Second, 5*time.Second, 2)
			for i, want := range [][2]cost{row.first, row.next} {
				if diff := cmp.Diff(want, [2]cost{got[i].open, got[i].close}); diff != "" {
					t.Errorf("request %d, opening and closing (-want +got):\n%s", i+1, diff)
				}
				if got[i].opensLeft > 0 {
					t.Errorf("request %d: %d rules stand after it ended", i+1, got[i].opensLeft)
				}
			}
		})
	}
}

// TestCountsOfTelling checks that telling people adds no call to an opening or a closing: what there is to tell rides in the transactions that
// store what it tells of. Delivering it comes after, and is not counted here.
func TestCountsOfTelling(t *testing.T) {
	for _, s := range []shape{{1, 1, 1}, {10, 2, 2}} {
		quiet, telling := ours(t, s, usual(), 5*time.Second, 5*time.Second, 2), oursIn(t, setting{seed: 1, tells: true}, s, usual(), 5*time.Second, 5*time.Second, 2)
		for i := range quiet {
			if diff := cmp.Diff([2]cost{quiet[i].open, quiet[i].close}, [2]cost{telling[i].open, telling[i].close}); diff != "" {
				t.Errorf("%v, request %d, opening and closing (-without telling +with):\n%s", s, i+1, diff)
			}
		}
	}
}

// TestCountsOfCrowd checks that requests that come together on one group share two writes, and that no rule is lost.
// A second write would be refused here.
func TestCountsOfCrowd(t *testing.T) {
	out := crowd(t, 32, mode{retryAfter: 3 * time.Second, concurrent: armsim.Reject}, 5*time.Second, byUs)
	if out.cost.Writes != 2 || out.failed != 0 || out.lost != 0 || out.cost.Rejected != 0 {
		t.Errorf("32 requests made %d writes, %d failed, %d rules lost, %d calls rejected; want 2, and none", out.cost.Writes, out.failed, out.lost, out.cost.Rejected)
	}
}

// TestCountsOfStorm holds one write for each group, no call that is refused and no message that is given up.
func TestCountsOfStorm(t *testing.T) {
	out := storm{windows: 90, groups: 30, network: true}.ours(t, usual(), quickest, slowest)
	if out.cost.Writes != 30 || out.cost.Rejected != 0 || out.cost.Bus.Dead != 0 || out.cost.Bus.Abandoned != 0 || out.left != 0 {
		t.Errorf("90 windows on 30 groups: %d writes, %d calls rejected, %d messages abandoned, %d dead, %d rules left; want 30, and none",
			out.cost.Writes, out.cost.Rejected, out.cost.Bus.Abandoned, out.cost.Bus.Dead, out.left)
	}
	// How many looks it takes depends on what happens to come together; one by one it would be four for each write. Once
	// listings have begun nobody looks at an operation by itself. What is stored is read and written many at a time.
	if out.cost.Reads > 2*30 || out.cost.Polls > 2 || out.cost.Table > 9*90 {
		t.Errorf("90 windows on 30 groups cost %d reads, %d of them polls, and %d table operations", out.cost.Reads, out.cost.Polls, out.cost.Table)
	}
}

// TestCountsOfSweep checks that a look at groups on which nothing is wrong reads lists alone: of the table one page of
// grants, of targets, of expired keys, of lock-downs and of reviews that are owed, two of policies, one of what is stored of the groups, and three operations of the sweep and its entry. With more
// groups it is a page of each for what fits in one, and one write of the progress for every 400 groups.
func TestCountsOfSweep(t *testing.T) {
	for _, row := range []struct{ groups, table, reads int }{{40, 11, 6}, {800, 14, 6}} {
		out := sweeps(t, row.groups, sweepByUs)
		if want := (cost{Reads: row.reads, Table: row.table}); out.cost != want {
			t.Errorf("a sweep over %d groups cost %+v, want %+v", row.groups, out.cost, want)
		}
	}
}

// TestCountsOfWide holds that a request over 200 machines behind 200 groups reads what is stored of groups that are looked at together, together: as
// often as looks at Resource Manager end writes, and not as often as there are groups. How many writes one look ends depends on what comes together.
func TestCountsOfWide(t *testing.T) {
	for _, got := range ours(t, shape{200, 200, 1}, usual(), quickest, slowest, 2) {
		if got.open.Table > 90 || got.close.Table > 90 || got.open.Writes != 200 || got.close.Writes != 200 || got.opensLeft > 0 {
			t.Errorf("opening cost %+v, closing %+v, with %d rules left; want at most 90 table operations each", got.open, got.close, got.opensLeft)
		}
		t.Logf("%d table operations to open, %d to close", got.open.Table, got.close.Table)
	}
}
