package rbac_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"portcullis/core/store"
	"portcullis/infra/arm"
	"portcullis/infra/arm/armtest"
	"portcullis/infra/rbac"
	"portcullis/local/armsim"
)

func TestNewRefuses(t *testing.T) {
	insecure := rbac.Config{Connection: arm.Connection{Endpoint: "http://203.0.113.7", Audience: "x"}}
	insecure.Options.InsecureAllowCredentialWithHTTP = true
	for _, tc := range []struct {
		name string
		cred azcore.TokenCredential
		cfg  rbac.Config
		want string
	}{
		{"no credential", nil, rbac.Config{}, "no credential"},
		{"an endpoint without an audience", armtest.Credential("app"), rbac.Config{Connection: arm.Connection{Endpoint: "https://example.com"}}, "both Endpoint and Audience"},
		{"an audience without an endpoint", armtest.Credential("app"), rbac.Config{Connection: arm.Connection{Audience: "x"}}, "both Endpoint and Audience"},
		{"a token in the clear", armtest.Credential("app"), insecure, "plain HTTP"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := rbac.New(tc.cred, tc.cfg); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
	if _, err := rbac.New(armtest.Credential("app"), rbac.Config{}); err != nil {
		t.Errorf("the public cloud: %v", err)
	}
}

// TestErrors checks that nothing is permitted while ARM cannot be read, that every kind of failure has its error,
// and that the only cached error, briefly, is that the app may not read.
func TestErrors(t *testing.T) {
	down := func(err error) bool {
		u, ok := errors.AsType[*store.Unavailable](err)
		return ok && u.Dependency == "Azure Resource Manager"
	}
	forbidden := func(err error) bool { return errors.Is(err, store.ErrForbidden) }
	plain := func(err error) bool { return err != nil && !down(err) && !forbidden(err) }
	body := func(code string) string { return `{"error":{"code":"` + code + `","message":"secret of the tenant"}}` }
	const good = `{"value":[]}`
	const role = "44444444-4444-4444-4444-444444444444"
	assigned := `{"value":[{"id":"/x","properties":{"scope":"` + inSub + `","principalId":"` + ann + `","roleDefinitionId":"/providers/Microsoft.Authorization/roleDefinitions/` + role + `"}}]}`
	definition := `{"properties":{"permissions":[{"actions":["*"]}]}}`
	grouped := `{"value":[{"properties":{"scope":"/","principals":[{"id":"` + team + `","type":"Group"}],"permissions":[{"actions":["x/y"]}]}}]}`
	type faulty struct {
		status int
		text   string
		header string // Retry-After
	}
	for _, tc := range []struct {
		name  string
		fault faulty
		is    func(error) bool
		wait  time.Duration
	}{
		{"the app may not read them", faulty{403, body("AuthorizationFailed"), ""}, forbidden, 0},
		{"the app's token is refused", faulty{401, body("InvalidAuthenticationTokenTenant"), ""}, forbidden, 0},
		{"throttled", faulty{429, body("TooManyRequests"), "17"}, down, 17 * time.Second},
		{"throttled for ever", faulty{429, body("TooManyRequests"), "99999999999"}, down, 0},
		{"a fault of ARM", faulty{500, body("InternalServerError"), "-5"}, down, 0},
		{"no ARM", faulty{503, "", ""}, down, 0},
		{"a refusal of no known kind", faulty{400, body("InvalidApiVersionParameter"), ""}, plain, 0},
		{"no JSON", faulty{200, "<html>", ""}, down, 0},
		{"JSON of another form", faulty{200, `{"value":"x","properties":"x"}`, ""}, down, 0},
		{"cut off", faulty{200, good[:7], ""}, down, 0},
	} {
		for _, at := range []string{"roleAssignments", "denyAssignments of a caller", "denyAssignments", "roleDefinitions"} {
			t.Run(tc.name+"/"+at, func(t *testing.T) {
				broken, now := true, &clock{now: time.Unix(1000, 0)}
				a := answering(t, now, func(w http.ResponseWriter, r *http.Request) {
					kind, text := "roleAssignments", assigned
					switch {
					case strings.Contains(r.URL.Path, "roleDefinitions"):
						kind, text = "roleDefinitions", definition
					case strings.Contains(r.URL.Path, "denyAssignments") && r.URL.Query().Has("$filter"):
						kind, text = "denyAssignments of a caller", good
					case strings.Contains(r.URL.Path, "denyAssignments"):
						kind, text = "denyAssignments", grouped
					}
					w.Header().Set("Content-Type", "application/json")
					if broken && kind == at {
						w.Header().Set("Retry-After", tc.fault.header)
						w.WriteHeader(tc.fault.status)
						text = tc.fault.text
					}
					_, _ = w.Write([]byte(text))
				})
				got, err := a.Missing(t.Context(), caller(ann), web, initiate)
				if !tc.is(err) || got != "" {
					t.Errorf("missing %q, error %v", got, err)
				}
				if err != nil && strings.Contains(err.Error(), "secret") && !down(err) {
					t.Errorf("the error says more than what failed: %v", err)
				}
				if u, ok := errors.AsType[*store.Unavailable](err); ok && u.RetryAfter != tc.wait {
					t.Errorf("wait %v, want %v", u.RetryAfter, tc.wait)
				}
				broken = false
				if forbidden(err) {
					now.advance(rbac.ForbiddenLife - 1)
					if got, err := a.Missing(t.Context(), caller(ann), web, initiate); got != "" || !forbidden(err) {
						t.Errorf("a moment later: missing %q, %v", got, err)
					}
					now.advance(1)
				}
				if got, err := a.Missing(t.Context(), caller(ann), web, initiate); got != "" || err != nil {
					t.Errorf("after the fault: missing %q, %v", got, err)
				}
			})
		}
	}
}

// TestOddAnswers checks that values missing from ARM's responses never permit anything.
func TestOddAnswers(t *testing.T) {
	const role = "44444444-4444-4444-4444-444444444444"
	grants := func(properties string) string {
		return `{"value":[null,{},{"properties":null},{"properties":{}},` + properties + `]}`
	}
	good := `{"properties":{"scope":"` + inSub + `","roleDefinitionId":"/providers/Microsoft.Authorization/roleDefinitions/` + role + `"}}`
	const all = `{"properties":{"permissions":[{"actions":["*"]}]}}`
	for _, tc := range []struct {
		name, grants, role, deny string
		want                     string
		fails                    bool
	}{
		{"an assignment without a scope", grants(strings.Replace(good, `"scope"`, `"at"`, 1)), all, `{}`, initiate, false},
		{"an assignment with an empty scope", grants(strings.Replace(good, inSub, "", 1)), all, `{}`, initiate, false},
		{"an assignment without a role", grants(strings.Replace(good, `"roleDefinitionId"`, `"role"`, 1)), all, `{}`, initiate, false},
		{"an assignment of a policy with the id of a role", grants(strings.Replace(good, "roleDefinitions", "policyDefinitions", 1)), all, `{}`, initiate, false},
		{"an assignment of a role with a longer id", grants(strings.Replace(good, role, "x"+role, 1)), all, `{}`, initiate, false},
		{"a role without properties", grants(good), `{}`, `{}`, initiate, false},
		{"a role without permissions", grants(good), `{"properties":{"permissions":[null,{}]}}`, `{}`, initiate, false},
		{"a role with an action that is null", grants(good), `{"properties":{"permissions":[{"actions":[null]}]}}`, `{}`, initiate, false},
		{"a role with a notAction that is null", grants(good), `{"properties":{"permissions":[{"actions":["*"],"notActions":[null]}]}}`, `{}`, initiate, false},
		{"a role with data actions only", grants(good), `{"properties":{"permissions":[{"dataActions":["*"]}]}}`, `{}`, initiate, false},
		{"a deny assignment that is null", grants(good), all, `{"value":[null]}`, "", true},
		{"a deny assignment without properties", grants(good), all, `{"value":[{}]}`, "", true},
		{"a deny assignment without a scope", grants(good), all, `{"value":[{"properties":{"permissions":[{"actions":["*"]}]}}]}`, initiate, false},
		{"a deny assignment at a scope of no known form", grants(good), all, `{"value":[{"properties":{"scope":"x","doNotApplyToChildScopes":true,"permissions":[{"actions":["*"]}]}}]}`, initiate, false},
		{"a deny assignment to null", grants(good), all, `{"value":[{"properties":{"scope":"/","principals":[null],"permissions":[{"actions":["*"]}]}}]}`, initiate, false},
		{"a deny assignment to somebody without an id", grants(good), all, `{"value":[{"properties":{"scope":"/","principals":[{"type":"User"}],"permissions":[{"actions":["*"]}]}}]}`, initiate, false},
		{"a deny assignment to everybody by another id", grants(good), all, `{"value":[{"properties":{"scope":"/","principals":[{"id":"` + bob + `","type":"SYSTEMDEFINED"}],"permissions":[{"actions":["*"]}]}}]}`, initiate, false},
		{"a deny assignment that excludes null", grants(good), all, `{"value":[{"properties":{"scope":"/","excludePrincipals":[null,{}],"permissions":[{"actions":["*"]}]}}]}`, initiate, false},
		{"a deny assignment of an action that is null", grants(good), all, `{"value":[{"properties":{"scope":"/","permissions":[null,{"actions":[null],"notActions":[null]}]}}]}`, initiate, false},
		{"nothing odd", grants(good), all, `{}`, "", false},
		{"a deny assignment of data actions", grants(good), all, `{"value":[{"properties":{"scope":"/","permissions":[{"dataActions":["*"]}]}}]}`, "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := answering(t, &clock{now: time.Unix(1000, 0)}, func(w http.ResponseWriter, r *http.Request) {
				text := tc.deny
				switch {
				case r.URL.Query().Has("$filter") && strings.HasSuffix(r.URL.Path, "/denyAssignments"):
					text = `{}` // none names ann
				case strings.HasSuffix(r.URL.Path, "/roleAssignments"):
					text = tc.grants
				case strings.Contains(r.URL.Path, "/roleDefinitions/"):
					text = tc.role
				}
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write([]byte(text))
			})
			got, err := a.Missing(t.Context(), caller(ann), web, initiate)
			if got != tc.want || (err != nil) != tc.fails {
				t.Errorf("missing %q, %v; want %q, an error %v", got, err, tc.want, tc.fails)
			}
		})
	}
}

