package access_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/glass"
	"portcullis/core/guard"
	"portcullis/core/jit"
	"portcullis/core/permit"
	"portcullis/core/store"
	"portcullis/core/tell"
)

// inRole returns a person in app roles.
func inRole(who jit.Caller, roles jit.Roles) jit.Caller {
	who.Kind, who.Roles = jit.Person, roles
	return who
}

// broken returns a request as one of break-glass.
func broken(r jit.Request, kind jit.BreakGlass) jit.Request {
	r.BreakGlass, r.Justification = kind, "the shop is down"
	return r
}

// reviewed is an operation of the guard matrix: the review of a drill of somebody's, by g.who of a kind and in app roles.
func reviewed(verb func(*guard.Verbs, context.Context, jit.Caller, string, string) (store.GrantRecord, store.Review, error), whose jit.Caller, kind jit.CallerKind, roles jit.Roles) func(*doorway) string {
	return func(g *doorway) string {
		rec := g.mustBreak(whose, broken(asked(whose, 22, "203.0.113.44", "web"), jit.BreakGlassDrill))
		who := inRole(g.who, roles)
		who.Kind = kind
		got, _, err := verb(g.doors.Verbs, g.t.Context(), who, rec.Grant.ID, "all is well")
		return Outcome(g.t, err, got.Grant.VMs)
	}
}

// breakGlass asks for a request and opens it, without permissions.
func (w *world) breakGlass(ctx context.Context, by jit.Caller, r jit.Request) (store.GrantRecord, error) {
	rec, _, err := w.Request(ctx, by, r, "")
	if err == nil && rec.Grant.Status() == jit.Initiating {
		rec, err = w.Open(ctx, by, rec)
	}
	return rec, err
}

func (w *world) mustBreak(by jit.Caller, r jit.Request) store.GrantRecord {
	w.t.Helper()
	rec, err := w.breakGlass(w.t.Context(), by, r)
	if err != nil {
		w.t.Fatal(err)
	}
	return rec
}

// owed returns the id of the grant for which a person owes a review, "" for none.
func (w *world) owed(person string) string {
	w.t.Helper()
	r, err := w.mem.OwedBy(w.t.Context(), person)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		w.t.Fatal(err)
	}
	return r.Grant
}

// logged returns the log's entries of an operation, oldest first, as result, reason and message.
func (w *world) logged(op store.Operation) []string {
	w.t.Helper()
	entries, _, err := w.mem.Entries(w.t.Context(), store.EntryFilter{Operation: op}, "", 100)
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Reverse(entries)
	var out []string
	for _, e := range entries {
		out = append(out, strings.TrimSpace(fmt.Sprint(e.Result, " ", e.Reason, " ", e.Message)))
	}
	return out
}

var (
	glazier  = inRole(ann, jit.Roles{BreakGlass: true})
	approver = inRole(bob, jit.Roles{Approver: true})
)

