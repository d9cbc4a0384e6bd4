// Package limit says how much one requestor may hold at once: of a target that others share, and of the addresses that his windows
// let in to one port of a machine together. It is pure: it is given what stands, reads nothing and stores nothing.
//
// Two requests that come at the same moment do not know of each other when they are decided. Who opens asks again with what is
// stored by then.
package limit
