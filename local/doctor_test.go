package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/local/armsim"
	"portcullis/local/issuer"
)

// doctor is what the route answers, as far as tests look.
type doctor struct {
	State  string
	Caller struct{ Name, Address string }
	Checks []struct {
		Name, Subscription, State, Reason, Advice string
		Seen                                      *string
	}
}

// doctor asks for it, as the admin, and checks that every check says what its state needs.
func (r *rig) doctor() doctor {
	r.t.Helper()
	text, err := json.Marshal(r.must(200, "GET", "/api/doctor", nil))
	var d doctor
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	for _, c := range d.Checks {
		unknown := c.State == "unknown"
		if unknown != (c.Seen == nil) || unknown != (c.Reason != "") || (c.State == "attention" || c.State == "broken") && c.Advice == "" {
			r.t.Errorf("%s is %s without what it needs: seen %v, reason %q, advice %q", c.Name, c.State, c.Seen, c.Reason, c.Advice)
		}
	}
	return d
}

// ill returns "name: state" of every check that is not ok.
func (d doctor) ill() []string {
	out := []string{}
	for _, c := range d.Checks {
		if c.State != "ok" {
			out = append(out, c.Name+": "+c.State)
		}
	}
	slices.Sort(out)
	return out
}

// asked are the calls to a service by what they name.
type asked struct {
	mu    sync.Mutex
	calls map[string]int
	cut   bool // no call to Table Storage is answered
}

func (a *asked) tap(service string, q *http.Request, answered bool) {
	a.mu.Lock()
	cut := a.cut && service == "table"
	if !answered {
		a.calls[service]++
	}
	a.mu.Unlock()
	if cut {
		panic(http.ErrAbortHandler) // documented way to cut a connection
	}
}

func (a *asked) counts() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := a.calls
	a.calls = map[string]int{}
	return out
}

// TestDoctor checks that all is found well where all is well, through everything that ships, and what a first look costs in calls;
// docs/operations.md states it. The next one, soon after, costs nothing.
func TestDoctor(t *testing.T) {
	t.Parallel()
	a := &asked{calls: map[string]int{}}
	r := newRig(t, t.TempDir(), a.tap)
	if err := r.host.Fire(t.Context(), "sweep"); err != nil {
		t.Fatal(err)
	}
	a.counts()
	r.arm.Reset()
	d := r.doctor()
	if diff := cmp.Diff([]string{}, d.ill()); diff != "" || d.State != "ok" || d.Caller.Name != "admin@portcullis.example" || d.Caller.Address != "127.0.0.1" {
		t.Errorf("%+v\n%s", d, diff)
	}
	const reads, operations = 8, 5
	// Resource Manager: role assignments of the caller and of the app, deny assignments, a role of each, three providers. Table
	// Storage: a row read and written, the last sweep, the open grants, the targets.
	if diff := cmp.Diff(map[string]int{"arm": reads, "table": operations}, a.counts()); diff != "" {
		t.Errorf("a first look costs (-want +got):\n%s\n%v", diff, r.arm.Requests())
	}
	text, err := os.ReadFile("../docs/operations.md")
	if stated := fmt.Sprintf("%d reads of Resource Manager and %d operations of Table Storage", reads, operations); err != nil || !strings.Contains(string(text), stated) {
		t.Errorf("docs/operations.md does not say %q (%v)", stated, err)
	}
	for _, c := range d.Checks {
		if !strings.Contains(string(text), "\n| `"+c.Name+"` |") {
			t.Errorf("docs/operations.md does not say what the check %s is", c.Name)
		}
	}
	messages, err := r.bus.Messages("portcullis-revoke")
	if counts, failed := r.bus.Counts("portcullis-revoke"); err != nil || failed != nil || len(messages) != 0 || counts.DeadLettered != 0 {
		t.Errorf("it left %v and %+v in the queue (%v, %v)", messages, counts, err, failed)
	}
	if d := r.doctor(); d.State != "ok" {
		t.Errorf("%s", d.State)
	}
	if diff := cmp.Diff(map[string]int{}, a.counts()); diff != "" {
		t.Errorf("a look soon after costs (-want +got):\n%s", diff)
	}
}