// TestEndlessLists checks that an endless list is an error.
func TestEndlessLists(t *testing.T) {
	for items, most := range map[int]int{0: 201, 500: 41} {
		n := 0
		var url string
		a := answering(t, &clock{now: time.Unix(1000, 0)}, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if !strings.HasSuffix(r.URL.Path, "/roleAssignments") {
				_, _ = w.Write([]byte(`{}`))
				return
			}
			n++
			url = "http://" + r.Host + r.URL.Path + "?page=" + fmt.Sprint(n)
			_, _ = w.Write([]byte(`{"value":[` + strings.TrimSuffix(strings.Repeat("{},", items), ",") + `],"nextLink":"` + url + `"}`))
		})
		got, err := a.Missing(t.Context(), caller(ann), web, initiate)
		if err == nil || got != "" || n > most {
			t.Errorf("%d items in a page: missing %q, %v after %d pages", items, got, err, n)
		}
	}
}

// TestListIsGoneHalfway checks that a list whose second page is not found does not count as complete.
func TestListIsGoneHalfway(t *testing.T) {
	a := answering(t, &clock{now: time.Unix(1000, 0)}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("page") {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"value":[],"nextLink":"http://` + r.Host + r.URL.Path + `?page=2"}`))
	})
	if got, err := a.Missing(t.Context(), caller(ann), web, initiate); got != "" || err == nil {
		t.Errorf("missing %q, %v", got, err)
	}
}

// TestSubscriptionIsGone checks that nobody has permissions in a subscription that does not exist, and that this
// is cached.
func TestSubscriptionIsGone(t *testing.T) {
	var n atomic.Int32 // the lists are read concurrently
	a := answering(t, &clock{now: time.Unix(1000, 0)}, func(w http.ResponseWriter, _ *http.Request) {
		n.Add(1)
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"error":{"code":"SubscriptionNotFound","message":"x"}}`))
	})
	for range 3 {
		if got, err := a.Missing(t.Context(), caller(ann), web, initiate); got != initiate || err != nil {
			t.Errorf("missing %q, %v", got, err)
		}
	}
	if n.Load() != 2 {
		t.Errorf("%d calls, want the two lists once", n.Load())
	}
}

