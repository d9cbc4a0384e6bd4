package ocsf

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/core/stream"
)

// The bounds of one event, far below the 64 KB that a column takes.
const (
	maxText    = 8000 // bytes
	maxSources = 500
)

// activity is what an operation is in the class Entity Management.
type activity struct {
	id   int
	name string
}

const other = 99

func activityOf(op store.Operation) activity {
	switch op {
	case store.OpRequest:
		return activity{1, "Create"}
	case store.OpExtend, store.OpRepair:
		return activity{3, "Update"}
	case store.OpRevoke:
		return activity{4, "Delete"}
	case store.OpEnable:
		return activity{8, "Enable"}
	case store.OpDisable:
		return activity{9, "Disable"}
	case store.OpOpen:
		return activity{10, "Activate"}
	case store.OpClose:
		return activity{11, "Deactivate"}
	}
	return activity{other, string(op)} // the schema asks for a name of ours there
}

// Of returns the event as the version of the app writes it.
func Of(e stream.Event, version string) Event {
	subscription := cmp.Or(e.Subscription, "none")
	out := Event{Metadata: Metadata{Version: Version, Profiles: []string{"datetime"}, Product: Product{"Portcullis", "Portcullis", version}, LogName: "activity"},
		Unmapped: Unmapped{ChainDay: e.Day.UTC().Format(time.DateOnly), ChainSubscription: subscription}}
	if e.Entry != nil {
		out.entry(*e.Entry)
	} else if e.End != nil {
		out.head(*e.End)
	}
	return out
}

func (out *Event) at(t time.Time) {
	out.Time, out.TimeDT = t.UnixMilli(), t.UTC().Format("2006-01-02T15:04:05.000000000Z")
}

func (out *Event) severe(id int) {
	out.SeverityID, out.Severity = id, []string{"Unknown", "Informational", "Low", "Medium", "High"}[id]
}

// head makes it the end of a chain.
func (out *Event) head(h stream.End) {
	u := &out.Unmapped
	u.Record, u.ChainEntries, u.ChainHash, u.ChainMissing, u.ChainRewritten = RecordHead, h.Entries, h.Hash, h.Missing, h.Rewritten
	out.ActivityID, out.ActivityName = other, "Chain head"
	out.CategoryName, out.ClassName, out.TypeUID = "Uncategorized", "Base Event", other
	out.at(h.At)
	out.severe(1)
	out.Message = fmt.Sprintf("the chain of %s has %d entries", u.ChainDay, h.Entries)
	if h.Missing > 0 || h.Rewritten > 0 {
		out.severe(4)
		out.Message += fmt.Sprintf("; %d were not found, and %d times it was not what had been sent of it", h.Missing, h.Rewritten)
	}
	out.Metadata.Sequence = h.Entries
	out.Metadata.UID = fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "head\n%s\n%s\n%d\n%s\n%d\n%d", u.ChainDay, u.ChainSubscription, h.Entries, h.Hash, h.Missing, h.Rewritten)))
}

