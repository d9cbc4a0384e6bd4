package handlers

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"portcullis/core/defender"
	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers/compat"
	"portcullis/handlers/query"
	"portcullis/handlers/wire"
)

// What a document of policies says of itself.
const (
	documentFormat  = "portcullis-policies"
	documentVersion = 1
	documentHolds   = "the policies that whoever exported them may read; no requests, no open windows, no activity log"
	// maxDocument is the size in bytes over which a document is refused: defender.MaxRestored policies of four ports take half of it.
	maxDocument = 16 << 20
	// An object of a policy takes 90 bytes at least, and an address range with its quotes and comma 8: no document of maxDocument has as many.
	maxObjects = maxDocument / 64
	maxTexts   = maxDocument / 8
	// restoreFor is how long after its beginning an import begins further work. What is left of the 230 s after which the platform
	// gives up on an answer is for what it has begun; where that takes longer, the same document sent again tells what became of it.
	restoreFor = 100 * time.Second
)

// policiesDocument is what the export gives and the import takes, in this order. What stands at its end is known only then.
type policiesDocument struct {
	Format        string           `json:"format"`
	Version       int              `json:"version"`
	Exported      string           `json:"exportedAt"`
	Holds         string           `json:"holds"`
	ResourceGroup string           `json:"resourceGroup"` // "" for all
	Policies      []documentPolicy `json:"policies"`
	Subscriptions []string         `json:"subscriptions"` // the one that was asked for, else those of Policies: which others are managed is not for everybody
	Machines      int              `json:"virtualMachineCount"`
	Complete      bool             `json:"complete"`
	Incomplete    string           `json:"incompleteBecause"`
}

type documentPolicy struct {
	ID       string       `json:"id"`
	Machines []documentVM `json:"virtualMachines"`
}

// documentVM is everything that a policy says, as POST /api/enable takes it.
type documentVM struct {
	ID            string          `json:"id"`
	Ports         []wire.PortRule `json:"ports"`
	ExistingRules string          `json:"existingRules"`
	PublicIP      string          `json:"publicIpAddress,omitempty"`
	Options       *wire.Options   `json:"options,omitzero"` // left out: none are demanded, and an import leaves those that are stored
}

// exportPolicies streams every policy that the caller may read: GET /api/policies/export[?subscription=...&resourceGroup=...].
func (s *server) exportPolicies(w http.ResponseWriter, r call) error {
	f := store.PolicyFilter{Subscription: strings.ToLower(r.query["subscription"]), ResourceGroup: r.query["resourceGroup"]}
	if f.Subscription != "" && !jit.ValidGUID(f.Subscription) {
		return &jit.Error{Code: query.CodeInvalid, Target: "subscription", Message: "subscription is not a GUID"}
	}
	if f.ResourceGroup != "" && f.Subscription == "" {
		return &jit.Error{Code: query.CodeInvalid, Target: "resourceGroup", Message: "a resource group is one of a subscription; name that too"}
	}
	out := newDocumentWriter(w, s.app.Now(), f)
	err := s.app.Named.Export(r.Context(), r.who, f, out.add)
	switch {
	case err == nil:
		out.end("")
	case errors.Is(err, errFull):
		out.end(fmt.Sprintf("a document holds at most %d virtual machines; export subscription by subscription, or resource group by resource group", defender.MaxRestored))
	case !out.begun:
		return err
	default:
		s.Log.Error("export broke off", "invocation", r.who.Correlation, "error", err.Error())
		out.end("the policies could not be read further; export them again")
	}
	return nil
}

var errFull = errors.New("the document is full")

// documentWriter writes a document as its policies come. Until the first has come nothing is sent, so that
// what fails at once is answered as an error.
type documentWriter struct {
	w        http.ResponseWriter
	enc      *jsontext.Encoder
	begun    bool
	head     policiesDocument
	machines int
}

func newDocumentWriter(w http.ResponseWriter, now time.Time, f store.PolicyFilter) *documentWriter {
	out := &documentWriter{w: w, enc: jsontext.NewEncoder(w, jsontext.EscapeForHTML(true)), head: policiesDocument{
		Format: documentFormat, Version: documentVersion, Exported: wire.Stamp(now), Holds: documentHolds, ResourceGroup: f.ResourceGroup,
	}}
	if f.Subscription != "" {
		out.head.Subscriptions = []string{f.Subscription}
	}
	return out
}

// field writes a member of the object that is being written.
func (d *documentWriter) field(name string, value any) error {
	return errors.Join(d.enc.WriteToken(jsontext.String(name)), json.MarshalEncode(d.enc, value, json.FormatNilSliceAsNull(false)))
}

