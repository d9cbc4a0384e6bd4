package telemetry_test

import (
	"slices"
	"testing"

	"portcullis/core/store"
	"portcullis/infra/telemetry"
)

// TestUrgent says of every kind of finding whether somebody is told at once.
func TestUrgent(t *testing.T) {
	read := []store.FindingKind{store.FindingExposed, store.FindingUnguarded, store.FindingRepaired, store.FindingRefused, store.FindingCannotOpen, store.FindingBlocked, store.FindingReachable, store.FindingShared,
		store.FindingVMGone, store.FindingUnchecked, store.FindingUndelivered, store.FindingReviewOwed}
	told := []store.FindingKind{store.FindingOverdue, store.FindingOpeningFailed, store.FindingLost, store.FindingBroken, store.FindingRightLost, store.FindingBeyond, store.FindingVMMoved, store.FindingEnded, store.FindingLogBroken}
	for _, k := range store.FindingKinds() {
		if got := telemetry.Urgent(k); got != slices.Contains(told, k) || got == slices.Contains(read, k) {
			t.Errorf("%s is urgent: %t", k, got)
		}
	}
}
