package realhost_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/robfig/cron/v3"

	"portcullis/functions"
	"portcullis/local/azurite"
	"portcullis/local/realhost"
)

// TestSchedules: the schedules that are accepted come when the real host says, which tells their next
// five occurrences at its start. Our own is among them.
func TestSchedules(t *testing.T) {
	t.Parallel()
	schedules := []string{"0 0 0 * * 0", "0 0,30 9-17 * * 1-5", "15 0 0 1 */3 *", "0 */7 * * * *", "*/25 59 23 31 * *", "0 0 */9 * * *", "0 0 12 29 2 *", "0 5,10-12 0 * 1-3 *", "0 0 6 */10 * *"}
	declared, err := functions.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range declared {
		if f.Kind == functions.Timer {
			schedules = append(schedules, f.Schedule)
		}
	}
	root := recording(t, "")
	for i, schedule := range schedules {
		if err := functions.CheckSchedule(schedule); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(root, fmt.Sprint("t", i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf(`{"bindings":[{"type":"timerTrigger","direction":"in","name":"timer","schedule":%q}]}`, schedule)
		if err := os.WriteFile(filepath.Join(dir, "function.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	url, stop, err := azurite.Run(azurite.Blob, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	log := &lockedBuffer{}
	h, err := realhost.Start(realhost.Config{Root: root, Env: append(settings, "RECORD="+filepath.Join(root, "calls"), "AzureFunctionsJobHost__logging__logLevel__default=Information"), Storage: azurite.Storage(url), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	told := regexp.MustCompile(`The next 5 occurrences of the 't(\d+)' schedule \(.*\) will be:((?:\s+\d\d/\d\d/\d{4} \d\d:\d\d:\d\dZ){5})`)
	var found [][]string
	eventually(t, "the host tells of every schedule", func() bool {
		found = told.FindAllStringSubmatch(log.String(), -1)
		return len(found) == len(schedules)
	})
	for _, m := range found {
		i, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := cron.NewParser(cron.Second | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(schedules[i])
		if err != nil {
			t.Fatal(err)
		}
		var host, ours []time.Time
		for _, text := range regexp.MustCompile(`\S+ \S+Z`).FindAllString(m[2], -1) {
			at, err := time.Parse("01/02/2006 15:04:05Z", text)
			if err != nil {
				t.Fatal(err)
			}
			host = append(host, at)
		}
		for next := host[0].Add(-time.Second); len(ours) < len(host); {
			next = parsed.Next(next)
			ours = append(ours, next)
		}
		if !slices.Equal(host, ours) {
			t.Errorf("%q comes to the host at %v, to us at %v", schedules[i], host, ours)
		}
	}
}
