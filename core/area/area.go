// Package area is what a lock-down closes and holds: a person, a machine, a resource group, a subscription, or everything.
package area

import (
	"fmt"
	"strings"
	"time"

	"portcullis/core/jit"
)

// The refusals of a scope.
const (
	CodeNoScope       jit.Code = "ScopeMissing"           // a scope that names nothing
	CodeManyScopes    jit.Code = "ScopeAmbiguous"         // a scope that names more than one thing
	CodeInvalidObject jit.Code = "InvalidObjectId"        // a person that is not an object id
	CodeInvalidGroup  jit.Code = "InvalidResourceGroupId" // not the ARM id of a resource group
	CodeInvalidSubID  jit.Code = "InvalidSubscriptionId"  // not a subscription's id
	CodeReasonMissing jit.Code = "ReasonMissing"          // why is for others to read
	CodeReasonTooLong jit.Code = "ReasonTooLong"          // over MaxJustification characters
)

// Scope is what a lock-down closes and holds: one person, one machine, one resource group, one subscription, or everything. The zero value is
// nothing.
type Scope struct {
	Person        string // object id, in lower case
	VM            jit.ID
	Subscription  string // of a subscription, or of a resource group
	ResourceGroup string
	Everything    bool
}

// Parse reads a scope of which exactly one part is said: a person's object id, the ARM id of a machine or of a resource group, a
// subscription's id, or everything. Its refusals have the part as their target.
func Parse(person, vm, group, subscription string, all bool) (Scope, error) {
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
		if !jit.ValidGUID(person) {
			return Scope{}, refuse(CodeInvalidObject, "person", "a person is named by the object id, a GUID")
		}
		return Scope{Person: strings.ToLower(person)}, nil
	case vm != "":
		id, err := jit.ParseVM(vm)
		return Scope{VM: id}, jit.Below(err, "virtualMachine")
	case subscription != "":
		if !jit.ValidGUID(subscription) {
			return Scope{}, refuse(CodeInvalidSubID, "subscription", "a subscription is named by its id, a GUID")
		}
		return Scope{Subscription: strings.ToLower(subscription)}, nil
	}
	within, err := jit.ParseVM(group + "/providers/Microsoft.Compute/virtualMachines/any")
	if err != nil {
		return Scope{}, refuse(CodeInvalidGroup, "resourceGroup", "expected /subscriptions/{subscription}/resourceGroups/{group}")
	}
	return Scope{Subscription: strings.ToLower(within.Subscription), ResourceGroup: within.ResourceGroup}, nil
}

// Covers reports whether windows of who has this id, as grants have it, at a machine are in the scope.
func (s Scope) Covers(requestorID string, vm jit.ID) bool {
	switch {
	case s.Everything:
		return true
	case s.Person != "":
		return strings.EqualFold(jit.Caller{ID: requestorID}.Actor().Object, s.Person)
	case !s.VM.IsZero():
		return s.VM.Equal(vm)
	case s.Subscription == "" || !strings.EqualFold(s.Subscription, vm.Subscription):
		return false
	}
	return s.ResourceGroup == "" || s.group().Key() == jit.ID{Subscription: vm.Subscription, ResourceGroup: vm.ResourceGroup}.Key()
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
	case !s.VM.IsZero():
		return s.VM.Key()
	case s.ResourceGroup != "":
		return s.group().Key()
	}
	return strings.ToLower(s.Azure())
}

// group names the resource group as ids do, which are compared by their keys.
func (s Scope) group() jit.ID {
	return jit.ID{Subscription: s.Subscription, ResourceGroup: s.ResourceGroup}
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

// LockDown marks every window of a grant that is in the scope and not over for closing, whatever its status, and reports whether there was one.
func (s Scope) LockDown(g jit.Grant, now time.Time) (jit.Grant, bool) {
	found := false
	out := g.Each(func(vm jit.ID, w jit.Window) jit.Window {
		if !s.Covers(g.RequestorID, vm) {
			return w
		}
		next := w.Revoke(now, jit.LockedDown)
		found = found || next.Status != w.Status
		return next
	})
	if !found {
		return g, false
	}
	out.Generation++
	return out, true
}

// Reason returns why something is locked down or lifted, as [jit.Text] normalizes it. It is required.
func Reason(s string) (string, error) {
	text, err := jit.Justification(s)
	if refused := jit.Refused(err); refused != nil {
		code := refused.Code
		if code == jit.CodeJustificationTooLong {
			code = CodeReasonTooLong
		}
		return "", &jit.Error{Code: code, Target: "reason", Message: strings.Replace(refused.Message, "justification", "reason", 1)}
	}
	if text == "" {
		return "", refuse(CodeReasonMissing, "reason", "say why, in a sentence that others can read")
	}
	return text, nil
}

func refuse(code jit.Code, target, format string, args ...any) *jit.Error {
	return &jit.Error{Code: code, Target: target, Message: fmt.Sprintf(format, args...)}
}
