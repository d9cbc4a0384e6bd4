package store

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/reach"
	"portcullis/core/roster"
)

// Placement lists which of a machine's private addresses are behind a target.
type Placement struct {
	Target jit.ID
	// Addresses are sorted, without duplicates. Behind a firewall, the address of each interface's primary
	// configuration comes first; NAT rules lead there.
	Addresses []netip.Addr
	// Inside is the sources of packets that a firewall has let through: the prefixes of its subnet, sorted. The
	// firewall translates sources too, so the machine's security groups see these and never the caller's. Empty if the
	// target is a security group.
	Inside []netip.Prefix
	Site   reach.Site // what is known of where the addresses are, for the meaning of names in rules
}

// Protected returns a policy as it bears on the placement's target.
func (p Placement) Protected(policy jit.Policy) roster.Protected {
	return roster.Protected{Policy: policy, Addresses: p.Addresses, Site: p.Site}
}

// Same reports whether two placements are stored alike.
func (p Placement) Same(o Placement) bool {
	return p.Target.Equal(o.Target) && slices.Equal(p.Addresses, o.Addresses) && p.Site.Equal(o.Site)
}

// PolicyRecord is a stored policy.
type PolicyRecord struct {
	Policy     jit.Policy
	Location   string
	Listed     Listed      // the named policy that lists it
	Form       string      // how a client of named policies wrote it, in that face's own terms; "" if unknown. It decides nothing
	Placements []Placement // where the machine was when last looked up
	ChangedBy  string
	ChangedAt  time.Time
	Since      time.Time // when the machine got its policy; zero for records from before this was kept
	Version    string    // "" for a policy that must not exist yet
}

// Listed is the name under which Defender for Cloud's clients find a machine's policy (see
// [PolicyRecord.Listing]). Empty fields mean the machine's own resource group, its own location, and
// [DefaultName].
type Listed struct {
	ResourceGroup string
	Location      string
	Name          string
}

// Policies stores policies, one per machine. Every write is conditional on the Version of each of its records: ErrConflict if it
// is stale, or if a policy that should be new exists already.
type Policies interface {
	// Policy returns the policy of a machine; ErrNotFound if it has none.
	Policy(ctx context.Context, vm jit.ID) (PolicyRecord, error)
	// EachPolicy calls f for every policy, once and in any order, and holds at most one page in memory. It stops at
	// the first error of f and returns it. f may write policies; a policy written meanwhile may be passed in its old
	// or its new state.
	EachPolicy(ctx context.Context, f func(PolicyRecord) error) error
	// EachListed calls give for every policy whose [PolicyRecord.Listing] matches the filter, grouped by name and in a
	// stable order of names, and head for every [NamedRecord] that matches, before the policies of its name. If after is
	// not zero, it starts at the first name that comes after it. It reads nothing else and holds at most one page;
	// otherwise it is like EachPolicy. The policies have no Version: read one by its machine before writing it.
	EachListed(ctx context.Context, f PolicyFilter, after PolicyName, head func(NamedRecord) error, give func(PolicyRecord) error) error
	// PutNamed stores the record of a named policy and returns it with its new Version.
	PutNamed(ctx context.Context, n NamedRecord) (NamedRecord, error)
	// DropNamed removes the record of a named policy. The policies of its machines stay.
	DropNamed(ctx context.Context, n NamedRecord) error
	// PutListed is PutNamed and PutPolicy at once: it stores nothing if either record is stale. A write that takes several steps may fail
	// after some of them: the named policy's record comes with the error as it is stored then.
	PutListed(ctx context.Context, n NamedRecord, p PolicyRecord) (NamedRecord, PolicyRecord, error)
	// DropListed is PutNamed and DeletePolicy at once: it changes nothing if either record is stale. Its record comes
	// with an error as that of PutListed.
	DropListed(ctx context.Context, n NamedRecord, p PolicyRecord) (NamedRecord, error)
	// PutPolicy stores the policy, its part at each of its placements' targets, and each of those targets as known. It
	// removes parts at other targets. It returns the record with its new Version.
	PutPolicy(ctx context.Context, p PolicyRecord) (PolicyRecord, error)
	// DeletePolicy removes the policy and its parts. The targets stay known.
	DeletePolicy(ctx context.Context, p PolicyRecord) error
}

