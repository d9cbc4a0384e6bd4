// Package audit is what an auditor asks of the past: lines of the log by a part of a name, and one row for each window, with when it was
// asked for, opened and really closed, and by whom. What it reads is what who looks may read.
package audit
