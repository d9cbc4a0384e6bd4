package wire

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/sosodev/duration"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/preview"
	"portcullis/core/protect"
	"portcullis/core/store"
	"portcullis/handlers/api"
)

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
	return &Options{ForbidAnySource: o.ForbidAnySource, WidestIPv4Prefix: o.WidestIPv4, WidestIPv6Prefix: o.WidestIPv6, RequireJustification: o.RequireJustification, Approvers: o.Approvers, ApproverObjectIDs: o.ApprovedBy.IDs()}
}

// ToPortRules writes ports of a policy: one source in the singular field, several in the plural.
func ToPortRules(ports []jit.PortRule) []PortRule {
	var out []PortRule
	for _, p := range ports {
		r := PortRule{Number: api.PortOf(p.Number), Protocol: string(p.Protocol), Maximum: duration.Format(p.Maximum), Mapped: p.Mapped, Approvers: p.Approvers}
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
func ToEnabled(list []protect.Enabled) []api.EnabledVM {
	var out []api.EnabledVM
	for _, e := range list {
		vm := api.EnabledVM{ID: e.Policy.VM.String(), ETag: store.PolicyETag(e.Policy), Location: e.Location, ExistingRules: e.Policy.ExistingRules.String(), PublicIP: IPText(e.Policy.PublicAddress), Options: ToOptions(e.Policy.OwnOptions()), InForce: ToOptions(e.InForce), Ports: ToPortRules(e.Policy.Ports), Unguarded: e.Unguarded,
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

func toForeign(list []plan.Foreign) []api.Foreign {
	var out []api.Foreign
	for _, f := range list {
		out = append(out, api.Foreign{Rule: f.Rule.Name, Priority: f.Rule.Priority, Port: f.Port})
	}
	return out
}

// ToChanges writes changes of rules, target by target.
func ToChanges(list []preview.Change) []api.TargetChange {
	var out []api.TargetChange
	for _, c := range list {
		out = append(out, api.TargetChange{Target: c.Target.String(), Create: toRules(c.Changes.Create), Update: toRules(c.Changes.Update), Delete: toRules(c.Changes.Delete), Hidden: c.Hidden})
	}
	return out
}

func toRules(list []jit.Rule) []api.Rule {
	var out []api.Rule
	for _, r := range list {
		w := api.Rule{Name: r.Name, Priority: r.Priority, Access: r.Access.String(), Protocol: string(r.Protocol), Description: r.Description,
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
		Justification: g.Justification, BreakGlass: g.BreakGlass != jit.NoBreakGlass, Drill: g.BreakGlass == jit.BreakGlassDrill, Start: Stamp(g.Begins()), End: Stamp(g.End()), LogPending: len(rec.Intents) > 0, Replaces: toReplaced(rec), Approval: toApproval(g)}
	if g.Waiting() {
		out.DecidedAgain = Stamp(g.Wait.Opens)
	}
	for _, p := range rec.Progress() {
		t := api.GrantTarget{ID: p.Target.String(), Status: "Waiting"}
		if p.Confirmed {
			t.Status = "Confirmed"
		}
		out.Targets = append(out.Targets, t)
	}
	for _, vm := range g.VMs {
		w := api.GrantVM{ID: vm.VM.String()}
		for _, p := range vm.Ports {
			port := api.GrantPort{Warnings: network.NeverArrives(rec, vm.VM, p), Number: p.Number, Protocol: string(p.Protocol), End: Stamp(p.End), Status: p.Status.String(), Reason: reason(p.Reason), Mapped: p.Mapped.Port()}
			if prefixes := p.Sources.Strings(); len(prefixes) == 1 {
				port.Prefix = prefixes[0]
			} else {
				port.Prefixes = prefixes
			}
			if p.Waits() && !p.Fixed {
				port.Duration = duration.Format(p.Length)
			}
			if p.Status == jit.Initiated || p.Status == jit.Initiating {
				for _, a := range rec.Dial(vm.VM, p) {
					port.Connect = append(port.Connect, api.Connect{Host: a.Addr().String(), Port: a.Port()})
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
