package store

import (
	"context"
	"time"

	"portcullis/core/jit"
)

// Finding is something that a sweep found and people should know.
type Finding struct {
	Kind    FindingKind
	Target  jit.ID
	VM      jit.ID
	Grant   string
	Rule    string
	Message string // what it is and what to do
	Since   time.Time
}

// FindingKind says what was found.
type FindingKind string

// The kinds of finding.
const (
	FindingExposed       FindingKind = "Exposed"       // a foreign rule opens a protected port
	FindingUnguarded     FindingKind = "Unguarded"     // a protected machine has an interface without a security group
	FindingOverdue       FindingKind = "Overdue"       // a window is past its end and not confirmed closed
	FindingOpeningFailed FindingKind = "OpeningFailed" // an opening was never confirmed and has been undone
	FindingRepaired      FindingKind = "Repaired"      // our rules were not as they should be, and are again
	FindingRefused       FindingKind = "Refused"       // a rule of ours has no place
	FindingBlocked       FindingKind = "Blocked"       // a foreign deny stands above an open window
	FindingReachable     FindingKind = "Reachable"     // a management port that no policy names is open to the Internet
	FindingVMGone        FindingKind = "VirtualMachineGone"
	FindingLost          FindingKind = "StateLost" // rules of ours on a target of which nothing is stored
	FindingBroken        FindingKind = "Broken"    // a target could not be read or written
	FindingUnchecked     FindingKind = "Unchecked" // something that may matter could not be looked at
)

// SweepRecord is what one sweep did. It is the heartbeat.
type SweepRecord struct {
	Started   time.Time
	Ended     time.Time // zero while it runs
	Completed time.Time // when the last one that came to every target ended
	Next      string    // key of the target to go on from; "" where it came to all
	Targets   int       // of ours
	Changed   int       // put right, beyond closings
	Closed    int       // grants settled
	Findings  []Finding
	Error     string // what could not be done, "" for nothing
}

// Sweeps stores the last sweep.
type Sweeps interface {
	// PutSweep replaces the last sweep.
	PutSweep(ctx context.Context, r SweepRecord) error
	// LastSweep gives it; ErrNotFound before the first.
	LastSweep(ctx context.Context) (SweepRecord, error)
}
