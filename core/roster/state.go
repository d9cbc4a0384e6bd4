// Package roster is what is stored of one target: the machines that it protects, the grants that open their ports, and the denies that were last
// seen to stand. The rules of a target follow from it (see package plan).
package roster

import (
	"net/netip"

	"portcullis/core/jit"
	"portcullis/core/reach"
)

// State is what is stored of one target.
type State struct {
	// Known says that the target is one of ours. Where it is not, the table is lost
	// or the rules are left over: denies stay, and allows stay until the end in their description.
	Known     bool
	Policies  []Protected
	Openings  []Opening
	Confirmed []string // a [Note] of each of our denies that stood when the target was last seen confirmed, and of those about to be written; sorted
}

// Protected is one machine's policy as it bears on the target.
type Protected struct {
	Policy    jit.Policy
	Addresses []netip.Addr // the private addresses of the machine behind this target
	Site      reach.Site   // what is known of where they are
}

// Opening is one grant as it bears on the target: its machines behind the
// target only, each with its private addresses there.
type Opening struct {
	Grant     jit.Grant
	Addresses map[string][]netip.Addr // by jit.ID.Key of the machine
}
