package main

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"portcullis/local/armsim"
)

const ruleA = nsgID + "/securityRules/a"

func TestLocks(t *testing.T) {
	r := newRig(t, asked{}, token{})
	if err := r.check(); err != nil {
		t.Fatal(err)
	}
	r.wantRows(map[string]string{
		"CanNotDelete on the resource group: DELETE of a rule":      "409 ScopeLocked | 409 ScopeLocked | as taken",
		"PUT of the security group without the rule":                "200 | 200 | as taken",
		"and the rule is gone":                                      "true | true | as taken",
		"PUT that turns an allow into a deny":                       "200 | 200 | as taken",
		"ReadOnly on the resource group: PUT of the security group": "409 ScopeLocked | 409 ScopeLocked | as taken",
	})
	for _, level := range []string{"CanNotDelete", "ReadOnly"} {
		if n := r.count(http.MethodPut, lockID(level)); n != 1 {
			t.Errorf("%s: %d locks were put", level, n)
		}
	}
	r.wantClean()
}

// TestLockThatHoldsLate: a lock takes its time, so that the first deletes pass; one that never holds is said to be different.
func TestLockThatHoldsLate(t *testing.T) {
	late := func(t *testing.T, holdsAfter int) *rig {
		r := newRig(t, asked{}, token{})
		passed := 0
		r.after = func(req *http.Request, body []byte, status int) {
			switch {
			case req.Method == http.MethodPut && req.URL.Path == lockID("CanNotDelete"):
				if _, err := r.arm.Delete(lockID("CanNotDelete")); err != nil {
					t.Error(err)
				}
			case req.Method == http.MethodDelete && req.URL.Path == ruleA && status < 300:
				if passed++; passed == holdsAfter {
					r.put(lockID("CanNotDelete"), `{"properties":{"level":"CanNotDelete"}}`)
				}
			}
		}
		if err := r.check(); err != nil {
			t.Fatal(err)
		}
		r.wantClean()
		return r
	}
	r := late(t, 2)
	r.wantRows(map[string]string{"CanNotDelete on the resource group: DELETE of a rule": "409 ScopeLocked | 409 ScopeLocked | as taken", "holds after": "4s | for information"})
	if n := r.count(http.MethodDelete, ruleA); n != 3 {
		t.Errorf("%d deletes, want 3", n)
	}
	r = late(t, 0)
	r.wantRows(map[string]string{"CanNotDelete on the resource group: DELETE of a rule": "409 ScopeLocked | 202 | DIFFERENT", "holds after": "not within 2m0s | for information"})
	if n := r.count(http.MethodDelete, ruleA); n != 61 {
		t.Errorf("%d deletes, want 61", n)
	}
}

func TestMayNotLock(t *testing.T) {
	r := newRig(t, asked{}, token{})
	r.arm.Tune(func(k *armsim.Knobs) {
		k.Denied = []armsim.Denied{{Action: "Microsoft.Authorization/locks/write"}, {Action: "Microsoft.Authorization/locks/delete"}}
	})
	if err := r.check(); err != nil {
		t.Fatal(err)
	}
	r.wantRows(map[string]string{"management locks": "skipped: 403 AuthorizationFailed; making a lock needs Microsoft.Authorization/locks/write | skipped"})
	r.wantClean()
}

// TestLocksGoWhateverHappens: the connection breaks, a reply is lost, or somebody interrupts, while a lock is on.
func TestLocksGoWhateverHappens(t *testing.T) {
	for _, level := range []string{"CanNotDelete", "ReadOnly"} {
		for name, trip := range map[string]func(r *rig, stop func()){
			"the next write is cut": func(r *rig, _ func()) {
				r.before = func(req *http.Request, _ []byte) bool {
					_, on := r.arm.Get(lockID(level))
					return on && req.Method == http.MethodPut && req.URL.Path == nsgID
				}
			},
			"the reply to the lock is lost": func(r *rig, _ func()) {
				r.before = func(req *http.Request, body []byte) bool {
					if req.Method != http.MethodPut || req.URL.Path != lockID(level) {
						return false
					}
					r.put(lockID(level), string(body))
					return true
				}
			},
			"it is interrupted": func(r *rig, stop func()) {
				r.after = func(req *http.Request, _ []byte, _ int) {
					if req.Method == http.MethodPut && req.URL.Path == lockID(level) {
						stop()
					}
				}
			},
			"the first deletes of the lock are cut": func(r *rig, stop func()) {
				var cut atomic.Int32
				r.before = func(req *http.Request, _ []byte) bool {
					if req.Method != http.MethodDelete || req.URL.Path != lockID(level) || cut.Add(1) > 2 {
						return false
					}
					stop()
					return true
				}
			},
		} {
			t.Run(level+", "+name, func(t *testing.T) {
				r := newRig(t, asked{}, token{})
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				trip(r, stop)
				if err := r.live.check(ctx, &r.table); err == nil {
					t.Error("no word of it")
				}
				if !strings.Contains(r.table.String(), "PUT with a stale If-Match") {
					t.Error("what was seen before is not shown")
				}
				if len(r.live.locked) != 0 {
					t.Errorf("taken to be left: %q", r.live.locked)
				}
				r.wantClean()
			})
		}
	}
}

// TestLockThatStays: when a lock cannot be taken off, that is said, and the tries end.
func TestLockThatStays(t *testing.T) {
	r := newRig(t, asked{}, token{})
	r.arm.Tune(func(k *armsim.Knobs) {
		k.Denied = []armsim.Denied{{Action: "Microsoft.Authorization/locks/delete"}}
	})
	err := r.check()
	if err == nil || !strings.Contains(err.Error(), "remove its locks by hand") || !strings.Contains(err.Error(), lockID("CanNotDelete")) {
		t.Errorf("got %v", err)
	}
	// Once where it was put on, once in the end.
	if n := r.count(http.MethodDelete, lockID("CanNotDelete")); n != 2*61 {
		t.Errorf("%d tries, want %d", n, 2*61)
	}
	r.wantInside()
}
