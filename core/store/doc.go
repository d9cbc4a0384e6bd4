// Package store holds the records that are kept outside of the process, and the ports through which core reads and
// writes them: policies, grants, targets, wake-ups, the activity log, the last sweep.
//
// The comment of each method is its contract; an adapter that passes the suites of core/coretest keeps it.
// The package decides nothing and opens nothing: who only reads needs no more of core than this.
package store
