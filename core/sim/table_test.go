package sim_test

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/store"
)

// table is the store, and records what is written.
type table struct {
	*coretest.Memory
	run      *run
	grants   map[string]*ledger
	told     map[string]store.Entry
	policies map[string]store.PolicyRecord
	putBy    map[string]string       // the verb that stored the policy last
	ever     map[string][]jit.Policy // every policy that was stored
	lines    map[string]bool         // the grants whose request or opening the log tells
	twice    []string                // lines that tell the same
}

// window names one window of a grant.
type window struct {
	vm   string
	port uint16
}

// ledger is what the run knows of one grant.
type ledger struct {
	rec      store.GrantRecord
	inserted time.Time
	turn     int                       // how many steps had been taken by then
	opened   bool                      // some window was stored as open
	stored   map[window]bool           // which
	openedAt int                       // after how many steps, the last time
	closed   map[window]time.Time      // when each was stored as closed
	behind   map[window][]string       // the verbs in progress then: they may have an older plan
	mapped   map[window]netip.AddrPort // where a firewall last mapped each, which a machine that moves away from it loses
	late     time.Time                 // when an end was last moved after it had passed: what closes then may reopen only after a write
	lost     bool                      // the table has lost it
	removed  []jit.Rule                // its rules that writes of ours have removed
	ended    bool                      // it had ended when older tables were put back, which say that it is open
}

func (t *table) InsertGrant(ctx context.Context, g store.GrantRecord, keys []store.Key, now time.Time) (store.GrantRecord, error) {
	rec, err := t.Memory.InsertGrant(ctx, g, keys, now)
	if err == nil {
		t.run.mu.Lock()
		t.grants[rec.Grant.ID] = &ledger{rec: rec, inserted: time.Now(), turn: t.run.taken, stored: map[window]bool{}, closed: map[window]time.Time{}, behind: map[window][]string{}, mapped: map[window]netip.AddrPort{}}
		t.run.mu.Unlock()
		t.run.given(t.grants[rec.Grant.ID])
		t.run.free("stored", rec.Grant, func(jit.ID) bool { return true })
		t.run.unapproved(rec.Grant)
		t.run.keptForLater(rec.Grant)
	}
	return rec, err
}

func (t *table) UpdateGrants(ctx context.Context, gs ...store.GrantRecord) ([]store.GrantRecord, error) {
	recs, err := t.Memory.UpdateGrants(ctx, gs...)
	if err != nil {
		return recs, err
	}
	for _, rec := range recs {
		t.run.mu.Lock()
		l := t.grants[rec.Grant.ID]
		t.run.mu.Unlock()
		if l == nil || l.ended {
			continue
		}
		before := l.rec
		l.rec = rec
		t.run.approved(before.Grant, rec.Grant)
		t.run.opensOnTime(before.Grant, rec.Grant)
		for i, vm := range rec.Grant.VMs {
			for j, w := range vm.Ports {
				old := before.Grant.VMs[i].Ports[j]
				was := old.Status
				if old.Mapped.IsValid() {
					l.mapped[window{vm.VM.Name, w.Number}] = old.Mapped
				}
				t.run.lawful(l, vm.VM, old, w)
				if w.End.After(old.End) && !time.Now().Before(old.End) {
					l.late = time.Now()
				}
				switch {
				case w.Status == jit.Initiated && was != jit.Initiated:
					l.opened, l.openedAt, l.stored[window{vm.VM.Name, w.Number}] = true, t.run.taken, true
					t.run.seen.Opened++
					t.run.openedNow(l, vm.VM, w)
				case w.Status == jit.Revoked && was != jit.Revoked:
					t.run.seen.Closed++
					at := window{vm.VM.Name, w.Number}
					l.closed[at], l.behind[at] = time.Now(), slices.Sorted(maps.Keys(t.run.flying))
					t.run.closedNow(t.run.begun[opOf(ctx)], l, before, vm.VM, w)
				}
			}
		}
	}
	return recs, nil
}

