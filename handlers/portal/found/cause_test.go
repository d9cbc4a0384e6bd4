package found_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/core/permit"
	"portcullis/core/store"
	"portcullis/handlers/portal/found"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func vm(name string) jit.ID {
	return jit.ID{Subscription: "00000000-0000-0000-0000-00000000d3e0", ResourceGroup: "demo", Type: jit.TypeVM, Name: name}
}

func nsg(name string) jit.ID {
	return jit.ID{Subscription: "00000000-0000-0000-0000-00000000d3e0", ResourceGroup: "demo", Type: jit.TypeNSG, Name: name}
}

// many is what a rule finds on machines with ports.
func many(kind store.FindingKind, target jit.ID, rule string, machines int, ports ...uint16) []store.Finding {
	var out []store.Finding
	for i := range machines {
		for _, p := range ports {
			name := fmt.Sprintf("prod-%03d", i)
			out = append(out, store.Finding{Kind: kind, Target: target, VM: vm(name), Rule: rule, Port: p, Message: fmt.Sprintf("port %d of %s can be reached", p, name), Since: noon})
		}
	}
	return out
}

// TestByCause: findings of one rule are one card, whatever their number; those of other rules, security groups and kinds are others.
func TestByCause(t *testing.T) {
	list := many(store.FindingReachable, nsg("nsg-0"), "AllowAll", 101, 22, 3389, 5985, 5986)
	list = append(list, many(store.FindingReachable, nsg("nsg-0"), "AllowSsh", 1, 22)...)
	list = append(list, many(store.FindingReachable, nsg("nsg-1"), "AllowAll", 2, 22, 23, 445, 3389, 5900)...)
	list = append(list, many(store.FindingReachable, nsg("nsg-1"), "AllowSsh", 1, 22, 23)...)
	list = append(list, many(store.FindingExposed, jit.ID{}, "security admin rule open of hub", 3, 22)...)
	for i := range 12 {
		list = append(list, store.Finding{Kind: store.FindingVMGone, VM: vm(fmt.Sprint("gone-", i)), Message: fmt.Sprintf("gone-%d has a policy but no longer exists", i), Since: noon.Add(-time.Hour)})
	}
	list = append(list, store.Finding{Kind: store.FindingUndelivered, Message: "one"}, store.Finding{Kind: store.FindingUndelivered, Message: "two"})
	var got []string
	ids := map[string]bool{}
	for _, c := range found.ByCause(list) {
		got = append(got, fmt.Sprintf("%s %d: %s", c.Level, c.Count, c.Says))
		ids[c.ID] = true
	}
	want := []string{
		"bad 404: The rule AllowAll of nsg-0 opens 4 ports (22, 3389, 5985, 5986) on 101 machines.",
		"bad 10: The rule AllowAll of nsg-1 opens 5 ports on 2 machines.",
		"bad 3: The security admin rule open of hub opens port 22 on 3 machines.",
		"bad 2: The rule AllowSsh of nsg-1 opens 2 ports (22, 23) on prod-000.",
		"bad 1: Port 22 of prod-000 can be reached.",
		"warn 12: 12 findings on 12 machines.",
		"warn 2: 2 findings.",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") || len(ids) != len(want) {
		t.Errorf("%d ids, causes:\n%s\nwant:\n%s", len(ids), strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	first := found.ByCause(list)[0]
	if len(first.Machines) != 101 || first.Machines[100].Ports != "22, 3389, 5985, 5986" || !first.Adds {
		t.Errorf("the first cause: %+v", first)
	}
	if again := found.ByCause(list[:8])[0]; again.ID != first.ID {
		t.Error("a cause has another id where there are fewer findings of it")
	}
}

// TestByCauseOfThousands: twice as many machines are twice the work, and not four times: the list of machines groups all findings whenever it is drawn.
func TestByCauseOfThousands(t *testing.T) {
	cost := func(machines int) float64 {
		list := many(store.FindingReachable, nsg("nsg-0"), "AllowAll", machines, 22, 3389)
		return testing.AllocsPerRun(1, func() { found.ByCause(list) })
	}
	if once, twice := cost(300), cost(600); twice > 2.5*once {
		t.Errorf("%v allocations for 300 machines, %v for 600", once, twice)
	}
}

// TestSelect: every word is part, in any case, of what the finding is about.
func TestSelect(t *testing.T) {
	list := append(many(store.FindingReachable, nsg("nsg-0"), "AllowAll", 20, 22, 3389), store.Finding{Kind: store.FindingVMGone, VM: vm("old"), Message: "old is gone"})
	for text, want := range map[string]int{"": 41, "PROD-01": 20, "prod-011 3389": 1, "allowall NSG-0": 40, "gone": 1, "demo": 41, "nobody": 0, "prod-011 gone": 0} {
		if got := len(found.Filter{Text: text}.Select(list)); got != want {
			t.Errorf("%q finds %d, want %d", text, got, want)
		}
	}
	if got := len(found.Filter{Kind: store.FindingVMGone}.Select(list)); got != 1 {
		t.Errorf("of one kind: %d", got)
	}
}

// TestForMe: what somebody may not do anything about does not need them, and nothing is known where it cannot be found out.
func TestForMe(t *testing.T) {
	list := append(many(store.FindingReachable, nsg("nsg-0"), "AllowAll", 3, 22), store.Finding{Kind: store.FindingOverdue, VM: vm("late"), Message: "late"}, store.Finding{Kind: store.FindingRepaired, VM: vm("late"), Message: "put right"},
		store.Finding{Kind: store.FindingBroken, Target: nsg("locked"), Message: "locked"}, store.Finding{Kind: store.FindingUndelivered, Message: "a channel"})
	count := func(may func(permit.Verb, jit.ID) (bool, error)) string {
		causes := found.ByCause(list)
		if err := found.ForMe(causes, may); err != nil {
			return err.Error()
		}
		return fmt.Sprint(found.NeedMe(causes))
	}
	for name, tc := range map[string]struct {
		may  func(permit.Verb, jit.ID) (bool, error)
		want string
	}{
		"nothing":    {func(permit.Verb, jit.ID) (bool, error) { return false, nil }, "0 4"},
		"everything": {func(permit.Verb, jit.ID) (bool, error) { return true, nil }, "4 0"},
		"the policy of the last": {func(v permit.Verb, id jit.ID) (bool, error) {
			return v == permit.VerbEnable && id.Name == "prod-002", nil
		}, "1 3"},
		"the windows of others": {func(v permit.Verb, id jit.ID) (bool, error) {
			return v == permit.VerbRevokeOther && id.Name == "late", nil
		}, "1 3"},
		"the security group":       {func(_ permit.Verb, id jit.ID) (bool, error) { return id.Name == "locked", nil }, "1 3"},
		"everything in no machine": {func(_ permit.Verb, id jit.ID) (bool, error) { return id.IsZero(), nil }, "1 3"},
		"nobody knows":             {func(permit.Verb, jit.ID) (bool, error) { return true, errors.New("down") }, "down"},
	} {
		if got := count(tc.may); got != tc.want {
			t.Errorf("%s: mine and others are %s, want %s", name, got, tc.want)
		}
	}
}

// TestWrite: the table has a row for each finding, and no cell that a spreadsheet takes for a formula.
func TestWrite(t *testing.T) {
	list := append(many(store.FindingReachable, nsg("nsg-0"), "=AllowAll", 2, 22), store.Finding{Kind: store.FindingUndelivered, Message: "one\nline"})
	var out bytes.Buffer
	if err := found.Write(&out, list); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(rows) != 4 {
		t.Fatal(rows, err)
	}
	if got := strings.Join(rows[1], "|"); !strings.Contains(got, "|'=AllowAll|prod-000|demo|") || !strings.Contains(got, "|22|Port 22 of prod-000 can be reached.|") || !strings.HasSuffix(got, "|2026-11-23T12:00:00Z") {
		t.Errorf("a row: %s", got)
	}
	if rows[3][9] != "one line." {
		t.Errorf("a message: %q", rows[3][9])
	}
}
