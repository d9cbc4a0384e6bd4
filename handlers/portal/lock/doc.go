// Package lock reads and shows the page's forms of lock-downs: what to lock down, what that would close, how far it is, and what is held. It
// calls no verb: package portal does.
package lock
