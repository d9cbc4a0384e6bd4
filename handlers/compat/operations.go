package compat

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"portcullis/core/defender"
	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers/wire"
)

// list is the four lists.
func (f Face) list(w http.ResponseWriter, r call, p params) error {
	after, err := pageStart(r.URL.Query())
	if err != nil {
		return err
	}
	policies, next, err := f.Named.NamedPolicies(r.Context(), r.who, p.filter(), after, pageSize)
	if err = f.grouped(r, p, err != nil || len(policies) > 0, err); err != nil {
		return err
	}
	page := wire.List[policy]{Value: []policy{}}
	if next != (store.PolicyName{}) {
		page.NextLink = nextPage(r.Request, next.String())
	}
	for _, policy := range policies {
		page.Value = append(page.Value, toPolicy(policy).inList())
	}
	wire.Write(w, http.StatusOK, page)
	return nil
}

// get shows one policy.
func (f Face) get(w http.ResponseWriter, r call, p params) error {
	policy, err := f.Named.NamedPolicy(r.Context(), r.who, p.policy())
	if err != nil {
		return f.grouped(r, p, true, err)
	}
	w.Header().Set("ETag", policy.ETag)
	wire.Write(w, http.StatusOK, toPolicy(policy))
	return nil
}

// maxPolicy is the size in bytes over which the body of a policy is refused. What a read answers, with the requests of
// seven days, fits into it.
const maxPolicy = 4 << 20

// put replaces one policy: machines that the body does not name are
// disabled, unless it appends. It answers 200 for a new policy too, since clients take 201 for an error.
func (f Face) put(w http.ResponseWriter, r call, p params) error {
	var body putBody
	if err := wire.DecodeLoosely(r.Request, &body, maxPolicy); err != nil {
		return err
	}
	machines, how, err := body.policies()
	if err != nil {
		return err
	}
	if err := f.mayHold(r, p, machines); err != nil {
		return err
	}
	policy, err := f.Named.ReplacePolicy(r.Context(), r.who, p.policy(), machines, how, precondition(r.Header))
	if err != nil {
		return inBody(err)
	}
	w.Header().Set("ETag", policy.ETag)
	if ended := policy.Narrowed.String(); ended != "" {
		w.Header().Set(EndedWindows, ended)
	}
	wire.Write(w, http.StatusOK, toPolicy(policy))
	return nil
}

// EndedWindows is the header that tells what a change of a policy has ended, such as "closes 2 windows", or what a request takes
// the place of: the body has Microsoft's shape, in which the requests themselves read as ended.
const EndedWindows = "x-portcullis-windows"

// replaces says how many windows a request takes the place of although they end later.
func replaces(n int) string {
	if n == 1 {
		return "replaces 1 window that ends later"
	}
	return fmt.Sprintf("replaces %d windows that end later", n)
}

// inBody puts the target of a refusal where the machines stand in the body of a policy.
func inBody(err error) error {
	if refused, ok := errors.AsType[*jit.Error](err); ok && strings.HasPrefix(refused.Target, "virtualMachines") {
		return refused.At("properties")
	}
	return err
}

// remove disables every machine of a policy.
func (f Face) remove(w http.ResponseWriter, r call, p params) error {
	ends, found, err := f.Named.DeletePolicy(r.Context(), r.who, p.policy(), precondition(r.Header))
	switch err = f.grouped(r, p, err != nil || found, err); {
	case err != nil:
		return err
	case found:
		if ended := ends.String(); ended != "" {
			w.Header().Set(EndedWindows, ended)
		}
		w.WriteHeader(http.StatusOK)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
	return nil
}

// confirmation is how long an initiate waits for its ports to open before it is
// answered. Clients of this face have no request to look at again: what fails at
// once (a lock, a rule that blocks, no room) is better told than found out later, and who
// connects as soon as the answer is there finds the port open. Most openings
// are confirmed within it. The answer is 202 in either case.
const confirmation = 5 * time.Second

// initiate opens ports. The same body sent again, as clients do after a
// 5xx, is answered with the same grant.
func (f Face) initiate(w http.ResponseWriter, r call, p params) error {
	began := time.Now()
	var body initiateBody
	if err := wire.DecodeLoosely(r.Request, &body, wire.MaxBody); err != nil {
		return err
	}
	own, _ := f.Own(r.Request) // the zero Addr where it is not known
	asked, err := body.request(own, f.Named.Protection.Now())
	if err != nil {
		return err
	}
	rec, _, err := f.Named.Initiate(r.Context(), r.who, p.policy(), asked)
	if err != nil {
		return notSubset(f.grouped(r, p, true, err))
	}
	if rec.Grant.Status() == jit.Initiating {
		if rec, err = f.Open(r.Request, r.who, rec, min(confirmation, f.Wait)-time.Since(began)); err != nil {
			return err
		}
	}
	if n := len(rec.Replaced()); n > 0 {
		w.Header().Set(EndedWindows, replaces(n))
	}
	wire.Write(w, http.StatusAccepted, toInitiated(rec.Grant, body))
	return nil
}

// beyond are the refusals of what the policy does not allow.
var beyond = []jit.Code{jit.CodePortNotInPolicy, jit.CodeDurationOverMaximum, jit.CodeSourceNotAllowed, jit.CodeSourceAnyForbidden, jit.CodeSourceTooWide, jit.CodeSourcesTogether, defender.CodeNotInPolicy}

// notSubset adds to the refusal of what the policy does not allow the words by which the old PowerShell module
// tells it from other errors.
func notSubset(err error) error {
	refused, ok := errors.AsType[*jit.Error](err)
	if !ok || !slices.Contains(beyond, refused.Code) {
		return err
	}
	told := *refused
	told.Message += "; a request must be a subset of the given policy"
	return &told
}

// precondition reads If-Match and If-None-Match. A weak ETag is never ours.
func precondition(h http.Header) defender.Precondition {
	return defender.Precondition{Match: ETags(h, "If-Match"), NoneMatch: ETags(h, "If-None-Match")}
}

// ETags reads the entity tags of a header, nil where it is not sent.
func ETags(h http.Header, name string) []string {
	if len(h.Values(name)) == 0 {
		return nil
	}
	tags := []string{}
	for _, v := range h.Values(name) {
		for tag := range strings.SplitSeq(v, ",") { // ours hold no comma
			tags = append(tags, strings.TrimSpace(tag))
		}
	}
	return tags
}
