package handlers_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/store"
)

const (
	exporting = "/api/policies/export"
	restoring = "/api/policies/import"
)

// some lets people do what it says of an action and a scope.
type some func(action, scope string) bool

func (may some) Missing(_ context.Context, _ jit.Caller, scope string, actions ...string) (string, error) {
	for _, a := range actions {
		if !may(a, scope) {
			return a, nil
		}
	}
	return "", nil
}

// counts gives a function that tells, by operation, what the store and the cloud were asked since it was last asked.
func (a *app) counts() func() map[string]int {
	var mu sync.Mutex
	seen := map[string]int{}
	count := func(_ context.Context, s coretest.Step) error {
		mu.Lock()
		defer mu.Unlock()
		if !s.After {
			seen[s.Op]++
		}
		return nil
	}
	a.store.Fault, a.cloud.Fault = count, count
	return func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		defer clear(seen)
		return maps.Clone(seen)
	}
}

// furnished is an installation with policies of every form.
func furnished(t *testing.T) *app {
	a := newCompat(t)
	a.put(app1, app2)
	port := `{"number":22,"protocol":"TCP","allowedSourceAddressPrefixes":["203.0.113.0/24","10.9.0.0/16"],"maxRequestAccessDuration":"PT1H30M","mappedPort":2222},{"number":3389,"protocol":"*","allowedSourceAddressPrefix":"*","maxRequestAccessDuration":"PT3H"}`
	for _, body := range []string{
		`{"virtualMachines":[{"id":"` + web + `","ports":[` + port + `],"existingRules":"respect","publicIpAddress":"198.51.100.7","options":{"forbidAnySource":true,"widestIPv4Prefix":24,"widestIPv6Prefix":64,"requireJustification":true}}]}`,
		`{"virtualMachines":[{"id":"` + app1 + `","ports":[` + port + `]}]}`,
	} {
		if r := a.call("POST", "/api/enable", body); r.status != 200 {
			t.Fatal(r.text)
		}
	}
	mine := strings.Replace(policy, "westeurope/jitNetworkAccessPolicies/default", "northeurope/jitNetworkAccessPolicies/mine", 1)
	if r := a.call("PUT", mine+version, putBody(north)); r.status != 200 {
		t.Fatal(r.text)
	}
	return a
}

func (a *app) exports(t *testing.T) string {
	t.Helper()
	r := a.call("GET", exporting, "")
	r.wants(t, 200, "")
	return r.text
}

// timeless is a document without when it was made.
func timeless(document string) string {
	return regexp.MustCompile(`"exportedAt":"[^"]*"`).ReplaceAllString(document, `"exportedAt":""`)
}

// outcomes gives "machine outcome code" of an import's answer.
func (r answer) outcomes() []string {
	var out []string
	vms, _ := r.body["virtualMachines"].([]any)
	for _, vm := range vms {
		m := vm.(map[string]any)
		id := m["id"].(string)
		line := id[strings.LastIndex(id, "/")+1:] + " " + m["outcome"].(string)
		if e, ok := m["error"].(map[string]any); ok {
			line += " " + e["code"].(string)
		}
		out = append(out, line)
	}
	return out
}

func (r answer) becomes(t *testing.T, want ...string) {
	t.Helper()
	r.wants(t, 200, "")
	if diff := cmp.Diff(want, r.outcomes()); diff != "" {
		t.Errorf("what became of the machines (-want +got):\n%s\n%s", diff, r.text)
	}
}

