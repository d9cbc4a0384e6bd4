package bench

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/guard"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/roster"
	"portcullis/core/store"
	"portcullis/handlers"
	"portcullis/local/armsim"
)

// anybody may do anything.
type anybody struct{}

// Missing implements access.Authority.
func (anybody) Missing(context.Context, jit.Caller, string, ...string) (string, error) {
	return "", nil
}

// bare is the app's doors and verbs before dependencies in memory that answer at once: what is left is our own work.
func bare(tb testing.TB) (http.Handler, *guard.Verbs) {
	cloud, memory := coretest.NewCloud(), coretest.NewMemory()
	target, vm := groupID(0), machineID(0)
	addrs := []netip.Addr{addressOf(0)}
	cloud.SetRules(target)
	cloud.Place(network.Machine{VM: vm, Location: "westeurope", Private: addrs, Placements: []store.Placement{{Target: target, Addresses: addrs}}})
	rooms := core.New(core.Ports{Network: cloud, Kinds: network.KindsOf(network.SecurityGroups(cloud)), Policies: memory, Grants: memory, Keys: memory, History: memory, Targets: memory,
		Activity: memory, Holds: memory, Sweeps: memory, Alarm: &coretest.Bell{}, Subscriptions: []string{sub}, Now: time.Now, NewID: newID, Authority: anybody{}})
	h := handlers.New(rooms, handlers.Options{
		Caller: func(*http.Request) (jit.Caller, error) {
			return jit.Caller{ID: tenant + "/" + person, Name: "ann@example.com"}, nil
		},
		Wait: time.Minute, Version: "bench", NewID: newID, Log: slog.New(slog.NewJSONHandler(io.Discard, nil)),
	})
	do(tb, h, http.MethodPost, "/api/enable", `{"virtualMachines":[{"id":"`+vm.String()+`"}]}`)
	return h, rooms.Access
}

// do makes one call, wants 200, and returns the answer.
func do(tb testing.TB, h http.Handler, method, path, body string) string {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer anybody")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		tb.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	return w.Body.String()
}

func idOf(answer string) string {
	_, rest, _ := strings.Cut(answer, `"id":"`)
	id, _, _ := strings.Cut(rest, `"`)
	return id
}

func asked(source int) string {
	return fmt.Sprintf(`{"virtualMachines":[{"id":"%s","ports":[{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"100.64.%d.%d"}]}],"justification":"bench"}`,
		machineID(0), source>>8&255, source&255)
}

// spent is what one call takes of the processors, the collector's share included, whatever else runs on the machine.
type spent struct {
	processor     time.Duration
	allocs, bytes uint64
}

func (s spent) String() string {
	if s.processor > 10*time.Millisecond {
		return fmt.Sprintf("%.1f ms", s.processor.Seconds()*1e3)
	}
	return fmt.Sprintf("%.0f µs", s.processor.Seconds()*1e6)
}

func (s spent) memory() string {
	return fmt.Sprintf("%s allocations, %s KB", thousands(int(s.allocs)), thousands(int(s.bytes/1024)))
}

// perCall makes n calls. What between gives is done after each and not counted.
func perCall(tb testing.TB, n int, f func(i int) (between func())) spent {
	defer debug.SetGCPercent(debug.SetGCPercent(100)) // as the app has it
	var out spent
	var before, after runtime.MemStats
	runtime.GC()
	for i := range n {
		counting := i%16 == 0 // reading the allocations stops the world
		if counting {
			runtime.ReadMemStats(&before)
		}
		began := processor(tb)
		between := f(i)
		out.processor += processor(tb) - began
		if counting {
			runtime.ReadMemStats(&after)
			out.allocs, out.bytes = out.allocs+after.Mallocs-before.Mallocs, out.bytes+after.TotalAlloc-before.TotalAlloc
		}
		if between != nil {
			between()
		}
	}
	counted := uint64(n+15) / 16
	return spent{out.processor / time.Duration(n), out.allocs / counted, out.bytes / counted}
}

