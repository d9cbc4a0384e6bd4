package network

import (
	"slices"
	"strings"

	"portcullis/core/jit"
)

// CodeNotManaged is the code for a machine in a subscription that no sweep covers.
const CodeNotManaged jit.Code = "SubscriptionNotManaged"

// Subscriptions are the ids of the subscriptions that an installation manages.
type Subscriptions []string

// Manages refuses a machine in a subscription that no sweep covers: nothing is opened that is not certain to be
// closed.
func (s Subscriptions) Manages(vm jit.ID, at string) error {
	if slices.ContainsFunc(s, func(sub string) bool { return strings.EqualFold(sub, vm.Subscription) }) {
		return nil
	}
	return &jit.Error{Code: CodeNotManaged, Target: at, Message: "subscription " + vm.Subscription + " is not one that this installation manages; add it to its settings first"}
}

// NotManaged returns the refusal of a scope outside the managed subscriptions.
func NotManaged(scope string) error {
	return &jit.Error{Code: CodeNotManaged, Target: scope, Message: scope + " is in no subscription that this installation manages; add its subscription to the settings first"}
}

// Within reports whether a scope, an ARM id, is in one of the subscriptions.
func (s Subscriptions) Within(scope string) bool {
	return slices.ContainsFunc(s, func(sub string) bool {
		head := "/subscriptions/" + sub
		return len(scope) >= len(head) && strings.EqualFold(scope[:len(head)], head) && (len(scope) == len(head) || scope[len(head)] == '/')
	})
}