// entry makes it an entry.
func (out *Event) entry(e store.Linked) {
	a := activityOf(e.Operation)
	out.ActivityID, out.ActivityName = a.id, a.name
	out.CategoryUID, out.CategoryName, out.ClassUID, out.ClassName = 3, "Identity & Access Management", 3004, "Entity Management"
	out.TypeUID = out.ClassUID*100 + a.id
	out.at(e.Time)
	out.severe(severityOf(e.Entry))
	switch e.Result {
	case store.Succeeded:
		out.StatusID, out.Status = 1, "Success"
	case store.Refused, store.Failed:
		out.StatusID, out.Status = 2, "Failure"
	default:
		out.StatusID, out.Status = other, cmp.Or(string(e.Result), "Unknown")
	}
	out.StatusCode, out.Message, out.Comment = out.cut(e.Reason), out.cut(e.Message), out.cut(e.Justification)
	m := &out.Metadata
	m.UID, m.OriginalEventUID, m.CorrelationUID, m.Sequence, m.TenantUID = e.Hash, out.cut(e.ID), out.cut(e.Correlation), e.Seq, e.Actor.Tenant
	out.Actor = actorOf(e.Entry)
	if e.Actor.Address.IsValid() {
		out.SrcEndpoint = &Endpoint{IP: e.Actor.Address.WithZone("").String()}
	}
	out.Entity = entityOf(e.Entry)
	u := &out.Unmapped
	u.Record, u.ChainEntries, u.ChainHash = RecordEntry, e.Seq, e.Hash
	u.Operation, u.Result, u.Grant, u.Ports, u.Sources = string(e.Operation), string(e.Result), e.Grant, e.Ports, e.Sources
	u.AnySource, u.BreakGlass, u.RequestorKind, u.SignIn = anySource(e.Sources), breakGlass(e.Entry), string(e.Actor.Kind), e.Actor.SignIn
	if len(u.Sources) > maxSources {
		u.Sources, m.IsTruncated = slices.Clone(u.Sources[:maxSources]), true
	}
	if !e.End.IsZero() {
		end := e.End.UTC()
		u.WindowEnd = &end
	}
	if !e.Target.IsZero() {
		u.Target = e.Target.String()
	}
}

func (out *Event) cut(text string) string {
	short := store.Cut(text, maxText)
	out.Metadata.IsTruncated = out.Metadata.IsTruncated || short != text
	return short
}

// severityOf says how much an entry is worth a look: 4 where something may stand open, 3 where something is not as it was meant, 2 where somebody was refused.
func severityOf(e store.Entry) int {
	switch {
	case e.Operation == store.OpClose && e.Result == store.Failed, breakGlass(e):
		return 4
	case e.Result == store.Failed, e.Operation == store.OpRepair, anySource(e.Sources) && e.Operation == store.OpOpen:
		return 3
	case e.Result == store.Refused, e.Operation == store.OpRefusals:
		return 2
	}
	return 1
}

// anySource reports whether the sources are every address of a family.
func anySource(sources []string) bool {
	return slices.ContainsFunc(sources, func(s string) bool { return s == "*" || strings.HasSuffix(s, "/0") })
}

// breakGlass reports whether the entry tells of access that skipped the approval of others. A drill opens nothing and is none.
func breakGlass(e store.Entry) bool { return e.Reason == string(store.EventBreakGlass) }

func actorOf(e store.Entry) *Actor {
	u := User{Name: e.Requestor, UID: e.Actor.Object, TypeID: other, Type: cmp.Or(string(e.Actor.Kind), "Unknown")}
	switch e.Actor.Kind {
	case jit.Person:
		u.TypeID, u.Type = 1, "User"
	case jit.Application:
		u.TypeID, u.Type = 4, "Service"
	case jit.TheApp:
		u.TypeID, u.Type = 3, "System"
	}
	u.Name = cmp.Or(u.Name, u.UID, "unknown")
	return &Actor{User: u, AppUID: e.Actor.Client}
}

// entityOf returns what an entry is about: a window, the policy of a machine, a machine, a target, or else the app itself.
func entityOf(e store.Entry) *Entity {
	var device *Device
	if !e.VM.IsZero() {
		device = &Device{Name: e.VM.Name, UID: e.VM.String(), TypeID: 6, Type: "Virtual"}
	}
	switch {
	case e.Grant != "":
		return &Entity{Name: cmp.Or(e.VM.Name, e.Grant), UID: e.Grant, TypeID: other, Type: "Just-in-time window", Device: device}
	case device != nil && (e.Operation == store.OpEnable || e.Operation == store.OpDisable):
		return &Entity{Name: device.Name, UID: device.UID, TypeID: 5, Type: "Policy", Device: device, Policy: &Policy{device.Name, device.UID, "Just-in-time policy"}}
	case device != nil:
		return &Entity{Name: device.Name, UID: device.UID, TypeID: 1, Type: "Device", Device: device}
	case !e.Target.IsZero():
		return &Entity{Name: e.Target.Name, UID: e.Target.String(), TypeID: other, Type: "Network rules"}
	}
	return &Entity{Name: "portcullis", TypeID: other, Type: "Portcullis"}
}