func (d *documentWriter) begin() error {
	if d.begun {
		return nil
	}
	d.begun = true
	h := d.w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="portcullis-policies-%s.json"`, strings.NewReplacer("-", "", ":", "", ".000", "").Replace(d.head.Exported)))
	d.w.WriteHeader(http.StatusOK)
	return errors.Join(d.enc.WriteToken(jsontext.BeginObject), d.field("format", d.head.Format), d.field("version", d.head.Version), d.field("exportedAt", d.head.Exported), d.field("holds", d.head.Holds),
		d.field("resourceGroup", d.head.ResourceGroup), d.enc.WriteToken(jsontext.String("policies")), d.enc.WriteToken(jsontext.BeginArray))
}

func (d *documentWriter) add(p defender.NamedPolicy) error {
	if d.machines+len(p.Machines) > defender.MaxRestored {
		return errors.Join(d.begin(), errFull)
	}
	d.machines += len(p.Machines)
	if sub := strings.ToLower(p.Name.Subscription); !slices.Contains(d.head.Subscriptions, sub) {
		d.head.Subscriptions = append(d.head.Subscriptions, sub)
	}
	return errors.Join(d.begin(), json.MarshalEncode(d.enc, toDocument(p)))
}

// end ends the document, with why it is not whole where it is not. The status is sent: an error
// means that the caller is gone.
func (d *documentWriter) end(incomplete string) {
	_ = errors.Join(d.begin(), d.enc.WriteToken(jsontext.EndArray), d.field("subscriptions", d.head.Subscriptions), d.field("virtualMachineCount", d.machines), d.field("complete", incomplete == ""), d.field("incompleteBecause", incomplete), d.enc.WriteToken(jsontext.EndObject))
}

func toDocument(p defender.NamedPolicy) documentPolicy {
	out := documentPolicy{ID: p.Name.String()}
	for _, m := range p.Machines {
		out.Machines = append(out.Machines, documentVM{ID: m.Policy.VM.String(), Ports: wire.ToPortRules(m.Policy.Ports), ExistingRules: m.Policy.ExistingRules.String(),
			PublicIP: wire.IpText(m.Policy.PublicAddress), Options: wire.ToOptions(m.Policy.OwnOptions())})
	}
	return out
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
	ID      string            `json:"id"`
	Outcome string            `json:"outcome"`
	Error   *wire.ErrorDetail `json:"error,omitempty"`
}

// restorePolicies makes policies what a document says: POST /api/policies/import[?dryRun=true].
func (s *server) restorePolicies(w http.ResponseWriter, r call) error {
	begun := s.app.Now()
	dryRun := r.query.Flag("dryRun")
	held, err := readDocument(r.Request)
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
		vm := restoredVM{ID: d.VM.String(), Outcome: string(d.Outcome)}
		if d.Err != nil {
			vm.Error = s.detail(r, d.VM, d.Err)
			out.Complete = out.Complete && vm.Error.Code != defender.CodeNotReached
		}
		out.Machines = append(out.Machines, vm)
	}
	wire.Write(w, http.StatusOK, out)
	return nil
}

// readDocument reads a document as strictly as it was written: of this format and version, whole, without a field more, and with
// nothing of a port left to a default.
func readDocument(r *http.Request) ([]defender.Held, error) {
	body, err := wire.ReadBody(r, maxDocument)
	if err != nil {
		return nil, err
	}
	var kind struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
	}
	if err := json.Unmarshal(body, &kind); err != nil {
		return nil, wire.BadJSON(err)
	}
	if kind.Format != documentFormat || kind.Version != documentVersion {
		return nil, &jit.Error{Code: wire.CodeUnknownFormat, Target: "version", Message: fmt.Sprintf("the document is %.50q of version %d; this version of the app reads %s of version %d", kind.Format, kind.Version, documentFormat, documentVersion)}
	}
	var doc policiesDocument
	if err := wire.Crowded(body, maxObjects, maxTexts, "policies"); err != nil {
		return nil, err
	}
	if err := wire.DecodeBytes(body, &doc); err != nil {
		return nil, err
	}
	var held []defender.Held
	for i, p := range doc.Policies {
		at := fmt.Sprintf("policies[%d]", i)
		name, err := compat.ParsePolicyName(p.ID)
		if err != nil {
			return nil, wire.Below(err, at)
		}
		for j, vm := range p.Machines {
			h, err := vm.held(name, fmt.Sprintf("%s.virtualMachines[%d]", at, j))
			if err != nil {
				return nil, err
			}
			held = append(held, h)
		}
	}
	if !doc.Complete || doc.Machines != len(held) {
		return nil, &jit.Error{Code: wire.CodeIncomplete, Target: "complete", Message: fmt.Sprintf("the document holds %d virtual machines, says %d, and says that it is whole: %t; export it again", len(held), doc.Machines, doc.Complete)}
	}
	return held, nil
}

func (vm documentVM) held(name store.PolicyName, at string) (defender.Held, error) {
	for k, port := range vm.Ports {
		if port.Protocol == "" || port.Maximum == "" || port.Prefix == nil && port.Prefixes == nil {
			return defender.Held{}, &jit.Error{Code: wire.CodeInvalidContent, Target: fmt.Sprintf("%s.ports[%d]", at, k), Message: "protocol, source or maximum is missing; a document leaves nothing to a default"}
		}
	}
	if vm.ExistingRules == "" {
		return defender.Held{}, &jit.Error{Code: jit.CodeInvalidExistingRules, Target: at + ".existingRules", Message: "existingRules is missing; a document leaves nothing to a default"}
	}
	p, err := wire.EnableVM(vm).Policy(at)
	if err != nil {
		return defender.Held{}, err
	}
	return defender.Held{Name: name, Policy: p}, wire.Below(p.Validate(), at)
}

func (vm documentVM) SourceCounts() []int { return wire.Counts(vm.Ports) }

// bounds is of a document as it is imported; how many machines the whole of it may hold is the import's to say.
func (b *policiesDocument) Bounds() error {
	for i, p := range b.Policies {
		if err := wire.EachMachine(p.Machines, fmt.Sprintf("policies[%d].%s", i, wire.MachinesField)); err != nil {
			return err
		}
	}
	return nil
}
