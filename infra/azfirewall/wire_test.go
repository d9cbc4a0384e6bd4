package azfirewall_test

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

	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/store"
	"portcullis/infra/arm"
	"portcullis/infra/azfirewall"
	"portcullis/local/armsim"
)

func TestFirewallConformance(t *testing.T) {
	for _, tc := range []struct {
		name  string
		knobs armsim.Knobs
	}{
		{"Updating", armsim.Knobs{PageSize: 2}},
		{"Succeeded", armsim.Knobs{PageSize: 2, Firewalls: armsim.Writes{Answer: armsim.AnswerSucceeded}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			coretest.TestFirewall(t, coretest.NATRules(public), func(t *testing.T) (network.RuleStore, coretest.FirewallFixture) {
				r := newRig(t, tc.knobs)
				return r, r
			})
		})
	}
}

// shown is the firewall gate as ARM would show it, with version and state.
func shown(version, state string, collections ...string) string {
	s := strings.Replace(string(gate(collections...).Body), `W/\"7\"`, version, 1)
	return strings.Replace(s, `"provisioningState":"Succeeded"`, `"provisioningState":"`+state+`"`, 1)
}

// unchanged answers the read before a write with the version of gate.
func unchanged() http.HandlerFunc {
	return answer(200, string(gate().Body))
}

func create(rules ...jit.Rule) plan.Changes { return plan.Changes{Create: rules} }

const (
	operation = "{host}/subscriptions/" + sub + "/providers/Microsoft.Network/locations/westeurope/operations/op?api-version=2025-05-01"
	ipDoc     = `{"properties":{"ipAddress":"198.51.100.1"}}`
)

func TestRulesReadsEveryCollection(t *testing.T) {
	a := mine("a", 50022)
	want := shown("v1", "Succeeded", append(theirs(), ourCollection(t, 100, a))...)
	s := play(t, answer(200, want), answer(200, ipDoc), answer(200, want))
	c := client(t, s.Server, nil)
	got, err := c.Rules(t.Context(), network.Ordinary(), fwID("gate"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range got.Rules {
		names = append(names, r.Name)
	}
	if diff := cmp.Diff([]string{"portcullis-a", "web-traffic", "/Portcullis-not-ours/portcullis-decoy", "/Portcullis-not-ours/web-traffic"}, names); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	if string(got.Body) != want || got.Version != "v1" || got.Unconfirmed || !slices.Equal(got.Addresses, []netip.Addr{public}) || !got.Rules[0].Equal(a) {
		t.Errorf("snapshot %+v", got)
	}
	if _, err := c.Rules(t.Context(), network.Ordinary(), fwID("gate")); err != nil { // addresses are cached
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"GET gate", "GET ip", "GET gate"}, s.Seen(t)); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// TestManaged: classic rules have no effect with a policy or a hub, and nothing is written there.
func TestManaged(t *testing.T) {
	managed := strings.Replace(string(gate().Body), `"firewallPolicy":null`, `"firewallPolicy":{"id":"/p"}`, 1)
	// It may show no classic rules at all.
	hub := `{"id":"` + fwID("hub").String() + `","etag":"1","properties":{"virtualHub":{"id":"/h"}}}`
	refused := func(what string, err error) {
		t.Helper()
		var e *jit.Error
		if !errors.As(err, &e) || e.Code != azfirewall.CodeManaged || e.Target == "" || !strings.Contains(e.Message, "gate") {
			t.Errorf("%s: error %v", what, err)
		}
	}
	s := play(t, answer(200, managed), answer(200, `{"value":[`+managed+`,`+hub+`]}`))
	c := client(t, s.Server, nil)
	_, err := c.Rules(t.Context(), network.Ordinary(), fwID("gate"))
	refused("Rules", err)
	snap := gate()
	snap.Body = []byte(managed)
	_, err = c.Apply(t.Context(), network.Ordinary(), snap, create(mine("a", 50022)))
	refused("Apply", err)
	if list, err := c.All(t.Context(), network.Ordinary(), sub); err != nil || len(list) != 0 {
		t.Errorf("All gave %d firewalls and %v, want none", len(list), err)
	}
	if diff := cmp.Diff([]string{"GET gate", "GET azureFirewalls"}, s.Seen(t)); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestApplySendsOneConditionalPut(t *testing.T) {
	a := mine("a", 50022)
	before, after := gate(theirs()...), append(theirs(), ourCollection(t, 64999, a))
	before.Addresses = []netip.Addr{public}
	s := play(t, answer(200, string(before.Body)), answer(200, shown("v8", "Succeeded", after...), "Azure-AsyncOperation", operation))
	got, err := client(t, s.Server, nil).Apply(t.Context(), network.Ordinary(), before, create(a))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"GET gate", "PUT gate"}, s.Seen(t)); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(head+"["+strings.Join(after, ",")+"]"+tail, s.Bodies[1]); diff != "" {
		t.Errorf("body on the wire (-want +got):\n%s", diff)
	}
	for name, want := range map[string]string{"If-Match": `W/"7"`, "Content-Type": "application/json", "Authorization": "Bearer app"} {
		if got := s.Headers[1].Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got.Version != "v8" || !slices.ContainsFunc(got.Rules, a.Equal) || !slices.Equal(got.Addresses, before.Addresses) {
		t.Errorf("snapshot %+v", got)
	}
}

// TestApplyLooksOnceMore: if the firewall has changed, nothing is sent, whether ARM honours If-Match or not.
func TestApplyLooksOnceMore(t *testing.T) {
	for _, tc := range []struct {
		name string
		look http.HandlerFunc
		want error
	}{
		{"changed", answer(200, shown("v8", "Succeeded")), store.ErrConflict},
		{"gone", refusal(404, "ResourceNotFound", "not there"), store.ErrNotFound},
		{"not to be seen", refusal(403, "AuthorizationFailed", "no"), store.ErrForbidden},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := play(t, tc.look)
			_, err := client(t, s.Server, nil).Apply(t.Context(), network.Ordinary(), gate(), create(mine("a", 50022)))
			if !errors.Is(err, tc.want) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
			if calls := s.Seen(t); len(calls) != 1 {
				t.Errorf("calls %v, want the look alone", calls)
			}
		})
	}
}

