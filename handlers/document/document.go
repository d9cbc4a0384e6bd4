// Package document is the document of policies that the export gives and the import takes: its format and version,
// a writer that sends policies as they come, and a reader as strict as the writer.
//
// A document says of itself whether it is whole; what is not is refused by name. It looks nobody's permission up.
package document

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"portcullis/core/defender"
	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers/api"
	"portcullis/handlers/compat"
	"portcullis/handlers/wire"
)

// What a document of policies says of itself.
const (
	format  = "portcullis-policies"
	version = 1
	holds   = "the policies that whoever exported them may read; no requests, no open windows, no activity log"
	// maxBytes is the size in bytes over which a document is refused: defender.MaxRestored policies of four ports take half of it.
	maxBytes = 16 << 20
	// An object of a policy takes 90 bytes at least, and an address range with its quotes and comma 8: no document of maxBytes has as many.
	maxObjects = maxBytes / 64
	maxTexts   = maxBytes / 8
)

// PoliciesDocument is what the export gives and the import takes, in this order. What stands at its end is known only then.
type PoliciesDocument struct {
	Format        string           `json:"format" api:"required documentFormat"`
	Version       int              `json:"version" api:"required"`
	Exported      string           `json:"exportedAt" api:"answer:time"`
	Holds         string           `json:"holds"`
	ResourceGroup string           `json:"resourceGroup"` // "" for all
	Policies      []documentPolicy `json:"policies" api:"required"`
	Subscriptions []string         `json:"subscriptions"` // the one that was asked for, else those of Policies: which others are managed is not for everybody
	Machines      int              `json:"virtualMachineCount"`
	Complete      bool             `json:"complete" api:"required"`
	Incomplete    string           `json:"incompleteBecause"`
}

type documentPolicy struct {
	ID       string       `json:"id" api:"required policyID"`
	Machines []documentVM `json:"virtualMachines" api:"required"`
}

// documentVM is everything that a policy says, as POST /api/enable takes it.
type documentVM struct {
	ID            string         `json:"id" api:"required vm"`
	Ports         []documentPort `json:"ports" api:"required ports"`
	ExistingRules string         `json:"existingRules" api:"required existingRules"`
	PublicIP      string         `json:"publicIpAddress,omitempty" api:"ipv4"`
	Options       *wire.Options  `json:"options,omitzero"` // left out: none are demanded, and an import leaves those that are stored
}

// documentPort is a [wire.PortRule] of which nothing is left to a default.
type documentPort struct {
	Number   api.PortNumber `json:"number" api:"required"`
	Protocol string         `json:"protocol" api:"required protocol"`
	Prefix   *string        `json:"allowedSourceAddressPrefix,omitzero" api:"prefix one"`
	Prefixes []string       `json:"allowedSourceAddressPrefixes,omitempty" api:"prefixes prefix one"`
	Maximum  string         `json:"maxRequestAccessDuration" api:"required maximum"`
	Mapped   uint16         `json:"mappedPort,omitzero" api:"mapped"`

	Approvers int `json:"approvers,omitzero" api:"approvers"`
}

// ErrFull is that a document holds defender.MaxRestored machines; the policy was not added.
var ErrFull = errors.New("the document is full")

// Writer writes a document as its policies come. Until the first has come nothing is sent, so that
// what fails at once is answered as an error.
type Writer struct {
	w        http.ResponseWriter
	enc      *jsontext.Encoder
	begun    bool
	head     PoliciesDocument
	machines int
}

// Started reports whether anything was sent.
func (d *Writer) Started() bool { return d.begun }

// NewWriter returns a writer of a document about what f says.
func NewWriter(w http.ResponseWriter, now time.Time, f store.PolicyFilter) *Writer {
	out := &Writer{w: w, enc: jsontext.NewEncoder(w, jsontext.EscapeForHTML(true)), head: PoliciesDocument{
		Format: format, Version: version, Exported: wire.Stamp(now), Holds: holds, ResourceGroup: f.ResourceGroup,
	}}
	if f.Subscription != "" {
		out.head.Subscriptions = []string{f.Subscription}
	}
	return out
}

