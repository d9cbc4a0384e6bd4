package store

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"portcullis/core/jit"
)

// CodePrecondition is the code for a change of a policy that is not what the caller has seen.
const CodePrecondition jit.Code = "PreconditionFailed"

// NoPolicy is the entity tag of a machine without a policy.
const NoPolicy = `"none"`

// PolicyETag returns the entity tag of a machine's policy, [NoPolicy] for one without ports. It changes exactly when something changes that an edit
// could change: where the machine is, and who has written the same again, do not count.
func PolicyETag(p jit.Policy) string {
	if len(p.Ports) == 0 {
		return NoPolicy
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %+v\n", p.ExistingRules, p.PublicAddress, p.OwnOptions())
	for _, r := range p.Ports {
		fmt.Fprintf(&b, "%d %s %s %s %d\n", r.Number, r.Protocol, r.Maximum, r.Sources, r.Mapped)
		if r.Approvers > 0 {
			fmt.Fprintf(&b, "%d approve\n", r.Approvers)
		}
	}
	sum := sha256.Sum256([]byte(b.String()))
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:18]) + `"`
}
