package access_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/permit"
	"portcullis/core/store"
)

// TestRetryWhileDown: a request that was answered before is answered again from what is stored, whatever of Azure is down: what says what
// the caller may do, what tells where machines stand, or both. It begins nothing, and nobody but its sender learns of it.
func TestRetryWhileDown(t *testing.T) {
	down := &store.Unavailable{Dependency: "Azure Resource Manager", Err: errFault}
	for name, doors := range map[string]string{"permissions cannot be found out": "down", "only the machines": "all"} {
		t.Run(name, func(t *testing.T) {
			g := newDoorway(t, holders()[doors])
			ctx, r := t.Context(), asked(ann, 3389, "203.0.113.27", "web")
			held := g.doors
			permitted := g.permitted(holders()["all"])
			first, _, err := permitted.Request(ctx, ann, r, "key")
			if err != nil {
				t.Fatal(err)
			}
			g.cloud.Fault = func(context.Context, coretest.Step) error { return down }
			ask := func(who jit.Caller, r jit.Request, key string) (string, error) {
				rec, known, err := held.Request(ctx, who, r, key)
				if err == nil && !known {
					t.Errorf("a new grant was made while Azure is down")
				}
				return rec.Grant.ID, err
			}
			refused := func(what, id string, err error) {
				t.Helper()
				if _, unavailable := errors.AsType[*store.Unavailable](err); !unavailable || id != "" {
					t.Errorf("%s: grant %q, error %v; want that Azure does not answer", what, id, err)
				}
			}
			id, err := ask(ann, r, "key") // it is still opening, which only Azure can do
			refused("before it is open", id, err)
			g.cloud.Fault = nil
			if _, err := permitted.Open(ctx, ann, first); err != nil {
				t.Fatal(err)
			}
			g.cloud.Fault = func(context.Context, coretest.Step) error { return down }
			before, writes := g.state(), g.cloud.Writes()
			for _, key := range []string{"key", ""} {
				if id, err := ask(ann, r, key); id != first.Grant.ID || err != nil {
					t.Errorf("with the key %q: grant %q, error %v", key, id, err)
				}
			}
			id, err = ask(bob, r, "key")
			if doors == "down" {
				refused("another's", id, err)
			}
			id, err = ask(ann, asked(ann, 22, "203.0.113.77", "web"), "")
			refused("something else", id, err)
			if diff := cmp.Diff(before, g.state()); diff != "" || g.cloud.Writes() != writes {
				t.Errorf("something changed:\n%s", diff)
			}
		})
	}
	g := newDoorway(t, holders()["none"])
	r := asked(ann, 3389, "203.0.113.27", "web")
	held := g.doors
	if _, _, err := g.permitted(holders()["all"]).Request(t.Context(), ann, r, "key"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := held.Request(t.Context(), ann, r, "key"); code(err) != permit.CodeForbidden {
		t.Errorf("who may not ask any more got %v", err)
	}
}

// TestRetryUnderAnotherName: who asks is told by the id alone. One person's tokens may hold different names, and two people the same.
func TestRetryUnderAnotherName(t *testing.T) {
	g := newDoorway(t, holders()["all"])
	doors := g.permitted(everybody{})
	r := asked(ann, 3389, "203.0.113.27", "web")
	first, _, err := doors.Request(t.Context(), ann, r, "key")
	if err != nil {
		t.Fatal(err)
	}
	renamed, namesake := ann, bob
	renamed.Name, namesake.Name = "ann@other.example.com", ann.Name
	for _, key := range []string{"key", ""} {
		if rec, known, err := doors.Request(t.Context(), renamed, r, key); err != nil || !known || rec.Grant.ID != first.Grant.ID {
			t.Errorf("with the key %q, by another name: %s, known %t, %v", key, rec.Grant.ID, known, err)
		}
		if rec, known, err := doors.Request(t.Context(), namesake, r, key); key != "" && (err != nil || known || rec.Grant.ID == first.Grant.ID || rec.Grant.RequestorID != bob.ID) {
			t.Errorf("with the key %q, by somebody of the same name: %s, known %t, %v", key, rec.Grant.ID, known, err)
		}
		if _, err := doors.Open(t.Context(), namesake, first); code(err) != permit.CodeForbidden {
			t.Errorf("opened by somebody of the same name: %v", err)
		}
	}
}