// field writes a member of the object that is being written.
func (d *Writer) field(name string, value any) error {
	return errors.Join(d.enc.WriteToken(jsontext.String(name)), json.MarshalEncode(d.enc, value, json.FormatNilSliceAsNull(false)))
}

func (d *Writer) begin() error {
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

// Add writes a policy; an error other than [ErrFull] means that the caller is gone.
func (d *Writer) Add(p defender.NamedPolicy) error {
	if d.machines+len(p.Machines) > defender.MaxRestored {
		return errors.Join(d.begin(), ErrFull)
	}
	d.machines += len(p.Machines)
	if sub := strings.ToLower(p.Name.Subscription); !slices.Contains(d.head.Subscriptions, sub) {
		d.head.Subscriptions = append(d.head.Subscriptions, sub)
	}
	return errors.Join(d.begin(), json.MarshalEncode(d.enc, toDocument(p)))
}

// End ends the document, with why it is not whole where it is not. The status is sent: an error
// means that the caller is gone.
func (d *Writer) End(incomplete string) {
	_ = errors.Join(d.begin(), d.enc.WriteToken(jsontext.EndArray), d.field("subscriptions", d.head.Subscriptions), d.field("virtualMachineCount", d.machines), d.field("complete", incomplete == ""), d.field("incompleteBecause", incomplete), d.enc.WriteToken(jsontext.EndObject))
}

func toDocument(p defender.NamedPolicy) documentPolicy {
	out := documentPolicy{ID: p.Name.String()}
	for _, m := range p.Machines {
		vm := documentVM{ID: m.Policy.VM.String(), ExistingRules: m.Policy.ExistingRules.String(), PublicIP: wire.IPText(m.Policy.PublicAddress), Options: wire.ToOptions(m.Policy.OwnOptions())}
		for _, port := range wire.ToPortRules(m.Policy.Ports) {
			vm.Ports = append(vm.Ports, documentPort(port))
		}
		out.Machines = append(out.Machines, vm)
	}
	return out
}

// Reader reads documents, a few at a time: to understand one takes ten times its size in memory.
type Reader struct {
	slots chan struct{}
	wait  time.Duration

	mu   sync.Mutex
	busy map[string]bool // callers whose document is under way
}

// NewReader returns a reader of at most so many documents at once. One more waits so long for its turn, and is then refused with
// [wire.CodeTooManyDocuments].
func NewReader(atOnce int, wait time.Duration) *Reader {
	return &Reader{slots: make(chan struct{}, atOnce), wait: wait, busy: map[string]bool{}}
}

// Begin takes the one turn of a caller, until end is called: a document is held in memory while it comes, before it is known whether
// its sender may do anything. A second one of the same caller is refused with [wire.CodeTooManyDocuments] before it is read.
func (d *Reader) Begin(who string) (end func(), err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.busy[who] {
		return nil, &jit.Error{Code: wire.CodeTooManyDocuments, Target: "policies", Message: "another document of yours is being imported; send this one when it is done"}
	}
	d.busy[who] = true
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.busy, who)
	}, nil
}

// Read reads a document as strictly as it was written: of this format and version, whole, without a field more, and with
// nothing of a port left to a default. Its turn begins when all of it has come: who sends slowly keeps nobody waiting.
func (d *Reader) Read(r *http.Request) ([]defender.Held, error) {
	body, err := wire.ReadBody(r, maxBytes)
	if err != nil {
		return nil, err
	}
	turn := time.NewTimer(d.wait)
	defer turn.Stop()
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
		return read(body)
	case <-turn.C:
		return nil, &jit.Error{Code: wire.CodeTooManyDocuments, Target: "policies", Message: "other documents are being read; send this one again in a few seconds"}
	}
}

