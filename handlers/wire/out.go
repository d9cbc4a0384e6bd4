package wire

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/sosodev/duration"

	"portcullis/core/access"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/store"
)

// EnableAnswer is the policies as they are stored and the changes to rules.
type EnableAnswer struct {
	DryRun          bool           `json:"dryRun,omitzero"`
	VirtualMachines []enabledVM    `json:"virtualMachines"`
	Changes         []targetChange `json:"changes"`
	Windows         *EndedWindows  `json:"windows,omitempty"` // what was open and is not allowed any more
}

type enabledVM struct {
	ID            string     `json:"id" api:"vm"`
	Location      string     `json:"location"`
	ETag          string     `json:"etag"` // of the policy as it is now: the next edit sends it in If-Match
	ExistingRules string     `json:"existingRules" api:"existingRules"`
	PublicIP      string     `json:"publicIpAddress,omitempty" api:"ipv4"`
	Options       *Options   `json:"options,omitzero"`        // the policy's own
	InForce       *Options   `json:"optionsInForce,omitzero"` // what requests must meet: the stricter of the policy's and the installation's
	Ports         []PortRule `json:"ports"`
	Targets       []string   `json:"targets" api:"arm"`
	Overridden    []foreign  `json:"overriddenRules"`
	Exposed       []foreign  `json:"exposingRules"`
	Blocked       []foreign  `json:"blockingRules,omitempty"` // that keep out everybody whom the policy allows
	Unchecked     string     `json:"notLookedAt,omitempty"`
	Unguarded     []string   `json:"unguardedNetworkInterfaces"`
	Shared        []string   `json:"sharedAddresses,omitempty"` // that another machine has behind the same security group: no request is granted
}

type foreign struct {
	Rule     string `json:"rule"`
	Priority int    `json:"priority"`
	Port     uint16 `json:"port"`
}

type targetChange struct {
	Target string `json:"target" api:"arm"`
	Create []rule `json:"create"`
	Update []rule `json:"update"`
	Delete []rule `json:"delete"`
	Hidden int    `json:"hiddenChanges,omitzero"` // to rules about machines that the caller may not read
}

type rule struct {
	Name         string   `json:"name"`
	Priority     int      `json:"priority"`
	Access       string   `json:"access" api:"access"`
	Protocol     string   `json:"protocol" api:"protocol"`
	Sources      []string `json:"sourceAddressPrefixes"`
	Destinations []string `json:"destinationAddressPrefixes"`
	Ports        []string `json:"destinationPortRanges"`
	Translated   string   `json:"translatedTo,omitempty"` // address and port to which a NAT rule leads
	Description  string   `json:"description"`
}

// GrantAnswer is a request as it stands.
type GrantAnswer struct {
	ID            string         `json:"id,omitempty" api:"uuid"`
	DryRun        bool           `json:"dryRun,omitzero"`
	Status        string         `json:"status" api:"status"`
	StatusReason  string         `json:"statusReason" api:"reason"`
	Requestor     string         `json:"requestor"`
	Justification string         `json:"justification,omitempty"`
	Start         string         `json:"startTimeUtc" api:"time"`
	End           string         `json:"endTimeUtc" api:"time"`
	VMs           []grantVM      `json:"virtualMachines"`
	LogPending    bool           `json:"logPending,omitzero"` // why it closes may not be in the log yet
	Replaces      []endedWindow  `json:"replaces,omitempty"`  // earlier windows of the requestor whose place it takes although they end later, at endTimeUtc
	Targets       []grantTarget  `json:"targets,omitempty"`   // while it is being opened: how far it is
	Changes       []targetChange `json:"changes,omitzero"`
}

// grantTarget is a target that a request waits for, or did: Waiting or Confirmed.
type grantTarget struct {
	ID     string `json:"id" api:"arm"`
	Status string `json:"status" api:"progress"`
}

type grantVM struct {
	ID    string      `json:"id" api:"vm"`
	Ports []grantPort `json:"ports"`
}

type grantPort struct {
	Number   uint16    `json:"number"`
	Protocol string    `json:"protocol" api:"protocol"`
	Prefix   string    `json:"allowedSourceAddressPrefix,omitempty"`
	Prefixes []string  `json:"allowedSourceAddressPrefixes,omitempty"`
	End      string    `json:"endTimeUtc" api:"time"`
	Status   string    `json:"status" api:"status"`
	Reason   string    `json:"statusReason" api:"reason"`
	Mapped   uint16    `json:"mappedPort,omitzero"` // the firewall's
	Connect  []connect `json:"connect,omitempty"`
	Warnings []string  `json:"warnings,omitempty"` // which sources no connection can come in from
}

type connect struct {
	Host string `json:"host"`
	Port uint16 `json:"port"`
}

// List is a page of a list.
type List[T any] struct {
	Value    []T    `json:"value"`
	NextLink string `json:"nextLink,omitempty"`
}

// Stamp writes a time in UTC with milliseconds, "" for the zero time.
func Stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// ToOptions writes options; nil where they demand nothing.
func ToOptions(o jit.Options) *Options {
	if o.IsZero() {
		return nil
	}
	return &Options{o.ForbidAnySource, o.WidestIPv4, o.WidestIPv6, o.RequireJustification}
}

