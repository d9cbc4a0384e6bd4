package jit

// Caller is who calls a verb.
type Caller struct {
	ID          string // directory and object id, "tid/oid": what owns a grant
	Name        string // for people to read: goes into grants and the activity log
	Correlation string // the invocation's id
}

// App is the caller of what the app does by itself.
func App() Caller { return Caller{Name: "portcullis"} }
