// Package activity is the activity log in a table of Azure Table Storage: entries that are appended, listed and verified.
//
// The entries of one subscription and day are a hash chain; docs/audit.md says how it is computed. An entry, the mark that it has
// been written, and the new head are one transaction, and the head is written on the condition of its ETag, so that there
// is one order whoever appends. Those who append in one process at once share transactions.
//
// It deletes nothing. The chain is not signed: see docs/audit.md for what it proves.
package activity
