// Package child starts processes that end with this one, even where it is killed and can end nothing itself.
//
// On Unix a small shell holds the reading end of a pipe whose other end only this process has. When that closes, whatever
// became of this process, the shell kills the child's process group. Between the start of the child and that of the
// shell, a few milliseconds, a kill leaves the child running. On other systems a child outlives a parent that is killed.
package child