// processor is what this process has used of them so far.
func processor(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// full is a security group with so many rules of ours, and one of somebody else's: all allows, but for the one deny
// that closes the machines' port.
func full(rules int) plan.Input {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	in := plan.Input{State: roster.State{Known: true}, Now: now, Current: []jit.Rule{}}
	for n := range rules - 1 {
		vm, address := machineID(n), addressOf(n)
		addrs := map[string][]netip.Addr{vm.Key(): {address}}
		in.Policies = append(in.Policies, roster.Protected{Policy: jit.Policy{VM: vm, Ports: []jit.PortRule{{Number: 22, Protocol: jit.TCP, Sources: jit.AnySource(), Maximum: time.Hour}}}, Addresses: []netip.Addr{address}})
		in.Openings = append(in.Openings, roster.Opening{Addresses: addrs, Grant: jit.Grant{ID: newID(), Requestor: "ann", RequestorID: fmt.Sprint(n), Start: now.Add(-time.Minute), OpenBy: now.Add(time.Minute), Generation: 1,
			VMs: []jit.GrantVM{{VM: vm, Ports: []jit.Window{{Number: 22, Protocol: jit.TCP, Sources: jit.SourcesOf(netip.MustParsePrefix("198.51.100.7/32")), End: now.Add(time.Hour), Status: jit.Initiating}}}}}})
	}
	in.Current = plan.Compute(in).Changes.Apply(in.Current)
	for _, o := range in.Openings { // a window that is open already, without a rule, is opened no more
		o.Grant.VMs[0].Ports[0].Status = jit.Initiated
	}
	return in
}

// computing plans a group with 1,000 rules of ours on which one window has just ended.
func computing(tb testing.TB) spent {
	in := full(1000)
	if len(in.Current) != 1000 {
		tb.Fatalf("%d rules", len(in.Current))
	}
	in.Openings[500].Grant.VMs[0].Ports[0].End = in.Now
	return perCall(tb, 100, func(int) func() {
		if p := plan.Compute(in); len(p.Changes.Delete) != 1 || len(p.Changes.Create)+len(p.Changes.Update) != 0 {
			tb.Fatalf("%d created, %d updated, %d deleted", len(p.Changes.Create), len(p.Changes.Update), len(p.Changes.Delete))
		}
		return nil
	})
}

// TestFullGroup checks that what is measured of a full group is a plan that deletes one rule.
func TestFullGroup(t *testing.T) { computing(t) }

// requesting opens a port, and closes it again uncounted, so that there is always one window.
func requesting(tb testing.TB) spent {
	h, _ := bare(tb)
	return perCall(tb, 3000, func(i int) func() {
		id := idOf(do(tb, h, http.MethodPost, "/api/request", asked(i)))
		return func() { do(tb, h, http.MethodPost, "/api/requests/"+id+"/revoke", "") }
	})
}

// verbs is requesting without the doors: the verbs that they call, called.
func verbs(tb testing.TB) spent {
	_, guard := bare(tb)
	who := jit.Caller{ID: tenant + "/" + person, Name: "ann@example.com"}
	return perCall(tb, 3000, func(i int) func() {
		ctx := tb.Context()
		ask := jit.Request{RequestorID: who.ID, Requestor: who.Name, Justification: "bench", VMs: []jit.RequestVM{{VM: machineID(0), Ports: []jit.RequestPort{{
			Number: 22, Duration: time.Hour, Sources: jit.SourcesOf(netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, byte(i >> 8), byte(i)}), 32))}}}}}
		rec, _, err := guard.Request(ctx, who, ask, "")
		if err == nil {
			rec, err = guard.Open(ctx, who, rec)
		}
		if err != nil {
			tb.Fatal(err)
		}
		return func() {
			if _, err := guard.Revoke(ctx, who, rec.Grant.ID); err != nil {
				tb.Fatal(err)
			}
		}
	})
}

// reading looks at one request.
func reading(tb testing.TB) spent {
	h, _ := bare(tb)
	id := idOf(do(tb, h, http.MethodPost, "/api/request", asked(0)))
	return perCall(tb, 3000, func(int) func() {
		do(tb, h, http.MethodGet, "/api/requests/"+id, "")
		return nil
	})
}

