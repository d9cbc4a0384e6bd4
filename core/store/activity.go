package store

import (
	"context"
	"time"

	"portcullis/core/jit"
)

// Entry is one line of the activity log.
type Entry struct {
	ID            string // identifies the event: appending it again has no effect
	Time          time.Time
	Since         time.Time // when the event can have happened at the earliest, where others may tell of it too, at another time; zero where nobody does
	Operation     Operation
	Result        Result
	VM            jit.ID    // zero for an event that concerns no single machine
	Target        jit.ID    // zero for an event that concerns no single target
	Requestor     string    // the requestor's name, or "portcullis" for the app itself
	Actor         jit.Actor // the requestor without the name
	Grant         string
	Ports         []uint16
	Sources       []string
	End           time.Time
	Justification string
	Reason        string // why a window closed, an error code, what was repaired, or that nobody approved of it: a jit.BreakGlass
	Message       string
	Correlation   string // the invocation id
}

// EntryBy starts the entry for an operation of a caller.
func EntryBy(who jit.Caller, op Operation) Entry {
	return Entry{Operation: op, Requestor: who.Name, Actor: who.Actor(), Correlation: who.Correlation}
}

// Asked returns the entry with the id of its grant ("" for none) and the justification.
func (e Entry) Asked(grant, why string) Entry {
	e.Grant, e.Justification = grant, why
	return e
}

// Operation is what an entry reports.
type Operation string

// The operations.
const (
	OpEnable   Operation = "Enable"
	OpDisable  Operation = "Disable"
	OpRequest  Operation = "Request"
	OpOpen     Operation = "Open"
	OpExtend   Operation = "Extend"
	OpApprove  Operation = "Approve"
	OpDeny     Operation = "Deny"
	OpRevoke   Operation = "Revoke"
	OpClose    Operation = "Close"
	OpRepair   Operation = "Repair"
	OpSweep    Operation = "Sweep"
	OpLockdown Operation = "Lockdown"
	OpLift     Operation = "Lift"
	OpReview   Operation = "Review" // what happened after a break-glass; the message has it
	// OpRefusals tells how many refusals have no entry of their own.
	OpRefusals Operation = "Refusals"
)

// Operations returns every operation that the log can be asked for.
func Operations() []Operation {
	return []Operation{OpEnable, OpDisable, OpRequest, OpApprove, OpDeny, OpOpen, OpExtend, OpRevoke, OpClose, OpRepair, OpSweep, OpLockdown, OpLift, OpReview, OpRefusals}
}

// Result is how an operation ended.
type Result string

// Results returns every result that an entry may have.
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
	Located      bool   // only entries about a machine or a target
	Requestor    string // the name, without regard to case
	Object       string // id of who asked
	Operation    Operation
	Result       Result
	From, To     time.Time // time in [From, To)
}

// Activity is the append-only activity log.
type Activity interface {
	// Append adds entries in the order of their times, and each ID only once within a UTC day. An entry with Since is added only once
	// whenever it comes, with the time of the first: its Since, which is not after its time, is the same whoever tells of the event.
	Append(ctx context.Context, entries ...Entry) error
	// Entries returns at most limit entries, newest first, and the cursor for the next page, "" at the end.
	Entries(ctx context.Context, f EntryFilter, cursor string, limit int) ([]Entry, string, error)
}

// Verifier is an activity log that can prove its integrity: the entries of one subscription and UTC day form a
// chain, in which each entry names the one before it.
type Verifier interface {
	// Verify checks the chain of a subscription ("" for entries that concern none) for the UTC day of the given time.
	// A broken chain is a result, not an error. A chain to which nothing was ever appended is intact. An intact chain
	// that does not contain one of the stated heads is [BreakRewound].
	Verify(ctx context.Context, subscription string, day time.Time, stated ...Head) (VerifyResult, error)
}

// Head is where a chain of the activity log ends, or ended when its head was stated.
type Head struct {
	Entries int    // from 1; 0 for a chain that does not exist
	Hash    string // of the last entry, in hexadecimal; "" if it cannot be read
}

// ChainHead is the head of one chain.
type ChainHead struct {
	Subscription string // in lower case, "" for entries that concern none
	Head
}

// MaxHeads bounds how many chains of a day are returned. There is one for each managed subscription, and one for entries that
// concern none.
const MaxHeads = 1000

// Heads is an activity log that returns where its chains end, so that a copy can be kept where those who
// can write the log cannot.
type Heads interface {
	// Heads returns the chains of the UTC day of the given time, by subscription, at most [MaxHeads], and whether there are more.
	Heads(ctx context.Context, day time.Time) ([]ChainHead, bool, error)
}

// VerifyResult is the result of checking one chain.
type VerifyResult struct {
	Entries     int          // the number of entries in the chain
	Head        string       // the hash of the last entry, in hexadecimal; "" for an empty chain. A copy kept elsewhere later proves that nothing before it changed
	FirstBroken *BrokenEntry // nil if the chain is intact
}

// BrokenEntry is the first place where a chain differs from what was appended.
type BrokenEntry struct {
	Seq     int // its position in the chain, from 1
	Break   Break
	ID      string    // of the entry at that position; "" if there is none
	Time    time.Time // its time; zero if there is none
	Message string
}

// Break says how a chain is broken.
type Break string

// The ways in which a chain can be broken.
const (
	BreakChanged     Break = "Changed"     // the entry differs from what was appended
	BreakRemoved     Break = "Removed"     // there is no entry here, but there are later ones
	BreakReordered   Break = "Reordered"   // the entry is at another entry's position
	BreakInserted    Break = "Inserted"    // the entry was never appended
	BreakTruncated   Break = "Truncated"   // the last entries are missing
	BreakHeadMissing Break = "HeadMissing" // the record that names the last entry is missing
	BreakRewound     Break = "Rewound"     // the chain is intact, but does not contain a head that was stated
)

// Noted adds to the message of each entry what says tells of its machine, if anything.
func Noted(entries []Entry, says func(vm jit.ID) string) []Entry {
	for i, e := range entries {
		if said := says(e.VM); said != "" {
			entries[i].Message += "; " + said
		}
	}
	return entries
}