// TestApplyFollowsAWriteOfMinutes polls until the end and then reads the firewall.
func TestApplyFollowsAWriteOfMinutes(t *testing.T) {
	a := mine("a", 50022)
	ours := ourCollection(t, 65000, a)
	play5 := []http.HandlerFunc{unchanged(), answer(200, shown("v8", "Updating", ours), "Azure-AsyncOperation", operation, "retry-after-ms", "1")}
	for range 20 {
		play5 = append(play5, answer(200, `{"status":"InProgress"}`))
	}
	play5 = append(play5, refusal(503, "ServiceUnavailable", "a moment"), answer(200, `{"status":"Succeeded"}`), answer(200, shown("v9", "Succeeded", ours)))
	s := play(t, play5...)
	got, err := client(t, s.Server, nil).Apply(t.Context(), network.Ordinary(), gate(), create(a))
	if err != nil {
		t.Fatal(err)
	}
	if calls := s.Seen(t); len(calls) != len(play5) || calls[len(calls)-1] != "GET gate" {
		t.Errorf("calls %v", calls)
	}
	if got.Version != "v9" {
		t.Errorf("version %q, want that of the last answer", got.Version)
	}
}

// TestApplyOfUnknownFate checks that a write that may have taken effect is a conflict, so that the caller reads
// again, and that the error keeps its cause.
func TestApplyOfUnknownFate(t *testing.T) {
	a := mine("a", 50022)
	ours := ourCollection(t, 65000, a)
	updating := answer(200, shown("v8", "Updating", ours), "Azure-AsyncOperation", operation)
	wider := mine("a", 50022, func(r *jit.Rule) { r.Source = jit.AnyPeer() })
	other := mine("a", 50022, func(r *jit.Rule) { r.Translated = netip.MustParseAddrPort("10.0.1.5:22") })
	for _, tc := range []struct {
		name  string
		play  []http.HandlerFunc
		cause string
	}{
		{"reply lost every time", []http.HandlerFunc{cut, cut, cut}, "EOF"},
		{"reply lost, then the version has changed", []http.HandlerFunc{cut, refusal(412, "PreconditionFailed", "etag")}, "PreconditionFailed"},
		{"failed at once", []http.HandlerFunc{answer(200, shown("v8", "Failed", ours), "Azure-AsyncOperation", operation)}, `ended as "Failed"`},
		{"superseded", []http.HandlerFunc{updating, answer(200, `{"status":"Canceled","error":{"code":"CanceledAndSupersededDueToAnotherOperation","message":"superseded"}}`)}, "CanceledAndSuperseded"},
		{"failed", []http.HandlerFunc{updating, answer(200, `{"status":"Failed","error":{"code":"InternalServerError","message":"broken"}}`)}, "broken"},
		{"refused by another operation after it was accepted", []http.HandlerFunc{updating, answer(200, `{"status":"Failed","error":{"code":"AnotherOperationInProgress","message":"busy"}}`)}, "AnotherOperationInProgress"},
		{"poll throttled", []http.HandlerFunc{updating, refusal(429, "Throttled", "later", "Retry-After", "120")}, "Throttled"},
		{"gone at the end", []http.HandlerFunc{updating, answer(200, `{"status":"Succeeded"}`), refusal(404, "ResourceNotFound", "gone")}, "ResourceNotFound"},
		{"another answer than asked for", []http.HandlerFunc{answer(200, shown("v8", "Succeeded"))}, "does not show"},
		{"a wider rule than asked for", []http.HandlerFunc{answer(200, shown("v8", "Succeeded", ourCollection(t, 65000, wider)))}, "does not show"},
		{"a rule that leads elsewhere", []http.HandlerFunc{answer(200, shown("v8", "Succeeded", ourCollection(t, 65000, other)))}, "does not show"},
		{"the rule in a collection of others", []http.HandlerFunc{answer(200, shown("v8", "Succeeded", strings.Replace(ours, `"portcullis"`, `"theirs"`, 1)))}, "does not show"},
		{"an answer without collections", []http.HandlerFunc{answer(200, `{"properties":{"provisioningState":"Succeeded"}}`)}, "natRuleCollections"},
		{"a policy came meanwhile", []http.HandlerFunc{answer(200, strings.Replace(shown("v8", "Succeeded", ours), `"firewallPolicy":null`, `"firewallPolicy":{"id":"/p"}`, 1))}, "firewall policy"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := play(t, append([]http.HandlerFunc{unchanged()}, tc.play...)...)
			got, err := client(t, s.Server, nil).Apply(t.Context(), network.Ordinary(), gate(), create(a))
			if !errors.Is(err, store.ErrConflict) || !strings.Contains(err.Error(), tc.cause) || !strings.Contains(err.Error(), "apply NAT rules to gate") {
				t.Errorf("error %v, want a conflict that says %s; snapshot %+v", err, tc.cause, got)
			}
			s.Seen(t)
		})
	}
	t.Run("still there after a delete", func(t *testing.T) {
		s := play(t, answer(200, string(gate(ours).Body)), answer(200, shown("v8", "Succeeded", ours)))
		if _, err := client(t, s.Server, nil).Apply(t.Context(), network.Ordinary(), gate(ours), plan.Changes{Delete: []jit.Rule{a}}); !errors.Is(err, store.ErrConflict) {
			t.Errorf("error %v, want a conflict", err)
		}
	})
	t.Run("the caller goes away", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := play(t, unchanged(), updating, func(_ http.ResponseWriter, r *http.Request) {
			cancel()
			<-r.Context().Done()
		})
		if _, err := client(t, s.Server, nil).Apply(ctx, network.Ordinary(), gate(), create(a)); !errors.Is(err, store.ErrConflict) || !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want a conflict because of the cancellation", err)
		}
	})
}