// benchOurs is what our own work takes, in real time.
func benchOurs(t *testing.T, r *report) {
	load := "unknown"
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		load, _, _ = strings.Cut(string(text), " ")
	}
	request, inside, read, compute := requesting(t), verbs(t), reading(t), computing(t)
	room := newMachineRoom(t, estate{machines: 20, groups: 20})
	var starts []time.Duration
	for range 15 {
		p := room.launch(t)
		starts = append(starts, p.start)
		p.end()
	}
	p := room.launch(t)
	slices.Sort(starts)
	ms := func(d time.Duration) string { return fmt.Sprintf("%.0f ms", d.Seconds()*1e3) }
	rows := [][]string{
		{"processor time of a request", request.String(), "", request.memory()},
		{"of it in the doors", spent{processor: request.processor - inside.processor}.String(), "200 µs", fmt.Sprintf("%d allocations; the verbs behind them take %s", request.allocs-inside.allocs, inside)},
		{"processor time of a look at a request", read.String(), "", read.memory()},
		{"processor time of plan.Compute, 1,000 rules", compute.String(), "10 ms", compute.memory()},
		{"start of the binary to health 200", ms(starts[0]), "100 ms", fmt.Sprintf("the quickest of %d; median %s", len(starts), ms(percentile(starts, .5)))},
	}
	rows = append(rows, loads(t, room, p)...)
	r.text("## Our own work, in real time")
	r.text("On the machine named above, beside whatever else ran on it; a load of %s when it began. Processor time is user and system time, the garbage collector's included, of the app's doors and verbs "+
		"before dependencies in memory that answer at once. Memory is the process's resident set, as Linux gives it. "+
		"wrk calls the binary over loopback with 16 connections; the stand-ins of Resource Manager, Table Storage and Service Bus, whose writes end at once, and wrk itself share the processors with it. What calls Resource Manager is not among it: the app keeps to 25 reads and 10 writes a second, which is what Resource Manager allows.", load)
	r.table([]string{"what", "measured", "target", ""}, rows)
}

// loads measures memory and throughput of one process.
func loads(t *testing.T, room *machineRoom, p *process) [][]string {
	fresh, _ := p.resident()
	room.check(room.arm.Tune(func(k *armsim.Knobs) { k.Writes.Answer = armsim.AnswerSucceeded }))
	var vms []string
	for n := range 20 {
		vms = append(vms, `{"id":"`+machineID(n).String()+`"}`)
	}
	p.post(http.MethodPost, "/api/enable", `{"virtualMachines":[`+strings.Join(vms, ",")+`]}`)
	id := ""
	for i := range 1000 {
		if i%10 == 0 { // more would wait for the pace that Resource Manager allows
			id = idOf(p.post(http.MethodPost, "/api/request", strings.ReplaceAll(asked(i), machineID(0).String(), machineID(i/10%20).String())))
		} else {
			p.post(http.MethodGet, "/api/requests/"+id, "")
		}
	}
	after, _ := p.resident()
	rows := [][]string{{"resident memory after 1,000 requests", fmt.Sprintf("%.0f MiB", after), "60 MiB", fmt.Sprintf("100 openings and 900 looks; %.0f MiB after the start", fresh)}}
	if _, err := exec.LookPath("wrk"); err != nil {
		rows = append(rows, []string{"requests per second", "not measured", "", "wrk is not installed"})
	} else {
		for _, l := range []struct{ name, path string }{
			{"GET /api/openapi.json", "/api/openapi.json"},
			{"GET /api/requests/{id}", "/api/requests/" + id},
		} {
			got := p.wrk(t, l.path, 8*time.Second)
			note := fmt.Sprintf("p50 %s, p99 %s", got.p50, got.p99)
			if got.bad != "" {
				note += ", " + got.bad + " answers were not 2xx"
			}
			rows = append(rows, []string{l.name, fmt.Sprintf("%.0f per second", got.perSecond), "", note})
		}
	}
	p.end()
	big := newMachineRoom(t, estate{machines: 1000, groups: 100})
	big.fill(storm{windows: 10_000, groups: 100}, 1000)
	q := big.launch(t)
	q.sweep()
	now, most := q.resident()
	return append(rows, []string{"resident memory at 10,000 open windows", fmt.Sprintf("%.0f MiB", now), "", fmt.Sprintf("after a sweep over them; %.0f MiB at most", most)})
}
