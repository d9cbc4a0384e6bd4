package handlers

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"portcullis/core/defender"
	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers/api"
	"portcullis/handlers/document"
	"portcullis/handlers/query"
	"portcullis/handlers/wire"
)

// restoreFor is how long after its beginning an import begins further work. What is left of the 230 s after which the platform
// gives up on an answer is for what it has begun; where that takes longer, the same document sent again tells what became of it.
const restoreFor = 100 * time.Second

// exportPolicies streams every policy that the caller may read: GET /api/policies/export[?subscription=...&resourceGroup=...].
func (s *server) exportPolicies(w http.ResponseWriter, r call) error {
	f := store.PolicyFilter{Subscription: strings.ToLower(r.query["subscription"]), ResourceGroup: r.query["resourceGroup"]}
	if f.Subscription != "" && !jit.ValidGUID(f.Subscription) {
		return &jit.Error{Code: query.CodeInvalid, Target: "subscription", Message: "subscription is not a GUID"}
	}
	if f.ResourceGroup != "" && f.Subscription == "" {
		return &jit.Error{Code: query.CodeInvalid, Target: "resourceGroup", Message: "a resource group is one of a subscription; name that too"}
	}
	out := document.NewWriter(w, s.app.Now(), f)
	err := s.app.Named.Export(r.Context(), r.who, f, out.Add)
	switch {
	case err == nil:
		out.End("")
	case errors.Is(err, document.ErrFull):
		out.End(fmt.Sprintf("a document holds at most %d virtual machines; export subscription by subscription, or resource group by resource group", defender.MaxRestored))
	case !out.Started():
		return err
	default:
		s.Log.Error("export broke off", "invocation", r.who.Correlation, "error", err.Error())
		out.End("the policies could not be read further; export them again")
	}
	return nil
}

type restoreAnswer struct {
	DryRun   bool          `json:"dryRun"`
	Complete bool          `json:"complete"` // false: there was no time for all, send the document again
	Counts   restoreCounts `json:"counts"`
	Machines []restoredVM  `json:"virtualMachines"`
}

type restoreCounts struct {
	Created   int `json:"created"`
	Updated   int `json:"updated"`
	Unchanged int `json:"unchanged"`
	Failed    int `json:"failed"`
}

type restoredVM struct {
	ID      string             `json:"id" api:"vm"`
	Outcome string             `json:"outcome" api:"outcome"`
	Error   *wire.ErrorDetail  `json:"error,omitempty"`
	Windows *wire.EndedWindows `json:"windows,omitempty"` // what was open and is not allowed any more
}

// restorePolicies makes policies what a document says: POST /api/policies/import[?dryRun=true].
func (s *server) restorePolicies(w http.ResponseWriter, r call) error {
	begun := s.app.Now()
	dryRun := r.query.Flag("dryRun")
	end, err := s.documents.Begin(r.who.ID)
	if err != nil {
		return err
	}
	defer end()
	held, err := s.documents.Read(r.Request)
	if err != nil {
		return err
	}
	done, err := s.app.Named.Restore(r.Context(), r.who, held, dryRun, begun.Add(restoreFor))
	if err != nil {
		return err
	}
	out := restoreAnswer{DryRun: dryRun, Complete: true, Machines: []restoredVM{}}
	counts := map[defender.Outcome]*int{defender.Created: &out.Counts.Created, defender.Updated: &out.Counts.Updated, defender.Unchanged: &out.Counts.Unchanged, defender.Failed: &out.Counts.Failed}
	for _, d := range done {
		*counts[d.Outcome]++
		vm := restoredVM{ID: d.VM.String(), Outcome: string(d.Outcome), Windows: wire.ToEnded(d.Narrowed)}
		if d.Err != nil {
			vm.Error = s.detail(r, d.VM, d.Err)
			out.Complete = out.Complete && vm.Error.Code != api.Code(defender.CodeNotReached)
		}
		out.Machines = append(out.Machines, vm)
	}
	wire.Write(w, http.StatusOK, out)
	return nil
}
