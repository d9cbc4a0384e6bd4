package access

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"portcullis/core/decide"
	"portcullis/core/jit"
	"portcullis/core/limit"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/preview"
	"portcullis/core/reach"
	"portcullis/core/roster"
	"portcullis/core/round"
	"portcullis/core/store"
)

// How long a key names its grant: a client's own for a day, the digest of a
// request only as long as a double click or a retried POST takes.
const (
	keyLife    = 24 * time.Hour
	digestLife = 10 * time.Second
)

// Request decides a request and stores the grant as an intent, with its
// wake-ups scheduled. No port is open yet: that is [Service.Open]'s part. The flag
// reports that the grant was there already, under the same key or from the same
// request a moment ago; then Open has nothing more to do than to wait.
//
// A grant that needs approval, or that is for later, is stored as it waits: Open has nothing to do, and package pending goes on with it.
//
// An [*jit.Error] means that nothing was written: what [decide.Request] and [limit.Together] refuse, an
// unknown machine, a source of a family that the machine does not have, a target without room, a foreign
// rule that would block. Any other error leaves nothing that can open.
func (s *Service) Request(ctx context.Context, who jit.Caller, checked decide.ValidRequest, key string) (store.GrantRecord, bool, error) {
	r := checked.Request()
	digest := digestOf(r)
	known, keys, err := s.repeated(ctx, cmp.Or(r.RequestorID, r.Requestor), key, digest)
	if err != nil || done(known) {
		return known, err == nil, err
	}
	id, now := s.newGrant()
	rec, states, bad := s.decide(ctx, checked, id, now)
	if bad != nil && jit.Refused(bad) == nil {
		return store.GrantRecord{}, false, bad
	}
	if known.Version != "" {
		return known, true, nil
	}
	if bad != nil {
		return store.GrantRecord{}, false, s.LogRefusedRequest(ctx, who, r, bad)
	}
	_, err = s.previewGrant(ctx, s.Rounds.Recall, states.of, rec)
	if jit.Refused(err) != nil { // what is remembered may be old: nobody is refused for that
		_, err = s.previewGrant(ctx, s.Rounds.ShownShared, s.Targets.State, rec)
	}
	if err == nil {
		rec, err = s.waiting(ctx, rec)
	}
	if err != nil {
		if jit.Refused(err) != nil {
			err = s.LogRefusedRequest(ctx, who, r, err)
		}
		return store.GrantRecord{}, false, err
	}
	return s.intend(ctx, who, drilled(rec), keys, key, digest)
}

// Known gives what [Service.Request] gives of a request that was sent before and has come to something: from what is
// stored, asking nobody else. Without a version there is none.
func (s *Service) Known(ctx context.Context, checked decide.ValidRequest, key string) (store.GrantRecord, error) {
	r := checked.Request()
	rec, _, err := s.repeated(ctx, cmp.Or(r.RequestorID, r.Requestor), key, digestOf(r))
	if err != nil || !done(rec) {
		return store.GrantRecord{}, err
	}
	return rec, nil
}

// done reports whether a known grant has come to something. One that is still being opened is waited for, and undone where
// that fails: nothing to begin while Resource Manager does not answer.
func done(rec store.GrantRecord) bool {
	return rec.Version != "" && rec.Grant.Status() != jit.Initiating
}

// Preview is what [Service.Request] would grant and change; nothing is written.
func (s *Service) Preview(ctx context.Context, r decide.ValidRequest) (store.GrantRecord, []preview.Change, error) {
	id, now := s.newGrant()
	rec, states, err := s.decide(ctx, r, id, now)
	if err != nil {
		return store.GrantRecord{}, nil, err
	}
	outs, err := s.previewGrant(ctx, s.Rounds.Shown, states.of, rec)
	if err == nil {
		rec, err = s.waiting(ctx, rec)
	}
	return drilled(rec), changesOf(rec, outs), err
}

