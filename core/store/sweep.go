package store

import (
	"context"
	"time"

	"portcullis/core/jit"
)

// Finding is something that a sweep found and people should know about.
type Finding struct {
	Kind    FindingKind
	Target  jit.ID
	VM      jit.ID
	Grant   string
	Rule    string
	Port    uint16 // the port that it is about; 0 for none in particular
	Message string // what it is and what to do about it
	Since   time.Time
}

// FindingKind says what was found.
type FindingKind string

// The kinds of finding.
const (
	FindingExposed       FindingKind = "Exposed"            // a foreign rule opens a protected port
	FindingUnguarded     FindingKind = "Unguarded"          // a protected machine has an interface without a security group
	FindingOverdue       FindingKind = "Overdue"            // a window is past its end and not confirmed closed
	FindingOpeningFailed FindingKind = "OpeningFailed"      // an opening was never confirmed and was undone
	FindingRepaired      FindingKind = "Repaired"           // our rules were wrong and were put right
	FindingRefused       FindingKind = "Refused"            // there is no place for a rule of ours
	FindingCannotOpen    FindingKind = "NothingCanBeOpened" // there is no place for one more window of a protected port
	FindingBlocked       FindingKind = "Blocked"            // a foreign deny comes before an open window
	FindingReachable     FindingKind = "Reachable"          // a management port outside the policy is open to the Internet, or to strangers by a service tag
	FindingShared        FindingKind = "SharedAddress"      // two machines have one address behind one security group
	FindingBeyond        FindingKind = "BeyondDemand"       // open windows of one requestor exceed the options in force now
	FindingVMGone        FindingKind = "VirtualMachineGone"
	FindingVMMoved       FindingKind = "VirtualMachineMoved" // a policy's machine is gone, and stands most likely in another resource group
	FindingLost          FindingKind = "StateLost"           // rules of ours on a target about which nothing is stored
	FindingBroken        FindingKind = "Broken"              // a target could not be read or written
	FindingRightLost     FindingKind = "RightLost"           // the owner of an open window could not ask for it any more
	FindingEnded         FindingKind = "EndedEarly"          // an open window was closed for a reason of its own
	FindingUnchecked     FindingKind = "Unchecked"           // something that may matter could not be looked at
	FindingUndelivered   FindingKind = "Undelivered"         // messages have not reached a channel, or the activity log has not been streamed for a day
	FindingReviewOwed    FindingKind = "ReviewOwed"          // nobody has written yet what happened after a break-glass
	FindingLogBroken     FindingKind = "LogBroken"           // a chain of the activity log is not what was streamed of it
)

// FindingKinds gives every kind.
func FindingKinds() []FindingKind {
	return []FindingKind{FindingExposed, FindingUnguarded, FindingOverdue, FindingOpeningFailed, FindingRepaired, FindingRefused, FindingCannotOpen, FindingBlocked, FindingReachable, FindingShared, FindingBeyond, FindingVMGone, FindingVMMoved, FindingLost, FindingBroken, FindingRightLost, FindingEnded, FindingUnchecked, FindingUndelivered, FindingReviewOwed, FindingLogBroken}
}

// SweepLate is the age of the last complete sweep from which on something is wrong: one runs every five minutes.
const SweepLate = 10 * time.Minute

// SweepRecord is the result of one sweep. It is also the heartbeat.
type SweepRecord struct {
	Started   time.Time
	Ended     time.Time // zero while it runs
	Completed time.Time // when the last sweep that reached every target ended
	Next      string    // key of the target to continue from; "" if it reached all
	Targets   int       // known targets
	Changed   int       // targets repaired, not counting closings
	Closed    int       // grants settled
	Findings  []Finding
	Error     string // what could not be done; "" for nothing
}

// Sweeps stores the last sweep.
type Sweeps interface {
	// PutSweep replaces the last sweep.
	PutSweep(ctx context.Context, r SweepRecord) error
	// LastSweep returns the last sweep; ErrNotFound before the first.
	LastSweep(ctx context.Context) (SweepRecord, error)
}