// TestNobodyAnswers checks that a failed connection or a missing token counts as ARM being down.
func TestNobodyAnswers(t *testing.T) {
	h := httptest.NewServer(http.NotFoundHandler())
	a := authority(t, h, &clock{})
	h.Close()
	_, err := a.Missing(t.Context(), caller(ann), web, initiate)
	if _, ok := errors.AsType[*store.Unavailable](err); !ok {
		t.Errorf("no server: %v", err)
	}
	a, err = rbac.New(noToken{}, rbac.Config{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.Missing(t.Context(), caller(ann), web, initiate)
	if _, ok := errors.AsType[*store.Unavailable](err); !ok {
		t.Errorf("no token: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := a.Missing(ctx, caller(ann), web, initiate); got != "" || err == nil {
		t.Errorf("a caller who has gone: missing %q, %v", got, err)
	}
}

type noToken struct{}

func (noToken) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{}, errors.New("the identity endpoint is down")
}

// TestDeniedApp checks the effect of each of the app's own missing permissions.
func TestDeniedApp(t *testing.T) {
	for _, action := range []string{"roleAssignments/read", "roleDefinitions/read", "denyAssignments/read"} {
		r := newRig(t)
		r.grant(grant{actions: list("*")})
		if err := r.arm.Tune(func(k *armsim.Knobs) {
			k.Denied = []armsim.Denied{{Principal: "app", Action: "Microsoft.Authorization/" + action}}
		}); err != nil {
			t.Fatal(err)
		}
		if got, err := r.Missing(t.Context(), caller(ann), web, initiate); got != "" || !errors.Is(err, store.ErrForbidden) {
			t.Errorf("without %s: missing %q, %v", action, got, err)
		}
	}
}
