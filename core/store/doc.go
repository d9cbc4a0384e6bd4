// Package store holds the records that live outside the process, and the ports through which core reads and writes
// them: policies, grants, targets, wake-ups, the activity log, the last sweep.
//
// The comment of each method is its contract; an adapter that passes the suites of core/coretest fulfils it. The
// package decides nothing and opens nothing, so that code which only reads needs no other room of core.
package store
