// Package defender implements Microsoft's named policies (jitNetworkAccessPolicies) as Defender for Cloud's
// clients see them: lists of machines under one name, their replacement, import and deletion, and requests for the
// machines that they list.
//
// A named policy consists of the policies of the machines that name it. What is stored besides them says only that it
// exists and how it was written (docs/decisions/037). Every call asks for the permission that Defender for Cloud asks for.
package defender

import (
	"time"

	"portcullis/core/claim"
	"portcullis/core/guard"
	"portcullis/core/jit"
	"portcullis/core/permit"
	"portcullis/core/protect"
	"portcullis/core/store"
)

// Named implements the named policies, behind the permissions. Every field must be set; its methods are safe for
// concurrent use.
type Named struct {
	Guard      *guard.Verbs
	Protection *protect.Protection
	Permit     *permit.Permit
	History    store.History

	editing claim.Editing
}

// now returns the time as it is stored: UTC, in whole milliseconds.
func (s *Named) now() time.Time { return jit.Instant(s.Protection.Now()) }

// lists returns the lists as they are stored.
func (s *Named) lists() claim.Lists {
	return claim.Lists{Policies: s.Protection.Policies, Now: s.now}
}
