package window

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sosodev/duration"

	"portcullis/cmd/portcullis/client"
	"portcullis/cmd/portcullis/exit"
	"portcullis/handlers/api"
)

// lead is how long before its end a window is extended: a tenth of its length, between a second and two minutes.
func lead(length time.Duration) time.Duration { return min(max(length/10, time.Second), 2*time.Minute) }

// Keep extends the window, each time by what was wanted, until ctx ends, and then gives nil. An error says why it cannot be extended any more.
func (w *Window) Keep(ctx context.Context) error {
	for {
		if client.Pause(ctx, w.Ends().Sub(w.keeper.App.Now())-lead(w.want.Length)) != nil {
			return nil
		}
		g, err := w.keeper.App.RequestByID(ctx, w.Request)
		if err == nil {
			before := w.Ends()
			if err = w.read(g); err == nil && w.Ends().After(before) {
				continue // another process that uses it has extended it
			}
		}
		if err == nil {
			err = w.extend(ctx, g)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the window is not extended, and ends at %s: %w", w.Ends().Local().Format(time.TimeOnly), err)
		}
	}
}

func (w *Window) extend(ctx context.Context, g api.GrantAnswer) error {
	end := w.Ends().Add(w.want.Length)
	if start, most := w.bound(g); most > 0 && end.After(start.Add(most)) {
		end = start.Add(most)
		if !end.After(w.Ends()) {
			return exit.With(exit.Refused, fmt.Errorf("the policy allows %s from its start", most))
		}
	}
	before := w.Ends()
	text := end.UTC().Format(time.RFC3339Nano)
	g, err := w.keeper.App.Extend(ctx, w.Request, api.ExtendBody{End: &text}, client.How{})
	if err != nil {
		return err
	}
	if err := w.read(g); err != nil || w.Ends().After(before) {
		return err
	}
	return errors.New("the app has left it as it is")
}

// bound gives the start of a request and the policy's maximum for the port; 0 where it is not known, and then the app says it.
func (w *Window) bound(g api.GrantAnswer) (time.Time, time.Duration) {
	start, err := time.Parse(time.RFC3339Nano, g.Start)
	if err != nil {
		return time.Time{}, 0
	}
	return start, Longest(w.want.Machine, w.want.Port)
}

// Longest gives for how long a machine's policy lets a port be opened at most; 0 where it does not say.
func Longest(m api.Machine, port uint16) time.Duration {
	for _, rule := range m.Ports {
		if n, ok := rule.Number.Get(); ok && n == port && !strings.EqualFold(rule.Protocol, "UDP") {
			if d, err := duration.Parse(rule.Maximum); err == nil {
				return d.ToTimeDuration()
			}
		}
	}
	return 0
}
