package handlers

import (
	"errors"
	"fmt"
	"net/http"

	"portcullis/core/defender"
	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers/compat"
	"portcullis/handlers/wire"
)

// importBody is Defender for Cloud's own answer to a list.
type importBody struct {
	Value    []importedPolicy `json:"value" api:"needed"`
	NextLink string           `json:"nextLink"`
}

type importedPolicy struct {
	ID         string             `json:"id"`
	Properties *compat.Properties `json:"properties"`
}

type importAnswer struct {
	Policies   []importedAnswer `json:"policies"`
	DryRun     bool             `json:"dryRun,omitzero"`
	Incomplete bool             `json:"incomplete"` // the list went on at its nextLink: import the other pages too
}

type importedAnswer struct {
	ID       string            `json:"id"`
	Error    *wire.ErrorDetail `json:"error,omitempty"` // why nothing of it was enabled
	Machines []importedVM      `json:"virtualMachines"`
}

type importedVM struct {
	ID       string             `json:"id"`
	Enabled  bool               `json:"enabled"`
	Error    *wire.ErrorDetail  `json:"error,omitempty"`
	Leftover []leftoverRule     `json:"leftoverRules"`     // Defender's, left as they are
	Windows  *wire.EndedWindows `json:"windows,omitempty"` // what was open and is not allowed any more
}

type leftoverRule struct {
	Target   string `json:"target"`
	Name     string `json:"name"`
	Priority int    `json:"priority"`
	Access   string `json:"access"`
}

// importPolicies enables here what is enabled in Defender for Cloud: POST
// /api/import[?dryRun=true] with the answer of Defender's list. What can be enabled is; of
// the rest the answer says why not. Requests in the body are history of another
// system and are passed over.
func (s *server) importPolicies(w http.ResponseWriter, r call) error {
	var body importBody
	if err := wire.DecodeLoosely(r.Request, &body, wire.MaxBody); err != nil {
		return err
	}
	if body.Value == nil {
		return &jit.Error{Code: wire.CodeInvalidContent, Target: "value", Message: "the body is not a list of policies: {\"value\":[...]} as Defender for Cloud answers it"}
	}
	out := importAnswer{DryRun: r.query.Flag("dryRun"), Policies: []importedAnswer{}, Incomplete: body.NextLink != ""}
	var lists []defender.ToImport
	var answers []int // by list: its place in the answer
	var where [][]int // by list and machine: its place there
	for i, p := range body.Value {
		out.Policies = append(out.Policies, importedAnswer{ID: p.ID})
		answered := &out.Policies[i]
		list, at, err := toImport(p, answered)
		if err != nil {
			answered.Error = detailOf(wire.Below(err, fmt.Sprintf("value[%d]", i)))
			continue
		}
		lists, answers, where = append(lists, list), append(answers, i), append(where, at)
	}
	for n, done := range s.app.Named.Import(r.Context(), r.who, lists, out.DryRun) {
		for j, one := range done {
			vm := &out.Policies[answers[n]].Machines[where[n][j]]
			vm.Enabled, vm.Leftover, vm.Windows = one.Enabled, toLeftover(one.Leftover), wire.ToEnded(one.Narrowed)
			if one.Err != nil {
				vm.Error = s.detail(r, one.VM, one.Err)
			}
		}
	}
	wire.Write(w, http.StatusOK, out)
	return nil
}

// toImport reads one policy, and gives the place in its body of each machine that could be read; why another
// could not goes into out.
func toImport(p importedPolicy, out *importedAnswer) (defender.ToImport, []int, error) {
	name, err := compat.ParsePolicyName(p.ID)
	if err != nil {
		return defender.ToImport{}, nil, err
	}
	list := defender.ToImport{Name: name}
	if p.Properties == nil {
		return list, nil, nil
	}
	var where []int
	for i, vm := range p.Properties.VirtualMachines {
		out.Machines = append(out.Machines, importedVM{ID: vm.ID})
		policy, err := vm.Policy(fmt.Sprintf("properties.virtualMachines[%d]", i))
		if err != nil {
			out.Machines[i].Error = detailOf(err)
			continue
		}
		list.Policies, where = append(list.Policies, policy), append(where, i)
	}
	return list, where, nil
}

// detail gives what may be said of a machine's error, and logs what is ours to mend.
func (s *server) detail(r call, vm jit.ID, err error) *wire.ErrorDetail {
	if status, _ := wire.Answer(err); status >= 500 || errors.Is(err, store.ErrUnlogged) {
		s.Log.Error("import failed", "invocation", r.who.Correlation, "virtualMachine", vm.String(), "error", err.Error())
	}
	return detailOf(err)
}

func detailOf(err error) *wire.ErrorDetail {
	_, detail := wire.Answer(err)
	return &detail
}

func toLeftover(list []defender.Leftover) []leftoverRule {
	out := []leftoverRule{}
	for _, l := range list {
		out = append(out, leftoverRule{Target: l.Target.String(), Name: l.Rule.Name, Priority: l.Rule.Priority, Access: l.Rule.Access.String()})
	}
	return out
}

func (b *importBody) Bounds() error {
	if len(b.Value) > jit.MaxListedVMs {
		return &jit.Error{Code: wire.CodeTooManyPolicies, Target: "value", Message: fmt.Sprintf("%d policies; one import takes at most %d", len(b.Value), jit.MaxListedVMs)}
	}
	all := 0
	for i, p := range b.Value {
		if p.Properties == nil {
			continue
		}
		all += len(p.Properties.VirtualMachines)
		if err := wire.EachMachine(p.Properties.VirtualMachines, fmt.Sprintf("value[%d].properties.%s", i, wire.MachinesField)); err != nil {
			return err
		}
	}
	return wire.AtMost(all, jit.MaxListedVMs, "value")
}
