// Package show makes what the page's templates draw of what was read: requests with what is to be done next, what a change of policies does,
// lines of the log, findings, and the list's tabs, columns and links.
//
// It asks nobody and decides nothing: what somebody may do is put in by package portal.
package show
