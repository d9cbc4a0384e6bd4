package window

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"portcullis/cmd/portcullis/client"
	"portcullis/handlers/api"
)

// standing gives a request of the caller's that has the port open, for the address that the caller has now and for long enough.
func (k Keeper) standing(ctx context.Context, want Want) (api.GrantAnswer, bool, error) {
	windows := slices.DeleteFunc(slices.Clone(want.Machine.Windows), func(win api.OpenWindow) bool {
		return !win.Own || win.Number != want.Port || win.Status != initiated || strings.EqualFold(win.Protocol, "UDP") || k.left(win) < min(tooShort, want.Length/2)
	})
	if len(windows) == 0 {
		return api.GrantAnswer{}, false, nil
	}
	here, err := k.address(ctx, want)
	if err != nil {
		return api.GrantAnswer{}, false, err
	}
	windows = slices.DeleteFunc(windows, func(win api.OpenWindow) bool { return !admits(win.Sources, here) })
	if len(windows) == 0 {
		return api.GrantAnswer{}, false, nil
	}
	last := slices.MaxFunc(windows, func(a, b api.OpenWindow) int { return int(k.left(a) - k.left(b)) })
	g, err := k.App.RequestByID(ctx, last.Grant)
	if err != nil {
		return g, false, err
	}
	_, open := openPort(g, want) // the list may be older than the turn, and the window closed since
	if open {
		k.Say("port %d of %s is open until %s, by request %s", want.Port, want.Machine.Name, k.end(last).Local().Format(time.TimeOnly), last.Grant)
	}
	return g, open, nil
}

// settle looks at the request that this program made before: one that has ended is forgotten, and one that waits for approval is waited for, or is an error
// where nobody wants to wait.
func (k Keeper) settle(ctx context.Context, want Want, f *files) error {
	id := f.noted()
	if id == "" {
		return nil
	}
	g, err := k.App.RequestByID(ctx, id)
	if refused, ok := errors.AsType[*client.Refusal](err); ok && refused.Status == http.StatusNotFound {
		return f.forget()
	}
	switch {
	case err != nil:
		return err
	case g.Status == awaiting:
		_, err := k.await(ctx, want, f, client.Pending{GrantAnswer: g})
		return err
	case g.Status != initiated && g.Status != initiating:
		return f.forget()
	}
	return nil
}

// end gives when a window ends; one that says no time has ended.
func (k Keeper) end(win api.OpenWindow) time.Time {
	at, err := time.Parse(time.RFC3339Nano, win.End)
	if err != nil {
		return time.Time{}
	}
	return at
}

func (k Keeper) left(win api.OpenWindow) time.Duration { return k.end(win).Sub(k.App.Now()) }

// address gives the address that the app sees the caller at: a dry run names it.
func (k Keeper) address(ctx context.Context, want Want) (netip.Prefix, error) {
	p, err := k.App.Request(ctx, body(want), client.How{DryRun: true})
	if err != nil {
		return netip.Prefix{}, err
	}
	for _, vm := range p.VMs {
		for _, port := range vm.Ports {
			if q, ok := prefix(port.Prefix); ok {
				return q, nil
			}
		}
	}
	return netip.Prefix{}, fmt.Errorf("the app does not say at which address it sees this machine")
}

// prefix reads an address or a range.
func prefix(text string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(text)
	return p, err == nil
}

// admits reports whether one of the sources holds the whole of here.
func admits(sources []string, here netip.Prefix) bool {
	return slices.ContainsFunc(sources, func(text string) bool {
		q, ok := prefix(text)
		return text == "*" || ok && q.Bits() <= here.Bits() && q.Contains(here.Addr())
	})
}
