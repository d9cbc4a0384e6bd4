package jit

import (
	"strings"
	"time"
)

// The refusals of a scope.
const (
	CodeNoScope       Code = "ScopeMissing"           // a scope that names nothing
	CodeManyScopes    Code = "ScopeAmbiguous"         // a scope that names more than one thing
	CodeInvalidObject Code = "InvalidObjectId"        // a person that is not an object id
	CodeInvalidGroup  Code = "InvalidResourceGroupId" // not the ARM id of a resource group
	CodeInvalidSubID  Code = "InvalidSubscriptionId"  // not a subscription's id
	CodeReasonMissing Code = "ReasonMissing"          // why is for others to read
	CodeReasonTooLong Code = "ReasonTooLong"          // over MaxJustification characters
)

// Scope is what a lock-down closes and holds: one person, one machine, one resource group, one subscription, or everything. The zero value is
// nothing.
type Scope struct {
	Person        string // object id, in lower case
	VM            ID
	Subscription  string // of a subscription, or of a resource group
	ResourceGroup string
	Everything    bool
}

// ParseScope reads a scope of which exactly one part is said: a person's object id, the ARM id of a machine or of a resource group, a
// subscription's id, or everything. Its refusals have the part as their target.
func ParseScope(person, vm, group, subscription string, all bool) (Scope, error) {
	said := 0
	for _, is := range []bool{person != "", vm != "", group != "", subscription != "", all} {
		if is {
			said++
		}
	}
	switch {
	case said == 0:
		return Scope{}, refuse(CodeNoScope, "", "say what to lock down: person, virtualMachine, resourceGroup, subscription, or everything: true")
	case said > 1:
		return Scope{}, refuse(CodeManyScopes, "", "say one of person, virtualMachine, resourceGroup, subscription and everything; send a call for each")
	case all:
		return Scope{Everything: true}, nil
	case person != "":
		if !ValidGUID(person) {
			return Scope{}, refuse(CodeInvalidObject, "person", "a person is named by the object id, a GUID")
		}
		return Scope{Person: strings.ToLower(person)}, nil
	case vm != "":
		id, err := ParseVM(vm)
		return Scope{VM: id}, Below(err, "virtualMachine")
	case subscription != "":
		if !ValidGUID(subscription) {
			return Scope{}, refuse(CodeInvalidSubID, "subscription", "a subscription is named by its id, a GUID")
		}
		return Scope{Subscription: strings.ToLower(subscription)}, nil
	}
	part := strings.Split(group, "/")
	if len(part) != 5 || part[0] != "" || !same(part[1], "subscriptions") || !same(part[3], "resourceGroups") || !ValidGUID(part[2]) || !nameOf(part[4], 90) {
		return Scope{}, refuse(CodeInvalidGroup, "resourceGroup", "expected /subscriptions/{subscription}/resourceGroups/{group}")
	}
	return Scope{Subscription: strings.ToLower(part[2]), ResourceGroup: part[4]}, nil
}

// Covers reports whether windows of who has this id, as grants have it, at a machine are in the scope.
func (s Scope) Covers(requestorID string, vm ID) bool {
	switch {
	case s.Everything:
		return true
	case s.Person != "":
		return same(Caller{ID: requestorID}.Actor().Object, s.Person)
	case !s.VM.IsZero():
		return s.VM.Equal(vm)
	case s.Subscription == "" || !same(s.Subscription, vm.Subscription):
		return false
	}
	return s.ResourceGroup == "" || same(s.ResourceGroup, vm.ResourceGroup)
}

// Azure returns the ARM id of the scope; "" for a person and for everything, which is every managed subscription.
func (s Scope) Azure() string {
	switch {
	case !s.VM.IsZero():
		return s.VM.String()
	case s.ResourceGroup != "":
		return "/subscriptions/" + s.Subscription + "/resourceGroups/" + s.ResourceGroup
	case s.Subscription != "":
		return "/subscriptions/" + s.Subscription
	}
	return ""
}

// Key returns a text that is equal for equal scopes; "" for nothing.
func (s Scope) Key() string {
	switch {
	case s.Everything:
		return "everything"
	case s.Person != "":
		return "person " + s.Person
	}
	return fold(s.Azure())
}

// String names the scope for people.
func (s Scope) String() string {
	switch {
	case s.Everything:
		return "everything"
	case s.Person != "":
		return "the person " + s.Person
	case !s.VM.IsZero():
		return "the machine " + s.VM.Name
	case s.ResourceGroup != "":
		return "the resource group " + s.ResourceGroup
	case s.Subscription != "":
		return "the subscription " + s.Subscription
	}
	return "nothing"
}

// LockDown marks every window in the scope that is not over for closing, whatever its status, and reports whether there was one.
func (g Grant) LockDown(s Scope, now time.Time) (Grant, bool) {
	found := false
	out := g.Each(func(vm ID, w Window) Window {
		if !s.Covers(g.RequestorID, vm) {
			return w
		}
		next := w.Revoke(now, LockedDown)
		found = found || next.Status != w.Status
		return next
	})
	if !found {
		return g, false
	}
	out.Generation++
	return out, true
}

// ReasonText returns why something is locked down or lifted, as [Text] normalizes it. It is required.
func ReasonText(s string) (string, error) {
	text, err := Justification(s)
	if refused := Refused(err); refused != nil {
		code := refused.Code
		if code == CodeJustificationTooLong {
			code = CodeReasonTooLong
		}
		return "", &Error{Code: code, Target: "reason", Message: strings.Replace(refused.Message, "justification", "reason", 1)}
	}
	if text == "" {
		return "", refuse(CodeReasonMissing, "reason", "say why, in a sentence that others can read")
	}
	return text, nil
}