func read(body []byte) ([]defender.Held, error) {
	var kind struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
	}
	if err := json.Unmarshal(body, &kind); err != nil {
		return nil, wire.BadJSON(err)
	}
	if kind.Format != format || kind.Version != version {
		target := "version"
		if kind.Format != format {
			target = "format"
		}
		return nil, &jit.Error{Code: wire.CodeUnknownFormat, Target: target, Message: fmt.Sprintf("the document is %.50q of version %d; this version of the app reads %s of version %d", kind.Format, kind.Version, format, version)}
	}
	if err := wire.Crowded(body, maxObjects, maxTexts); err != nil {
		return nil, err
	}
	var doc PoliciesDocument
	if err := wire.DecodeBytes(body, &doc); err != nil {
		return nil, err
	}
	if doc.Policies == nil {
		return nil, missing("", "policies")
	}
	var held []defender.Held
	for i, p := range doc.Policies {
		at := fmt.Sprintf("policies[%d]", i)
		if p.Machines == nil {
			return nil, missing(at, wire.MachinesField)
		}
		name, err := compat.ParsePolicyName(p.ID)
		if err != nil {
			return nil, wire.Below(err, at)
		}
		of, err := wire.ReadEach(p.Machines, at+".virtualMachines", func(vm documentVM, at string) (defender.Held, error) { return vm.held(name, at) })
		if err != nil {
			return nil, err
		}
		held = append(held, of...)
	}
	if !doc.Complete || doc.Machines != len(held) {
		return nil, &jit.Error{Code: wire.CodeIncomplete, Target: "complete", Message: fmt.Sprintf("the document holds %d virtual machines, says %d, and says that it is whole: %t; export it again", len(held), doc.Machines, doc.Complete)}
	}
	return held, nil
}

func (vm documentVM) held(name store.PolicyName, at string) (defender.Held, error) {
	if vm.ExistingRules == "" {
		return defender.Held{}, &jit.Error{Code: jit.CodeInvalidExistingRules, Target: at + ".existingRules", Message: "existingRules is missing; a document leaves nothing to a default"}
	}
	said := wire.EnableVM{ID: vm.ID, ExistingRules: vm.ExistingRules, PublicIP: vm.PublicIP, Options: vm.Options}
	for k, port := range vm.Ports {
		if err := port.whole(fmt.Sprintf("%s.ports[%d]", at, k)); err != nil {
			return defender.Held{}, err
		}
		said.Ports = append(said.Ports, wire.PortRule(port))
	}
	p, err := wire.ToPolicy(said, at)
	if err != nil {
		return defender.Held{}, err
	}
	checked, err := p.Validate()
	return defender.Held{Name: name, Policy: checked}, wire.Below(err, at)
}

// whole refuses a port that leaves something to a default.
func (p documentPort) whole(at string) error {
	switch {
	case p.Protocol == "":
		return missing(at, "protocol")
	case p.Maximum == "":
		return missing(at, "maxRequestAccessDuration")
	case p.Prefix == nil && p.Prefixes == nil:
		return missing(at, "allowedSourceAddressPrefix")
	}
	return nil
}

// missing refuses a document that does not say something.
func missing(at, name string) error {
	if at != "" {
		name = at + "." + name
	}
	return &jit.Error{Code: wire.CodeInvalidContent, Target: name, Message: name + " is missing; a document leaves nothing to a default"}
}

// SourcePrefixes gives the prefixes of the plural field, which [wire.EachMachine] bounds.
func (p documentPort) SourcePrefixes() []string { return p.Prefixes }

// SourceCounts gives how many prefixes each port names.
func (vm documentVM) SourceCounts() []int { return api.Counts(vm.Ports) }

// Bounds is of a document as it is imported; how many machines the whole of it may hold is the import's to say.
func (b *PoliciesDocument) Bounds() error {
	for i, p := range b.Policies {
		if err := wire.EachMachine(p.Machines, fmt.Sprintf("policies[%d].%s", i, wire.MachinesField)); err != nil {
			return err
		}
	}
	return nil
}
