package jit

// Caller is who calls a verb.
type Caller struct {
	ID          string // directory and object id, "tid/oid"; a grant is owned by this id
	Name        string // display name, written to grants and the activity log
	Correlation string // the invocation id
}

// App returns the caller for work that the app starts by itself.
func App() Caller { return Caller{Name: "portcullis"} }
