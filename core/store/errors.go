package store

import (
	"context"
	"errors"
	"time"

	"portcullis/core/jit"
)

// What a port may answer besides a value. Adapters translate the errors of their
// SDK at the door; callers use errors.Is.
var (
	ErrNotFound = errors.New("not found")
	// ErrConflict: somebody else wrote first. Read again, compute again.
	ErrConflict = errors.New("changed by somebody else")
	// ErrLocked: a management lock forbids the write; it will not pass by itself.
	ErrLocked = errors.New("locked against changes")
	// ErrUnlogged: what happened could not be written to the activity log.
	ErrUnlogged = errors.New("not in the activity log")
	// ErrForbidden: the app's own identity lacks a permission.
	ErrForbidden = errors.New("the app lacks a permission")
)

// CodeConcurrent heads the refusal of a change whose subject somebody else kept changing.
const CodeConcurrent jit.Code = "ConcurrentChange"

// Unavailable says that a dependency did not answer, or answered that it cannot
// now. Nothing is known of what it did; the same call may pass later.
type Unavailable struct {
	Dependency string        // "Azure Resource Manager", "Table Storage" or "Service Bus"
	RetryAfter time.Duration // what it asked for; 0 where it said nothing
	Err        error
}

// Error names the dependency and the cause.
func (u *Unavailable) Error() string { return u.Dependency + " is unavailable: " + u.Err.Error() }

// Unwrap returns the cause.
func (u *Unavailable) Unwrap() error { return u.Err }

// Pinger is what a dependency implements that can tell whether it answers.
type Pinger interface {
	// Ping gives nil, or why the dependency cannot be used now.
	Ping(ctx context.Context) error
}
