package handlers

import (
	"fmt"
	"net/http"
	"net/url"

	"portcullis/core/defender"
	"portcullis/core/jit"
	"portcullis/core/store"
)

// importBody is Defender for Cloud's own answer to a list.
type importBody struct {
	Value    []importedPolicy `json:"value"`
	NextLink string           `json:"nextLink"`
}

type importedPolicy struct {
	ID         string            `json:"id"`
	Properties *compatProperties `json:"properties"`
}

type importAnswer struct {
	Policies   []importedAnswer `json:"policies"`
	Incomplete bool             `json:"incomplete"` // the list went on at its nextLink: import the other pages too
}

type importedAnswer struct {
	ID       string       `json:"id"`
	Error    *errorDetail `json:"error,omitempty"` // why nothing of it was enabled
	Machines []importedVM `json:"virtualMachines"`
}

type importedVM struct {
	ID       string         `json:"id"`
	Enabled  bool           `json:"enabled"`
	Error    *errorDetail   `json:"error,omitempty"`
	Leftover []leftoverRule `json:"leftoverRules"` // Defender's, left as they are
}

type leftoverRule struct {
	Target   string `json:"target"`
	Name     string `json:"name"`
	Priority int    `json:"priority"`
	Access   string `json:"access"`
}

// importPolicies enables here what is enabled in Defender for Cloud: POST
// /api/import with the answer of Defender's list. What can be enabled is; of
// the rest the answer says why not. Requests in the body are history of another
// system and are passed over.
func (s *server) importPolicies(w http.ResponseWriter, r call) error {
	var body importBody
	if err := decodeLoosely(r.Request, &body); err != nil {
		return err
	}
	if body.Value == nil {
		return &jit.Error{Code: CodeInvalidContent, Target: "value", Message: "the body is not a list of policies: {\"value\":[...]} as Defender for Cloud answers it"}
	}
	out := importAnswer{Policies: []importedAnswer{}, Incomplete: body.NextLink != ""}
	for i, p := range body.Value {
		answered := importedAnswer{ID: p.ID}
		if err := s.importPolicy(r, p, &answered); err != nil {
			answered.Error = detailOf(below(err, fmt.Sprintf("value[%d]", i)))
		}
		out.Policies = append(out.Policies, answered)
	}
	write(w, http.StatusOK, out)
	return nil
}

func (s *server) importPolicy(r call, p importedPolicy, out *importedAnswer) error {
	name, err := namedIn(p.ID)
	if err != nil {
		return err
	}
	if p.Properties == nil {
		return nil
	}
	var policies []jit.Policy
	var where []int
	for i, vm := range p.Properties.VirtualMachines {
		out.Machines = append(out.Machines, importedVM{ID: vm.ID})
		policy, err := vm.policy(fmt.Sprintf("properties.virtualMachines[%d]", i))
		if err != nil {
			out.Machines[i].Error = detailOf(err)
			continue
		}
		policies, where = append(policies, policy), append(where, i)
	}
	for i, done := range s.app.Named.Import(r.Context(), r.who, name, policies) {
		vm := &out.Machines[where[i]]
		vm.Enabled, vm.Leftover = done.Enabled, toLeftover(done.Leftover)
		if done.Err != nil {
			vm.Error = s.detail(r, done.VM, done.Err)
		}
	}
	return nil
}

// namedIn reads the id of a named policy in a body.
func namedIn(id string) (store.PolicyName, error) {
	bad := &jit.Error{Code: jit.CodeInvalidID, Target: "id", Message: "this is not the id of a just-in-time policy"}
	path, err := url.Parse("/api" + id)
	if err != nil || tricky(path) {
		return store.PolicyName{}, bad
	}
	at, ok := matchPath(compatRoot+"/{subscriptionId}"+typePolicy, path)
	if !ok {
		return store.PolicyName{}, bad
	}
	return at.policy(), at.check()
}

// detail gives what may be said of a machine's error, and logs what is ours to mend.
func (s *server) detail(r call, vm jit.ID, err error) *errorDetail {
	if status, _ := answer(err); status >= 500 {
		s.Log.Error("import failed", "invocation", r.who.Correlation, "virtualMachine", vm.String(), "error", err.Error())
	}
	return detailOf(err)
}

func detailOf(err error) *errorDetail {
	_, detail := answer(err)
	return &detail
}

func toLeftover(list []defender.Leftover) []leftoverRule {
	out := []leftoverRule{}
	for _, l := range list {
		out = append(out, leftoverRule{Target: l.Target.String(), Name: l.Rule.Name, Priority: l.Rule.Priority, Access: l.Rule.Access.String()})
	}
	return out
}
