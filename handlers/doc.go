// Package handlers is the door: HTTP and triggers in, calls of core/access out.
//
// Every handler decodes strictly, calls one verb and encodes its answer; what is
// decided is decided inside. [New] lists the whole surface on one page. The compatible
// face (package compat) decodes as Azure Resource Manager does, since its clients are used as
// they are; what could be read in two ways it refuses all the same.
//
// The Functions host proxies HTTP functions with their method, headers and full
// path (all of them below /api), and posts the two triggers to /revoke and
// /sweep with its own envelope. Both kinds share one listener. Two things keep them apart, and
// each would be enough: no route catches what it does not name, or what is not below its own literal
// segment; and a trigger is taken only from a call that proves to be the host's own (package arrival).
//
// Errors have one shape, {"error":{"code","message","target"}}, one translator
// (package wire) and stable codes; an error that is not a refusal shows nothing of
// its cause but the dependency that failed.
package handlers
