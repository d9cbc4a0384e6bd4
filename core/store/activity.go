package store

import (
	"context"
	"time"

	"portcullis/core/jit"
)

// Entry is one line of the activity log.
type Entry struct {
	ID            string // names the event: appending it again does nothing
	Time          time.Time
	Operation     Operation
	Result        Result
	VM            jit.ID // zero where the event concerns no one machine
	Target        jit.ID // zero where the event concerns no one target
	Requestor     string // who asked, or "portcullis" for the app itself
	Grant         string
	Ports         []uint16
	Sources       []string
	End           time.Time
	Justification string
	Reason        string // why a window closed, a code, or what was repaired
	Message       string
	Correlation   string // the invocation's id
}

// Operation is what an entry tells of.
type Operation string

// The operations.
const (
	OpEnable  Operation = "Enable"
	OpDisable Operation = "Disable"
	OpRequest Operation = "Request"
	OpOpen    Operation = "Open"
	OpExtend  Operation = "Extend"
	OpRevoke  Operation = "Revoke"
	OpClose   Operation = "Close"
	OpRepair  Operation = "Repair"
	OpSweep   Operation = "Sweep"
)

// Result is how an operation ended.
type Result string

// Results gives every result that an entry may have.
func Results() []Result { return []Result{Succeeded, Refused, Failed} }

// The results.
const (
	Succeeded Result = "Succeeded"
	Refused   Result = "Refused"
	Failed    Result = "Failed"
)

// EntryFilter selects entries; zero fields select all.
type EntryFilter struct {
	Subscription string
	VM           string // jit.ID.Key of a machine
	Requestor    string
	Operation    Operation
	Result       Result
	From, To     time.Time // time in [From, To)
}

// Activity is the append-only activity log.
type Activity interface {
	// Append adds entries, each once by its ID, in the order of their times.
	Append(ctx context.Context, entries ...Entry) error
	// Entries gives at most limit entries, newest first, and the cursor for the next page, "" at the end.
	Entries(ctx context.Context, f EntryFilter, cursor string, limit int) ([]Entry, string, error)
}

// Verifier is an activity log that can tell whether it is whole: the entries of one
// subscription and UTC day are a chain, in which each names the one before it.
type Verifier interface {
	// Verify looks through the chain of a subscription ("" for the entries that concern none)
	// and the UTC day of the time. What is broken is an answer and not an error. A chain that
	// nothing was ever appended to is whole.
	Verify(ctx context.Context, subscription string, day time.Time) (VerifyResult, error)
}

// VerifyResult is what a look through one chain gave.
type VerifyResult struct {
	Entries     int          // entries that stand in the chain
	Head        string       // the hash of the last entry, in hexadecimal; "" for an empty chain. Kept elsewhere, it proves later that nothing before it changed
	FirstBroken *BrokenEntry // nil where the chain is whole
}

// BrokenEntry is the first place at which a chain is not as it was appended.
type BrokenEntry struct {
	Seq     int // its place in the chain, from 1
	Break   Break
	ID      string    // of the entry that stands there; "" where none does
	Time    time.Time // its time; zero where none does
	Message string
}

// Break says how a chain is broken.
type Break string

// The ways.
const (
	BreakChanged     Break = "Changed"     // the entry is not what was appended
	BreakRemoved     Break = "Removed"     // there is no entry here, but there are later ones
	BreakReordered   Break = "Reordered"   // the entry stands in another's place
	BreakInserted    Break = "Inserted"    // the entry was never appended
	BreakTruncated   Break = "Truncated"   // the last entries are gone
	BreakHeadMissing Break = "HeadMissing" // what names the last entry is gone
)