// TestRestoreRefuses: what is not exactly a document that an export has given is refused as a whole, and costs nothing.
func TestRestoreRefuses(t *testing.T) {
	good := furnished(t).exports(t)
	a := newCompat(t)
	counted := a.counts()
	swap := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("the document lacks %s: %s", old, good)
		}
		return strings.Replace(good, old, new, 1)
	}
	for name, tt := range map[string]struct {
		body, code, target string
		status             int
	}{
		"nothing":               {"", "RequestBodyMissing", "", 400},
		"not JSON":              {good[:len(good)/2], "InvalidRequestContent", "policies[1].virtualMachines[0].ports[0]", 400},
		"another format":        {swap(`"format":"portcullis-policies"`, `"format":"policies"`), "UnknownFormat", "format", 400},
		"no format":             {swap(`"format":"portcullis-policies",`, ``), "UnknownFormat", "format", 400},
		"Defender's list":       {`{"value":[]}`, "UnknownFormat", "format", 400},
		"a newer version":       {swap(`"version":1,`, `"version":2,"something":"new",`), "UnknownFormat", "version", 400},
		"a version of no form":  {swap(`"version":1,`, `"version":"1",`), "InvalidRequestContent", "version", 400},
		"an unknown field":      {swap(`"existingRules"`, `"demands":[],"existingRules"`), "UnknownField", "policies[0].virtualMachines[0].demands", 400},
		"a field twice":         {swap(`"existingRules"`, `"ports":[],"existingRules"`), "DuplicateField", "policies[0].virtualMachines[0].ports", 400},
		"a machine twice":       {swap(`/virtualMachines/app2"`, `/virtualMachines/APP1"`), "DuplicateVirtualMachine", strings.Replace(app1, "app1", "APP1", 1), 400},
		"another subscription":  {swap(`"id":"`+web, `"id":"`+strings.Replace(web, "d3e0", "d3e1", 1)), "VirtualMachineInOtherSubscription", strings.Replace(web, "d3e0", "d3e1", 1), 400},
		"no id of a policy":     {swap(`/jitNetworkAccessPolicies/default"`, `/policies/default"`), "InvalidResourceId", "policies[1].id", 400},
		"no id of a machine":    {swap(`"id":"`+web+`"`, `"id":"web"`), "InvalidResourceId", "policies[1].virtualMachines[2].id", 400},
		"no ports":              {swap(`"ports":[{"number":22,"protocol":"*","allowedSourceAddressPrefix":"*","maxRequestAccessDuration":"PT3H"}]`, `"ports":[]`), "PortsMissing", "policies[0].virtualMachines[0].ports", 400},
		"a port without source": {swap(`"allowedSourceAddressPrefix":"*",`, ``), "InvalidRequestContent", "policies[0].virtualMachines[0].ports[0].allowedSourceAddressPrefix", 400},
		"no maximum":            {swap(`,"maxRequestAccessDuration":"PT3H"`, ``), "InvalidRequestContent", "policies[0].virtualMachines[0].ports[0].maxRequestAccessDuration", 400},
		"a maximum too long":    {swap(`"PT3H"`, `"P2D"`), "InvalidMaximumDuration", "policies[0].virtualMachines[0].ports[0].maxRequestAccessDuration", 400},
		"existing rules unsaid": {swap(`"existingRules":"override"`, `"existingRules":""`), "InvalidExistingRules", "policies[0].virtualMachines[0].existingRules", 400},
		"not whole":             {swap(`"complete":true`, `"complete":false`), "IncompleteDocument", "complete", 400},
		"no end":                {swap(`,"virtualMachineCount":4,"complete":true,"incompleteBecause":""`, ``), "IncompleteDocument", "complete", 400},
		"another count":         {swap(`"virtualMachineCount":4`, `"virtualMachineCount":5`), "IncompleteDocument", "complete", 400},
		"too large":             {good + strings.Repeat(" ", 16<<20), "RequestBodyTooLarge", "", 413},
	} {
		r := a.call("POST", restoring, tt.body)
		r.wants(t, tt.status, tt.code)
		if _, target := r.code(); target != tt.target {
			t.Errorf("%s: the target is %q, want %q", name, target, tt.target)
		}
	}
	a.call("POST", restoring+"?dryRun=1", good).wants(t, 400, "InvalidQueryParameter")
	for path, code := range map[string]string{"?subscription=x": "InvalidQueryParameter", "?resourceGroup=demo": "InvalidQueryParameter", "?subscription=" + strings.Replace(sub, "d3e0", "d3e1", 1): "SubscriptionNotManaged"} {
		a.call("GET", exporting+path, "").wants(t, 400, code)
	}
	if got := counted(); len(got) != 1 || got["Append"] != 1 { // what is too large has its entry in the log
		t.Errorf("refused documents cost %v", got)
	}
	var many []string
	for i := range 10001 {
		many = append(many, fmt.Sprintf(`{"id":"%s%d","ports":[{"number":22,"protocol":"*","allowedSourceAddressPrefix":"*","maxRequestAccessDuration":"PT3H"}],"existingRules":"override"}`, web, i))
	}
	a.call("POST", restoring, `{"format":"portcullis-policies","version":1,"policies":[{"id":"`+strings.TrimPrefix(policy, "/api")+`","virtualMachines":[`+strings.Join(many, ",")+`]}],"virtualMachineCount":10001,"complete":true}`).wants(t, 400, "TooManyVirtualMachines")
}

