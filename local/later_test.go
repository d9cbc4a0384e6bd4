package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestStartSurvivesRestart: a request for later is kept over a restart of everything, opens by itself once its start has come, by a real message of the
// bus, and ends when it was to end.
func TestStartSurvivesRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := newRig(t, dir, nil)
	r.must(200, "POST", "/api/enable", vms(web))
	start := time.Now().UTC().Add(3 * time.Second).Truncate(time.Millisecond)
	later := ask("PT1H", "for later")
	later["startTimeUtc"] = start.In(time.FixedZone("", 2*60*60)).Format(time.RFC3339Nano)
	asked := r.must(202, "POST", "/api/request", later)
	id := asked["id"].(string)
	stands := func() bool {
		return slices.ContainsFunc(r.rules("web-nsg"), func(s string) bool {
			return strings.Contains(s, "Allow portcullis-allow-"+strings.ReplaceAll(id, "-", ""))
		})
	}
	const wire = "2006-01-02T15:04:05.000Z"
	if asked["status"] != "Scheduled" || asked["startTimeUtc"] != start.Format(wire) || asked["endTimeUtc"] != start.Add(time.Hour).Format(wire) || time.Now().Before(start) && stands() {
		t.Errorf("asked at %s for %s: %v, %q", time.Now(), start, asked, r.rules("web-nsg"))
	}
	r.close()

	r = newRig(t, dir, nil)
	r.eventually("the request opens by itself", func() bool {
		return r.must(200, "GET", "/api/requests/"+id, nil)["status"] == "Initiated"
	})
	if time.Now().Before(start) || !stands() {
		t.Errorf("open at %s, for %s: %q", time.Now(), start, r.rules("web-nsg"))
	}
	if shown := r.must(200, "GET", "/api/requests/"+id, nil); shown["endTimeUtc"] != start.Add(time.Hour).Format(wire) {
		t.Errorf("ends at another time: %v", shown)
	}
}
