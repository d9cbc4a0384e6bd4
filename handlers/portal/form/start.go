package form

import (
	"cmp"
	"net/url"
	"time"

	"portcullis/core/jit"
	"portcullis/handlers/portal/words"
)

// The choices of when a request begins.
const (
	beginsNow   = "now"
	beginsLater = "later"
)

// Later reports whether the form asks for what begins later.
func (v Request) Later() bool { return v.When == beginsLater }

// readStart reads when the request begins: the zero time for at once. A start is typed in UTC, as every time is shown.
func (v *Request) readStart(f url.Values) time.Time {
	v.When, v.Start = cmp.Or(f.Get("when"), beginsNow), f.Get("start")
	switch v.When {
	case beginsNow:
		return time.Time{}
	case beginsLater:
	default:
		v.Wrong.Put("start", &jit.Error{Message: "choose at once or later"})
		return time.Time{}
	}
	at, err := words.ReadTime(v.Start)
	if err == nil && at.IsZero() {
		err = &jit.Error{Message: "say the day and the time at which it begins, in UTC"}
	}
	v.Wrong.Put("start", err)
	return at
}