// TestExportRoundTrip: an export put into a new installation is exported from there byte for byte, and again costs no write.
func TestExportRoundTrip(t *testing.T) {
	first := furnished(t)
	document := first.exports(t)
	for _, want := range []string{`"subscriptions":["` + sub + `"]`, `"virtualMachineCount":4,"complete":true,"incompleteBecause":""`, `jitNetworkAccessPolicies/mine","virtualMachines":[{"id":"` + north + `"`, `"mappedPort":2222`, `"publicIpAddress":"198.51.100.7"`, `"options":{"forbidAnySource":true,"widestIPv4Prefix":24,"widestIPv6Prefix":64,"requireJustification":true}`} {
		if !strings.Contains(document, want) {
			t.Errorf("the document lacks %s\n%s", want, document)
		}
	}
	second := newCompat(t)
	second.leap(time.Hour)
	counted := second.counts()

	tried := second.call("POST", restoring+"?dryRun=true", document)
	tried.becomes(t, "north created", "app1 created", "app2 created", "web created")
	if diff := cmp.Diff(map[string]int{"Policy": 4, "Locate": 1, "Rules": 3, "State": 3}, counted()); diff != "" {
		t.Errorf("a dry run costs (-want +got):\n%s", diff)
	}
	if got := second.exports(t); !strings.Contains(got, `"policies":[],"subscriptions":[],"virtualMachineCount":0`) {
		t.Errorf("a dry run stored something: %s", got)
	}

	counted()
	second.call("POST", restoring, document).becomes(t, "north created", "app1 created", "app2 created", "web created")
	// Three security groups: each is read once and written once; what should stand there is read for its room, before the write and after it,
	// and the deny is noted before and after.
	if diff := cmp.Diff(map[string]int{"Policy": 4, "Locate": 1, "PutPolicy": 4, "Rules": 3, "State": 9, "Apply": 3, "Confirm": 6, "Append": 1}, counted()); diff != "" {
		t.Errorf("an import costs (-want +got):\n%s", diff)
	}
	again := second.exports(t)
	if timeless(document) != timeless(again) || document == again {
		t.Errorf("exported\n%s\nand after the import\n%s", document, again)
	}
	if diff := cmp.Diff(map[string]int{"EachListed": 1}, counted()); diff != "" {
		t.Errorf("an export costs (-want +got):\n%s", diff)
	}
	for _, vm := range []string{"web-nsg", "apps-nsg", "north-nsg"} {
		nsg := jit.ID{Subscription: sub, ResourceGroup: "demo", Type: jit.TypeNSG, Name: vm}
		if diff := cmp.Diff(first.cloud.Standing(nsg), second.cloud.Standing(nsg), cmp.Comparer(func(a, b jit.Rule) bool { return fmt.Sprint(a) == fmt.Sprint(b) })); diff != "" {
			t.Errorf("the rules of %s (-first +second):\n%s", vm, diff)
		}
	}

	second.call("POST", restoring, document).becomes(t, "north unchanged", "app1 unchanged", "app2 unchanged", "web unchanged")
	if diff := cmp.Diff(map[string]int{"Policy": 4}, counted()); diff != "" {
		t.Errorf("an import of what is there costs (-want +got):\n%s", diff)
	}
}

// TestExportOfNothing: who may read no policy is not told which subscriptions are managed; who names one is told that one.
func TestExportOfNothing(t *testing.T) {
	a := furnished(t)
	a.wire(func(p *core.Ports) { p.Authority = some(func(string, string) bool { return false }) })
	if got := a.exports(t); strings.Contains(got, sub) || !strings.Contains(got, `"policies":[],"subscriptions":[],"virtualMachineCount":0,"complete":true`) {
		t.Errorf("a stranger exports %s", got)
	}
	if r := a.call("GET", exporting+"?subscription="+strings.ToUpper(sub), ""); r.status != 200 || !strings.Contains(r.text, `"policies":[],"subscriptions":["`+sub+`"]`) {
		t.Errorf("of a subscription that he names: %d %s", r.status, r.text)
	}
}

