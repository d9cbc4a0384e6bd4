package doctor

import (
	"fmt"
	"math"
	"time"
)

// How far our clock may be off. Windows end by it, and Entra ID's tokens tolerate five minutes. Nobody notices
// five seconds; with a minute, ports close visibly earlier or later than announced.
const (
	clockAttention = 5 * time.Second
	clockBroken    = time.Minute
)

// seenClock is what one answer said about a service's clock. The zero value means that the service was not asked.
type seenClock struct {
	asked         bool
	at            time.Time // in whole seconds; zero if the answer named no time
	before, after time.Time // by our clock, around the call
	err           error
}

func (s *seenClock) see(at, before, after time.Time, err error) {
	*s = seenClock{true, at, before, after, err}
}

// reading compares a service's clock with ours.
type reading struct {
	service string
	known   bool
	ahead   time.Duration // how far ours is ahead, at least; 0 if no difference is certain
	reason  string        // why it is not known
}

// of returns the reading. The service reported a whole second at some moment during the call: its clock was
// between that second and the next while ours was between before and after. Only what lies outside that range is a
// difference.
func (s *seenClock) of(service string) reading {
	switch {
	case !s.asked:
		return reading{service: service, reason: "it was not asked"}
	case s.at.IsZero() && s.err != nil:
		return reading{service: service, reason: why(s.err)}
	case s.at.IsZero():
		return reading{service: service, reason: "its answer names no time"}
	}
	r := reading{service: service, known: true}
	if least := s.before.Sub(s.at.Add(time.Second)); least > 0 {
		r.ahead = least
	} else if most := s.after.Sub(s.at); most < 0 {
		r.ahead = most
	}
	return r
}

// clockOf judges our clock by those of services. If the services disagree, ours is not certainly the wrong one:
// the state is broken only if all services that answered say so.
func clockOf(readings ...reading) Check {
	c := Check{Name: CheckClock}
	least, most := time.Duration(math.MaxInt64), time.Duration(0)
	known := 0
	for _, r := range readings {
		f := Fact{Name: r.service, Reason: r.reason}
		if r.known {
			known++
			least, most = min(least, r.ahead.Abs()), max(most, r.ahead.Abs())
			f.Value = ahead(r.ahead)
		}
		c.Facts = append(c.Facts, f)
	}
	const advice = "the platform keeps this clock: restart the app, which may move it to another machine; if it stays, ask Azure's support. Windows end by this clock"
	switch {
	case known == 0:
		c.State, c.Reason, c.Advice = Unknown, "no service answered with its time", "look at the other checks first"
	case least > clockBroken:
		c.State, c.Seen, c.Advice = Broken, fmt.Sprintf("this clock is off by %d s or more", int(least.Seconds())), advice
	case most > clockAttention:
		c.State, c.Seen, c.Advice = Attention, fmt.Sprintf("this clock is off by %d s or more", int(most.Seconds())), advice
	default:
		c.State, c.Seen = OK, fmt.Sprintf("this clock is within %d s", int(clockAttention.Seconds()))
	}
	return c
}

func ahead(d time.Duration) string {
	switch {
	case d > 0:
		return fmt.Sprintf("ours is ahead by %.1f s", d.Seconds())
	case d < 0:
		return fmt.Sprintf("ours is behind by %.1f s", -d.Seconds())
	}
	return "no difference that a whole second shows"
}