// TestBreakGlassRefusals: each misuse has its own code, is logged, changes nothing, and the dry run says the same.
func TestBreakGlassRefusals(t *testing.T) {
	request := func(change func(*jit.Request)) jit.Request {
		r := broken(asked(ann, 22, "203.0.113.7", "web"), jit.BreakGlassOpens)
		change(&r)
		return r
	}
	first := func(r *jit.Request) *jit.RequestPort { return &r.VMs[0].Ports[0] }
	for name, tc := range map[string]struct {
		who  jit.Caller
		r    jit.Request
		code jit.Code
	}{
		"no role":                     {inRole(ann, jit.Roles{Approver: true}), request(func(*jit.Request) {}), glass.CodeNotPermitted},
		"no role, a drill":            {ann, request(func(r *jit.Request) { r.BreakGlass = jit.BreakGlassDrill }), glass.CodeNotPermitted},
		"no id":                       {jit.Caller{Name: "ann", Roles: jit.Roles{BreakGlass: true}}, request(func(*jit.Request) {}), glass.CodeNotPermitted},
		"no reason":                   {glazier, request(func(r *jit.Request) { r.Justification = "" }), jit.CodeBreakGlassReason},
		"a reason that says nothing":  {glazier, request(func(r *jit.Request) { r.Justification = " \u00a0\t" }), jit.CodeBreakGlassReason},
		"a reason that is too long":   {glazier, request(func(r *jit.Request) { r.Justification = strings.Repeat("x", jit.MaxJustification+1) }), jit.CodeJustificationTooLong},
		"longer than break-glass may": {glazier, request(func(r *jit.Request) { first(r).Duration = time.Hour + time.Second }), glass.CodeTooLong},
		"an end that is too late": {glazier, request(func(r *jit.Request) {
			*first(r) = jit.RequestPort{Number: 22, End: noon.Add(time.Hour + jit.ClockSkew + time.Second), Sources: first(r).Sources}
		}), glass.CodeTooLong},
		"a drill that is too long":      {glazier, request(func(r *jit.Request) { r.BreakGlass = jit.BreakGlassDrill; first(r).Duration = 2 * time.Hour }), glass.CodeTooLong},
		"longer than the policy lets":   {glazier, request(func(r *jit.Request) { first(r).Duration = 4 * time.Hour }), jit.CodeDurationOverMaximum},
		"for later":                     {glazier, request(func(r *jit.Request) { r.Opens = noon.Add(time.Hour) }), jit.CodeBreakGlassLater},
		"a port outside the policy":     {glazier, request(func(r *jit.Request) { first(r).Number = 5985 }), jit.CodePortNotInPolicy},
		"a source outside the policy":   {glazier, request(func(r *jit.Request) { first(r).Number, first(r).Sources = 3389, jit.AnySource() }), jit.CodeSourceNotAllowed},
		"a machine without a policy":    {glazier, request(func(r *jit.Request) { r.VMs[0].VM = vmID("app1") }), jit.CodePolicyNotFound},
		"a machine that does not exist": {glazier, request(func(r *jit.Request) { r.VMs[0].VM = vmID("none") }), "VirtualMachineNotFound"},
	} {
		w := newWorld(t)
		p := policyOf("web", 22, 3389)
		p.Ports[1].Sources, _ = jit.ParseSources("203.0.113.0/24")
		if _, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{p}, false); err != nil {
			t.Fatal(err)
		}
		before := w.lines("web-nsg")
		_, _, err := w.doors.Request(t.Context(), tc.who, tc.r, "")
		_, _, dry := w.doors.Preview(t.Context(), tc.who, tc.r)
		if code(err) != tc.code || code(dry) != tc.code {
			t.Errorf("%s: %v, and a dry run %v, want %s", name, err, dry, tc.code)
		}
		if got := w.logged(store.OpRequest); tc.who.ID != "" && (len(got) != 1 || !strings.HasPrefix(got[0], "Refused "+string(tc.code))) {
			t.Errorf("%s: the log says %q", name, got)
		}
		if grants, _ := w.mem.OpenGrants(t.Context()); len(grants) != 0 || w.owed(ann.ID) != "" || !slices.Equal(before, w.lines("web-nsg")) {
			t.Errorf("%s: something was changed", name)
		}
	}
	none := newWorld(t)
	none.enable("web")
	none.startWith(func(p *core.Ports) { p.Reviews = nil })
	if _, _, err := none.doors.Request(t.Context(), glazier, request(func(*jit.Request) {}), ""); code(err) != glass.CodeNotPermitted {
		t.Errorf("without a place for reviews: %v", err)
	}
}

