package armsim_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// diskChild makes the test binary run TestReadOnlyDisk in this process, none of whose files can be written for a while.
const diskChild = "ARMSIM_DISK"

// TestReadOnlyDisk lets the kernel refuse every write: a PUT is answered with an error and a GET with what stands, and once there is a disk
// again all that stands is kept, also what was refused meanwhile.
func TestReadOnlyDisk(t *testing.T) {
	if os.Getenv(diskChild) == "" {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestReadOnlyDisk$", "-test.v", "-test.timeout=1m")
		child.Env = append(os.Environ(), diskChild+"=1")
		if out, err := child.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestReadOnlyDisk") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	limited := func(bytes uint64) {
		t.Helper()
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bytes, Max: ^uint64(0)}); err != nil {
			t.Fatal(err)
		}
	}
	c := &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	dir := t.TempDir()
	r := open(t, dir, c)
	r.put(nsgID, nsg(rule("old", 100)))
	limited(0)
	for range 2 {
		r.want(500, "InternalServerError", "PUT", nsgID, nsg(rule("new", 100)))
		r.want(200, "", "GET", nsgID, "")
	}
	c.Advance(10 * time.Second) // what was begun ends
	r.want(200, "", "GET", nsgID, "")
	limited(^uint64(0))
	r.want(201, "", "PUT", nsgID+"2", nsg(rule("other", 100)))
	stands := []map[string]any{r.get(nsgID), r.get(nsgID + "2")}
	if err := r.arm.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir, c)
	if diff := cmp.Diff(stands, []map[string]any{again.get(nsgID), again.get(nsgID + "2")}); diff != "" {
		t.Errorf("another state after a restart:\n%s", diff)
	}
}