// TestRestoreEach: what is refused of a document keeps nothing else out, nothing is removed, and options that the document says
// nothing of stay.
func TestRestoreEach(t *testing.T) {
	document := furnished(t).exports(t)
	a := newCompat(t)
	const unmanaged = "00000000-0000-0000-0000-00000000d3e9"
	foreign := `{"id":"` + strings.ReplaceAll(strings.TrimPrefix(policy, "/api"), sub, unmanaged) + `","virtualMachines":[` + strings.ReplaceAll(ssh(web), sub, unmanaged)
	foreign = foreign[:len(foreign)-1] + `,"existingRules":"override"}]}`
	document = strings.Replace(strings.Replace(document, `"policies":[`, `"policies":[`+foreign+`,`, 1), `Count":4`, `Count":5`, 1)

	a.wire(func(p *core.Ports) {
		p.Authority = some(func(action, scope string) bool {
			if strings.Contains(scope, unmanaged) {
				t.Errorf("somebody was asked about %s", scope)
			}
			return action != "Microsoft.Compute/virtualMachines/write" || !strings.HasSuffix(scope, "/app2")
		})
	})
	a.cloud.RemoveMachine(jit.ID{Subscription: sub, ResourceGroup: "other", Type: jit.TypeVM, Name: "north"})
	// web has a policy of its own form already, with options.
	if r := a.call("POST", "/api/enable", `{"virtualMachines":[{"id":"`+app1+`","ports":[{"number":8022}],"options":{"requireJustification":true}}]}`); r.status != 200 {
		t.Fatal(r.text)
	}
	if r := a.call("PUT", strings.Replace(policy, "/default", "/other", 1)+version, putBody(web)); r.status != 200 {
		t.Fatal(r.text)
	}
	counted := a.counts()
	a.call("POST", restoring, document).becomes(t, "web failed SubscriptionNotManaged", "north failed VirtualMachineNotFound", "app1 updated", "app2 failed AuthorizationFailed", "web failed VirtualMachineInOtherPolicy")
	// Nobody looks up what may not be done: three policies are read. Four refusals and what was done are logged.
	if got := counted(); got["Policy"] != 3 || got["PutPolicy"] != 1 || got["Append"] != 5 || got["DeletePolicy"] != 0 {
		t.Errorf("it cost %v", got)
	}
	now := a.exports(t)
	if !strings.Contains(now, `"id":"`+app1+`"`) || !strings.Contains(now, `"options":{"forbidAnySource":false,"widestIPv4Prefix":0,"widestIPv6Prefix":0,"requireJustification":true}`) || strings.Contains(now, "8022") {
		t.Errorf("app1 is not what the document says with the options that it had: %s", now)
	}
	if !strings.Contains(now, `jitNetworkAccessPolicies/other","virtualMachines":[{"id":"`+web) || !strings.Contains(now, `"virtualMachineCount":2`) {
		t.Errorf("the import moved or removed something: %s", now)
	}
}

// TestExportShows: an export holds what the caller may read and no more, by subscription and resource group where that is asked for.
func TestExportShows(t *testing.T) {
	a := furnished(t)
	for query, want := range map[string]int{"": 4, "?subscription=" + strings.ToUpper(sub): 4, "?subscription=" + sub + "&resourceGroup=DEMO": 4, "?subscription=" + sub + "&resourceGroup=other": 0} {
		if r := a.call("GET", exporting+query, ""); r.status != 200 || !strings.Contains(r.text, fmt.Sprintf(`"virtualMachineCount":%d,`, want)) {
			t.Errorf("%s: want %d machines: %s", query, want, r.text)
		}
	}
	a.wire(func(p *core.Ports) {
		p.Authority = some(func(action, scope string) bool { return strings.HasSuffix(scope, "/app2") })
	})
	if got := a.exports(t); !strings.Contains(got, `"virtualMachineCount":1,`) || strings.Contains(got, web) || strings.Contains(got, north) {
		t.Errorf("who may read app2 gets %s", got)
	}
	a.store.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "EachListed" {
			return &store.Unavailable{Dependency: "Table Storage", Err: errors.New("away")}
		}
		return nil
	}
	if r := a.call("GET", exporting, ""); r.status != 503 {
		t.Errorf("with the table away: %d %s", r.status, r.text)
	}
	// What breaks off after something was sent says so, and is no document to import.
	a.store.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "EachListed" && s.After {
			return &store.Unavailable{Dependency: "Table Storage", Err: errors.New("away")}
		}
		return nil
	}
	a.wire(func(p *core.Ports) { p.Authority = anything{} })
	cut := a.call("GET", exporting, "")
	if !strings.Contains(cut.text, `"complete":false,"incompleteBecause":"the policies could not be read`) {
		t.Errorf("%d %s", cut.status, cut.text)
	}
	a.store.Fault = nil
	a.call("POST", restoring, cut.text).wants(t, 400, "IncompleteDocument")
}

