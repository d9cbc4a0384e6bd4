// Package decide makes the decisions about the nouns of package jit: whether a request is usable, what of it is granted, how long a
// grant may be extended, and what of it a changed policy still allows.
//
// # What it promises
//
// The package is pure: now is a value. A decision is all or nothing, and a refusal is a [*jit.Error] that says what to do next. Zero
// values refuse: a zero [ValidRequest] asks for nothing.
//
// # What it does not do
//
// It does not know who may ask (Azure RBAC does), where a machine is in the network, or whether a target has room for a rule.
package decide
