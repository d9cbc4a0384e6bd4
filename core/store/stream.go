package store

import (
	"context"
	"time"
)

// Linked is an entry with its place in its chain, as its row says.
type Linked struct {
	Entry
	Seq  int    // from 1
	Hash string // in hexadecimal; of all entries up to this one
}

// Place is a place in a chain, and when its entry happened, which says where to look for the next ones. The zero value is before the first.
type Place struct {
	Seq  int
	Time time.Time
}

// Chained is an activity log whose chains can be read in the order in which they were appended, which is not that of time: an entry may be
// appended after later ones.
type Chained interface {
	Heads
	// Follow returns the entries of a chain of a UTC day with places from from.Seq to to, at most limit places of them, in their order. Places of which
	// nothing is found are left out: their entries are gone, or cannot be read. Where more than one entry claims a place, at least two of them are returned.
	Follow(ctx context.Context, subscription string, day time.Time, from Place, to, limit int) ([]Linked, error)
}

// StreamRecord is how far the activity log has been streamed out of the account, and how that goes.
type StreamRecord struct {
	Lease     time.Time // until then whoever wrote it works on it; zero for nobody
	Ran       time.Time // when somebody began to work on it last
	Failing   time.Time // since when nothing has been taken; zero where it goes well
	Tries     int       // in a row that have failed
	Next      time.Time // not before
	LastError string    // of the last try, without anything secret
	Days      []StreamDay
	Version   string // "" for one that is not stored yet
}

// StreamDay is the chains of one UTC day.
type StreamDay struct {
	Day    time.Time // its beginning
	Until  time.Time // it is looked at until then, and as long as something of it is left
	Chains []StreamChain
}

// StreamChain is how far a chain has been streamed.
type StreamChain struct {
	Subscription string // in lower case, "" for entries that concern none
	Head                // the last entry that was taken; Hash is "" where that was not found
	Time         time.Time
	Stated       Head // the head that was taken last
	Missing      int  // entries that were not found
	Rewritten    int  // how often the chain was not what had been streamed of it
}

// Place returns where the chain goes on.
func (c StreamChain) Place() Place { return Place{Seq: c.Entries, Time: c.Time} }

// Streams stores the one StreamRecord.
type Streams interface {
	// Stream returns the record; ErrNotFound before the first.
	Stream(ctx context.Context) (StreamRecord, error)
	// PutStream stores the record and returns it with its new Version. ErrConflict if somebody else has written it.
	PutStream(ctx context.Context, r StreamRecord) (StreamRecord, error)
}
