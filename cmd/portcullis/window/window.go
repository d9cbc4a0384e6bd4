// Package window opens a port of a machine for as long as somebody uses it: several processes of one person share one window, and the last
// of them closes it.
//
// Who uses a window holds a shared lock on a file, which the system releases however a process ends: there is no count that could be wrong. A
// second file is locked while somebody opens or closes, and a note says which request this program made. A window that was opened elsewhere, such as
// on the page, is used and left open. What cannot be closed ends by itself, at its end.
//
// It does not cut connections, and it does not know whether a machine answers.
package window

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/sosodev/duration"

	"portcullis/cmd/portcullis/client"
	"portcullis/cmd/portcullis/exit"
	"portcullis/handlers/api"
)

// How requests stand, as the API says it.
const (
	initiating = "Initiating"
	initiated  = "Initiated"
	awaiting   = "AwaitingApproval"
)

// The bounds of what is waited for.
const (
	answers  = time.Minute      // a call that must not be left unanswered, since it opens or closes
	opens    = 15 * time.Minute // until ports are open; a firewall takes minutes
	approved = 24 * time.Hour   // until somebody has approved it; the app itself waits no longer
	tooShort = 5 * time.Minute  // a window that ends sooner, and in less than half of what is wanted, is not used but asked for anew
)

// Want is what to open. Nobody but the caller's own address is let in.
type Want struct {
	Machine api.Machine
	Port    uint16
	Length  time.Duration // at least a second
	Reason  string
	NoWait  bool // for somebody's approval
}

// Keeper opens windows. Its fields are set before use.
type Keeper struct {
	App *client.Client
	Who string // identifies who is signed in, so that two people on one account of a machine share nothing
	Dir string // holds the locks and notes; made where it is missing
	Say func(format string, args ...any)
}

// Window is an open port.
type Window struct {
	Request string // id
	keeper  Keeper
	want    Want
	files   *files

	mu   sync.Mutex
	end  time.Time
	port api.GrantPort
}

// Ends gives when the window ends, as it was last seen.
func (w *Window) Ends() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.end
}

// Port gives the open port.
func (w *Window) Port() api.GrantPort {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.port
}

// Open opens the port, or takes part in a window of the caller's that is open already. It returns when Azure has confirmed it, and waits before that for
// whoever has to approve it. With NoWait an error that says [exit.Waiting] leaves a request that waits for approval; once it is approved, Open uses it.
// Close must follow success.
func (k Keeper) Open(ctx context.Context, want Want) (*Window, error) {
	f, err := k.files(want)
	if err != nil {
		return nil, err
	}
	most := opens
	if !want.NoWait {
		most += approved
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	waited, err := f.lock(ctx, func() {
		k.Say("another portcullis is opening or closing port %d of %s; waiting for it", want.Port, want.Machine.Name)
	})
	if err != nil {
		return nil, err
	}
	defer f.unlock()
	if err := f.hold(ctx); err != nil {
		return nil, err
	}
	if waited || f.noted() != "" {
		if err := k.settle(ctx, want, f); err != nil {
			f.letGo()
			return nil, err
		}
		if want.Machine, err = k.again(ctx, want.Machine); err != nil {
			f.letGo()
			return nil, err
		}
	}
	g, err := k.obtain(ctx, want, f)
	if err != nil {
		f.letGo()
		return nil, err
	}
	w := &Window{Request: g.ID, keeper: k, want: want, files: f}
	if err := w.read(g); err != nil {
		f.letGo()
		return nil, err
	}
	return w, nil
}

// again reads how a machine stands now.
func (k Keeper) again(ctx context.Context, m api.Machine) (api.Machine, error) {
	now, err := k.App.AllMachines(ctx, url.Values{"vm": {m.ID}}, 1)
	if err != nil || len(now.Value) == 0 {
		return m, err
	}
	return now.Value[0], nil
}

// obtain gives a request whose window is open: one that stands, or a new one.
func (k Keeper) obtain(ctx context.Context, want Want, f *files) (api.GrantAnswer, error) {
	g, found, err := k.standing(ctx, want)
	if err != nil || found {
		return g, err
	}
	k.Say("opening port %d of %s for %s", want.Port, want.Machine.Name, want.Length)
	// Not cut short: whoever is interrupted now has to know what to close.
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), answers)
	defer cancel()
	p, err := k.App.Request(asking, body(want), client.How{Key: uuid.NewString()})
	if err != nil {
		return api.GrantAnswer{}, err
	}
	if err := f.note(p.ID); err != nil {
		return api.GrantAnswer{}, errors.Join(err, k.giveUp(ctx, p.ID))
	}
	return k.await(ctx, want, f, p)
}

func body(want Want) api.RequestBody {
	length := duration.Format(want.Length)
	return api.RequestBody{Justification: want.Reason, VirtualMachines: []api.RequestVM{{ID: want.Machine.ID,
		Ports: []api.RequestPort{{Number: api.PortOf(want.Port), Duration: &length}}}}}
}

