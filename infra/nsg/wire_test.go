package nsg_test

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/store"
	"portcullis/infra/arm"
	"portcullis/infra/nsg"
)

// shown is the NSG shop as ARM would show it, with version and state.
func shown(version, state string, rules ...string) string {
	s := string(shop(rules...).Body)
	s = strings.Replace(s, `W/\"7\"`, version, 1)
	return strings.Replace(s, `"provisioningState":"Succeeded"`, `"provisioningState":"`+state+`"`, 1)
}

func create(rules ...jit.Rule) plan.Changes { return plan.Changes{Create: rules} }

const operation = "{host}/subscriptions/" + sub + "/providers/Microsoft.Network/locations/westeurope/operations/op?api-version=2025-05-01"

func TestRulesIsOneCall(t *testing.T) {
	want := shown("v1", "Succeeded", foreign()...)
	s := play(t, answer(200, want))
	got, err := client(t, s.Server, nil).Rules(t.Context(), network.Ordinary(), nsgID("shop"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"GET shop"}, s.Seen(t)); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if string(got.Body) != want || got.Version != "v1" || len(got.Rules) != 3 || !got.Target.Equal(nsgID("shop")) {
		t.Errorf("snapshot %+v", got)
	}
}

func TestRulesNeedsNotTheModel(t *testing.T) {
	s := play(t, answer(200, shown("v1", "Succeeded", `{"name":"odd","properties":{"priority":"high"}}`)))
	got, err := client(t, s.Server, nil).Rules(t.Context(), network.Ordinary(), nsgID("shop"))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Rules) != 1 || got.Rules[0].Name != "odd" || got.Rules[0].Priority != 0 {
		t.Errorf("rules %+v", got.Rules)
	}
}

