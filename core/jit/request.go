package jit

import "time"

// The bounds of one request.
const (
	MaxVMs           = 200
	MaxJustification = 1000 // characters
	MaxReview        = 2000 // characters of what somebody writes about a break-glass
	// ClockSkew is how far a client's clock may be ahead: an end that exceeds the maximum by no more is cut to it.
	ClockSkew = 2 * time.Minute
)

// Request asks for ports of machines on behalf of an identified caller.
type Request struct {
	RequestorID   string // the requestor's permanent id, compared by [Grant.SameRequestor]
	Requestor     string // the requestor's display name: a user principal name or an application id
	Justification string
	BreakGlass    BreakGlass
	VMs           []RequestVM
	Opens         time.Time // its windows do not open before, and count from then; zero for at once
}

// RequestVM is the part of a request for one machine.
type RequestVM struct {
	VM    ID
	Ports []RequestPort
}

// Machines returns the machines that are asked for.
func (r Request) Machines() []ID {
	var out []ID
	for _, vm := range r.VMs {
		out = append(out, vm.VM)
	}
	return out
}

// RequestPort asks for one port. Exactly one of Duration and End is set.
type RequestPort struct {
	Number   uint16
	Duration time.Duration // counted from the decision
	End      time.Time
	Sources  Sources
}
