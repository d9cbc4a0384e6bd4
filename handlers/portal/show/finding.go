package show

import (
	"time"

	"portcullis/core/store"
	"portcullis/handlers/portal/words"
)

// Finding is a finding in plain words.
type Finding struct {
	words.Finding
	Message string
	VM      string // its name
	VMID    string
	Since   time.Time
}

// FindingOf returns a finding as it is shown.
func FindingOf(f store.Finding) Finding {
	v := Finding{Finding: words.OfFinding(f.Kind), Message: words.Sentence(f.Message), Since: f.Since}
	if !f.VM.IsZero() {
		v.VM, v.VMID = f.VM.Name, f.VM.String()
	}
	return v
}