// TestApplyTellsOfWhatDiffers: the response shows our rule, and that somebody else wrote meanwhile, which can
// happen if If-Match is not honoured.
func TestApplyTellsOfWhatDiffers(t *testing.T) {
	a := mine("a", 50022)
	f := theirs()
	s := play(t, answer(200, string(gate(f[0]).Body)), answer(200, strings.Replace(shown("v8", "Succeeded", f[0], f[2], ourCollection(t, 65000, a)), `"z":"1"`, `"z":"2"`, 1)))
	var told []string
	c := client(t, s.Server, func(cfg *azfirewall.Config) {
		cfg.Differs = func(id jit.ID, members []string) { told = append(told, id.Name+" "+strings.Join(members, ",")) }
	})
	_, err := c.Apply(t.Context(), network.Ordinary(), gate(f[0]), create(a))
	if !errors.Is(err, store.ErrConflict) || !strings.Contains(err.Error(), "another tags, natRuleCollections than was sent") {
		t.Errorf("error %v", err)
	}
	if diff := cmp.Diff([]string{"gate tags,natRuleCollections"}, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
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
	for _, tc := range []struct {
		name  string
		calls int
		play  http.HandlerFunc
		want  func(error) bool
		says  string
	}{
		{"the version has changed", 1, refusal(412, "PreconditionFailed", "etag"), is(store.ErrConflict), "PreconditionFailed"},
		{"gone", 1, refusal(404, "ResourceNotFound", "not there"), is(store.ErrNotFound), "not there"},
		{"locked", 1, refusal(409, "ScopeLocked", "remove the lock"), is(store.ErrLocked), "remove the lock"},
		{"no permission", 1, refusal(403, "AuthorizationFailed", "no write"), is(store.ErrForbidden), "no write"},
		{"no permission on an address", 1, refusal(403, "LinkedAuthorizationFailed", "no join"), is(store.ErrForbidden), "no join"},
		{"another write under way", 1, refusal(409, "AnotherOperationInProgress", "busy"), unavailable(0), "busy"},
		{"throttled for longer than the SDK waits", 1, refusal(429, "SubscriptionRequestsThrottled", "later", "Retry-After", "120"), unavailable(2 * time.Minute), "later"},
		{"down", 3, refusal(503, "ServiceUnavailable", "down"), unavailable(0), "down"},
		{"a limit", 1, refusal(400, "AzureFirewallDnatDestinationLimitReached", "250"), func(err error) bool {
			var e *jit.Error
			return errors.As(err, &e) && e.Code == arm.CodeRefused && e.Target == fwID("gate").String()
		}, "AzureFirewallDnatDestinationLimitReached: 250"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for name, call := range map[string]func(*azfirewall.Client) error{
				"read": func(c *azfirewall.Client) error {
					_, err := c.Rules(t.Context(), network.Ordinary(), fwID("gate"))
					return err
				},
				"apply": func(c *azfirewall.Client) error {
					_, err := c.Apply(t.Context(), network.Ordinary(), gate(), create(mine("a", 50022)))
					return err
				},
			} {
				answers := slices.Repeat([]http.HandlerFunc{tc.play}, tc.calls)
				if name == "apply" {
					answers = append([]http.HandlerFunc{unchanged()}, answers...)
				}
				s := play(t, answers...)
				err := call(client(t, s.Server, nil))
				if !tc.want(err) || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), name+" NAT rules") {
					t.Errorf("%s: error %v", name, err)
				}
				s.Seen(t)
			}
		})
	}
}