// await waits until a request is open. What is not open when the caller is interrupted is closed.
func (k Keeper) await(ctx context.Context, want Want, f *files, p client.Pending) (api.GrantAnswer, error) {
	p.After = max(p.After, time.Second)
	g, err := k.while(ctx, approved, p, func(g api.GrantAnswer) bool { return g.Status == awaiting && !want.NoWait })
	if err == nil {
		p.GrantAnswer = g
		g, err = k.while(ctx, opens, p, func(g api.GrantAnswer) bool { return g.Status == initiating })
	}
	if err == nil && ctx.Err() != nil {
		err = exit.With(exit.Interrupted, errors.New("interrupted"))
	}
	if err != nil {
		return g, errors.Join(err, k.giveUp(ctx, p.ID), f.forget())
	}
	switch g.Status {
	case initiated:
		return g, nil
	case awaiting:
		return g, waits(g.ID)
	}
	return g, errors.Join(exit.With(exit.Refused, fmt.Errorf("port %d of %s is not open: request %s is %s (%s)", want.Port, want.Machine.Name, g.ID, g.Status, why(g))), f.forget())
}

// while looks at a request as long as it stands so, but not longer than most.
func (k Keeper) while(ctx context.Context, most time.Duration, p client.Pending, stands func(api.GrantAnswer) bool) (api.GrantAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	return k.App.Await(ctx, p, func(g api.GrantAnswer) bool { return !stands(g) }, func(g api.GrantAnswer) { k.Say("%s", progress(g)) })
}

// why says why a request has ended: where somebody has denied it, who and in which words.
func why(g api.GrantAnswer) string {
	if g.Approval == nil || g.Approval.Denied == nil {
		return g.StatusReason
	}
	return fmt.Sprintf("%s by %s: %s", g.StatusReason, g.Approval.Denied.Name, g.Approval.Denied.Justification)
}

func waits(id string) error {
	return exit.With(exit.Waiting, fmt.Errorf("request %s waits for somebody's approval; nothing is open yet. Run the same command again once it is approved", id))
}

// progress says how far a request is.
func progress(g api.GrantAnswer) string {
	if g.Status == awaiting {
		return fmt.Sprintf("waiting for somebody to approve request %s; Ctrl-C gives it up", g.ID)
	}
	confirmed := 0
	for _, t := range g.Targets {
		if t.Status == "Confirmed" {
			confirmed++
		}
	}
	return fmt.Sprintf("waiting for Azure: %d of %d security groups and firewalls have confirmed", confirmed, len(g.Targets))
}

// close closes a request, also for a caller who has been interrupted, and reports whether that is confirmed.
func (k Keeper) close(ctx context.Context, id string) (bool, error) {
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), answers)
	defer cancel()
	p, err := k.App.Revoke(closing, id, client.How{})
	if refused, ok := errors.AsType[*client.Refusal](err); ok && refused.Status == http.StatusNotFound {
		return true, nil // it is not even stored any more
	}
	if err != nil {
		return false, fmt.Errorf("request %s could not be closed, and ends by itself: %w", id, err)
	}
	return !p.UnderWay, nil
}

// giveUp closes a request that nobody uses.
func (k Keeper) giveUp(ctx context.Context, id string) error {
	_, err := k.close(ctx, id)
	return err
}

// Close ends the use of the window, and the window itself where nobody else uses it and this program opened it.
func (w *Window) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answers+answers)
	defer cancel()
	if _, err := w.files.lock(ctx, func() {}); err != nil {
		w.files.letGo()
		return err
	}
	defer w.files.unlock()
	w.files.letGo()
	id := w.files.noted()
	if id != w.Request {
		w.keeper.Say("port %d of %s stays open until %s: it was opened elsewhere", w.want.Port, w.want.Machine.Name, w.Ends().Local().Format(time.TimeOnly))
	}
	alone, err := w.files.alone()
	if id == "" || err != nil || !alone {
		return err
	}
	closed, err := w.keeper.close(ctx, id)
	switch {
	case err != nil:
		return err
	case !closed: // a firewall takes minutes
		w.keeper.Say("port %d of %s is being closed, which is not confirmed yet; portcullis requests %s shows it", w.want.Port, w.want.Machine.Name, id)
	case id == w.Request:
		w.keeper.Say("port %d of %s is closed", w.want.Port, w.want.Machine.Name)
	}
	return w.files.forget()
}

// read takes over what a request says of the port.
func (w *Window) read(g api.GrantAnswer) error {
	p, ok := openPort(g, w.want)
	if !ok {
		return fmt.Errorf("request %s does not have port %d of %s open", g.ID, w.want.Port, w.want.Machine.Name)
	}
	end, err := time.Parse(time.RFC3339Nano, p.End)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end, w.port = end, p
	return nil
}

// openPort gives the port that a request has open.
func openPort(g api.GrantAnswer, want Want) (api.GrantPort, bool) {
	for _, vm := range g.VMs {
		if !strings.EqualFold(vm.ID, want.Machine.ID) {
			continue
		}
		for _, p := range vm.Ports {
			if p.Number == want.Port && p.Status == initiated {
				return p, true
			}
		}
	}
	return api.GrantPort{}, false
}
