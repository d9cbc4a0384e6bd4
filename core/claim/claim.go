// Package claim keeps editors of the list of a named policy apart, in one process and between processes: who changes a list claims it in the
// policy's own record, and writes each machine in one transaction with that record (docs/decisions/036).
package claim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

const (
	// claimedFor is how long a claim holds after the last write under it. Nobody who works comes near it; it is what
	// others wait for when somebody has died.
	claimedFor = time.Minute
	// repeatedFor is how long after its last write an unfinished change may be completed whatever the precondition: clients send again what
	// has failed within minutes, a deployment within the hour.
	repeatedFor = time.Hour
	// firstWait is how long an editor waits for another at first, and then twice as long each time: six seconds in
	// [store.Attempts] tries.
	firstWait = 50 * time.Millisecond
	// leaveWait bounds giving up a claim, which the caller's own deadline does not.
	leaveWait = 5 * time.Second
)

var (
	// ErrTaken says that somebody else changed the policy first, and that nothing was written.
	ErrTaken = errors.New("the policy was changed by somebody else")
	// ErrHeld says that somebody else is changing the policy, and that nothing was written.
	ErrHeld = errors.New("the policy is being changed by somebody else")
)

// Unclaimed calls f, which reads a named policy and changes it, until nobody else has changed the policy in between. It
// waits for those who are at it; last tells f that it will not wait again. After [store.Attempts] calls it refuses with
// [store.CodeConcurrent].
func Unclaimed(ctx context.Context, name store.PolicyName, f func(last bool) error) error {
	wait := firstWait
	for try := range store.Attempts {
		err := f(try+1 == store.Attempts)
		if !errors.Is(err, ErrTaken) && !errors.Is(err, ErrHeld) {
			return err
		}
		if errors.Is(err, ErrHeld) && try+1 < store.Attempts {
			if err := pause(ctx, wait); err != nil {
				return err
			}
			wait *= 2
		}
	}
	return contended(name, "the policy is being changed by others; ask again")
}

func contended(name store.PolicyName, message string) *jit.Error {
	return &jit.Error{Code: store.CodeConcurrent, Target: name.String(), Message: message}
}

func pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for another change of the policy: %w", ctx.Err())
	}
}

// List is a named policy as it is stored.
type List struct {
	Name     store.PolicyName     // in the casing in which it was created
	Head     *store.NamedRecord   // its own record; nil if there is none
	Machines []store.PolicyRecord // in any order
}

// Dropped returns the targets of machines that were dropped and are not known to be in order.
func (l List) Dropped() []jit.ID {
	if l.Head == nil {
		return nil
	}
	return l.Head.Dropped
}

// Version returns the version of the policy's own record; "" if there is none.
func (l List) Version() string {
	if l.Head == nil {
		return ""
	}
	return l.Head.Version
}

// Same reports whether two lists say the same of the same machines. Both are sorted by machine.
func (l List) Same(o List) bool {
	return slices.EqualFunc(l.Machines, o.Machines, func(a, b store.PolicyRecord) bool { return Same(a.Policy, b.Policy) })
}

// sort sorts the machines by their keys.
func (l List) sort() {
	slices.SortFunc(l.Machines, func(a, b store.PolicyRecord) int { return strings.Compare(a.Policy.VM.Key(), b.Policy.VM.Key()) })
}

// Same reports whether two policies say the same, in whatever order and case.
func Same(a, b jit.Policy) bool {
	return a.VM.Equal(b.VM) && a.ExistingRules == b.ExistingRules && a.OwnOptions() == b.OwnOptions() && a.PublicAddress == b.PublicAddress && len(a.Ports) == len(b.Ports) &&
		!slices.ContainsFunc(a.Ports, func(p jit.PortRule) bool {
			q, ok := b.Port(p.Number)
			return !ok || p.Protocol != q.Protocol || p.Maximum != q.Maximum || !p.Sources.Equal(q.Sources) || p.Mapped != q.Mapped
		})
}

// Meant returns a policy as a list says it, with what no list can say as it is stored.
func Meant(written, stored jit.Policy) jit.Policy {
	written.ExistingRules, written.Options = stored.ExistingRules, stored.Options
	return written.WithPins(stored)
}

// Lists is the named policies as they are stored. Both fields must be set.
type Lists struct {
	Policies store.Policies
	Now      func() time.Time // UTC, in whole milliseconds
}

