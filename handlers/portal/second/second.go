// Package second is the part of the page on which somebody decides about what others have asked for: who approves or denies a request, and who
// locks down and lifts.
//
// It is a door like package portal, which hands it each call of an identified caller and draws what it shows. It calls one verb for each form,
// and decides nothing itself.
package second

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"portcullis/core"
	"portcullis/core/access"
	"portcullis/core/jit"
	"portcullis/core/store"
)

// Pages are the pages of this package. Every field must be set.
type Pages struct {
	App *core.App
	Log *slog.Logger
}

// Call is one call of an identified caller. Every field must be set.
type Call struct {
	*http.Request
	Who jit.Caller
	Now time.Time
	// Draw answers with a view.
	Draw func(status int, view, title string, data any)
	// Told gives the status of an error and what may be told of it.
	Told func(error) (int, *jit.Error)
	// To answers by leading to another page, by its path below the page's root.
	To func(path string)
	// Unchanged keeps what is shown where that is the state of a view already, by its stamp, which it returns.
	Unchanged func(view any) string
}

// record gives the request that the path names, as far as the caller may read it.
func (p Pages) record(c Call) (store.GrantRecord, error) {
	id := strings.ToLower(c.PathValue("id"))
	if !jit.ValidGUID(id) {
		return store.GrantRecord{}, access.RequestNotFound()
	}
	return p.App.Access.Find(c.Context(), c.Who, id)
}
