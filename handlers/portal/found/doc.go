// Package found draws what a sweep found by what causes it: one card for a rule that opens four ports on 25 machines, and not 100
// cards. It finds, groups, and writes the same as a table; and it is the form that adds ports of a cause to policies.
//
// It is given what the caller may read, and asks nobody: whether the caller can do something about a cause is asked by whom it is handed.
package found