// decide returns the grant as it would be opened, and what is stored of the targets.
func (s *Service) decide(ctx context.Context, r decide.ValidRequest, id string, now time.Time) (store.GrantRecord, states, error) {
	states := states{Targets: s.Targets}
	vms := r.Request().Machines()
	for i, vm := range vms {
		if err := s.Subscriptions.Manages(vm, fmt.Sprintf("virtualMachines[%d].id", i)); err != nil {
			return store.GrantRecord{}, states, err
		}
	}
	if _, err := s.Holds.Refuses(ctx, r.Request().RequestorID, vms); err != nil {
		return store.GrantRecord{}, states, err
	}
	machines, err := s.recalled(ctx, vms)
	if err != nil {
		return store.GrantRecord{}, states, fmt.Errorf("locate the virtual machines: %w", err)
	}
	if err := canOpen(vms, machines); err != nil {
		return store.GrantRecord{}, states, err
	}
	policies, err := s.protecting(ctx, &states, vms, machines)
	if err != nil {
		return store.GrantRecord{}, states, err
	}
	policy := func(vm jit.ID) (jit.Policy, bool) { p, ok := policies[vm.Key()]; return p, ok }
	g, err := s.granted(policy, r, id, now)
	if err != nil {
		return store.GrantRecord{}, states, err
	}
	demands := func(vm jit.ID) jit.Options { return policies[vm.Key()].InForce(s.Floor) }
	if err := limit.Together(g, demands, slices.Collect(maps.Values(states.read)), g.Begins(), limit.InRequest); err != nil {
		return store.GrantRecord{}, states, err
	}
	if err := sameFamily(g, machines); err != nil {
		return store.GrantRecord{}, states, err
	}
	if err := s.barredByAdmin(g, machines); err != nil {
		return store.GrantRecord{}, states, err
	}
	rec, err := (&network.Fronts{Kinds: s.Kinds, State: s.Targets.State, Rules: s.Rounds.Shown, Policy: policy, Now: s.now()}).Mapped(ctx, network.Place(g, machines), machines)
	if err != nil {
		return store.GrantRecord{}, states, err
	}
	if rec, err = s.Glass.Free(ctx, rec, now); err != nil {
		return store.GrantRecord{}, states, err
	}
	rec.Replaces = store.ReplacedBy(rec.Grant, states.read, now)
	if within := s.Kinds.Slowest(rec.Targets(), func(k network.TargetKind) time.Duration { return k.OpenWithin }); within > 0 {
		rec.Grant.OpenBy = rec.Grant.Begins().Add(within)
	}
	return rec, states, nil
}

