package ocsf_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/core/stream"
	"portcullis/infra/logs/ocsf"
)

var (
	morning = time.Date(2026, 3, 2, 8, 0, 0, 123456789, time.UTC)
	vm      = jit.ID{Subscription: "11111111-1111-1111-1111-111111111111", ResourceGroup: "rg", Type: jit.TypeVM, Name: "web"}
	group   = jit.ID{Subscription: "11111111-1111-1111-1111-111111111111", ResourceGroup: "rg", Type: jit.TypeNSG, Name: "web-nsg"}
	person  = jit.Actor{Tenant: "aaaaaaaa-0000-4000-8000-00000000000a", Object: "eeeeeeee-0000-4000-8000-000000000001", Kind: jit.Person, Client: "ffffffff-0000-4000-8000-00000000000f", SignIn: "pwd mfa",
		Address: netip.MustParseAddr("198.51.100.9")}
)

// linked returns an entry at a place.
func linked(e store.Entry) stream.Event {
	e.ID, e.Time = "event 1", morning
	return stream.Event{Day: morning.Truncate(24 * time.Hour), Subscription: strings.ToLower(e.VM.Subscription), Entry: &store.Linked{Entry: e, Seq: 7, Hash: strings.Repeat("ab", 32)}}
}

func opened() store.Entry {
	return store.Entry{Operation: store.OpOpen, Result: store.Succeeded, VM: vm, Requestor: "ann@example.com", Actor: person, Grant: "g1", Ports: []uint16{22}, Sources: []string{"203.0.113.7"},
		End: morning.Add(time.Hour), Justification: "a <reason>", Correlation: "c1"}
}