func (t *table) Append(ctx context.Context, entries ...store.Entry) error {
	err := t.Memory.Append(ctx, entries...)
	if err == nil {
		t.run.mu.Lock()
		defer t.run.mu.Unlock()
		for _, e := range entries {
			if _, again := t.told[e.ID]; again && (e.Operation == store.OpOpen || e.Operation == store.OpClose) {
				continue // the log keeps the first
			}
			t.once(e)
			if before, again := t.told[e.ID]; again { // two instances put the same right: the log has the words of one of them
				e.Message += "; " + before.Message
			}
			t.told[e.ID] = e
			if e.Operation == store.OpRepair {
				t.run.seen.Repaired++
			}
			if e.Operation == store.OpRequest || e.Operation == store.OpOpen {
				t.lines[e.Grant] = true
			}
		}
	}
	return err
}

// once is I5 for what happens once: an opening and a closing of a window have one line each, whoever tells. The tables that are
// put back hold an older log.
func (t *table) once(e store.Entry) {
	if e.Operation != store.OpOpen && e.Operation != store.OpClose || e.Result != store.Succeeded {
		return
	}
	for id, o := range t.told {
		if id != e.ID && !t.run.backup.forgot(o) && o.Operation == e.Operation && o.Result == e.Result && o.Grant == e.Grant && o.VM.Equal(e.VM) && slices.ContainsFunc(o.Ports, func(p uint16) bool { return slices.Contains(e.Ports, p) }) {
			t.twice = append(t.twice, id+" and "+e.ID)
		}
	}
}

func (t *table) PutPolicy(ctx context.Context, p store.PolicyRecord) (store.PolicyRecord, error) {
	rec, err := t.Memory.PutPolicy(ctx, p)
	if err == nil {
		t.run.unsure(rec.Policy.VM.Name)
		t.run.mu.Lock()
		defer t.run.mu.Unlock()
		t.policies[rec.Policy.VM.Name] = rec
		t.putBy[rec.Policy.VM.Name] = opOf(ctx)
		delete(t.run.orphans, rec.Policy.VM.Name)
		t.ever[rec.Policy.VM.Name] = append(t.ever[rec.Policy.VM.Name], rec.Policy)
	}
	return rec, err
}

func (t *table) DeletePolicy(ctx context.Context, p store.PolicyRecord) error {
	err := t.Memory.DeletePolicy(ctx, p)
	if err == nil {
		t.run.unsure(p.Policy.VM.Name)
		t.run.mu.Lock()
		defer t.run.mu.Unlock()
		delete(t.policies, p.Policy.VM.Name)
		delete(t.run.guarded, p.Policy.VM.Name)
	}
	return err
}

// lose empties the table, like a deleted storage account.
func (t *table) lose() {
	t.Memory = coretest.NewMemory()
	for _, l := range t.grants {
		l.lost = true
	}
	clear(t.policies)
	clear(t.run.guarded)
	for _, g := range t.run.azure.groups {
		clear(g.sure)
	}
}

// toldOf reports whether the log has a line of the operation for the grant's machine
// and port; a zero port and id are any.
func (t *table) toldOf(op store.Operation, result store.Result, grant string, vm jit.ID, port uint16) bool {
	for _, e := range t.told {
		if e.Operation == op && e.Result == result && e.Grant == grant && (vm.IsZero() || e.VM.Equal(vm)) && (port == 0 || slices.Contains(e.Ports, port)) {
			return true
		}
	}
	return false
}

// lineOf returns the line that tells that an operation on a window has succeeded, and whether there is one.
func (t *table) lineOf(op store.Operation, grant string, vm jit.ID, port uint16) (store.Entry, bool) {
	for _, e := range t.told {
		if e.Operation == op && e.Result == store.Succeeded && e.Grant == grant && e.VM.Equal(vm) && slices.Contains(e.Ports, port) {
			return e, true
		}
	}
	return store.Entry{}, false
}
