package wire

import (
	"strings"

	"github.com/go-json-experiment/json"

	"portcullis/core/doctor"
	"portcullis/core/inventory"
	"portcullis/core/jit"
	"portcullis/core/store"
)

// MachinesAnswer is a page of machines. Counts, groups and subscriptions are of all that the caller may read.
type MachinesAnswer struct {
	Value          []Machine         `json:"value"`
	Counts         MachineCounts     `json:"counts"`
	ResourceGroups []string          `json:"resourceGroups"`
	Subscriptions  []string          `json:"subscriptions"`
	Incomplete     map[string]string `json:"incompleteSubscriptions,omitempty"`
	RequestsCut    bool              `json:"approvedRequestsAreLowerBounds,omitzero"`
	NextLink       string            `json:"nextLink,omitempty"`
}

// MachineCounts is how many machines are in each state.
type MachineCounts struct {
	Configured    int `json:"configured"`
	NotConfigured int `json:"notConfigured"`
	Unsupported   int `json:"unsupported"`
}

// Machine is a machine as it stands. From ExistingRules on the fields are of configured machines alone.
type Machine struct {
	ID            string       `json:"id" api:"arm"`
	Name          string       `json:"name"`
	ResourceGroup string       `json:"resourceGroup"`
	Subscription  string       `json:"subscription"`
	Location      string       `json:"location,omitempty"`
	State         string       `json:"state" api:"machineState"`
	Reason        string       `json:"reason,omitempty" api:"machineReason"`
	Targets       []string     `json:"targets,omitempty" api:"arm"`
	Connection    *connection  `json:"connection,omitempty"`
	Unguarded     []string     `json:"unguardedNetworkInterfaces,omitempty"`
	ETag          string       `json:"etag,omitempty"` // of the policy: an edit sends it in If-Match
	ExistingRules string       `json:"existingRules,omitempty" api:"existingRules"`
	PublicIP      string       `json:"publicIpAddress,omitempty" api:"ipv4"` // the firewall's that the policy pins
	Options       *Options     `json:"options,omitzero"`                     // the policy's own
	InForce       *Options     `json:"optionsInForce,omitzero"`              // what requests must meet: the stricter of the policy's and the installation's
	Ports         []PortRule   `json:"ports,omitempty"`
	Requests      *int         `json:"approvedRequests,omitempty"`
	LastAccess    *lastAccess  `json:"lastAccess,omitempty"`
	Windows       []openWindow `json:"openWindows,omitempty"`
	Findings      []finding    `json:"findings,omitempty"`
}

// connection says what to dial, and which icon stands beside it.
type connection struct {
	Kind   string   `json:"kind" api:"connection"`
	Hosts  []string `json:"hosts"`
	Public bool     `json:"public"`
}

type lastAccess struct {
	Time      string `json:"time" api:"time"`
	Requestor string `json:"requestor"`
}

type openWindow struct {
	Grant         string   `json:"request" api:"uuid"`
	Number        uint16   `json:"number"`
	Protocol      string   `json:"protocol" api:"protocol"`
	Sources       []string `json:"allowedSourceAddressPrefixes"`
	Start         string   `json:"startTimeUtc" api:"time"`
	End           string   `json:"endTimeUtc" api:"time"`
	Status        string   `json:"status" api:"status"`
	Requestor     string   `json:"requestor"`
	Justification string   `json:"justification,omitempty"`
	Own           bool     `json:"own"`
	Connect       *connect `json:"connect,omitempty"` // where a firewall takes it
}