// DefaultName is the name of the policy that lists a machine by default: the one that Defender for Cloud's own
// page uses.
const DefaultName = "default"

// PolicyName names a policy as Defender for Cloud's clients do. Case is ignored; compare by [PolicyName.Key].
type PolicyName struct {
	Subscription  string
	ResourceGroup string
	Location      string
	Name          string
}

func (n PolicyName) id() jit.ID {
	return jit.ID{Subscription: n.Subscription, ResourceGroup: n.ResourceGroup, Type: "Microsoft.Security/locations/" + n.Location + "/jitNetworkAccessPolicies", Name: n.Name}
}

// String returns the ARM id.
func (n PolicyName) String() string { return n.id().String() }

// Key returns the ARM id in lower case.
func (n PolicyName) Key() string { return n.id().Key() }

// ParsePolicyName parses the result of [PolicyName.String], and returns false for anything else.
func ParsePolicyName(text string) (PolicyName, bool) {
	part := strings.Split(text, "/")
	if len(part) != 11 {
		return PolicyName{}, false
	}
	n := PolicyName{Subscription: part[2], ResourceGroup: part[4], Location: part[8], Name: part[10]}
	return n, n.String() == text && !slices.Contains(part[1:], "")
}

// Scope returns the ARM id of the resource group, the scope for permissions on the policy itself.
func (n PolicyName) Scope() string {
	return "/subscriptions/" + n.Subscription + "/resourceGroups/" + n.ResourceGroup
}

// Listing returns the named policy that lists the record's machine.
func (r PolicyRecord) Listing() PolicyName {
	return PolicyName{
		Subscription:  r.Policy.VM.Subscription,
		ResourceGroup: cmp.Or(r.Listed.ResourceGroup, r.Policy.VM.ResourceGroup),
		Location:      cmp.Or(r.Listed.Location, r.Location),
		Name:          cmp.Or(r.Listed.Name, DefaultName),
	}
}

// NamedRecord is what is stored of a named policy besides the policies of its machines: that it exists, even without
// machines, how its last writer wrote it (docs/decisions/037), and who may change its list now (docs/decisions/036). It
// permits and protects nothing.
type NamedRecord struct {
	Name    PolicyName // in the casing in which it was created
	Kind    string     // as written; "" for the usual one
	Append  bool       // the last write kept machines that it did not name
	Order   []string   // marks of machines in the order in which they were written; the marks are the writer's
	Since   time.Time  // when it came into being; zero if unknown
	Claim   Claim
	Dropped []jit.ID // targets of machines that were taken out of the list, until they are confirmed to be in order
	Draft   bool     // made by a claim: the policy exists only if it lists machines
	Version string   // "" for a record that must not exist yet
}

// Claim says that somebody is changing the list of a named policy, or has begun to and not finished. Whoever writes the
// record that holds it, by its version, takes it.
type Claim struct {
	Until time.Time // nobody else takes it before; past if nobody is at work
	Makes string    // names the list that the change makes; "" once it is made
}

// PolicyFilter selects named policies of a subscription; empty fields match all.
type PolicyFilter struct {
	Subscription  string
	ResourceGroup string
	Location      string
	Name          string
}

// Matches reports whether the filter selects the name.
func (f PolicyFilter) Matches(n PolicyName) bool {
	return strings.EqualFold(f.Subscription, n.Subscription) &&
		(f.ResourceGroup == "" || strings.EqualFold(f.ResourceGroup, n.ResourceGroup)) &&
		(f.Location == "" || strings.EqualFold(f.Location, n.Location)) &&
		(f.Name == "" || strings.EqualFold(f.Name, n.Name))
}

// AllPolicies returns every policy, sorted by machine. It holds all of them in memory: use it only for lists that
// people read.
func AllPolicies(ctx context.Context, from Policies) ([]PolicyRecord, error) {
	var all []PolicyRecord
	err := from.EachPolicy(ctx, func(rec PolicyRecord) error {
		all = append(all, rec)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b PolicyRecord) int { return cmp.Compare(a.Policy.VM.Key(), b.Policy.VM.Key()) })
	return all, nil
}

// ContendedPolicy returns the refusal of a change that lost too many conflicts.
func ContendedPolicy(vm jit.ID) *jit.Error {
	return &jit.Error{Code: CodeConcurrent, Target: vm.String(), Message: "the policy of " + vm.Name + " is being changed by others; ask again"}
}
