package main

import (
	"fmt"
	"strings"
	"testing"

	"portcullis/local/armsim"
)

const (
	unit     = "00000000-0000-0000-0000-00000000dddd"
	stranger = "00000000-0000-0000-0000-00000000bbbb"
	below    = "/subscriptions/" + sub + "/resourceGroups/vms"
	at       = "/subscriptions/" + sub
)

func (r *rig) assign(n int, scope, principal string) {
	r.t.Helper()
	r.put(fmt.Sprintf("%s/providers/Microsoft.Authorization/roleAssignments/00000000-0000-0000-0000-%012d", scope, n),
		`{"properties":{"principalId":"`+principal+`","roleDefinitionId":"/providers/Microsoft.Authorization/roleDefinitions/00000000-0000-0000-0000-00000000eeee"}}`)
}

func (r *rig) deny(n int, scope string, principals ...string) {
	r.t.Helper()
	r.put(fmt.Sprintf("%s/providers/Microsoft.Authorization/denyAssignments/00000000-0000-0000-0000-%012d", scope, n),
		`{"properties":{"denyAssignmentName":"d","principals":[{"id":"`+strings.Join(principals, `"},{"id":"`)+`"}],"permissions":[{"actions":["*"]}]}}`)
}

// seed gives the caller and two groups, one in the other, something at and below the subscription, a page each.
func (r *rig) seed() {
	r.arm.Tune(func(k *armsim.Knobs) { k.PageSize = 1 })
	r.arm.SetGroups(map[string][]string{me: {team}, team: {unit}})
	r.assign(1, at, me)
	r.assign(2, below, team)
	r.assign(3, at, unit)
	r.assign(4, below, stranger)
	r.deny(5, below, stranger, team)
	r.deny(6, at, stranger)
	r.deny(7, at, everybody)
}

// table gives the rows of one kind: the first, and those that belong to it.
func (r *rig) of(kind string) map[string]string {
	out := map[string]string{}
	_, text, _ := strings.Cut(r.table.String(), kind+" by assignedTo()")
	for i, line := range strings.Split(text, "\n") {
		cells := columns.Split(strings.TrimSpace(line), -1)
		if i > 0 && !strings.HasPrefix(line, "  ") {
			break
		}
		out[strings.TrimPrefix(cells[0], ": ")] = strings.Join(cells[1:], " | ")
	}
	return out
}

func (r *rig) wantOf(kind string, want map[string]string) {
	r.t.Helper()
	got := r.of(kind)
	for fact, row := range want {
		if got[fact] != row {
			r.t.Errorf("%s, %s: %q, want %q\n%s", kind, fact, got[fact], row, r.table.String())
		}
	}
}

const others = "to others: none, if the token names all groups"

func TestAssignedTo(t *testing.T) {
	r := newRig(t, asked{}, token{[]string{strings.ToUpper(team), unit}})
	r.seed()
	if err := r.check(); err != nil {
		t.Fatal(err)
	}
	r.wantOf("roleAssignments", map[string]string{
		"to the caller itself":             "1 of 1 | 1 of 1 | as taken",
		"to groups of the caller":          "2 of 2 | 2 of 2 | as taken",
		"of these, below the subscription": "1 of 1 | 1 of 1 | as taken",
		others:                             "0 | 0 | as taken",
	})
	r.wantOf("denyAssignments", map[string]string{
		"to the caller itself":             "skipped: there is none | skipped",
		"to groups of the caller":          "1 of 1 | 1 of 1 | as taken",
		"of these, below the subscription": "1 of 1 | 1 of 1 | as taken",
		others:                             "0 | 0 | as taken",
		"to everybody":                     "0 of 1 | for information",
	})
	r.wantClean()
}

// TestAssignedToWithoutGroups: an ARM that did not look through groups, or showed what is others', would be seen.
func TestAssignedToWithoutGroups(t *testing.T) {
	r := newRig(t, asked{}, token{[]string{team}})
	r.seed()
	r.arm.SetGroups(map[string][]string{me: {stranger}})
	if err := r.check(); err != nil {
		t.Fatal(err)
	}
	r.wantOf("roleAssignments", map[string]string{
		"to the caller itself":             "1 of 1 | 1 of 1 | as taken",
		"to groups of the caller":          "1 of 1 | 0 of 1 | DIFFERENT",
		"of these, below the subscription": "1 of 1 | 0 of 1 | DIFFERENT",
		others:                             "0 | 1 | DIFFERENT",
	})
	r.wantOf("denyAssignments", map[string]string{
		others: "0 | 1 | DIFFERENT", // the one that names a group of the caller as well is not others'
	})
}

func TestAssignedToSkips(t *testing.T) {
	t.Run("no groups in the token", func(t *testing.T) {
		r := newRig(t, asked{}, token{})
		r.seed()
		if err := r.check(); err != nil {
			t.Fatal(err)
		}
		r.wantOf("roleAssignments", map[string]string{
			"to the caller itself":             "1 of 1 | 1 of 1 | as taken",
			"to groups of the caller":          "skipped: the token names no groups | skipped",
			"of these, below the subscription": "skipped: there is none | skipped",
			others:                             "2 | for information",
		})
	})
	t.Run("no permission to read", func(t *testing.T) {
		r := newRig(t, asked{}, token{})
		r.seed()
		r.arm.Tune(func(k *armsim.Knobs) {
			k.Denied = []armsim.Denied{{Action: "Microsoft.Authorization/denyAssignments/read"}}
		})
		if err := r.check(); err != nil {
			t.Fatal(err)
		}
		r.wantRows(map[string]string{
			"roleAssignments by assignedTo(): to the caller itself": "1 of 1 | 1 of 1 | as taken",
			"denyAssignments by assignedTo()":                       "skipped: 403 AuthorizationFailed | skipped",
		})
	})
	t.Run("more pages than are read", func(t *testing.T) {
		r := newRig(t, asked{}, token{})
		r.seed()
		for n := range maxPages {
			r.assign(100+n, at, stranger)
		}
		if err := r.check(); err == nil || !strings.Contains(err.Error(), "more than 200 pages") {
			t.Errorf("got %v", err)
		}
		r.wantClean()
	})
}
