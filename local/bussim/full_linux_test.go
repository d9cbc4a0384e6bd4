package bussim_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"portcullis/local/bussim"
)

// fullDisk makes the test binary run TestFullDisk in this process, of whose files none may grow for a while.
const fullDisk = "BUSSIM_FULL_DISK"

// TestFullDisk lets the kernel refuse the broker's writes, as on a full disk: a message whose sender got an error is not there,
// all others are, and the same broker takes messages again once there is space, also after a restart.
func TestFullDisk(t *testing.T) {
	if os.Getenv(fullDisk) == "" {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFullDisk$", "-test.v", "-test.timeout=1m")
		child.Env = append(os.Environ(), fullDisk+"=1")
		if out, err := child.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestFullDisk") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	dir := t.TempDir()
	stored := func(c *bussim.Config) { c.Dir = dir }
	s := serve(t, stored)
	out := sender(t, dial(t, s.connectionString()), plainQueue)
	var want []string
	n := 0
	try := func() error {
		n++
		m := text(strconv.Itoa(n))
		m.Body = []byte(strings.Repeat("x", 20_000))
		err := out.SendMessage(bounded(t), m, &azservicebus.SendMessageOptions{})
		if err == nil {
			want = append(want, strconv.Itoa(n))
		}
		return err
	}
	limited := func(bytes uint64) {
		t.Helper()
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bytes, Max: ^uint64(0)}); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		if err := try(); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "bus.db"))
	if err != nil {
		t.Fatal(err)
	}
	limited(uint64(info.Size()))
	refused := false
	for range 300 { // what is free inside the file is used first
		if refused = try() != nil; refused {
			break
		}
	}
	limited(^uint64(0))
	if !refused {
		t.Fatal("nothing was refused: the disk was not full")
	}
	for range 5 {
		if err := try(); err != nil {
			t.Fatalf("there is space again: %v", err)
		}
	}
	wantCounts(t, s.Broker, plainQueue, bussim.Counts{Active: len(want)})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s, stored)
	in := receiver(t, dial(t, s.connectionString()), plainQueue, nil)
	var got []string
	for range want {
		m := one(t, in)
		got = append(got, m.MessageID)
		complete(t, in, m)
	}
	if !slices.Equal(got, want) {
		t.Errorf("received %v, want %v", got, want)
	}
}