// TestBreakGlass: it opens, is marked and told, and the same person may not do it again until somebody else has written what happened.
func TestBreakGlass(t *testing.T) {
	w := newWorld(t)
	told := &cards{}
	w.startWith(func(p *core.Ports) {
		p.Courier = &tell.Courier{Outbox: w.store, Now: w.now, Channels: []tell.Named{{Name: "webhook", Channel: told}, {Name: "slack", Channel: told}}}
	})
	w.enable("web")
	ask := func(who jit.Caller, source string) (store.GrantRecord, error) {
		rec, _, err := w.doors.Request(t.Context(), who, broken(asked(who, 22, source, "web"), jit.BreakGlassOpens), "")
		if err == nil {
			rec, err = w.doors.Open(t.Context(), who, rec)
		}
		return rec, err
	}
	rec, err := ask(glazier, "203.0.113.7")
	if err != nil || rec.Grant.Status() != jit.Initiated || rec.Grant.BreakGlass != jit.BreakGlassOpens || w.owed(ann.ID) != rec.Grant.ID {
		t.Fatalf("%v %+v, owed %q", err, rec.Grant, w.owed(ann.ID))
	}
	w.ports.Courier.Wait()
	if got, want := told.kinds(), []string{"BreakGlass", "BreakGlass", "Open", "Open"}; !slices.Equal(got, want) {
		t.Errorf("told is %v, want %v", got, want)
	}
	if got := append(w.logged(store.OpRequest), w.logged(store.OpOpen)...); !slices.Equal(got, []string{"Succeeded BreakGlass", "Succeeded BreakGlass"}) {
		t.Errorf("the log says %q", got)
	}

	w.leap(time.Minute)
	if _, err := ask(glazier, "203.0.113.8"); code(err) != glass.CodeReviewOwed {
		t.Errorf("a second one: %v", err)
	}
	if _, _, err := w.doors.Preview(t.Context(), glazier, broken(asked(ann, 22, "203.0.113.8", "web"), jit.BreakGlassDrill)); code(err) != glass.CodeReviewOwed {
		t.Errorf("the dry run of a drill: %v", err)
	}
	plain, _, err := w.doors.Request(t.Context(), glazier, asked(ann, 3389, "203.0.113.8", "web"), "")
	if err != nil || plain.Grant.BreakGlass != jit.NoBreakGlass {
		t.Errorf("an ordinary request meanwhile: %v", err)
	}
	if other, err := ask(inRole(bob, glazier.Roles), "203.0.113.9"); err != nil || w.owed(bob.ID) != other.Grant.ID {
		t.Errorf("somebody else's: %v", err)
	}

	w.leap(time.Hour)
	owes := 0
	for _, g := range w.sweep().Findings {
		if g.Kind == store.FindingReviewOwed && g.Grant == rec.Grant.ID && g.VM.Equal(vmID("web")) && strings.Contains(g.Message, ann.Name) {
			owes++
		}
	}
	if owes != 1 {
		t.Errorf("%d findings of the review that is owed", owes)
	}
	if _, review, err := w.doors.Review(t.Context(), approver, rec.Grant.ID, " the disk\nwas full "); err != nil || review.Text != "the disk was full" || !review.At.Equal(w.now()) || review.ReviewerID != bob.ID {
		t.Fatalf("%+v %v", review, err)
	}
	if got := w.logged(store.OpReview); !slices.Equal(got, []string{"Succeeded  the disk was full"}) {
		t.Errorf("the log says %q", got)
	}
	if next, err := ask(glazier, "203.0.113.8"); err != nil || w.owed(ann.ID) != next.Grant.ID {
		t.Errorf("after the review: %v", err)
	}
	again, _, err := w.doors.Review(t.Context(), approver, rec.Grant.ID, "the disk was full")
	if err != nil || again.Grant.ID != rec.Grant.ID || len(w.logged(store.OpReview)) != 1 {
		t.Errorf("the same review again: %v, and the log says %q", err, w.logged(store.OpReview))
	}
}

// TestBreakGlassSkipsApproval: where a policy asks for approvers, for its machine or a port, an ordinary request waits, and break-glass does not.
func TestBreakGlassSkipsApproval(t *testing.T) {
	for name, demand := range map[string]func(*jit.Policy){
		"of the machine": func(p *jit.Policy) { p.Options = &jit.Options{Approvers: 2} },
		"of a port":      func(p *jit.Policy) { p.Ports[0].Approvers = 1 },
	} {
		w := newWorld(t)
		p := policyOf("web", 22, 3389)
		demand(&p)
		if _, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{p}, false); err != nil {
			t.Fatal(err)
		}
		plain, _, err := w.doors.Request(t.Context(), glazier, asked(ann, 22, "203.0.113.7", "web"), "")
		if err != nil || plain.Grant.Status() != jit.AwaitingApproval {
			t.Errorf("%s, an ordinary one: %s %v", name, plain.Grant.Status(), err)
		}
		rec := w.mustBreak(glazier, broken(asked(ann, 22, "203.0.113.7", "web"), jit.BreakGlassOpens))
		if rec.Grant.Status() != jit.Initiated || rec.Grant.Wait.Approvers != 0 || w.owed(ann.ID) != rec.Grant.ID {
			t.Errorf("%s, break-glass: %s, %+v", name, rec.Grant.Status(), rec.Grant.Wait)
		}
		drill := w.mustBreak(inRole(bob, glazier.Roles), broken(asked(bob, 22, "203.0.113.7", "web"), jit.BreakGlassDrill))
		if !drill.Grant.Closed() || drill.Grant.Reason() != jit.DrillOnly {
			t.Errorf("%s, a drill: %s", name, drill.Grant.Status())
		}
	}
}

