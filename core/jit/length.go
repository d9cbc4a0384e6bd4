package jit

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Length writes a duration for people: "3 h", "1 h 30 min", "45 min", "20 s", "0.4 s". It rounds nothing away, so that
// two lengths that differ read differently.
func Length(d time.Duration) string {
	if d <= 0 {
		return "0 s"
	}
	if d > longest {
		return "more than 100 years"
	}
	var parts []string
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "min"}} {
		if n := d / u.unit; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, u.name))
			d -= n * u.unit
		}
	}
	if d > 0 {
		parts = append(parts, strconv.FormatFloat(d.Seconds(), 'f', -1, 64)+" s")
	}
	return strings.Join(parts, " ")
}

// longest is the longest duration that is written as it is. What is longer is a difference of times, or a length that somebody asked for, that a
// [time.Duration] may not hold: it ends at 292 years.
const longest = 100 * 365 * 24 * time.Hour

// Instant returns a time as it is stored: in UTC, in whole milliseconds.
func Instant(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
