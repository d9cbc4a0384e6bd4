package sweep

import (
	"context"
	"time"

	"portcullis/core/store"
)

// Teller delivers what people are to be told.
type Teller interface {
	// Swept reminds of the windows of open grants that end soon, delivers what was left, and returns what could not be delivered. It takes as long as ctx
	// lets it.
	Swept(ctx context.Context, open []store.GrantRecord) ([]store.Finding, error)
}

// Streamer sends the activity log out of the account.
type Streamer interface {
	// Swept sends what was appended since the last time, and returns what is wrong with it. It takes as long as ctx lets it.
	Swept(ctx context.Context) ([]store.Finding, error)
}

// stream sends the activity log away, beside everything else. What this sweep logs at its end is sent by the next one.
func (w *sweep) stream(ctx context.Context) {
	if w.Streamer == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, tellBudget)
	defer cancel()
	w.failed(w.Rounds.Recovered("the stream of the activity log", func() error {
		found, err := w.Streamer.Swept(ctx)
		for _, f := range found {
			w.found(f)
		}
		return err
	}))
}

// tellBudget bounds how long a sweep waits for receivers of messages: the next one goes on.
const tellBudget = 30 * time.Second

// tell delivers messages that are left.
func (w *sweep) tell(ctx context.Context, open []store.GrantRecord) {
	if w.Teller == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, tellBudget)
	defer cancel()
	w.failed(w.Rounds.Recovered("the sweep of messages", func() error {
		found, err := w.Teller.Swept(ctx, open)
		for _, f := range found {
			w.found(f)
		}
		return err
	}))
}