// cards is a channel that keeps which kinds it was sent.
type cards struct {
	mu  sync.Mutex
	got []tell.Card
}

func (c *cards) Send(_ context.Context, card tell.Card) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, card)
	return nil
}

func (c *cards) kinds() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, card := range c.got {
		out = append(out, string(card.Message.Kind))
	}
	slices.Sort(out)
	return out
}

// TestBreakGlassExtend: an extension passes neither the cap, counted from the start, nor the loss of the role.
func TestBreakGlassExtend(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	r := broken(asked(ann, 22, "203.0.113.7", "web"), jit.BreakGlassOpens)
	r.VMs[0].Ports[0].Duration = 20 * time.Minute
	rec := w.mustBreak(glazier, r)
	w.leap(15 * time.Minute)
	for name, tc := range map[string]struct {
		who    jit.Caller
		length time.Duration
		end    time.Time
		code   jit.Code
	}{
		"past the cap by a length": {glazier, 48 * time.Minute, time.Time{}, glass.CodeTooLong},
		"past the cap by an end":   {glazier, 0, noon.Add(63 * time.Minute), glass.CodeTooLong},
		"past the policy":          {glazier, 4 * time.Hour, time.Time{}, jit.CodeDurationOverMaximum},
		"without the role":         {ann, 20 * time.Minute, time.Time{}, glass.CodeNotPermitted},
	} {
		_, err := w.doors.Extend(t.Context(), tc.who, rec.Grant.ID, tc.length, tc.end)
		_, _, dry := w.doors.PreviewExtend(t.Context(), tc.who, rec.Grant.ID, tc.length, tc.end)
		if code(err) != tc.code || code(dry) != tc.code {
			t.Errorf("%s: %v, and a dry run %v, want %s", name, err, dry, tc.code)
		}
	}
	rec, err := w.doors.Extend(t.Context(), glazier, rec.Grant.ID, 45*time.Minute, time.Time{})
	if err != nil || !rec.Grant.End().Equal(noon.Add(time.Hour)) {
		t.Errorf("up to the cap: %v, until %s", err, rec.Grant.End())
	}
}

// TestDrill: all of break-glass but that anything opens: no rule is written, and no window is live at any time.
func TestDrill(t *testing.T) {
	w := newWorld(t)
	told := &cards{}
	w.startWith(func(p *core.Ports) {
		p.Courier = &tell.Courier{Outbox: w.store, Now: w.now, Channels: []tell.Named{{Name: "webhook", Channel: told}}}
	})
	w.enable("web")
	before := w.lines("web-nsg")
	drill := broken(asked(ann, 22, "203.0.113.7", "web"), jit.BreakGlassDrill)
	w.cloud.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "Apply" {
			t.Error("a drill writes rules")
		}
		return nil
	}
	dry, changes, err := w.doors.Preview(t.Context(), glazier, drill)
	if err != nil || len(changes) != 0 || dry.Grant.AnyLive(w.now()) || dry.Grant.BreakGlass != jit.BreakGlassDrill || w.owed(ann.ID) != "" {
		t.Errorf("the dry run: %v %v %+v", err, changes, dry.Grant)
	}
	rec, _, err := w.doors.Request(t.Context(), glazier, drill, "key")
	if err != nil || rec.Grant.AnyLive(w.now()) || rec.Grant.Status() != jit.Initiating || len(rec.Placements) != 0 {
		t.Fatalf("%v %+v", err, rec)
	}
	if rec, err = w.doors.Open(t.Context(), glazier, rec); err != nil || !rec.Grant.Closed() || rec.Grant.Reason() != jit.DrillOnly {
		t.Fatalf("%v %+v", err, rec.Grant)
	}
	w.ports.Courier.Wait()
	if got := told.kinds(); !slices.Equal(got, []string{"BreakGlassDrill"}) || !strings.Contains(told.got[0].Title, "DRILL") || !strings.Contains(told.got[0].Lines[0], "nothing opens") {
		t.Errorf("told is %v: %+v", got, told.got)
	}
	if got := w.logged(store.OpRequest); !slices.Equal(got, []string{"Succeeded Drill"}) || len(w.logged(store.OpOpen)) != 0 {
		t.Errorf("the log says %q, and of openings %q", got, w.logged(store.OpOpen))
	}
	if again, known, err := w.doors.Request(t.Context(), glazier, drill, "key"); err != nil || !known || again.Grant.ID != rec.Grant.ID {
		t.Errorf("the same drill again: %v, known %v", err, known)
	}
	if _, _, err := w.doors.Request(t.Context(), glazier, broken(asked(ann, 22, "203.0.113.8", "web"), jit.BreakGlassOpens), ""); code(err) != glass.CodeReviewOwed {
		t.Errorf("break-glass before the drill's review: %v", err)
	}
	if _, _, err := w.doors.Review(t.Context(), approver, rec.Grant.ID, "everybody was told"); err != nil {
		t.Error(err)
	}
	if !slices.Equal(before, w.lines("web-nsg")) {
		t.Errorf("the rules are %v", w.lines("web-nsg"))
	}
}

