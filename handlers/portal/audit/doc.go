// Package audit is what an auditor asks of the past: lines of the log by a part of a name, and one row for each window, with when it was
// asked for, opened and really closed, and by whom. It is handed what who looks may read, and reads nothing itself.
package audit