func TestRulesRefusesWhatIsNoAnswer(t *testing.T) {
	for _, tc := range []struct{ name, body string }{
		{"nothing", ""},
		{"no object", `[]`},
		{"no rules", `{"id":"x","etag":"v1","properties":{}}`},
		{"no etag", `{"id":"x","properties":{"securityRules":[]}}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := play(t, answer(200, tc.body))
			if got, err := client(t, s.Server, nil).Rules(t.Context(), network.Ordinary(), nsgID("shop")); err == nil {
				t.Errorf("no error, and %+v", got)
			}
		})
	}
}

func TestAllSortsAndKeepsBytes(t *testing.T) {
	last := shown("v1", "Succeeded", foreign()...)
	first := strings.Replace(last, "/SHOP", "/alpha", 1)
	s := play(t, answer(200, `{"value":[ `+last+" ,\n"+first+` ]}`))
	list, err := client(t, s.Server, nil).All(t.Context(), network.Ordinary(), strings.ToUpper(sub))
	if err != nil || len(list) != 2 {
		t.Fatalf("%d groups and %v, want two", len(list), err)
	}
	for i, want := range []string{first, last} {
		if diff := cmp.Diff(strings.TrimSpace(want), string(list[i].Body)); diff != "" {
			t.Errorf("body %d (-want +got):\n%s", i, diff)
		}
	}
}

func TestApplySendsOneConditionalPut(t *testing.T) {
	a := mine("a", 100)
	s := play(t, answer(200, shown("v8", "Succeeded", append(foreign(), encoded(t, a))...), "Azure-AsyncOperation", operation))
	got, err := client(t, s.Server, nil).Apply(t.Context(), network.Ordinary(), shop(foreign()...), create(a))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"PUT shop"}, s.Seen(t)); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	want := head + "[" + strings.Join(append(foreign(), encoded(t, a)), ",") + "]" + tail
	if diff := cmp.Diff(want, s.Bodies[0]); diff != "" {
		t.Errorf("body on the wire (-want +got):\n%s", diff)
	}
	for name, want := range map[string]string{"If-Match": `W/"7"`, "Content-Type": "application/json", "Authorization": "Bearer app"} {
		if got := s.Headers[0].Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if ua := s.Headers[0].Get("User-Agent"); !strings.HasPrefix(ua, "portcullis ") {
		t.Errorf("User-Agent: %q", ua)
	}
	if got.Version != "v8" || len(got.Rules) != 4 {
		t.Errorf("snapshot %+v", got)
	}
}

// TestApplyLooksAtAnUnfinishedWrite holds what is asked until a write has ended: the group itself, which shows the end
// and the rules at once, and the operation where the group does not tell or is large.
func TestApplyLooksAtAnUnfinishedWrite(t *testing.T) {
	a := mine("a", 100)
	large := mine("large", 101)
	large.Source.Any = false
	for i := range 3000 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, byte(i >> 8), byte(i)}), 32)
		large.Source.Prefixes, large.Destination.Prefixes = append(large.Source.Prefixes, p), append(large.Destination.Prefixes, p)
	}
	wait := []string{"Azure-AsyncOperation", operation, "retry-after-ms", "1"}
	updating, done := answer(200, shown("v8", "Updating", encoded(t, a))), answer(200, shown("v9", "Succeeded", encoded(t, a)))
	under, ended := answer(200, `{"status":"InProgress"}`), answer(200, `{"status":"Succeeded"}`)
	old := answer(200, shown(`W/\"7\"`, "Succeeded"))
	for _, tc := range []struct {
		name  string
		rules []jit.Rule
		play  []http.HandlerFunc
		want  []string
	}{
		{"the group is Updating, then Succeeded", []jit.Rule{a}, []http.HandlerFunc{updating, updating, done}, []string{"GET shop", "GET shop", "GET shop"}},
		{"ARM falters", []jit.Rule{a}, []http.HandlerFunc{refusal(503, "ServiceUnavailable", "a moment"), done}, []string{"GET shop", "GET shop"}},
		{"the group shows as it was", []jit.Rule{a}, []http.HandlerFunc{old, under, old, ended, done}, []string{"GET shop", "GET op", "GET shop", "GET op", "GET shop"}},
		{"the group may not be read for a while", []jit.Rule{a}, []http.HandlerFunc{refusal(403, "AuthorizationFailed", "no"), under, done}, []string{"GET shop", "GET op", "GET shop"}},
		{"the answer is none", []jit.Rule{a}, []http.HandlerFunc{answer(200, `{}`), under, done}, []string{"GET shop", "GET op", "GET shop"}},
		{"a large group", []jit.Rule{a, large}, []http.HandlerFunc{under, refusal(503, "ServiceUnavailable", "a moment"), ended, answer(200, shown("v9", "Succeeded", encoded(t, a), encoded(t, large)))},
			[]string{"GET op", "GET op", "GET op", "GET shop"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := play(t, append([]http.HandlerFunc{answer(200, shown("v8", "Updating", encoded(t, a)), wait...)}, tc.play...)...)
			got, err := client(t, s.Server, nil).Apply(t.Context(), network.Ordinary(), shop(), create(tc.rules...))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(append([]string{"PUT shop"}, tc.want...), s.Seen(t)); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			if got.Version != "v9" {
				t.Errorf("version %q, want that of the last answer", got.Version)
			}
			for i, h := range s.Headers[1:] {
				if h.Get("If-Match") != "" || s.Bodies[i+1] != "" {
					t.Errorf("call %d has If-Match %q and the body %q", i+1, h.Get("If-Match"), s.Bodies[i+1])
				}
			}
		})
	}
}

func TestApplyRepeatsTheSameBody(t *testing.T) {
	a := mine("a", 100)
	s := play(t, refusal(500, "InternalServerError", "oh"), refusal(429, "RetryableErrorDueToAnotherOperation", "busy"),
		answer(200, shown("v8", "Succeeded", encoded(t, a))))
	if _, err := client(t, s.Server, nil).Apply(t.Context(), network.Ordinary(), shop(), create(a)); err != nil {
		t.Fatal(err)
	}
	s.Seen(t)
	if len(s.Bodies) != 3 || s.Bodies[0] != s.Bodies[1] || s.Bodies[1] != s.Bodies[2] || s.Headers[2].Get("If-Match") != `W/"7"` {
		t.Errorf("bodies %q", s.Bodies)
	}
}

// TestApplyOfUnknownFate holds that a write which may have taken effect is a conflict, so
// that the caller reads again, and keeps its cause.
func TestApplyOfUnknownFate(t *testing.T) {
	a := mine("a", 100)
	updating := answer(200, shown("v8", "Updating", encoded(t, a)), "Azure-AsyncOperation", operation)
	old := answer(200, shown(`W/\"7\"`, "Succeeded"))
	wider := a
	wider.Source, wider.Destination = jit.AnyPeer(), jit.AnyPeer()
	for _, tc := range []struct {
		name  string
		play  []http.HandlerFunc
		cause string
	}{
		{"reply lost every time", []http.HandlerFunc{cut, cut, cut}, "EOF"},
		{"reply lost, then the version has changed", []http.HandlerFunc{cut, refusal(412, "PreconditionFailed", "etag")}, "PreconditionFailed"},
		{"reply lost, then locked", []http.HandlerFunc{cut, refusal(409, "ScopeLocked", "frozen")}, "ScopeLocked"},
		{"failed at once", []http.HandlerFunc{answer(200, shown("v8", "Failed", encoded(t, a)), "Azure-AsyncOperation", operation)}, `ended as "Failed"`},
		{"superseded", []http.HandlerFunc{updating, old, answer(200, `{"status":"Canceled","error":{"code":"CanceledAndSupersededDueToAnotherOperation","message":"superseded"}}`)}, "CanceledAndSuperseded"},
		{"superseded, as the group shows", []http.HandlerFunc{updating, answer(200, shown("v9", "Succeeded"))}, "does not show"},
		{"failed", []http.HandlerFunc{updating, answer(200, shown("v9", "Failed", encoded(t, a))), answer(200, `{"status":"Failed","error":{"code":"InternalServerError","message":"broken"}}`)}, "broken"},
		{"poll throttled", []http.HandlerFunc{updating, old, refusal(429, "Throttled", "later", "Retry-After", "120")}, "Throttled"},
		{"gone at the end", []http.HandlerFunc{updating, refusal(404, "ResourceNotFound", "gone"), answer(200, `{"status":"Succeeded"}`), refusal(404, "ResourceNotFound", "gone")}, "ResourceNotFound"},
		{"another answer than asked for", []http.HandlerFunc{answer(200, shown("v8", "Succeeded"))}, "does not show"},
		{"a wider rule than asked for", []http.HandlerFunc{answer(200, shown("v8", "Succeeded", encoded(t, wider)))}, "does not show"},
		{"an answer without rules", []http.HandlerFunc{answer(200, `{"properties":{"provisioningState":"Succeeded"}}`)}, "securityRules"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := play(t, tc.play...)
			got, err := client(t, s.Server, nil).Apply(t.Context(), network.Ordinary(), shop(), create(a))
			if !errors.Is(err, store.ErrConflict) || !strings.Contains(err.Error(), tc.cause) || !strings.Contains(err.Error(), "apply rules to shop") {
				t.Errorf("error %v, want a conflict that says %s; snapshot %+v", err, tc.cause, got)
			}
			s.Seen(t)
		})
	}
	t.Run("still there after a delete", func(t *testing.T) {
		s := play(t, answer(200, shown("v8", "Succeeded", encoded(t, a))))
		_, err := client(t, s.Server, nil).Apply(t.Context(), network.Ordinary(), shop(encoded(t, a)), plan.Changes{Delete: []jit.Rule{a}})
		if !errors.Is(err, store.ErrConflict) {
			t.Errorf("error %v, want a conflict", err)
		}
	})
}

func TestApplyCutShortByItsCaller(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := play(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	_, err := client(t, s.Server, nil).Apply(ctx, network.Ordinary(), shop(), create(mine("a", 100)))
	if !errors.Is(err, store.ErrConflict) || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want a conflict because of the cancellation", err)
	}
	s.Seen(t)
	_, err = client(t, s.Server, nil).Apply(ctx, network.Ordinary(), shop(), create(mine("a", 100)))
	if errors.Is(err, store.ErrConflict) || !errors.Is(err, context.Canceled) {
		t.Errorf("before it was sent: error %v, want the cancellation alone", err)
	}
}

func TestNobodyAnswers(t *testing.T) {
	s := play(t)
	c := client(t, s.Server, nil)
	s.Server.Close()
	_, rules := c.Rules(t.Context(), network.Ordinary(), nsgID("shop"))
	_, all := c.All(t.Context(), network.Ordinary(), sub)
	_, apply := c.Apply(t.Context(), network.Ordinary(), shop(), create(mine("a", 100)))
	_, machines := c.Machines(t.Context(), sub)
	for name, err := range map[string]error{"Rules": rules, "All": all, "Apply": apply, "Machines": machines, "Ping": c.Ping(t.Context())} {
		if u, ok := isUnavailable(err); !ok || u.Dependency != "Azure Resource Manager" || errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: error %v, want *store.Unavailable", name, err)
		}
	}
}