// TestDoctorOfTheIll checks that what is ill shows, all of it at once, and nothing else does.
func TestDoctorOfTheIll(t *testing.T) {
	t.Parallel()
	r := newRig(t, t.TempDir(), nil)
	if err := r.host.Fire(t.Context(), "sweep"); err != nil {
		t.Fatal(err)
	}
	if err := r.arm.Put("/subscriptions/"+armsim.DemoSubscription+"/providers/Microsoft.Authorization/roleDefinitions/"+armsim.AppRole,
		armsim.Role("Portcullis App", "CustomRole", []string{"Microsoft.Authorization/*/read", "Microsoft.Resources/*/read", "Microsoft.Network/*/read"}, nil, []string{"/subscriptions/" + armsim.DemoSubscription})); err != nil {
		t.Fatal(err)
	}
	if err := r.arm.Tune(func(k *armsim.Knobs) {
		k.Providers, k.Ahead = map[string]string{"Microsoft.Compute": "NotRegistered"}, armsim.Duration(2*time.Minute)
	}); err != nil {
		t.Fatal(err)
	}
	if err := r.bus.Hold("portcullis-revoke", true); err != nil {
		t.Fatal(err)
	}
	d := r.doctor()
	// The app holds no action to write and one to read fewer. Resource Manager's clock is not that of Table Storage.
	if diff := cmp.Diff([]string{"clock: attention", "providers: broken", "queue: broken", "readRole: broken", "writeRole: unknown"}, d.ill()); diff != "" || d.State != "broken" {
		t.Errorf("%s: ill (-want +got):\n%s", d.State, diff)
	}
	for _, c := range d.Checks {
		for name, part := range map[string]string{
			"readRole":  "Microsoft.Network/virtualNetworks/listNetworkManagerEffectiveSecurityAdminRules/action",
			"writeRole": "Microsoft.Network/networkSecurityGroups/write", "providers": "Microsoft.Compute", "queue": "has not come", "clock": "off by 1",
		} {
			said := c.Reason
			if c.Seen != nil {
				said += *c.Seen
			}
			if c.Name == name && !strings.Contains(said, part) {
				t.Errorf("%s does not say %q: %s", name, part, said)
			}
		}
		if c.Name == "readRole" && !strings.Contains(c.Advice, "--assignee-object-id "+issuer.AppObjectID) {
			t.Errorf("the advice is %q", c.Advice)
		}
	}
	// The wake-up that was held comes late, and is no dead letter.
	if err := r.bus.Hold("portcullis-revoke", false); err != nil {
		t.Fatal(err)
	}
	r.eventually("the wake-up is taken", func() bool {
		left, err := r.bus.Messages("portcullis-revoke")
		return err == nil && len(left) == 0
	})
	if counts, err := r.bus.Counts("portcullis-revoke"); err != nil || counts.DeadLettered != 0 {
		t.Errorf("%+v %v", counts, err)
	}
}

// TestDoctorWithoutTable checks that the doctor answers while the table does not.
func TestDoctorWithoutTable(t *testing.T) {
	t.Parallel()
	a := &asked{calls: map[string]int{}}
	r := newRig(t, t.TempDir(), a.tap)
	a.mu.Lock()
	a.cut = true
	a.mu.Unlock()
	want := []string{"closings: unknown", "firewallRole: unknown", "sweep: unknown", "tableStorage: broken"}
	if d := r.doctor(); d.State != "broken" || !cmp.Equal(want, d.ill()) {
		t.Errorf("%s: ill (-want +got):\n%s", d.State, cmp.Diff(want, d.ill()))
	}
}
