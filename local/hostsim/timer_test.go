package hostsim_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"portcullis/local/hostsim"
)

func TestFireRefuses(t *testing.T) {
	r := start(t, theApp, "echo", nil)
	for _, name := range []string{"nothing", "item", "Revoke", "SWEEP"} {
		if err := r.Fire(within(t), name); err == nil {
			t.Errorf("fired %s", name)
		}
	}
}

// TestFire runs the timer twice: the first time nothing is known of an earlier
// run, which the host says with the first day of its calendar. A failure is the caller's to see and does not keep it from running again.
func TestFire(t *testing.T) {
	golden, err := txtar.ParseFile("testdata/timer.txtar")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 640002300, time.UTC)
	r := start(t, theApp, "echo", func(c *hostsim.Config) { c.Now = func() time.Time { return now } })
	for i, want := range golden.Files {
		fired := make(chan error, 1)
		go func() { fired <- r.Fire(within(t), "sweep") }()
		call := r.next()
		if call.Method != "POST" || call.URI != "/sweep" {
			t.Errorf("posted as %s %s", call.Method, call.URI)
		}
		if diff := cmp.Diff(string(want.Data), indent(t, call.Body)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want.Name, diff)
		}
		a := ok
		if i == 0 {
			a.status = 500
		}
		call.answer <- a
		if err := receive(t, fired, "the run"); (err != nil) != (i == 0) {
			t.Errorf("%s: error %v", want.Name, err)
		}
	}
}

func TestFireOneAtATime(t *testing.T) {
	r := start(t, theApp, "echo", nil)
	first := make(chan error, 1)
	go func() { first <- r.Fire(within(t), "sweep") }()
	running := r.next()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	// "fire", not "invoke": it is its turn that the second waits for.
	if err := r.Fire(ended, "sweep"); err == nil || !strings.HasPrefix(err.Error(), "fire sweep: ") {
		t.Errorf("a second run during the first: %v", err)
	}
	running.answer <- ok
	if err := receive(t, first, "the first run"); err != nil {
		t.Error(err)
	}
}

// TestSchedule runs a timer of each second.
func TestSchedule(t *testing.T) {
	t.Parallel()
	r := start(t, strings.Replace(theApp, "0 0 0 1 1 *", "* * * * * *", 1), "echo", nil)
	for range 2 {
		call := r.next()
		if call.URI != "/sweep" {
			t.Fatalf("call of %s", call.URI)
		}
		call.answer <- ok
	}
}

// TestMissed checks that an occurrence which passed while no host ran is run at the start
// of the next one, once, and that one which a host saw is not.
func TestMissed(t *testing.T) {
	state := t.TempDir()
	now := time.Date(2026, 12, 31, 23, 59, 58, 0, time.UTC)
	at := func(day time.Time) func(*hostsim.Config) {
		return func(c *hostsim.Config) { c.State, c.Now = state, func() time.Time { return day } }
	}
	first := start(t, theApp, "echo", at(now.Add(-time.Hour)))
	first.ready()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	late := start(t, theApp, "echo", at(now.Add(time.Hour)))
	call := late.next()
	if !strings.Contains(call.Body, `"IsPastDue":true`) || !strings.Contains(call.Body, `"Last":"0001-01-01T00:00:00+00:00"`) || !strings.Contains(call.Body, `"Next":"2027-01-01T00:00:00+00:00","LastUpdated":"2026-12-31T22:59:58+00:00"`) {
		t.Errorf("the missed run: %s", call.Body)
	}
	call.answer <- ok
	fired := make(chan error, 1)
	go func() { fired <- late.Fire(within(t), "sweep") }()
	call = late.next()
	if !strings.Contains(call.Body, `"IsPastDue":false`) || !strings.Contains(call.Body, `"Last":"2027-01-01T00:59:58+00:00"`) {
		t.Errorf("the run after it: %s", call.Body)
	}
	call.answer <- ok
	if err := receive(t, fired, "the run"); err != nil {
		t.Error(err)
	}
}

