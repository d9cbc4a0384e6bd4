package wire

import (
	"strings"

	"portcullis/core/doctor"
	"portcullis/core/inventory"
	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers/api"
)

// ToMachine writes a machine.
func ToMachine(m inventory.MachineView) Machine {
	out := Machine{ID: m.VM.String(), Name: m.VM.Name, ResourceGroup: m.VM.ResourceGroup, Subscription: m.VM.Subscription, Location: m.Location,
		State: string(m.State), Reason: string(m.Reason), Tags: m.Tags, Unguarded: m.Unguarded}
	for _, t := range m.Targets {
		out.Targets = append(out.Targets, t.String())
	}
	if m.Connect != "" {
		out.Connection = &api.Connection{Kind: m.Connect, Hosts: []string{}, Public: m.Public}
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
		out.LastAccess = &api.LastAccess{Time: Stamp(m.LastAccess), Requestor: m.LastRequestor}
	}
	for _, w := range m.Windows {
		shown := api.OpenWindow{Grant: w.Grant, Number: w.Number, Protocol: string(w.Protocol), Sources: w.Sources.Strings(),
			Start: Stamp(w.Start), End: Stamp(w.End), Status: w.Status.String(), Requestor: w.Requestor, Justification: w.Justification, Own: w.Own}
		if w.Mapped.IsValid() {
			shown.Connect = &api.Connect{Host: w.Mapped.Addr().String(), Port: w.Mapped.Port()}
		}
		out.Windows = append(out.Windows, shown)
	}
	for _, f := range m.Findings {
		out.Findings = append(out.Findings, toFinding(f))
	}
	return out
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

// ToSweep writes a sweep.
func ToSweep(r store.SweepRecord) SweepAnswer {
	out := SweepAnswer{Started: Stamp(r.Started), Ended: Stamp(r.Ended), Targets: r.Targets, Changed: r.Changed, Closed: r.Closed, Error: r.Error, Findings: []api.Finding{}}
	for _, f := range r.Findings {
		out.Findings = append(out.Findings, toFinding(f))
	}
	return out
}

func toFinding(f store.Finding) api.Finding {
	out := api.Finding{Kind: string(f.Kind), Grant: f.Grant, Rule: f.Rule, Message: f.Message, Since: Stamp(f.Since)}
	if !f.Target.IsZero() {
		out.Target = f.Target.String()
	}
	if !f.VM.IsZero() {
		out.VM = f.VM.String()
	}
	return out
}

// ToCheck writes a check without its cause, which may hold what a caller must not see.
func ToCheck(c doctor.Check) api.Check {
	out := api.Check{Name: c.Name, Subscription: c.Subscription, State: string(c.State), Seen: OrNull(c.Seen), Reason: c.Reason, Advice: c.Advice, Facts: []api.Fact{}, Took: int(c.Took.Milliseconds())}
	for _, f := range c.Facts {
		out.Facts = append(out.Facts, api.Fact{Name: f.Name, Value: OrNull(f.Value), Reason: f.Reason})
	}
	return out
}