// TestRulesWaitsForTheWriteUnderWay: the content of an unfinished write does not count as confirmed, and a failed
// write is reported. All does not wait.
func TestRulesWaitsForTheWriteUnderWay(t *testing.T) {
	updating := answer(200, shown("1", "Updating"))
	s := play(t, updating, updating, answer(200, shown("2", "Succeeded")), answer(200, ipDoc), answer(200, `{"value":[`+shown("3", "Updating")+`]}`), answer(200, shown("4", "Failed")))
	c := client(t, s.Server, nil)
	if snap, err := c.Rules(t.Context(), network.Ordinary(), fwID("gate")); err != nil || snap.Unconfirmed || snap.Version != "2" {
		t.Errorf("version %s, unconfirmed %t, error %v", snap.Version, snap.Unconfirmed, err)
	}
	if list, err := c.All(t.Context(), network.Ordinary(), sub); err != nil || len(list) != 1 || !list[0].Unconfirmed || list[0].Target != fwID("GATE") && !list[0].Target.Equal(fwID("gate")) {
		t.Errorf("All: %+v, %v", list, err)
	}
	if snap, err := c.Rules(t.Context(), network.Ordinary(), fwID("gate")); err != nil || !snap.Unconfirmed {
		t.Errorf("after a failed write: unconfirmed %t, error %v", snap.Unconfirmed, err)
	}
	s.Seen(t)
}