// TestStartRefuses checks that what cannot be simulated is said, not ignored.
func TestStartRefuses(t *testing.T) {
	tests := []struct{ name, old, new, want string }{
		{"not JSON", `{"version"`, `{{"version"`, "host.json"},
		{"an old version", `"2.0"`, `"1.0"`, `version "1.0"`},
		{"no executable", "EXECUTABLE", "", "defaultExecutablePath"},
		{"no proxying", `"enableProxyingHttpRequest":true`, `"x":1`, "enableProxyingHttpRequest is off"},
		{"forwarding", `"enableProxyingHttpRequest"`, `"enableForwardingHttpRequest":true,"enableProxyingHttpRequest"`, "enableForwardingHttpRequest"},
		{"a time that is none", `"00:01:00"`, `"60s"`, `functionTimeout: "60s"`},
		{"a time out of range", `"00:01:00"`, `"00:61:00"`, "out of the range"},
		{"a timeout of nothing", `"00:01:00"`, `"00:00:00"`, "functionTimeout is zero"},
		{"no concurrency", `"maxConcurrentCalls":2`, `"maxConcurrentCalls":0`, "maxConcurrentCalls 0"},
		{"no auto-complete", `"maxConcurrentCalls":2`, `"autoCompleteMessages":false`, "autoCompleteMessages"},
		{"no bundle", `"extensionBundle"`, `"x"`, "Revoke/function.json: serviceBusTrigger needs extensionBundle"},
		{"an illegal name", "-- sweep/", "-- 1sweep/", "legal function name"},
		{"two names that differ by case", "-- sweep/", "-- revoke/", "have one name"},
		{"two functions on one route", "items/special", "ITEMS/{name?}", "answer the same method and route"},
		{"a key", `"authLevel":"anonymous","methods":["get"]`, `"authLevel":"function"`, `authLevel "function"`},
		{"the default level, which is a key", `"authLevel":"anonymous","methods":["get"]`, `"x":1`, `authLevel ""`},
		{"another output", `{"type":"http","direction":"out","name":"res"}`, `{"type":"queue","direction":"out","name":"q"}`, "exactly one httpTrigger in and one http out"},
		{"a constraint", "Items/{id?}", "Items/{id:int}", "segment {id:int} is not simulated"},
		{"an optional segment in the middle", "Items/{id?}", "Items/{id?}/x", "is not the last segment"},
		{"another trigger", `"timerTrigger"`, `"blobTrigger"`, `"blobTrigger"`},
		{"many messages", `"queueName"`, `"cardinality":"many","queueName"`, `cardinality "many"`},
		{"bytes", `"queueName"`, `"dataType":"binary","queueName"`, `dataType "binary"`},
		{"sessions", `"queueName"`, `"isSessionsEnabled":true,"queueName"`, "sessions"},
		{"a topic", `"queueName":"ends"`, `"topicName":"t"`, "no queueName"},
		{"a schedule of five fields", "0 0 0 1 1 *", "0 0 1 1 *", "has 5 fields"},
		{"a schedule out of range", "0 0 0 1 1 *", "0 0 25 1 1 *", "schedule"},
		{"a run at every start", `"schedule"`, `"runOnStartup":true,"schedule"`, "runOnStartup"},
		{"arguments", `"EXECUTABLE"`, `"EXECUTABLE","arguments":["-a"]`, "arguments"},
		{"another folder to run in", `"EXECUTABLE"`, `"EXECUTABLE","workingDirectory":"item"`, "workingDirectory"},
		{"what the host reads otherwise", "0 0 0 1 1 *", "0 0 22-2 1 1 *", "the other way round"},
		{"a day that never comes", "0 0 0 1 1 *", "0 0 0 30 2 *", "never comes"},
		{"a retry policy", `{"bindings":[{"type":"timerTrigger"`, `{"retry":{},"bindings":[{"type":"timerTrigger"`, "retry"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			app := strings.Replace(theApp, tt.old, tt.new, 1)
			if app == theApp {
				t.Fatal("the row changes nothing")
			}
			refuse(t, hostsim.Config{
				Root:   unpack(t, app),
				Queues: func(string, string) (hostsim.Queue, error) { return newQueue(), nil },
			}, tt.want)
		})
	}
	t.Run("no folder", func(t *testing.T) { refuse(t, hostsim.Config{Root: "testdata/none"}, "host.json") })
	t.Run("no queues", func(t *testing.T) { refuse(t, hostsim.Config{Root: unpack(t, theApp)}, "Config.Queues is nil") })
	t.Run("a queue that does not open", func(t *testing.T) {
		refuse(t, hostsim.Config{
			Root:   unpack(t, theApp),
			Queues: func(string, string) (hostsim.Queue, error) { return nil, os.ErrPermission },
		}, "open the queue ends of Bus: permission denied")
	})
	t.Run("a status of a timer that is none", func(t *testing.T) {
		state := t.TempDir()
		if err := os.WriteFile(filepath.Join(state, "sweep.json"), []byte(`{"Next":"soon"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		refuse(t, hostsim.Config{Root: unpack(t, theApp), State: state}, "status of the timer sweep")
	})
	t.Run("no functions", func(t *testing.T) {
		app, _, _ := strings.Cut(theApp, "-- item")
		refuse(t, hostsim.Config{Root: unpack(t, app)}, "no function.json")
	})
}

func refuse(t *testing.T, cfg hostsim.Config, want string) {
	t.Helper()
	host, err := hostsim.Start(context.Background(), cfg)
	if err == nil {
		host.Close()
		t.Fatal("started")
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("error %q does not say %q", err, want)
	}
}

// TestTimerWithoutSpace: a status that cannot be written leaves that of before, so that the next host starts.
func TestTimerWithoutSpace(t *testing.T) {
	state := t.TempDir()
	stored := func(c *hostsim.Config) { c.State = state }
	file := filepath.Join(state, "sweep.json")
	first := start(t, theApp, "echo", stored)
	first.ready()
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file+".partial", 0o700); err != nil { // nothing can be written in this place
		t.Fatal(err)
	}
	fired := make(chan error, 1)
	go func() { fired <- first.Fire(within(t), "sweep") }()
	call := first.next()
	call.answer <- ok
	if err := receive(t, fired, "the run"); err == nil {
		t.Error("a status that was not kept is no error")
	}
	if after, err := os.ReadFile(file); err != nil || string(after) != string(before) {
		t.Errorf("the status %s became %s, %v", before, after, err)
	}
}