// TestBreakGlassAtOnce: of two at once by one person one is stored, in whichever order their calls come.
func TestBreakGlassAtOnce(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	second := w.instance()
	raced := false
	w.store.Fault = func(ctx context.Context, s coretest.Step) error {
		if s.Op == "InsertGrant" && !s.After && !raced { // both have looked whether a review is owed
			raced = true
			if _, _, err := second.Request(context.WithoutCancel(ctx), glazier, broken(asked(ann, 3389, "203.0.113.8", "web"), jit.BreakGlassOpens), ""); err != nil {
				t.Error(err)
			}
		}
		return nil
	}
	_, _, err := w.Request(t.Context(), glazier, broken(asked(ann, 22, "203.0.113.7", "web"), jit.BreakGlassOpens), "")
	if code(err) != glass.CodeReviewOwed || !raced {
		t.Errorf("raced %v: %v", raced, err)
	}
	if grants, _ := w.mem.OpenGrants(t.Context()); len(grants) != 1 || w.owed(ann.ID) != grants[0].Grant.ID {
		t.Errorf("%d grants, owed %q", len(grants), w.owed(ann.ID))
	}
}

// TestBreakGlassCrash: a crash before or after any call leaves no break-glass without its review, and nothing open past its end.
func TestBreakGlassCrash(t *testing.T) {
	for _, kind := range []jit.BreakGlass{jit.BreakGlassOpens, jit.BreakGlassDrill} {
		for n := 1; ; n++ {
			w := newWorld(t)
			w.enable("web")
			before, calls := w.lines("web-nsg"), 0
			crash := func(context.Context, coretest.Step) error {
				if calls++; calls >= n {
					return errFault
				}
				return nil
			}
			w.store.Fault, w.cloud.Fault, w.bell.Fault = crash, crash, crash
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := w.breakGlass(ctx, glazier, broken(asked(ann, 22, "203.0.113.7", "web"), kind))
			cancel()
			w.store.Fault, w.cloud.Fault, w.bell.Fault = nil, nil, nil
			reached := calls >= n
			w.start()
			stored, _ := w.mem.OpenGrants(t.Context())
			past, _, _ := w.mem.ListGrants(t.Context(), store.GrantFilter{}, "", 10)
			if (len(stored)+len(past) > 0) != (w.owed(ann.ID) != "") {
				t.Errorf("%s, crash %d: %d grants are stored, and %q is owed", kind, n, len(past), w.owed(ann.ID))
			}
			w.leap(2 * time.Hour)
			w.sweep()
			if open, _ := w.mem.OpenGrants(t.Context()); len(open) != 0 || !slices.Equal(before, w.lines("web-nsg")) {
				t.Errorf("%s, crash %d: %d grants are open after their end: %v", kind, n, len(open), w.lines("web-nsg"))
			}
			if !reached {
				if err != nil {
					t.Errorf("%s without a crash: %v", kind, err)
				}
				break
			}
			if n > 200 {
				t.Fatal("there is no end to the calls")
			}
		}
	}
}