// canOpen refuses machines that do not exist, that nothing guards, or that no rule can tell from another.
func canOpen(vms []jit.ID, machines map[string]network.Machine) error {
	for i, vm := range vms {
		at := fmt.Sprintf("virtualMachines[%d].id", i)
		m, err := network.Exists(vm, machines, at)
		if err == nil {
			err = network.Apart(m, at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// newGrant returns an id and the time of the same millisecond, if a few tries do: then the id tells where the grant is among
// those that have closed, and nothing else has to be stored for that.
func (s *Service) newGrant() (id string, now time.Time) {
	for range store.Attempts {
		now = s.now()
		if id = s.NewID(); s.now().Equal(now) {
			break
		}
	}
	return id, now
}

// sameFamily refuses a source of a family in which the machine has no guarded address:
// no rule could let it in.
func sameFamily(g jit.Grant, machines map[string]network.Machine) error {
	for i, vm := range g.VMs {
		var v4, v6 bool
		for _, p := range machines[vm.VM.Key()].Placements {
			for _, a := range p.Addresses {
				v4, v6 = v4 || a.Is4(), v6 || a.Is6()
			}
		}
		for j, w := range vm.Ports {
			for _, p := range w.Sources.Prefixes() {
				if p.Addr().Is4() && !v4 || p.Addr().Is6() && !v6 {
					return &jit.Error{Code: CodeSourceFamily, Target: fmt.Sprintf("virtualMachines[%d].ports[%d].allowedSourceAddressPrefix", i, j),
						Message: fmt.Sprintf("%s has no address of the family of %s", vm.VM.Name, jit.PrefixString(p))}
				}
			}
		}
	}
	return nil
}

// previewGrant computes the targets as if the grant were stored, and refuses
// where one of them has no room for it or a foreign rule would block it.
func (s *Service) previewGrant(ctx context.Context, from func(context.Context, jit.ID) (network.Standing, error), stored func(context.Context, jit.ID) (roster.State, error), rec store.GrantRecord) ([]round.Outcome, error) {
	outs, err := s.Rounds.ProjectFrom(ctx, from, stored, rec.Targets(), func(t jit.ID, state *roster.State) {
		for _, p := range rec.Placements {
			if p.Target.Equal(t) {
				state.Openings = append(state.Openings, rec.At(p))
			}
		}
	})
	if err != nil {
		return nil, err
	}
	if err := refusedBy(outs, rec.Grant.ID); err != nil {
		return outs, err
	}
	for _, out := range outs {
		if err := s.Quota.Allows(out.Target, out.State.Openings, rec.Grant, rec.Grant.Begins()); err != nil {
			return outs, err
		}
	}
	return outs, nil
}

// refusedBy returns why a target left the grant out, or nil.
func refusedBy(outs []round.Outcome, grant string) error {
	for _, out := range outs {
		for _, r := range out.Plan.Refused {
			if r.Grant == grant {
				return r.Err.At(out.Target.String())
			}
		}
		if slices.ContainsFunc(out.Plan.Missing, func(m plan.Missing) bool { return m.Grant == grant }) {
			return &jit.Error{Code: plan.CodeNotCertain, Target: out.Target.String(), Message: "the rule of this window is missing on " + out.Target.Name + ", and it is not certain that nobody has ended it: the next sweep closes it; send a new request"}
		}
	}
	return nil
}

// repeated finds the grant that the same key, or the same request a moment ago, has
// made; where there is none, the keys under which a new one goes.
//
// A key that the client chose always names its grant. A digest does not outlive
// it: who closed a port may ask for it again at once. Since the digest itself is taken
// until it expires, the next grant goes under the digest and the ended grant's id.
func (s *Service) repeated(ctx context.Context, requestor, key, digest string) (store.GrantRecord, []store.Key, error) {
	var keys []store.Key
	if key != "" {
		rec, k, err := s.keyed(ctx, requestor, key, digest)
		if err != nil || rec.Version != "" {
			return rec, nil, err
		}
		keys = append(keys, k)
	}
	free := digest
	for range store.Attempts {
		rec, k, err := s.keyed(ctx, requestor, free, digest)
		if now := s.now(); err != nil || rec.Grant.AnyLive(now) || rec.Grant.Waits(now) {
			return rec, nil, err
		}
		if rec.Version == "" {
			return rec, append(keys, k), nil
		}
		free = digest + "/" + rec.Grant.ID
	}
	return store.GrantRecord{}, nil, busyRequest()
}

// keyed returns the grant under a key; one without a version where there is none, and then the key that a new one would have.
func (s *Service) keyed(ctx context.Context, requestor, value, digest string) (store.GrantRecord, store.Key, error) {
	k, err := s.Keys.FindKey(ctx, requestor, value, s.now())
	if errors.Is(err, store.ErrNotFound) {
		return store.GrantRecord{}, store.Key{Requestor: requestor, Value: value, Digest: digest, Version: k.Version}, nil
	}
	if err != nil {
		return store.GrantRecord{}, k, fmt.Errorf("look up the idempotency key: %w", err)
	}
	if k.Digest != digest {
		return store.GrantRecord{}, k, &jit.Error{Code: CodeKeyReused, Target: "Idempotency-Key", Message: "this Idempotency-Key was sent with another request; use a new one for each"}
	}
	rec, err := s.Grants.Grant(ctx, k.Grant)
	if err != nil {
		return store.GrantRecord{}, k, fmt.Errorf("read grant %s: %w", k.Grant, err)
	}
	return rec, k, nil
}

func busyRequest() error {
	return &jit.Error{Code: store.CodeConcurrent, Target: "virtualMachines", Message: "the same request is being handled already; ask again"}
}

// digestOf names the content of a request: what two clicks on one button have in common.
func digestOf(r jit.Request) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %q %s\n", cmp.Or(r.RequestorID, r.Requestor), r.Justification, r.BreakGlass) // not the name beside an id: one person's tokens may hold different ones
	if !r.Opens.IsZero() {
		fmt.Fprintf(&b, "from %s\n", r.Opens.UTC().Format(time.RFC3339Nano))
	}
	for _, vm := range r.VMs {
		fmt.Fprintf(&b, "%s\n", vm.VM.Key())
		for _, p := range vm.Ports {
			fmt.Fprintf(&b, " %d %s %s %s\n", p.Number, p.Duration, p.End.UTC().Format(time.RFC3339Nano), p.Sources)
		}
	}
	sum := sha256.Sum256([]byte(b.String()))
	return "digest-" + hex.EncodeToString(sum[:])
}

// intend writes the close before the open: the grant with its ends, then the wake-ups.
func (s *Service) intend(ctx context.Context, who jit.Caller, rec store.GrantRecord, keys []store.Key, key, digest string) (store.GrantRecord, bool, error) {
	now := s.now()
	for i := range keys {
		keys[i].Grant, keys[i].Expires = rec.Grant.ID, now.Add(digestLife)
		if key != "" && keys[i].Value == key {
			keys[i].Expires = now.Add(keyLife)
		}
	}
	// The log comes first: from the moment a grant is stored another round on its target may open it.
	if err := s.Activity.Append(ctx, store.GrantEntries(who, store.OpRequest, store.Succeeded, rec.Grant, now)...); err != nil {
		err = fmt.Errorf("write the activity log: %w", err)
		s.unmade(ctx, who, rec, now, err) // the log may write later what it has not confirmed
		return store.GrantRecord{}, false, err
	}
	var stored store.GrantRecord
	err := s.Holds.Proven(ctx, rec.Grant, func(version string) (err error) {
		rec.Decided = version
		stored, err = s.Grants.InsertGrant(ctx, rec, keys, now)
		return err
	})
	if err != nil {
		s.unmade(ctx, who, rec, now, err)
	}
	if errors.Is(err, store.ErrConflict) {
		// The same request came in twice at once, and the other one was first.
		if known, _, err := s.repeated(ctx, keys[0].Requestor, key, digest); err != nil || known.Version != "" {
			return known, err == nil, err
		}
		return store.GrantRecord{}, false, s.outrun(ctx, who, rec)
	}
	if jit.Refused(err) != nil { // it is held by now
		return store.GrantRecord{}, false, s.LogRefusedGrant(ctx, who, store.OpRequest, rec.Grant, err)
	}
	if err != nil {
		return store.GrantRecord{}, false, fmt.Errorf("store the grant: %w", err)
	}
	if err = s.schedule(ctx, stored.Grant); err != nil {
		err = fmt.Errorf("schedule the end: %w", err)
		rec, err := s.abandon(ctx, who, stored, err)
		return rec, err == nil, err
	}
	if !stored.Grant.Waiting() {
		s.tries.stored(stored.Grant.ID)
	}
	return stored, false, nil
}

// unmadeWait bounds the wait for the entry that nothing came of a request. The log writes it later too, after the one before it.
const unmadeWait = 2 * time.Second

// unmade logs that nothing came of a request whose entry stands, or may stand, in the log. It has its own time, since the caller's may be what
// ran out.
func (s *Service) unmade(ctx context.Context, who jit.Caller, rec store.GrantRecord, now time.Time, cause error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unmadeWait)
	defer cancel()
	failed := store.GrantEntries(who, store.OpRequest, store.Failed, rec.Grant, now)
	for i := range failed {
		failed[i].Message = "not stored: " + store.Publicly(cause)
	}
	_ = s.Activity.Append(ctx, failed...)
}

// schedule asks for a wake-up at every end of the grant's windows.
func (s *Service) schedule(ctx context.Context, g jit.Grant) error {
	return s.Alarm.Schedule(ctx, store.WakesOf(g, s.now())...)
}

// barredByAdmin refuses a grant of which a security admin rule surely lets nothing in, as far as
// the last look at them tells.
func (s *Service) barredByAdmin(g jit.Grant, machines map[string]network.Machine) error {
	for i, vm := range g.VMs {
		m := machines[vm.VM.Key()]
		rules := s.Admins.Seen(m.VirtualNetwork, s.now())
		for j, w := range vm.Ports {
			if by := network.Barred(m, w, rules); by.Whole == reach.Yes {
				return &jit.Error{Code: plan.CodeBlocked, Target: fmt.Sprintf("virtualMachines[%d].ports[%d]", i, j),
					Message: fmt.Sprintf("port %d of %s is blocked by the %s (priority %d), which comes before every security group: ask those who run it", w.Number, vm.VM.Name, by.Denied[0].Title(), by.Denied[0].Priority)}
			}
		}
	}
	return nil
}