// TestRestoreTime: what is not begun in time is told, and the same document goes on there.
func TestRestoreTime(t *testing.T) {
	document := furnished(t).exports(t)
	a := newCompat(t)
	a.store.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "Policy" && !s.After {
			a.leap(30 * time.Second) // four of them are more than the time there is
		}
		return nil
	}
	r := a.call("POST", restoring, document)
	r.becomes(t, "north failed NotReached", "app1 failed NotReached", "app2 failed NotReached", "web failed NotReached")
	if !strings.Contains(r.text, `"complete":false`) {
		t.Errorf("%s", r.text)
	}
	a.store.Fault = nil
	r = a.call("POST", restoring, document)
	r.becomes(t, "north created", "app1 created", "app2 created", "web created")
	if !strings.Contains(r.text, `"complete":true,"counts":{"created":4,"updated":0,"unchanged":0,"failed":0}`) {
		t.Errorf("%s", r.text)
	}
}

// TestRestoreFails: what fails of one machine's work is told of that machine, with nothing of the cause, and logged.
func TestRestoreFails(t *testing.T) {
	document := furnished(t).exports(t)
	for op, want := range map[string][]string{
		"Policy":    {"north failed InternalServerError"},
		"PutPolicy": {"app1 failed ConcurrentChange"},
		"Apply":     {"app1 failed AppPermissionMissing", "app2 failed AppPermissionMissing"},
		"Locate":    {"north failed AppPermissionMissing", "app1 failed AppPermissionMissing", "app2 failed AppPermissionMissing", "web failed AppPermissionMissing"},
		"Append":    {"north failed TableStorageUnavailable", "app1 failed TableStorageUnavailable", "app2 failed TableStorageUnavailable", "web failed TableStorageUnavailable"},
	} {
		a := newCompat(t)
		fault := func(_ context.Context, s coretest.Step) error {
			switch {
			case s.After || s.Op != op:
			case op == "Policy" && strings.HasSuffix(s.Of, "/north"):
				panic("a row that nobody thought of")
			case op == "PutPolicy" && strings.HasSuffix(s.Of, "/app1"):
				return store.ErrConflict
			case op == "Apply" && strings.HasSuffix(s.Of, "/apps-nsg"), op == "Locate":
				return store.ErrForbidden
			case op == "Append":
				return &store.Unavailable{Dependency: "Table Storage", Err: errors.New("away")}
			}
			return nil
		}
		a.store.Fault, a.cloud.Fault = fault, fault
		r := a.call("POST", restoring, document)
		got := slices.DeleteFunc(r.outcomes(), func(line string) bool { return strings.HasSuffix(line, " created") })
		if diff := cmp.Diff(want, got); r.status != 200 || diff != "" {
			t.Errorf("%s fails (-want +got):\n%s", op, diff)
		}
		if strings.Contains(r.text, "nobody thought") || op != "PutPolicy" && !strings.Contains(a.log.String(), "import failed") {
			t.Errorf("%s fails: %s\n%s", op, r.text, a.log)
		}
	}
}

// TestRestoreLogs: who may do nothing does not fill the log with one document.
func TestRestoreLogs(t *testing.T) {
	a := newCompat(t)
	a.wire(func(p *core.Ports) { p.Authority = some(func(string, string) bool { return false }) })
	var many []string
	for i := range 450 {
		many = append(many, fmt.Sprintf(`{"id":"%s%d","ports":[{"number":22,"protocol":"*","allowedSourceAddressPrefix":"*","maxRequestAccessDuration":"PT3H"}],"existingRules":"override"}`, web, i))
	}
	counted := a.counts()
	r := a.call("POST", restoring, `{"format":"portcullis-policies","version":1,"policies":[{"id":"`+strings.TrimPrefix(policy, "/api")+`","virtualMachines":[`+strings.Join(many, ",")+`]}],"virtualMachineCount":450,"complete":true}`)
	if r.status != 200 || !strings.Contains(r.text, `"failed":450`) {
		t.Errorf("%d %.300s", r.status, r.text)
	}
	if diff := cmp.Diff(map[string]int{"Append": 1}, counted()); diff != "" {
		t.Errorf("450 refusals cost (-want +got):\n%s", diff)
	}
}
