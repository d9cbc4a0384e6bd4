package wire

import (
	"time"

	"portcullis/core/inventory"
	"portcullis/handlers/api"
)

// ToCompliance writes the last sweep as its caller may see it.
func ToCompliance(last inventory.Swept, now time.Time) ComplianceAnswer {
	out := ComplianceAnswer{Started: stampOrNull(last.Started), Ended: stampOrNull(last.Ended), Completed: stampOrNull(last.Completed),
		Error: last.Error, Warnings: append([]string{}, last.Warnings...), Unknown: map[string]string{}}
	unknown := func(why string, fields ...string) {
		for _, field := range fields {
			out.Unknown[field] = why
		}
	}
	const nobody = "nobody has looked: no sweep has run yet"
	if last.Ran {
		found := []api.Finding{}
		for _, f := range last.Findings {
			found = append(found, toFinding(f))
		}
		out.Findings = &found
	} else {
		unknown(nobody, "startedAt", "endedAt", "findings")
	}
	switch {
	case !last.Ran:
		unknown(nobody, "targets", "targetsChanged", "requestsClosed")
	case last.Counted:
		out.Targets, out.Changed, out.Closed = &last.Targets, &last.Changed, &last.Closed
	default:
		unknown("shown to who may read every managed subscription", "targets", "targetsChanged", "requestsClosed")
	}
	if last.Ran && last.Ended.IsZero() {
		unknown("the sweep still runs, or was broken off", "endedAt")
	}
	if last.Completed.IsZero() {
		unknown("no sweep has come to every target yet", "completedAt", "ageSeconds")
	} else {
		age := max(int(now.Sub(last.Completed).Seconds()), 0) // clocks that differ a little make nothing end in the future
		out.Age = &age
	}
	return out
}

func stampOrNull(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := Stamp(t)
	return &text
}