// Read reads one named policy, which need not exist, with its machines sorted. The machines' records have no Version.
func (s Lists) Read(ctx context.Context, name store.PolicyName) (List, error) {
	l := List{Name: name}
	f := store.PolicyFilter{Subscription: name.Subscription, ResourceGroup: name.ResourceGroup, Location: name.Location, Name: name.Name}
	head := func(n store.NamedRecord) error {
		l.Name, l.Head = n.Name, &n
		return nil
	}
	err := s.Policies.EachListed(ctx, f, store.PolicyName{}, head, func(rec store.PolicyRecord) error {
		l.Machines = append(l.Machines, rec)
		return nil
	})
	if err != nil {
		return List{}, fmt.Errorf("read the policies: %w", err)
	}
	if l.Head == nil && len(l.Machines) > 0 {
		l.Name = l.Machines[0].Listing()
	}
	l.sort()
	return l, nil
}

// Held reports whether to leave the policy to somebody who may be changing it now. Who repeats a change waits too, and
// then completes it in the place of one who seems to have died. A claim that no clock like ours can have made is none. To
// take one that is in use does no harm, since each write under it goes by the record's version.
func (s Lists) Held(l List, makes string, last bool) bool {
	if l.Head == nil || last && s.Begun(l, makes) {
		return false
	}
	left := l.Head.Claim.Until.Sub(s.Now())
	return left > 0 && left <= 2*claimedFor
}

// Begun reports whether a change that makes this was begun lately and not finished. Whoever repeats it need not have seen what the first try
// left.
func (s Lists) Begun(l List, makes string) bool {
	if l.Head == nil || l.Head.Claim.Makes != makes {
		return false
	}
	left := l.Head.Claim.Until.Sub(s.Now())
	return left > -repeatedFor && left <= 2*claimedFor
}

// Claim is the right to change the list of a named policy: the policy's own record, as this process wrote it last. Each
// machine is written in one transaction with that record, by its version. So nothing can be written once another has
// taken the claim, and nobody can take it unnoticed while the list is read (docs/decisions/036).
type Claim struct {
	lists  Lists
	before *store.NamedRecord // the record before the claim; nil if there was none
	head   store.NamedRecord
	seen   map[string]jit.Policy // what the list says of its machines, by machine
	wrote  bool
	given  bool // up, or back
}

// Claim takes the policy, provided that nobody else has since it was read, and reads the list once more: machines are
// also enabled and disabled by themselves, without a claim.
func (s Lists) Claim(ctx context.Context, l List, makes string) (*Claim, error) {
	c := &Claim{lists: s, before: l.Head, head: store.NamedRecord{Name: l.Name, Draft: true}}
	if l.Head != nil {
		c.head = *l.Head
	}
	c.head.Claim.Makes = makes
	var err error
	if c.head, err = s.Policies.PutNamed(ctx, c.renewed()); errors.Is(err, store.ErrConflict) {
		return nil, ErrTaken
	}
	if err != nil {
		return nil, fmt.Errorf("claim the policy %s: %w", l.Name.Name, err)
	}
	now, err := s.Read(ctx, l.Name)
	if err == nil && !now.Same(l) {
		err = ErrTaken
	}
	if err != nil {
		c.Leave(ctx)
		return nil, err
	}
	c.seen = map[string]jit.Policy{}
	for _, rec := range now.Machines {
		c.seen[rec.Policy.VM.Key()] = rec.Policy
	}
	return c, nil
}

// renewed returns the record to write next.
func (c *Claim) renewed() store.NamedRecord {
	next := c.head
	next.Claim.Until = c.lists.Now().Add(claimedFor)
	return next
}

// Check returns nil while records are as the list was when it was claimed: machines are changed by themselves, too. [ErrTaken] says that one is
// not, and a refusal that one is not and others are written by now.
func (c *Claim) Check(records []store.PolicyRecord) error {
	for _, rec := range records {
		if err := c.unchanged(rec.Policy.VM, rec); err != nil {
			return err
		}
	}
	return nil
}

// unchanged is Check of one machine; now has no version if the machine has no policy.
func (c *Claim) unchanged(vm jit.ID, now store.PolicyRecord) error {
	switch {
	case c.as(vm, now, func(seen jit.Policy) jit.Policy { return seen }):
		return nil
	case c.wrote:
		return contended(c.head.Name, "somebody else has changed "+vm.Name+" meanwhile; read the policy again")
	}
	return ErrTaken
}

// as reports whether a machine is stored as it was seen, once f is applied to what was seen of it.
func (c *Claim) as(vm jit.ID, now store.PolicyRecord, f func(jit.Policy) jit.Policy) bool {
	seen, listed := c.seen[vm.Key()]
	exists := now.Version != ""
	return listed == exists && (!exists || Same(f(seen), now.Policy) && now.Listing().Key() == c.head.Name.Key())
}

