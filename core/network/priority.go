package network

import "time"

// Priority orders the calls to Azure that have to wait for their turn. There are two: [Closing] and [Ordinary].
type Priority struct {
	Closing bool
	Since   time.Time // when the closing became due; zero if it is not known, and for an ordinary call
}

// Closing returns the priority of a call that removes access. It goes before all ordinary ones, and before closings that
// became due later or at an unknown (zero) time.
func Closing(since time.Time) Priority { return Priority{Closing: true, Since: since} }

// Ordinary returns the priority of every other call: openings, sweeps, readers. They go in order of arrival. It is the zero
// value.
func Ordinary() Priority { return Priority{} }

// Before reports whether p comes before o.
func (p Priority) Before(o Priority) bool {
	if p.Closing != o.Closing {
		return p.Closing
	}
	return p.Closing && !p.Since.IsZero() && (o.Since.IsZero() || p.Since.Before(o.Since))
}
