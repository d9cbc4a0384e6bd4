package bussim_test

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"portcullis/local/bussim"
)

// diskChild makes the test binary run a test in this process, of whose files none may grow, or be written, for a while.
const diskChild = "BUSSIM_DISK"

// inChild reports whether this is the process to run the test in, and otherwise runs it in one.
func inChild(t *testing.T) bool {
	t.Helper()
	if os.Getenv(diskChild) != "" {
		return true
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=1m")
	child.Env = append(os.Environ(), diskChild+"=1")
	if out, err := child.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("%v\n%s", err, out)
	}
	return false
}

// limited lets no file of this process be written beyond so many bytes.
func limited(t *testing.T, bytes uint64) {
	t.Helper()
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bytes, Max: unlimited}); err != nil {
		t.Fatal(err)
	}
}

const unlimited = ^uint64(0)

// TestFullDisk lets the kernel refuse the broker's writes, as on a full disk: a message whose sender got an error is not there,
// all others are, and the same broker takes messages again once there is space, also after a restart.
func TestFullDisk(t *testing.T) {
	if !inChild(t) {
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
	for range 5 {
		if err := try(); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "bus.db"))
	if err != nil {
		t.Fatal(err)
	}
	limited(t, uint64(info.Size()))
	refused := false
	for range 300 { // what is free inside the file is used first
		if refused = try() != nil; refused {
			break
		}
	}
	limited(t, unlimited)
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

// TestReadOnlyDisk lets the kernel refuse every write: a settlement that was answered with an error has not happened, neither then nor after a
// restart, and a lock that ended meanwhile is counted once there is a disk again.
func TestReadOnlyDisk(t *testing.T) {
	if !inChild(t) {
		return
	}
	dir := t.TempDir()
	stored := func(c *bussim.Config) { c.Dir = dir }
	s := serve(t, stored)
	client := dial(t, s.connectionString())
	out, in := sender(t, client, plainQueue), receiver(t, client, plainQueue, nil)
	// The client tries again after four seconds, and then takes its own note of the first try for a success.
	first, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	settle := map[string]func(*azservicebus.ReceivedMessage) error{
		"abandon":  func(m *azservicebus.ReceivedMessage) error { return in.AbandonMessage(first, m, nil) },
		"bury":     func(m *azservicebus.ReceivedMessage) error { return in.DeadLetterMessage(first, m, nil) },
		"complete": func(m *azservicebus.ReceivedMessage) error { return in.CompleteMessage(first, m, nil) },
		"defer":    func(m *azservicebus.ReceivedMessage) error { return in.DeferMessage(first, m, nil) },
	}
	names := slices.Sorted(maps.Keys(settle))
	locked := bussim.Counts{Locked: len(names)}
	for _, name := range names {
		send(t, out, text(name))
	}
	held := func(count uint32) map[string]*azservicebus.ReceivedMessage {
		t.Helper()
		got := map[string]*azservicebus.ReceivedMessage{}
		for range names {
			m := one(t, in)
			if got[m.MessageID] = m; m.DeliveryCount != count {
				t.Errorf("%s was delivered %d times, want %d", m.MessageID, m.DeliveryCount, count)
			}
		}
		if len(got) != len(names) {
			t.Fatalf("received %v", got)
		}
		wantCounts(t, s.Broker, plainQueue, locked)
		return got
	}
	messages := held(1)
	limited(t, 0)
	var wg sync.WaitGroup
	for name, f := range settle {
		wg.Go(func() {
			if err := f(messages[name]); err == nil {
				t.Errorf("%s succeeds without a disk", name)
			}
		})
	}
	wg.Wait()
	wantCounts(t, s.Broker, plainQueue, locked)
	limited(t, unlimited)
	s.advance(lockTime)
	held(2)
	limited(t, 0)
	s.advance(lockTime)
	wantCounts(t, s.Broker, plainQueue, locked)
	limited(t, unlimited)
	s.advance(time.Second)
	held(3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s, stored)
	in = receiver(t, dial(t, s.connectionString()), plainQueue, nil)
	held(3)
}