// TestBreakGlassThatFailed: where nothing opened, and who tried has undone it, the next try does not wait for a review, and the sweep finds none.
func TestBreakGlassThatFailed(t *testing.T) {
	for _, swept := range []bool{false, true} {
		w := newWorld(t)
		w.enable("web")
		w.cloud.Fault = func(_ context.Context, s coretest.Step) error {
			if s.Op == "Apply" && !s.After {
				return &store.Unavailable{Dependency: "Azure Resource Manager", Err: errFault}
			}
			return nil
		}
		if _, err := w.breakGlass(t.Context(), glazier, broken(asked(ann, 22, "203.0.113.7", "web"), jit.BreakGlassOpens)); err == nil {
			t.Fatal("it opened")
		}
		w.cloud.Fault = nil
		failed := w.owed(ann.ID)
		if failed == "" {
			t.Fatal("the review is not stored with the grant")
		}
		if swept {
			w.leap(time.Minute)
			for _, f := range w.sweep().Findings {
				if f.Kind == store.FindingReviewOwed {
					t.Errorf("found: %s", f.Message)
				}
			}
			if w.owed(ann.ID) != "" {
				t.Error("the sweep leaves the review")
			}
			if _, _, err := w.doors.Review(t.Context(), approver, failed, "nothing"); code(err) != glass.CodeReviewNotOwed {
				t.Errorf("a review of what is not owed: %v", err)
			}
		}
		rec := w.mustBreak(glazier, broken(asked(ann, 22, "203.0.113.7", "web"), jit.BreakGlassOpens))
		if w.owed(ann.ID) != rec.Grant.ID || rec.Grant.ID == failed {
			t.Errorf("owed is %q", w.owed(ann.ID))
		}
	}
}

// TestReviewRefusals: each misuse of a review has its own code, and changes nothing.
func TestReviewRefusals(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	rec := w.mustBreak(glazier, broken(asked(ann, 22, "203.0.113.7", "web"), jit.BreakGlassOpens))
	plain := w.mustAskAs(ann, 3389, "203.0.113.7")
	id := rec.Grant.ID
	renamed, elsewhere := inRole(ann, approver.Roles), inRole(ann, approver.Roles)
	renamed.Name, elsewhere.ID = "anna@example.com", "other/ann"
	robot := approver
	robot.Kind = jit.Application
	check := func(name string, who jit.Caller, id, text string, want jit.Code) {
		t.Helper()
		_, _, err := w.doors.Review(t.Context(), who, id, text)
		_, _, dry := w.doors.PreviewReview(t.Context(), who, id, text)
		if code(err) != want || want != glass.CodeReviewWritten && code(dry) != want {
			t.Errorf("%s: %v, and a dry run %v, want %s", name, err, dry, want)
		}
	}
	check("before it is over", approver, id, "x", glass.CodeStillOpen)
	w.leap(2 * time.Hour)
	check("past its end and not confirmed closed", approver, id, "x", glass.CodeStillOpen)
	w.sweep()
	check("a text that says nothing", approver, id, " \n", jit.CodeReviewMissing)
	check("a text that is too long", approver, id, strings.Repeat("x", jit.MaxReview+1), jit.CodeReviewTooLong)
	check("a text that cannot be seen", approver, id, "a\u202eb", jit.CodeTextNotPrintable)
	check("one's own", inRole(ann, approver.Roles), id, "x", glass.CodeOwnReview)
	check("one's own under another name", renamed, id, "x", glass.CodeOwnReview)
	check("one's own from another directory", elsewhere, id, "x", glass.CodeOwnReview)
	check("by an application", robot, id, "x", glass.CodeNotPerson)
	check("of no break-glass", approver, plain, "x", glass.CodeReviewNotOwed)
	check("of nothing", approver, "00000000-0000-7000-8000-000000000000", "x", "RequestNotFound")
	if w.owed(ann.ID) != id || len(w.logged(store.OpReview)) == 0 {
		t.Fatal("a refusal has changed something, or is not logged")
	}
	for _, line := range w.logged(store.OpReview) {
		if !strings.HasPrefix(line, "Refused ") {
			t.Errorf("the log says %q", line)
		}
	}
	if _, _, err := w.doors.Review(t.Context(), approver, id, "the disk was full"); err != nil {
		t.Fatal(err)
	}
	carol := approver
	carol.ID, carol.Name = "tid/carol", "carol@example.com"
	check("by a third", carol, id, "the disk was full", glass.CodeReviewWritten)
	check("once more, with other words", approver, id, "the disk was not full", glass.CodeReviewWritten)
}