// schemas returns the pinned schema of each class by its uid.
func schemas(t *testing.T) map[int]*jsonschema.Schema {
	t.Helper()
	text, err := os.ReadFile("testdata/schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := doc.(map[string]any)["version"]; got != ocsf.Version {
		t.Fatalf("the schema is of version %v", got)
	}
	out := map[int]*jsonschema.Schema{}
	for uid, name := range map[int]string{0: "base_event", 3004: "entity_management"} {
		c := jsonschema.NewCompiler()
		class := doc.(map[string]any)["classes"].(map[string]any)[name]
		if err := c.AddResource("https://schema.example/"+name, withoutID(class)); err != nil {
			t.Fatal(err)
		}
		if out[uid], err = c.Compile("https://schema.example/" + name); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func withoutID(class any) any {
	delete(class.(map[string]any), "$id")
	return class
}

// valid holds an event to the schema of its class and to what the schema's types do not say.
func valid(t *testing.T, all map[int]*jsonschema.Schema, what string, e ocsf.Event) {
	t.Helper()
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := all[e.ClassUID].Validate(doc); err != nil {
		t.Errorf("%s: %v\n%s", what, err, text)
	}
	if e.TypeUID != e.ClassUID*100+e.ActivityID || e.CategoryUID != e.ClassUID/1000 {
		t.Errorf("%s: type_uid %d, category_uid %d of class %d, activity %d", what, e.TypeUID, e.CategoryUID, e.ClassUID, e.ActivityID)
	}
	if e.Metadata.UID == "" || e.Time != morning.UnixMilli() || !strings.HasPrefix(e.TimeDT, "2026-03-02T08:00:00.123456789Z") {
		t.Errorf("%s: uid %q, time %d %s", what, e.Metadata.UID, e.Time, e.TimeDT)
	}
}

// TestSchema validates an event of every kind of entry with the pinned schema, and shows that the schema refuses.
func TestSchema(t *testing.T) {
	all := schemas(t)
	ops := append(store.Operations(), "OfANewerVersion", "")
	actors := []jit.Actor{{}, person, {Object: "o", Kind: jit.Application, Client: "c"}, {Kind: jit.TheApp}, {Kind: "Odd", Address: netip.MustParseAddr("fe80::1%eth0")}}
	for _, op := range ops {
		for _, result := range append(store.Results(), "", "Odd") {
			for n, actor := range actors {
				for _, e := range []store.Entry{{}, {VM: vm}, {Target: group}, {VM: vm, Target: group, Grant: "g1", Ports: []uint16{22, 3389}, Sources: []string{"*"}, End: morning}} {
					e.Operation, e.Result, e.Actor = op, result, actor
					if n > 0 {
						e.Requestor = "ann"
					}
					valid(t, all, fmt.Sprint(op, " ", result, " ", n), ocsf.Of(linked(e), "1.2.3"))
				}
			}
		}
	}
	for _, end := range []stream.End{{}, {Head: store.Head{Entries: 3, Hash: "ab"}}, {Missing: 2, Rewritten: 1}} {
		end.At = morning
		valid(t, all, "a head", ocsf.Of(stream.Event{Day: morning, End: &end}, "dev"))
	}
	wrong := ocsf.Of(linked(opened()), "1.2.3")
	wrong.ActivityID = 77
	text, _ := json.Marshal(wrong)
	doc, _ := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if all[3004].Validate(doc) == nil {
		t.Error("the schema takes an activity that there is none of")
	}
	doc.(map[string]any)["activity_id"] = json.Number("1")
	doc.(map[string]any)["of_ours"] = "x"
	if all[3004].Validate(doc) == nil {
		t.Error("the schema takes an attribute that there is none of")
	}
}

// TestMapping says what each operation is, and how severe.
func TestMapping(t *testing.T) {
	for _, c := range []struct {
		op       store.Operation
		result   store.Result
		reason   string
		sources  []string
		activity string
		status   string
		severity int
	}{
		{store.OpEnable, store.Succeeded, "", nil, "8 Enable", "Success", 1},
		{store.OpDisable, store.Succeeded, "", nil, "9 Disable", "Success", 1},
		{store.OpRequest, store.Succeeded, "", nil, "1 Create", "Success", 1},
		{store.OpRequest, store.Refused, "SourceAnyForbidden", []string{"*"}, "1 Create", "Failure", 2},
		{store.OpRequest, store.Succeeded, "BreakGlass", nil, "1 Create", "Success", 4},
		{store.OpRequest, store.Succeeded, "Drill", nil, "1 Create", "Success", 1},
		{store.OpOpen, store.Succeeded, "", []string{"203.0.113.0/24"}, "10 Activate", "Success", 1},
		{store.OpOpen, store.Succeeded, "", []string{"0.0.0.0/0"}, "10 Activate", "Success", 3},
		{store.OpOpen, store.Succeeded, "", []string{"::/0"}, "10 Activate", "Success", 3},
		{store.OpOpen, store.Failed, "", nil, "10 Activate", "Failure", 3},
		{store.OpExtend, store.Succeeded, "", nil, "3 Update", "Success", 1},
		{store.OpRevoke, store.Succeeded, "", nil, "4 Delete", "Success", 1},
		{store.OpClose, store.Succeeded, "Expired", []string{"*"}, "11 Deactivate", "Success", 1},
		{store.OpClose, store.Failed, "", nil, "11 Deactivate", "Failure", 4},
		{store.OpRepair, store.Succeeded, "", nil, "3 Update", "Success", 3},
		{store.OpSweep, store.Succeeded, "", nil, "99 Sweep", "Success", 1},
		{store.OpRefusals, store.Succeeded, "", nil, "99 Refusals", "Success", 2},
	} {
		e := opened()
		e.Operation, e.Result, e.Reason, e.Sources = c.op, c.result, c.reason, c.sources
		got := ocsf.Of(linked(e), "1")
		if a := fmt.Sprint(got.ActivityID, " ", got.ActivityName); a != c.activity || got.Status != c.status || got.SeverityID != c.severity || got.StatusCode != c.reason {
			t.Errorf("%s %s %s %v: %s, %s, severity %d, code %s", c.op, c.result, c.reason, c.sources, a, got.Status, got.SeverityID, got.StatusCode)
		}
	}
	for _, op := range store.Operations() {
		e := opened()
		e.Operation = op
		if got := ocsf.Of(linked(e), "1"); got.Unmapped.Operation != string(op) {
			t.Errorf("%s is %q", op, got.Unmapped.Operation)
		}
	}
}

// TestExample is the event of one opening, as docs/audit.md shows it.
func TestExample(t *testing.T) {
	got, err := json.MarshalIndent(ocsf.Of(linked(opened()), "1.2.3"), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/opened.json")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != strings.TrimSpace(string(want)) {
		t.Errorf("got\n%s", got)
	}
}

// TestUID: what is sent again has the uid that it had; anything else of a chain has another one.
func TestUID(t *testing.T) {
	seen := map[string]string{}
	for _, end := range []stream.End{{Head: store.Head{Entries: 1, Hash: "ab"}}, {Head: store.Head{Entries: 2, Hash: "ab"}}, {Head: store.Head{Entries: 1, Hash: "cd"}}, {Head: store.Head{Entries: 1, Hash: "ab"}, Rewritten: 1}, {Head: store.Head{Entries: 1, Hash: "ab"}, Missing: 1}} {
		for _, sub := range []string{"", "s"} {
			for _, day := range []time.Time{morning, morning.AddDate(0, 0, 1)} {
				what := fmt.Sprint(end, sub, day)
				end.At = morning
				uid := ocsf.Of(stream.Event{Day: day, Subscription: sub, End: &end}, "1").Metadata.UID
				end.At = morning.Add(time.Hour)
				if again := ocsf.Of(stream.Event{Day: day, Subscription: sub, End: &end}, "2").Metadata.UID; again != uid || seen[uid] != "" {
					t.Errorf("%s has %s, and later %s; so has %s", what, uid, again, seen[uid])
				}
				seen[uid] = what
			}
		}
	}
	e := linked(opened())
	if got := ocsf.Of(e, "1").Metadata; got.UID != e.Entry.Hash || got.Sequence != 7 || got.OriginalEventUID != "event 1" || got.CorrelationUID != "c1" {
		t.Errorf("%+v", got)
	}
}

// TestCut: an event is small, whatever an entry holds, and says that it was cut.
func TestCut(t *testing.T) {
	e := opened()
	long := strings.Repeat("ü", 100_000)
	e.Message, e.Justification, e.Reason, e.Correlation = long, long, long, long
	for range 20_000 {
		e.Sources = append(e.Sources, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff/128")
	}
	got := ocsf.Of(linked(e), "1")
	text, err := json.Marshal(got)
	if err != nil || len(text) > 64<<10 || !got.Metadata.IsTruncated || len(e.Sources) != 20_001 {
		t.Errorf("%d bytes, truncated %t, %v", len(text), got.Metadata.IsTruncated, err)
	}
	valid(t, schemas(t), "cut", got)
	if ocsf.Of(linked(opened()), "1").Metadata.IsTruncated {
		t.Error("what was not cut says that it was")
	}
}

// TestColumns holds the columns that infra/deploy declares to the members of an event.
func TestColumns(t *testing.T) {
	text, err := os.ReadFile("../../deploy/stream/columns.json")
	if err != nil {
		t.Fatal(err)
	}
	var columns []struct{ Name, Type string }
	if err := json.Unmarshal(text, &columns); err != nil {
		t.Fatal(err)
	}
	declared := map[string]string{}
	for _, c := range columns {
		declared[c.Name] = c.Type
	}
	kinds := map[reflect.Kind]string{reflect.Int: "int", reflect.Int64: "long", reflect.String: "string", reflect.Struct: "dynamic", reflect.Pointer: "dynamic"}
	event := reflect.TypeFor[ocsf.Event]()
	for i := range event.NumField() {
		name, _, _ := strings.Cut(event.Field(i).Tag.Get("json"), ",")
		want := kinds[event.Field(i).Type.Kind()]
		if name == "time_dt" {
			want = "datetime"
		}
		if declared[name] != want {
			t.Errorf("column %s is %q, want %q", name, declared[name], want)
		}
		delete(declared, name)
	}
	if len(declared) != 0 {
		t.Errorf("columns that no event has: %v", declared)
	}
}