// Put is [store.Policies.PutPolicy] for as long as the claim is ours. It stores nothing over what others have changed (see [Claim.Check]).
// Only what no list can say is taken over, once others are written.
func (c *Claim) Put(ctx context.Context, rec store.PolicyRecord) (store.PolicyRecord, error) {
	vm := rec.Policy.VM
	err := store.Retry(func(first bool) error {
		if !first {
			now, err := c.lists.Policies.Policy(ctx, vm)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return fmt.Errorf("read the policy of %s: %w", vm.Name, err)
			}
			unsaid := func(p jit.Policy) jit.Policy { return Meant(p, now.Policy) }
			if err := c.unchanged(vm, now); err != nil && !(c.wrote && c.as(vm, now, unsaid)) {
				return err
			}
			if rec.Version = now.Version; now.Version != "" {
				rec.Policy = unsaid(rec.Policy)
			}
		}
		head, stored, err := c.lists.Policies.PutListed(ctx, c.renewed(), rec)
		if err = c.written(ctx, head, err); err != nil {
			return fmt.Errorf("store the policy of %s: %w", vm.Name, err)
		}
		rec = stored
		return nil
	})
	if errors.Is(err, store.ErrConflict) {
		err = store.ContendedPolicy(vm)
	}
	return rec, err
}

// Remove is [store.Policies.DeletePolicy], for as long as the claim is ours. Its error is [store.ErrConflict] only if the machine's own record
// is stale. It removes nothing that others have changed (see [Claim.Check]). The machine's targets stay in the policy's record until they are
// [Claim.Confirmed].
func (c *Claim) Remove(ctx context.Context, rec store.PolicyRecord) error {
	if err := c.unchanged(rec.Policy.VM, rec); err != nil {
		return err
	}
	next := c.renewed()
	next.Dropped = store.Distinct(slices.Concat(next.Dropped, store.TargetsOf(rec.Placements)))
	head, err := c.lists.Policies.DropListed(ctx, next, rec)
	return c.written(ctx, head, err)
}

// written takes the record as a write has left it, of which only a part may be done, and returns the write's error, or that the claim is lost.
func (c *Claim) written(ctx context.Context, head store.NamedRecord, err error) error {
	if head.Version != "" && head.Version != c.head.Version {
		c.head, c.wrote = head, true
	}
	if !errors.Is(err, store.ErrConflict) {
		c.wrote = c.wrote || err != nil // it may have been written
		return err
	}
	now, bad := c.lists.Read(ctx, c.head.Name)
	if bad != nil {
		return bad
	}
	if now.Version() != c.head.Version {
		return contended(c.head.Name, "the change took long, and somebody else has begun another; read the policy again")
	}
	return err
}

// Finish gives the claim up once every machine is written, and stores the policy's record. Whoever has taken the claim
// since then has seen the whole list, and his record stands.
func (c *Claim) Finish(ctx context.Context, head store.NamedRecord) error {
	if c.given {
		return nil
	}
	head.Version, head.Claim, head.Dropped, head.Draft = c.head.Version, store.Claim{}, c.head.Dropped, false
	stored, err := c.lists.Policies.PutNamed(ctx, head)
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("store the policy %s: %w", head.Name.Name, err)
	}
	if err == nil {
		c.head = stored
	}
	c.given = true
	return nil
}

// Leave gives the claim up before the change is finished, and back if nothing was written. If it cannot, the claim
// holds until its time is over.
func (c *Claim) Leave(ctx context.Context) {
	if c.given {
		return
	}
	c.given = true
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveWait)
	defer cancel()
	if !c.wrote && c.before == nil {
		_ = c.lists.Policies.DropNamed(ctx, c.head)
		return
	}
	next := c.head
	if next.Claim.Until = c.lists.Now(); !c.wrote {
		next.Claim = c.before.Claim
		if next.Claim.Until.After(c.lists.Now()) {
			next.Claim.Until = c.lists.Now()
		}
	}
	if stored, err := c.lists.Policies.PutNamed(ctx, next); err == nil {
		c.head = stored
	}
}

// Confirmed notes that the targets of the machines that were dropped are in order, once the claim is given up.
func (c *Claim) Confirmed(ctx context.Context) error { return c.lists.Confirmed(ctx, c.head) }

// Confirmed notes that the targets of the machines that were dropped are in order, by the version of the policy's record. Whoever has
// written it since brings them in order, too.
func (s Lists) Confirmed(ctx context.Context, head store.NamedRecord) error {
	if len(head.Dropped) == 0 {
		return nil
	}
	head.Dropped = nil
	if _, err := s.Policies.PutNamed(ctx, head); err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("store the policy %s: %w", head.Name.Name, err)
	}
	return nil
}

// Drop removes the policy's record, as the end of a deletion. Whoever has taken the claim since it was given up keeps it.
func (c *Claim) Drop(ctx context.Context) error {
	c.given = true
	if err := c.lists.Policies.DropNamed(ctx, c.head); err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("remove the policy %s: %w", c.head.Name.Name, err)
	}
	return nil
}
