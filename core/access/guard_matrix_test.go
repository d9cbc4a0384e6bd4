package access_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/defender"
	"portcullis/core/doctor"
	"portcullis/core/guard"
	"portcullis/core/inventory"
	"portcullis/core/jit"
	"portcullis/core/lockdown"
	"portcullis/core/pending"
	"portcullis/core/permit"
	"portcullis/core/sweep"
)

// parseMatrix gives the cells by operation and holder.
func parseMatrix(t *testing.T) (columns []string, cells map[string][]string) {
	t.Helper()
	cells = map[string][]string{}
	for _, line := range strings.Split(strings.TrimSpace(matrix), "\n") {
		fields := strings.Fields(line)
		if columns == nil {
			columns = fields
			continue
		}
		if len(fields) != len(columns)+1 {
			t.Fatalf("%s has %d cells, want %d", fields[0], len(fields)-1, len(columns))
		}
		for _, cell := range fields[1:] {
			if !slices.Contains([]string{"ok", "403", "404", "none", "down"}, cell) {
				t.Fatalf("%s: %q is no cell", fields[0], cell)
			}
		}
		cells[fields[0]] = fields[1:]
	}
	return columns, cells
}

// TestMatrix holds what every operation is for everybody, and that a refusal changes nothing but the log.
func TestMatrix(t *testing.T) {
	columns, cells := parseMatrix(t)
	for op, do := range operations(t) {
		for i, name := range columns {
			h, ok := holders()[name]
			if !ok || cells[op] == nil {
				t.Fatalf("%s by %s stands nowhere", op, name)
			}
			g := newDoorway(t, h)
			before := g.state()
			got := do(g)
			if want := cells[op][i]; got != want {
				t.Errorf("%s by %s: %s, want %s", op, name, got, want)
			}
			if got != "ok" && g.state() != before {
				t.Errorf("%s by %s is %s and changed something:\n%s", op, name, got, cmp.Diff(before, g.state()))
			}
		}
	}
}

// TestMatrixIsComplete holds that every method of guard.Verbs has its rows, every set of permissions its column, every row an
// operation, and that every column refuses something.
func TestMatrixIsComplete(t *testing.T) {
	columns, cells := parseMatrix(t)
	var methods []string
	for op := range cells {
		method, _, _ := strings.Cut(op, ".")
		methods = append(methods, method)
		if operations(t)[op] == nil {
			t.Errorf("the row %s has no operation", op)
		}
	}
	for op := range operations(t) {
		if cells[op] == nil {
			t.Errorf("the operation %s has no row", op)
		}
	}
	caller := reflect.TypeFor[jit.Caller]()
	for _, room := range []reflect.Type{reflect.TypeFor[*guard.Verbs](), reflect.TypeFor[*pending.Approvals](), reflect.TypeFor[*inventory.Inventory](), reflect.TypeFor[*defender.Named](), reflect.TypeFor[*sweep.Sweeper](), reflect.TypeFor[*doctor.Doctor](), reflect.TypeFor[*lockdown.Service](), reflect.TypeFor[*permit.Permit]()} {
		for i := range room.NumMethod() {
			m := room.Method(i)
			asked := m.Type.NumIn() > 2 && m.Type.In(2) == caller
			own := []string{"May", "MayStored", "MayRequest", "LogRefusedCall", "Reads", "Visible", "Sees", "SeesIn", "OpenNow", "VisibleRecord", "Progress", "SubscriptionsOf", "GroupGone", "Sweep"} // what rooms ask for others, what refuses nobody and leaves out instead, and the timer's
			if asked && !slices.Contains(methods, m.Name) && !slices.Contains(own, m.Name) {
				t.Errorf("%s.%s has no row: say for whom it is", room, m.Name)
			}
		}
	}
	for name := range holders() {
		if !slices.Contains(columns, name) {
			t.Errorf("%s has no column", name)
		}
	}
	for i, name := range columns {
		refused := 0
		for _, row := range cells {
			if row[i] != "ok" {
				refused++
			}
		}
		if refused == 0 {
			t.Errorf("nothing is refused to %s", name)
		}
	}
}
