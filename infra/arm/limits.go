package arm

import "time"

// Kind is what ARM counts apart.
type Kind string

// The kinds.
const (
	Reads   Kind = "reads"
	Writes  Kind = "writes"
	Deletes Kind = "deletes"
)

// Bucket is a token bucket: Size tokens when full, PerSecond new ones each second. A zero
// Size is no limit.
type Bucket struct {
	Size      int
	PerSecond float64
}

// Limits is what an identity may do in one subscription.
type Limits struct {
	Reads, Writes, Deletes Bucket
	// NetworkWrites is how many writes and deletes of network resources each region takes in any
	// NetworkWindow; 0 is no such limit.
	NetworkWrites int
	NetworkWindow time.Duration
	// Reserve is how many tokens for writes are left to closings alone: as many as they took in the last minute, and
	// at most so many.
	Reserve int
	// Share is the part of the tokens, one in Share, that goes to openings while closings
	// wait; 0 is none.
	Share int
}

// Documented gives the limits of ARM's documentation ("Understand how Azure Resource
// Manager throttles requests", 2024 and later), less a hair: calls may arrive closer together than they
// were sent, and a token that is not quite there yet is a refusal.
func Documented() Limits {
	return Limits{
		Reads: Bucket{250 - slack, 25}, Writes: Bucket{200 - slack, 10}, Deletes: Bucket{200 - slack, 10},
		NetworkWrites: 1000, NetworkWindow: 5*time.Minute + time.Second,
		Reserve: 20, Share: 8,
	}
}

// WithoutNetwork gives the limits without that of the network provider, for who has found that his subscriptions do not have it.
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
