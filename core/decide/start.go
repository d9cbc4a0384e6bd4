package decide

import (
	"time"

	"portcullis/core/jit"
)

// The refusals of when a request begins.
const (
	CodeStartInPast    jit.Code = "StartTimeInPast"      // a start that has passed by more than [jit.ClockSkew]
	CodeStartTooFar    jit.Code = "StartTimeTooFarAhead" // a start that is further ahead than the installation allows
	CodeEndBeforeStart jit.Code = "EndTimeBeforeStart"   // an end that is not after the start
)

// How far ahead the start of a request may be: unless it is set, and at most.
const (
	DefaultAhead = 14 * 24 * time.Hour
	MaxAhead     = 31 * 24 * time.Hour
)

// start returns from when the windows of a request count, or refuses a start that has passed by more than [jit.ClockSkew], or that is
// more than ahead from now. One that has passed by less is now, and one that is ahead by no more than the skew is never too far. Starts are instants: no
// zone and no summer time is looked at, and an hour is an hour.
func start(opens, now time.Time, ahead time.Duration) (time.Time, error) {
	last := now.Add(max(ahead, jit.ClockSkew))
	switch {
	case opens.IsZero():
		return now, nil
	case opens.Before(now.Add(-jit.ClockSkew)):
		return now, refuse(CodeStartInPast, "startTimeUtc", "startTimeUtc %s has passed: here it is %s, and clocks may differ by %s; look at your clock and at the offset, or leave startTimeUtc out to begin at once", timeText(opens), timeText(now), jit.Length(jit.ClockSkew))
	case opens.After(last):
		return now, refuse(CodeStartTooFar, "startTimeUtc", "startTimeUtc %s is too far ahead: here it is %s, and a request may begin until %s", timeText(opens), timeText(now), timeText(last))
	case opens.After(now):
		return jit.Instant(opens), nil
	}
	return now, nil
}
