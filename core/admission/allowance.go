package admission

import "time"

// allowance is what one caller has left who is not known to be permitted anything. The zero value is a whole one.
type allowance struct{ calls, closings bucket }

func (a *allowance) whole(now time.Time) bool {
	return !time.Time(a.calls).After(now) && !time.Time(a.closings).After(now)
}

// bucket is a token bucket, kept as the time when it is full again: each use puts that off by as long as one token takes to come back.
type bucket time.Time

// wait returns how long one more use has to wait; 0 for not at all.
func (b *bucket) wait(now time.Time, burst int, every time.Duration) time.Duration {
	if !time.Time(*b).After(now) {
		return 0
	}
	return max(0, time.Time(*b).Sub(now)-time.Duration(burst-1)*every)
}

func (b *bucket) use(now time.Time, every time.Duration) {
	if full := time.Time(*b); full.After(now) {
		now = full
	}
	*b = bucket(now.Add(every))
}

// take uses one if there is one.
func (b *bucket) take(now time.Time, burst int, every time.Duration) bool {
	if b.wait(now, burst, every) > 0 {
		return false
	}
	b.use(now, every)
	return true
}
