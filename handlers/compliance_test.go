package handlers_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"portcullis/core"
	"portcullis/core/jit"
	"portcullis/core/store"
)

// TestComplianceUnknown: that nobody has looked, or not lately, or not at everything, or that the caller may not see it, is told, and
// never as a number or as a list of nothing.
func TestComplianceUnknown(t *testing.T) {
	const nobody, never, hidden = "nobody has looked: no sweep has run yet", "no sweep has come to every target yet", "shown to who may read every managed subscription"
	none, late := "no sweep has come to every security group and firewall yet", "the last sweep that came to every security group and firewall ended 11 minutes ago, and one runs every five"
	ended, found := noon.Add(-time.Minute), []store.Finding{{Kind: store.FindingBroken, Message: "m", Since: noon}}
	stamp := func(d time.Duration) string { return noon.Add(d).Format("2006-01-02T15:04:05.000Z") }
	for _, row := range []struct {
		name     string
		rec      *store.SweepRecord
		stranger bool
		nulls    map[string]string
		values   map[string]any
		warnings []any
	}{
		{"before any sweep", nil, false, map[string]string{"startedAt": nobody, "endedAt": nobody, "findings": nobody, "targets": nobody, "targetsChanged": nobody, "requestsClosed": nobody, "completedAt": never, "ageSeconds": never}, nil, []any{none}},
		{"in the middle of the first", &store.SweepRecord{Started: ended, Targets: 400, Findings: found}, false, map[string]string{"endedAt": "the sweep still runs, or was broken off", "completedAt": never, "ageSeconds": never},
			map[string]any{"targets": 400.0, "findings": 1, "startedAt": stamp(-time.Minute)}, []any{none, "the last sweep still runs, or was broken off"}},
		{"after one that left some out", &store.SweepRecord{Started: ended, Ended: ended, Completed: noon.Add(-11 * time.Minute), Next: "x"}, false, nil, map[string]any{"findings": 0, "ageSeconds": 660.0, "completedAt": stamp(-11 * time.Minute)}, []any{late}},
		{"after one with errors", &store.SweepRecord{Started: ended, Ended: ended, Completed: ended, Error: "SECRET"}, false, nil, map[string]any{"findings": 0, "error": "SECRET", "ageSeconds": 60.0}, []any{"the last sweep could not do everything"}},
		{"to who may not read it all", &store.SweepRecord{Started: ended, Ended: ended, Completed: ended, Error: "SECRET", Targets: 7, Findings: found}, true, map[string]string{"targets": hidden, "targetsChanged": hidden, "requestsClosed": hidden},
			map[string]any{"findings": 0, "ageSeconds": 60.0, "error": nil}, []any{"the last sweep could not do everything"}},
		{"after a whole one", &store.SweepRecord{Started: ended, Ended: ended, Completed: ended, Targets: 7, Changed: 1, Findings: found}, false, nil,
			map[string]any{"targets": 7.0, "targetsChanged": 1.0, "requestsClosed": 0.0, "findings": 1, "ageSeconds": 60.0, "endedAt": stamp(-time.Minute)}, []any{}},
		{"by a clock that is behind", &store.SweepRecord{Started: noon, Ended: noon.Add(time.Second), Completed: noon.Add(time.Second)}, false, nil, map[string]any{"ageSeconds": 0.0}, []any{}},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := newApp(t)
			if row.stranger {
				a.wire(func(p *core.Ports) { p.Authority = nobodys{} })
			}
			if row.rec != nil {
				if err := a.store.PutSweep(t.Context(), *row.rec); err != nil {
					t.Fatal(err)
				}
			}
			got := a.call("GET", "/api/compliance", "")
			if got.status != 200 {
				t.Fatalf("%d %s", got.status, got.text)
			}
			nulls := map[string]string{}
			for field, why := range object(got.body["unknown"]) {
				nulls[field] = why.(string)
			}
			for _, field := range []string{"startedAt", "endedAt", "completedAt", "ageSeconds", "targets", "targetsChanged", "requestsClosed", "findings"} {
				value, there := got.body[field]
				if _, unknown := nulls[field]; !there || (value == nil) != unknown {
					t.Errorf("%s is %v, and the reason %q", field, value, nulls[field])
				}
			}
			if diff := cmp.Diff(row.nulls, nulls, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("unknown (-want +got):\n%s", diff)
			}
			for field, want := range row.values {
				value := got.body[field]
				if list, ok := value.([]any); ok {
					value = len(list)
				}
				if value != want {
					t.Errorf("%s is %v, want %v", field, value, want)
				}
			}
			if diff := cmp.Diff(row.warnings, got.body["warnings"]); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// object gives an object of an answer, and an empty one where there is none.
func object(v any) map[string]any {
	out, _ := v.(map[string]any)
	return out
}

// nobodys is an authority that lets nobody do anything.
type nobodys struct{}

// Missing implements [permit.Authority].
func (nobodys) Missing(_ context.Context, _ jit.Caller, _ string, actions ...string) (string, error) {
	return actions[0], nil
}

// TestComplianceAsText: null stands in the answer itself, for a reader that does not ask whether a member is there.
func TestComplianceAsText(t *testing.T) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(newApp(t).call("GET", "/api/compliance", "").text), &raw); err != nil || string(raw["findings"]) != "null" || string(raw["ageSeconds"]) != "null" {
		t.Errorf("%v %s", err, raw)
	}
}
