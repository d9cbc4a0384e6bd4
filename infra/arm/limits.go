package arm

import "time"

// Kind is a kind of call that ARM counts separately.
type Kind string

// The kinds.
const (
	Reads   Kind = "reads"
	Writes  Kind = "writes"
	Deletes Kind = "deletes"
)

// Bucket is a token bucket with Size tokens when full and PerSecond new ones each second. A zero Size is no limit.
type Bucket struct {
	Size      int
	PerSecond float64
}

// Limits are the limits for an identity in one subscription.
type Limits struct {
	Reads, Writes, Deletes Bucket
	// NetworkWrites is how many writes and deletes of network resources each region accepts in any NetworkWindow; 0 is
	// no such limit.
	NetworkWrites int
	NetworkWindow time.Duration
	// Reserve is the largest number of write tokens reserved for closings; the reserve is as many as they took in the
	// last minute.
	Reserve int
	// Share is the fraction of the tokens, one in Share, that goes to openings while closings wait; 0 is none.
	Share int
}

// Documented returns the limits of ARM's documentation ("Understand how Azure Resource Manager throttles
// requests", 2024 and later), reduced by a small margin: calls may arrive closer together than they were sent, and
// a call that arrives just before its token is refused.
func Documented() Limits {
	return Limits{
		Reads: Bucket{250 - slack, 25}, Writes: Bucket{200 - slack, 10}, Deletes: Bucket{200 - slack, 10},
		NetworkWrites: 1000, NetworkWindow: 5*time.Minute + time.Second,
		Reserve: 20, Share: 8,
	}
}

// WithoutNetwork returns the limits without the network provider's, for subscriptions that are found not to have
// it.
func (l Limits) WithoutNetwork() Limits {
	l.NetworkWrites, l.NetworkWindow = 0, 0
	return l
}

const slack = 2

func (l Limits) bucket(k Kind) Bucket {
	switch k {
	case Writes:
		return l.Writes
	case Deletes:
		return l.Deletes
	}
	return l.Reads
}
