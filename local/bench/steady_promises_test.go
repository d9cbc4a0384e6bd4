package bench

import (
	"fmt"
	"testing"
	"time"
)

// TestSteadyLoad checks what a steady load on one group is promised. Times are simulated, so they are exact enough to
// be held to. The whole grid, up to ten requests a second, is B7 of TestBench.
func TestSteadyLoad(t *testing.T) {
	for _, s := range []steady{
		{rate: 0.2, write: 10 * time.Second, window: 10 * time.Minute},
		{rate: 0.5, write: 2 * time.Second, window: 10 * time.Minute, sweep: 20 * time.Second},
		{rate: 0.4, write: 5 * time.Second, window: 10 * time.Second, sweep: 20 * time.Second}, // windows that end with the second write
		{rate: 0.4, write: 5 * time.Second, window: 10 * time.Minute, second: true},
		{rate: 1, write: 10 * time.Second, window: 10 * time.Minute, sweep: 20 * time.Second, second: true},
		{rate: 0.2, write: 15 * time.Second, window: 10 * time.Minute}, // two writes take longer than the wait for an answer
	} {
		t.Run(s.String(), func(t *testing.T) {
			if raceDetector && s.rate > 0.2 && !(s.second && s.rate < 1) {
				t.Skip("NOT RUN: it takes minutes under the race detector; go test ./local/bench")
			}
			for _, broken := range s.broken(s.run(t, steadyOurs)) {
				t.Error(broken)
			}
		})
	}
}

// mostWrites is within how many writes 99 of 100 requests are open: the one under way and their own, whichever instance sends them.
const mostWrites = 2.2

// within returns how long so many writes take.
func (s steady) within(writes float64) time.Duration {
	return time.Duration(writes * float64(s.writeTime()))
}

// broken returns every promise that was not kept.
func (s steady) broken(o steadied) (out []string) {
	hold := func(kept bool, format string, args ...any) {
		if !kept {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	answered := 0
	for _, n := range o.answers {
		answered += n
	}
	hold(answered == s.requests(), "%d answers to %d requests", answered, s.requests())
	hold(o.answers[failed] == 0, "%d requests failed", o.answers[failed])
	hold(o.answers[tooEarly] == 0, "%d windows were said to have ended before their end", o.answers[tooEarly])
	hold(o.answers[refused] == s.refusals(), "%d requests were refused for want of room, want %d", o.answers[refused], s.refusals())
	hold(o.answers[tooLate] == 0 || s.window <= s.within(mostWrites), "%d windows ended before they were open", o.answers[tooLate])
	hold(o.undone == 0, "%d openings that Resource Manager had confirmed were undone", o.undone)
	hold(o.unfound == 0, "%d requests were answered as open and their rules never stood", o.unfound)
	hold(o.left == 0, "%d rules stand after all windows have ended", o.left)
	hold(o.sweeps == 0, "%d sweeps failed", o.sweeps)
	hold(o.overlaps == 0, "%d writes were sent while another was under way", o.overlaps)
	hold(o.perWriteTime(s) <= 1, "%.2f writes in the time of one", o.perWriteTime(s))
	if most := s.within(mostWrites); most < answerWithin {
		hold(o.answers[later] == 0, "%d requests were answered with 202", o.answers[later])
		p99 := percentile(o.took, .99)
		hold(p99 <= most, "p99 of opening is %s, more than %g times the %s of a write", seconds(p99), mostWrites, s.writeTime())
		// Whose window ended meanwhile is answered when its rule is gone: after one that began just before the end, by the
		// write after it. Two instances also lose a race to each other, and such a request then has 25 s, as any has.
		p99 = percentile(o.tooLate, .99)
		hold(s.second || p99 <= most+s.within(2), "p99 of opening too late is %s, more than %g times the %s of a write", seconds(p99), mostWrites+2, s.writeTime())
	}
	return out
}
