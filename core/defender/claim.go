package defender

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

const (
	// claimedFor is how long a claim holds after the last write under it. Nobody who works comes near it; it is what
	// others wait for when somebody has died.
	claimedFor = time.Minute
	// firstWait is how long an editor waits for another at first, and then twice as long each time: six seconds in
	// [store.Attempts] tries.
	firstWait = 50 * time.Millisecond
	// leaveWait bounds giving up a claim, which the caller's own deadline does not.
	leaveWait = 5 * time.Second
	// makesNothing is what a deletion makes.
	makesNothing = "nothing"
)

var (
	// errClaimed says that somebody else changed the policy first, and that nothing was written.
	errClaimed = errors.New("the policy was changed by somebody else")
	// errHeld says that somebody else is changing the policy, and that nothing was written.
	errHeld = errors.New("the policy is being changed by somebody else")
)

// unclaimed calls f, which reads a named policy and changes it, until nobody else has changed the policy in between. It
// waits for those who are at it; last tells f that it will not wait again. After [store.Attempts] calls it refuses with
// [store.CodeConcurrent].
func unclaimed(ctx context.Context, name store.PolicyName, f func(last bool) error) error {
	wait := firstWait
	for try := range store.Attempts {
		err := f(try+1 == store.Attempts)
		if !errors.Is(err, errClaimed) && !errors.Is(err, errHeld) {
			return err
		}
		if errors.Is(err, errHeld) && try+1 < store.Attempts {
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

// held reports whether to leave the policy to somebody who may be changing it now. Who repeats a change waits too, and
// then completes it in the place of one who seems to have died. A claim that no clock like ours can have made is none. To
// take one that is in use does no harm, since each write under it goes by the record's version.
func (s *Named) held(p NamedPolicy, makes string, last bool) bool {
	if p.Head == nil || last && begun(p, makes) {
		return false
	}
	left := p.Head.Claim.Until.Sub(s.now())
	return left > 0 && left <= 2*claimedFor
}

// begun reports whether a change that makes this was begun and not finished. Whoever repeats it need not have seen what
// the first try left.
func begun(p NamedPolicy, makes string) bool { return p.Head != nil && p.Head.Claim.Makes == makes }

// claim is the right to change the list of a named policy: the policy's own record, as this process wrote it last. Each
// machine is written in one transaction with that record, by its version. So nothing can be written once another has
// taken the claim, and nobody can take it unnoticed while the list is read (docs/decisions/036).
type claim struct {
	*Named
	before *store.NamedRecord // the record before the claim; nil if there was none
	head   store.NamedRecord
	wrote  bool
	given  bool // up, or back
}

// claim takes the policy, provided that nobody else has since it was read, and reads the list once more: machines are
// also enabled and disabled by themselves, without a claim.
func (s *Named) claim(ctx context.Context, p NamedPolicy, makes string) (*claim, error) {
	c := &claim{Named: s, before: p.Head, head: store.NamedRecord{Name: p.Name, Draft: true}}
	if p.Head != nil {
		c.head = *p.Head
	}
	c.head.Claim.Makes = makes
	var err error
	if c.head, err = s.Protection.Policies.PutNamed(ctx, c.renewed()); errors.Is(err, store.ErrConflict) {
		return nil, errClaimed
	}
	if err != nil {
		return nil, fmt.Errorf("claim the policy %s: %w", p.Name.Name, err)
	}
	now, err := s.policyNamed(ctx, p.Name)
	if err == nil && !sameList(now, p) {
		err = errClaimed
	}
	if err != nil {
		c.leave(ctx)
		return nil, err
	}
	return c, nil
}

func sameList(a, b NamedPolicy) bool {
	return slices.EqualFunc(a.Machines, b.Machines, func(a, b store.PolicyRecord) bool { return samePolicy(a.Policy, b.Policy) })
}

// renewed returns the record to write next.
func (c *claim) renewed() store.NamedRecord {
	next := c.head
	next.Claim.Until = c.now().Add(claimedFor)
	return next
}

// put is [store.Policies.PutPolicy] for as long as the claim is ours. Its error is [store.ErrConflict] only if the
// machine's own record is stale.
func (c *claim) put(ctx context.Context, rec store.PolicyRecord) (store.PolicyRecord, error) {
	c.wrote = true
	head, stored, err := c.Protection.Policies.PutListed(ctx, c.renewed(), rec)
	if err != nil {
		return rec, c.failed(ctx, err)
	}
	c.head = head
	return stored, nil
}

// remove is [store.Policies.DeletePolicy], as put.
func (c *claim) remove(ctx context.Context, rec store.PolicyRecord) error {
	c.wrote = true
	head, err := c.Protection.Policies.DropListed(ctx, c.renewed(), rec)
	if err != nil {
		return c.failed(ctx, err)
	}
	c.head = head
	return nil
}

// failed returns the error of a write, or that the claim is lost.
func (c *claim) failed(ctx context.Context, err error) error {
	if !errors.Is(err, store.ErrConflict) {
		return err
	}
	now, bad := c.policyNamed(ctx, c.head.Name)
	if bad != nil {
		return bad
	}
	if now.Head == nil || now.Head.Version != c.head.Version {
		return contended(c.head.Name, "the change took long, and somebody else has begun another; read the policy again")
	}
	return err
}

// finish gives the claim up once every machine is written, and stores the policy's record. Whoever has taken the claim
// since then has seen the whole list, and his record stands.
func (c *claim) finish(ctx context.Context, head store.NamedRecord) error {
	if c.given {
		return nil
	}
	head.Version, head.Claim, head.Draft = c.head.Version, store.Claim{}, false
	if _, err := c.Protection.Policies.PutNamed(ctx, head); err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("store the policy %s: %w", head.Name.Name, err)
	}
	c.given = true
	return nil
}

// leave gives the claim up before the change is finished, and back if nothing was written. If it cannot, the claim
// holds until its time is over.
func (c *claim) leave(ctx context.Context) {
	if c.given {
		return
	}
	c.given = true
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveWait)
	defer cancel()
	if !c.wrote && c.before == nil {
		_ = c.Protection.Policies.DropNamed(ctx, c.head)
		return
	}
	next := c.head
	next.Claim.Until = time.Time{}
	if !c.wrote {
		next.Claim.Makes = c.before.Claim.Makes
	}
	if stored, err := c.Protection.Policies.PutNamed(ctx, next); err == nil {
		c.head = stored
	}
}