// ToMachine writes a machine.
func ToMachine(m inventory.MachineView) Machine {
	out := Machine{ID: m.VM.String(), Name: m.VM.Name, ResourceGroup: m.VM.ResourceGroup, Subscription: m.VM.Subscription, Location: m.Location,
		State: string(m.State), Reason: string(m.Reason), Unguarded: m.Unguarded}
	for _, t := range m.Targets {
		out.Targets = append(out.Targets, t.String())
	}
	if m.Connect != "" {
		out.Connection = &connection{Kind: m.Connect, Hosts: []string{}, Public: m.Public}
		for _, a := range m.Dial {
			out.Connection.Hosts = append(out.Connection.Hosts, a.String())
		}
	}
	if m.State != inventory.MachineConfigured {
		return out
	}
	out.Options, out.InForce = ToOptions(m.Options), ToOptions(m.InForce)
	out.PublicIP = IPText(m.PublicAddress)
	out.ETag = store.PolicyETag(jit.Policy{Ports: m.Ports, ExistingRules: m.ExistingRules, PublicAddress: m.PublicAddress, Options: &m.Options})
	out.ExistingRules, out.Ports, out.Requests = m.ExistingRules.String(), ToPortRules(m.Ports), &m.Requests
	if !m.LastAccess.IsZero() {
		out.LastAccess = &lastAccess{Time: Stamp(m.LastAccess), Requestor: m.LastRequestor}
	}
	for _, w := range m.Windows {
		shown := openWindow{Grant: w.Grant, Number: w.Number, Protocol: string(w.Protocol), Sources: w.Sources.Strings(),
			Start: Stamp(w.Start), End: Stamp(w.End), Status: w.Status.String(), Requestor: w.Requestor, Justification: w.Justification, Own: w.Own}
		if w.Mapped.IsValid() {
			shown.Connect = &connect{Host: w.Mapped.Addr().String(), Port: w.Mapped.Port()}
		}
		out.Windows = append(out.Windows, shown)
	}
	for _, f := range m.Findings {
		out.Findings = append(out.Findings, toFinding(f))
	}
	return out
}

// Entry is an entry of the activity log.
type Entry struct {
	ID            string   `json:"id"`
	Time          string   `json:"time" api:"time"`
	Operation     string   `json:"operation" api:"operation"`
	Result        string   `json:"result" api:"result"`
	Subscription  string   `json:"subscription,omitempty"`
	ResourceGroup string   `json:"resourceGroup,omitempty"`
	VM            string   `json:"virtualMachine,omitempty"`
	Target        string   `json:"target,omitempty"`
	Requestor     string   `json:"requestor"`
	Tenant        string   `json:"requestorTenantId,omitempty"`
	Object        string   `json:"requestorObjectId,omitempty"`
	Kind          string   `json:"requestorKind,omitempty"`
	Client        string   `json:"clientId,omitempty"`
	SignIn        []string `json:"authenticationMethods,omitempty"`
	Address       string   `json:"callerAddress,omitempty"`
	Grant         string   `json:"request,omitempty"`
	Ports         []uint16 `json:"ports,omitempty"`
	Sources       []string `json:"sourceAddressPrefixes,omitempty"`
	End           string   `json:"endTimeUtc,omitempty" api:"time"`
	Justification string   `json:"justification,omitempty"`
	Reason        string   `json:"reason,omitempty"`
	Message       string   `json:"message,omitempty"`
	Correlation   string   `json:"correlationId,omitempty"`
}

// ToEntry writes an entry; subscription and resource group are the machine's, else the target's.
func ToEntry(e store.Entry) Entry {
	out := Entry{ID: e.ID, Time: Stamp(e.Time), Operation: string(e.Operation), Result: string(e.Result), Requestor: e.Requestor, Tenant: e.Actor.Tenant, Object: e.Actor.Object,
		Kind: string(e.Actor.Kind), Client: e.Actor.Client, SignIn: strings.Fields(e.Actor.SignIn), Address: IPText(e.Actor.Address), Grant: e.Grant, Ports: e.Ports,
		Sources: e.Sources, End: Stamp(e.End), Justification: e.Justification, Reason: e.Reason, Message: e.Message, Correlation: e.Correlation}
	if !e.Target.IsZero() {
		out.Target, out.Subscription, out.ResourceGroup = e.Target.String(), e.Target.Subscription, e.Target.ResourceGroup
	}
	if !e.VM.IsZero() {
		out.VM, out.Subscription, out.ResourceGroup = e.VM.String(), e.VM.Subscription, e.VM.ResourceGroup
	}
	return out
}

// VerifyAnswer is what was found of the activity log, chain by chain.
type VerifyAnswer struct {
	Whole bool    `json:"whole"` // every chain is
	Value []Chain `json:"value"`
}