// ToPortRules writes ports of a policy: one source in the singular field, several in the plural.
func ToPortRules(ports []jit.PortRule) []PortRule {
	var out []PortRule
	for _, p := range ports {
		r := PortRule{Number: p.Number, Protocol: string(p.Protocol), Maximum: duration.Format(p.Maximum), Mapped: p.Mapped}
		if prefixes := p.Sources.Strings(); len(prefixes) == 1 {
			r.Prefix = &prefixes[0]
		} else {
			r.Prefixes = prefixes
		}
		out = append(out, r)
	}
	return out
}

// ToEnabled writes what was enabled.
func ToEnabled(list []access.Enabled) []enabledVM {
	var out []enabledVM
	for _, e := range list {
		vm := enabledVM{ID: e.Policy.VM.String(), ETag: store.PolicyETag(e.Policy), Location: e.Location, ExistingRules: e.Policy.ExistingRules.String(), PublicIP: IPText(e.Policy.PublicAddress), Options: ToOptions(e.Policy.OwnOptions()), InForce: ToOptions(e.InForce), Ports: ToPortRules(e.Policy.Ports), Unguarded: e.Unguarded,
			Overridden: toForeign(e.Overridden), Exposed: toForeign(e.Exposed), Blocked: toForeign(e.Blocked), Unchecked: e.Unchecked}
		for _, a := range e.Shared {
			vm.Shared = append(vm.Shared, a.String())
		}
		for _, t := range e.Targets {
			vm.Targets = append(vm.Targets, t.String())
		}
		out = append(out, vm)
	}
	return out
}

// IPText gives "" for no address.
func IPText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func toForeign(list []plan.Foreign) []foreign {
	var out []foreign
	for _, f := range list {
		out = append(out, foreign{Rule: f.Rule.Name, Priority: f.Rule.Priority, Port: f.Port})
	}
	return out
}

// ToChanges writes changes of rules, target by target.
func ToChanges(list []access.TargetChange) []targetChange {
	var out []targetChange
	for _, c := range list {
		out = append(out, targetChange{Target: c.Target.String(), Create: toRules(c.Changes.Create), Update: toRules(c.Changes.Update), Delete: toRules(c.Changes.Delete), Hidden: c.Hidden})
	}
	return out
}

func toRules(list []jit.Rule) []rule {
	var out []rule
	for _, r := range list {
		w := rule{Name: r.Name, Priority: r.Priority, Access: r.Access.String(), Protocol: string(r.Protocol), Description: r.Description,
			Sources: toPeers(r.Source), Destinations: toPeers(r.Destination)}
		if r.Translated.IsValid() {
			w.Translated = r.Translated.String()
		}
		for _, p := range r.DestinationPorts {
			if p.First == p.Last {
				w.Ports = append(w.Ports, fmt.Sprint(p.First))
			} else {
				w.Ports = append(w.Ports, fmt.Sprintf("%d-%d", p.First, p.Last))
			}
		}
		out = append(out, w)
	}
	return out
}

func toPeers(p jit.Peers) []string {
	if p.Any {
		return []string{"*"}
	}
	var out []string
	for _, prefix := range p.Prefixes {
		out = append(out, jit.PrefixString(prefix))
	}
	return slices.Concat(out, p.Tags, p.Groups)
}

// ToGrant writes a grant, and while it is being opened how far that is. Where the record says nothing of
// where its machines stand, nothing is said of where to dial, but for ports of firewalls.
func ToGrant(rec store.GrantRecord) GrantAnswer {
	g := rec.Grant
	out := GrantAnswer{ID: g.ID, Status: g.Status().String(), StatusReason: reason(g.Reason()), Requestor: g.Requestor,
		Justification: g.Justification, Start: Stamp(g.Start), End: Stamp(g.End()), LogPending: len(rec.Intents) > 0, Replaces: toReplaced(rec)}
	for _, p := range rec.Progress() {
		t := grantTarget{ID: p.Target.String(), Status: "Waiting"}
		if p.Confirmed {
			t.Status = "Confirmed"
		}
		out.Targets = append(out.Targets, t)
	}
	for _, vm := range g.VMs {
		w := grantVM{ID: vm.VM.String()}
		for _, p := range vm.Ports {
			port := grantPort{Warnings: network.NeverArrives(rec, vm.VM, p), Number: p.Number, Protocol: string(p.Protocol), End: Stamp(p.End), Status: p.Status.String(), Reason: reason(p.Reason), Mapped: p.Mapped.Port()}
			if prefixes := p.Sources.Strings(); len(prefixes) == 1 {
				port.Prefix = prefixes[0]
			} else {
				port.Prefixes = prefixes
			}
			if p.Status == jit.Initiated || p.Status == jit.Initiating {
				for _, a := range rec.Dial(vm.VM, p) {
					port.Connect = append(port.Connect, connect{Host: a.Addr().String(), Port: a.Port()})
				}
			}
			w.Ports = append(w.Ports, port)
		}
		out.VMs = append(out.VMs, w)
	}
	return out
}

// reason writes a reason as the wire contract has it: what is open is open
// because somebody asked.
func reason(r jit.Reason) string {
	if r == "" {
		return string(jit.UserRequested)
	}
	return string(r)
}