func TestErrors(t *testing.T) {
	unavailable := func(after time.Duration) func(error) bool {
		return func(err error) bool {
			u, ok := isUnavailable(err)
			return ok && u.RetryAfter == after && u.Dependency == "Azure Resource Manager"
		}
	}
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	refused := func(err error) bool {
		var e *jit.Error
		return errors.As(err, &e) && e.Code == arm.CodeRefused && e.Target == nsgID("shop").String()
	}
	// Long past, so that the SDK tries again at once whatever the clock.
	date := []string{"Date", "Sat, 01 Jan 2000 12:00:00 GMT", "Retry-After", "Sat, 01 Jan 2000 12:02:00 GMT"}
	for _, tc := range []struct {
		name  string
		calls int
		play  http.HandlerFunc
		want  func(error) bool
		says  string
	}{
		{"the version has changed", 1, answer(412, `{"error":{"code":"PreconditionFailed","message":"Precondition failed.","details":[{"code":"PreconditionFailedEtagMismatch","message":"Etag does not match."}]}}`), is(store.ErrConflict), "PreconditionFailedEtagMismatch"},
		{"gone", 1, refusal(404, "ResourceNotFound", "not there"), is(store.ErrNotFound), "not there"},
		{"the group is gone", 1, refusal(404, "ResourceGroupNotFound", "not there"), is(store.ErrNotFound), "ResourceGroupNotFound"},
		{"locked", 1, refusal(409, "ScopeLocked", "remove the lock"), is(store.ErrLocked), "remove the lock"},
		{"subscription disabled", 1, refusal(409, "ReadOnlyDisabledSubscription", "disabled"), is(store.ErrLocked), "disabled"},
		{"no permission", 1, refusal(403, "AuthorizationFailed", "no write"), is(store.ErrForbidden), "no write"},
		{"against a policy", 1, refusal(403, "RequestDisallowedByPolicy", "policy says no"), is(store.ErrForbidden), "policy says no"},
		{"token refused", 1, refusal(401, "InvalidAuthenticationToken", "expired"), is(store.ErrForbidden), "expired"},
		{"too many rules", 1, refusal(400, "SecurityRuleCountLimitReached", "1000 rules"), refused, "SecurityRuleCountLimitReached: 1000 rules"},
		{"priority taken", 1, refusal(400, "SecurityRuleConflict", "same priority"), refused, "same priority"},
		{"other conflict", 1, refusal(409, "InvalidResourceLocation", "elsewhere"), refused, "elsewhere"},
		{"another operation, as a conflict", 1, refusal(409, "AnotherOperationInProgress", "busy"), unavailable(0), "busy"},
		{"another operation", 3, refusal(429, "RetryableErrorDueToAnotherOperation", "busy"), unavailable(0), "busy"},
		{"throttled for longer than the SDK waits", 1, refusal(429, "SubscriptionRequestsThrottled", "later", "Retry-After", "120"), unavailable(2 * time.Minute), "later"},
		{"throttled until a date", 3, refusal(429, "SubscriptionRequestsThrottled", "later", date...), unavailable(2 * time.Minute), "later"},
		{"throttled for milliseconds", 3, refusal(429, "SubscriptionRequestsThrottled", "later", "x-ms-retry-after-ms", "2"), unavailable(2 * time.Millisecond), "later"},
		{"down", 3, refusal(503, "ServiceUnavailable", "down"), unavailable(0), "down"},
		{"down, from something that is not ARM", 3, answer(502, "<html>bad gateway</html>"), unavailable(0), "502"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for name, call := range map[string]func(*nsg.Client) error{
				"read": func(c *nsg.Client) error {
					_, err := c.Rules(t.Context(), network.Ordinary(), nsgID("shop"))
					return err
				},
				"apply": func(c *nsg.Client) error {
					_, err := c.Apply(t.Context(), network.Ordinary(), shop(), create(mine("a", 100)))
					return err
				},
			} {
				s := play(t, slices.Repeat([]http.HandlerFunc{tc.play}, tc.calls)...)
				err := call(client(t, s.Server, nil))
				if !tc.want(err) || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), name+" rules") {
					t.Errorf("%s: error %v", name, err)
				}
				if err != nil && strings.Contains(err.Error(), "\n") {
					t.Errorf("%s: the error runs over several lines: %v", name, err)
				}
				if calls := s.Seen(t); len(calls) != tc.calls {
					t.Errorf("%s: %d calls, want %d", name, len(calls), tc.calls)
				}
			}
		})
	}
}

// TestRulesWaitsForTheWriteUnderWay: what an unfinished write shows is not taken for
// confirmed, and the state after a failed one is told.
func TestRulesWaitsForTheWriteUnderWay(t *testing.T) {
	s := play(t, answer(200, shown("1", "Updating")), answer(200, shown("1", "Updating")), answer(200, shown("2", "Succeeded")))
	snap, err := client(t, s.Server, nil).Rules(t.Context(), network.Ordinary(), nsgID("shop"))
	if err != nil || snap.Unconfirmed || !strings.Contains(snap.Version, "2") {
		t.Errorf("version %s, unconfirmed %t, error %v", snap.Version, snap.Unconfirmed, err)
	}
	if got := s.Seen(t); len(got) != 3 {
		t.Errorf("%d calls, want 3: %q", len(got), got)
	}
	s = play(t, answer(200, shown("3", "Failed")))
	if snap, err := client(t, s.Server, nil).Rules(t.Context(), network.Ordinary(), nsgID("shop")); err != nil || !snap.Unconfirmed {
		t.Errorf("after a failed write: unconfirmed %t, error %v", snap.Unconfirmed, err)
	}
}