// Chain is the entries of one subscription and day.
type Chain struct {
	Subscription string       `json:"subscription"`
	Day          string       `json:"day" api:"day"`
	Whole        bool         `json:"whole"`
	Entries      int          `json:"entries"`
	Head         string       `json:"head,omitempty"`
	FirstBroken  *BrokenEntry `json:"firstBroken,omitempty"`
}

// BrokenEntry is the first entry of a chain that is not as it was written.
type BrokenEntry struct {
	Seq     int    `json:"sequence"`
	Break   string `json:"break"`
	ID      string `json:"id,omitempty"`
	Time    string `json:"time,omitempty"`
	Message string `json:"message"`
}

// SweepAnswer is what a sweep did and found.
type SweepAnswer struct {
	DryRun   bool      `json:"dryRun,omitzero"` // nothing was done: what a sweep would do and find
	Started  string    `json:"startedAt"`
	Ended    string    `json:"endedAt"`
	Targets  int       `json:"targets"`
	Changed  int       `json:"targetsChanged"`
	Closed   int       `json:"requestsClosed"`
	Error    string    `json:"error,omitempty"`
	Findings []finding `json:"findings"`
}

type finding struct {
	Kind    string `json:"kind" api:"finding"`
	Target  string `json:"target,omitempty"`
	VM      string `json:"virtualMachine,omitempty"`
	Grant   string `json:"request,omitempty"`
	Rule    string `json:"rule,omitempty"`
	Message string `json:"message"`
	Since   string `json:"since"`
}

// ToSweep writes a sweep.
func ToSweep(r store.SweepRecord) SweepAnswer {
	out := SweepAnswer{Started: Stamp(r.Started), Ended: Stamp(r.Ended), Targets: r.Targets, Changed: r.Changed, Closed: r.Closed, Error: r.Error, Findings: []finding{}}
	for _, f := range r.Findings {
		out.Findings = append(out.Findings, toFinding(f))
	}
	return out
}

func toFinding(f store.Finding) finding {
	out := finding{Kind: string(f.Kind), Grant: f.Grant, Rule: f.Rule, Message: f.Message, Since: Stamp(f.Since)}
	if !f.Target.IsZero() {
		out.Target = f.Target.String()
	}
	if !f.VM.IsZero() {
		out.VM = f.VM.String()
	}
	return out
}

// DoctorAnswer is the state of the installation, check by check.
type DoctorAnswer struct {
	State         string       `json:"state" api:"checkState"` // the worst of the checks
	Time          string       `json:"time" api:"time"`        // by the app's clock, so that a caller can compare its own
	Version       string       `json:"version"`
	Caller        DoctorCaller `json:"caller"`
	Subscriptions []string     `json:"subscriptions"` // those that the caller administers
	Checks        []check      `json:"checks"`
}

// DoctorCaller is who asks, and the address from which the call is taken to come.
type DoctorCaller struct {
	Name    string `json:"name"`
	ID      string `json:"id"`
	Address OrNull `json:"address"`
}

type check struct {
	Name         string `json:"name"`
	Subscription string `json:"subscription,omitempty"`
	State        string `json:"state" api:"checkState"`
	Seen         OrNull `json:"seen"`
	Reason       string `json:"reason,omitempty"`
	Advice       string `json:"advice,omitempty"`
	Facts        []fact `json:"facts"`
	Took         int    `json:"tookMilliseconds"`
}

type fact struct {
	Name   string `json:"name"`
	Value  OrNull `json:"value"`
	Reason string `json:"reason,omitempty"`
}

// OrNull is a text, and null where there is none: what is not known.
type OrNull string

// MarshalJSON writes the text or null.
func (t OrNull) MarshalJSON() ([]byte, error) {
	if t == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(t))
}

// ToCheck writes a check without its cause, which may hold what a caller must not see.
func ToCheck(c doctor.Check) check {
	out := check{Name: c.Name, Subscription: c.Subscription, State: string(c.State), Seen: OrNull(c.Seen), Reason: c.Reason, Advice: c.Advice, Facts: []fact{}, Took: int(c.Took.Milliseconds())}
	for _, f := range c.Facts {
		out.Facts = append(out.Facts, fact{Name: f.Name, Value: OrNull(f.Value), Reason: f.Reason})
	}
	return out
}