// TestReviewAtOnce: of two reviews at once one is stored, and the log says of the other that it is not.
func TestReviewAtOnce(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	rec := w.mustBreak(glazier, broken(asked(ann, 22, "203.0.113.7", "web"), jit.BreakGlassDrill))
	carol, raced := inRole(jit.Caller{ID: "tid/carol", Name: "carol"}, approver.Roles), false
	w.store.Fault = func(ctx context.Context, s coretest.Step) error {
		if s.Op == "WriteReview" && !s.After && !raced {
			raced = true
			if _, _, err := w.doors.Review(context.WithoutCancel(ctx), carol, rec.Grant.ID, "carol was first"); err != nil {
				t.Error(err)
			}
		}
		return nil
	}
	if _, _, err := w.doors.Review(t.Context(), approver, rec.Grant.ID, "bob was late"); code(err) != glass.CodeReviewWritten {
		t.Errorf("%v", err)
	}
	if r, err := w.mem.WrittenReview(t.Context(), rec.Grant.ID); err != nil || r.Text != "carol was first" {
		t.Errorf("stored is %+v %v", r, err)
	}
	if got := w.logged(store.OpReview); len(got) != 4 || !slices.ContainsFunc(got, func(line string) bool { return strings.HasPrefix(line, "Failed  not stored") }) {
		t.Errorf("the log says %q", got)
	}
	w.store.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "Append" {
			return errFault
		}
		return nil
	}
	other := w.mustLog(func() store.GrantRecord {
		return w.mustBreak(inRole(bob, glazier.Roles), broken(asked(bob, 22, "203.0.113.7", "web"), jit.BreakGlassDrill))
	})
	if _, _, err := w.doors.Review(t.Context(), carol, other.Grant.ID, "no log"); err == nil || w.owed(bob.ID) != other.Grant.ID {
		t.Errorf("a review that cannot be logged: %v", err)
	}
}

// mustLog calls f while the log takes what is written.
func (w *world) mustLog(f func() store.GrantRecord) store.GrantRecord {
	fault := w.store.Fault
	w.store.Fault = nil
	defer func() { w.store.Fault = fault }()
	return f()
}

// TestBreakGlassCosts: an ordinary request calls no more of the store than it did, and break-glass one more: whether a review is owed.
func TestBreakGlassCosts(t *testing.T) {
	calls := func(kind jit.BreakGlass) map[string]int {
		w := newWorld(t)
		w.enable("web")
		var mu sync.Mutex
		n := map[string]int{}
		w.store.Fault = func(_ context.Context, s coretest.Step) error {
			mu.Lock()
			defer mu.Unlock()
			if !s.After {
				n[s.Op]++
			}
			return nil
		}
		r := asked(ann, 22, "203.0.113.7", "web")
		if kind != jit.NoBreakGlass {
			r = broken(r, kind)
		}
		w.mustBreak(glazier, r)
		return n
	}
	plain, glass := calls(jit.NoBreakGlass), calls(jit.BreakGlassOpens)
	if plain["OwedBy"] != 0 || glass["OwedBy"] != 1 {
		t.Errorf("whether a review is owed is asked %d and %d times", plain["OwedBy"], glass["OwedBy"])
	}
	delete(glass, "OwedBy")
	if fmt.Sprint(plain) != fmt.Sprint(glass) {
		t.Errorf("an ordinary request calls %v, break-glass %v besides", plain, glass)
	}
}

// TestReviewNamesNoMachine: who may not read the machine where a permission is missing does not learn of it.
func TestReviewNamesNoMachine(t *testing.T) {
	w := newWorld(t)
	w.enable("web", "app1")
	rec := w.mustBreak(glazier, broken(asked(ann, 22, "203.0.113.7", "web", "app1"), jit.BreakGlassDrill))
	doors := w.permitted(holder{who: inRole(bob, jit.Roles{}), actions: []string{permit.ActionRead, permit.ActionWrite}, at: "web"})
	if _, _, err := doors.Review(t.Context(), inRole(bob, jit.Roles{}), rec.Grant.ID, "x"); code(err) != permit.CodeForbidden || strings.Contains(err.Error(), "app1") {
		t.Errorf("%v", err)
	}
}
