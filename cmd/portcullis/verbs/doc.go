// Package verbs is the command line: one verb of the API a command, with flags, tables and exit codes.
//
// A verb is a constructor of a [cobra.Command] in the table of [root]; its run is given a [session], which knows how to sign in, whom to call
// and where to write. Answers go to stdout, as a table or with --json in the API's own shapes; everything else goes to stderr.
package verbs
