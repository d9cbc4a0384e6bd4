package handlers_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"portcullis/core/coretest"
)

// TestInitiate is rows W12 and W16 to W20: what an initiate refuses and grants.
func TestInitiate(t *testing.T) {
	const at = "virtualMachines[0].ports[0]"
	for _, tc := range []struct {
		name, port   string
		status       int
		code, target string // of a refusal
		want         string // of a grant
	}{
		{"W16 both ends", `"number":22,"duration":"PT1H","endTimeUtc":"2026-11-23T13:00:00Z"`, 400, "InvalidInitiateInput", at, ""},
		{"W16 neither end", `"number":22`, 400, "InvalidInitiateInput", at, ""},
		{"W16 null ends", `"number":22,"duration":null,"endTimeUtc":null`, 400, "InvalidInitiateInput", at, ""},
		{"W16 not a time", `"number":22,"endTimeUtc":"soon"`, 400, "InvalidInitiateInput", at + ".endTimeUtc", ""},
		{"W16 duration", `"number":22,"duration":"PT1H"`, 202, "", "", `"endTimeUtc":"2026-11-23T13:00:00.0000000Z"`},
		{"W12 a text", `"number":"22","duration":"PT1H"`, 202, "", "", `"number":22,`},
		{"W12 not a port", `"number":"22a","duration":"PT1H"`, 400, "InvalidPort", at + ".number", ""},
		{"W17 several sources", `"number":22,"duration":"PT10M","allowedSourceAddressPrefixes":["192.0.2.1","198.51.100.0/24"]`, 202, "", "", `"allowedSourceAddressPrefixes":["192.0.2.1","198.51.100.0/24"]`},
		{"W17 both forms", `"number":22,"duration":"PT10M","allowedSourceAddressPrefix":"192.0.2.1","allowedSourceAddressPrefixes":["192.0.2.2"]`, 400, "InvalidSourceAddressPrefix", at + ".allowedSourceAddressPrefix", ""},
		{"W17 null plural", `"number":22,"duration":"PT10M","allowedSourceAddressPrefix":"192.0.2.1","allowedSourceAddressPrefixes":null`, 202, "", "", `"allowedSourceAddressPrefix":"192.0.2.1"`},
		{"W18 no source", `"number":22,"duration":"PT10M"`, 202, "", "", `"allowedSourceAddressPrefix":"203.0.113.7"`},
		{"W18 null source", `"number":22,"duration":"PT10M","allowedSourceAddressPrefix":null`, 202, "", "", `"allowedSourceAddressPrefix":"203.0.113.7"`},
		{"W18 empty plural", `"number":22,"duration":"PT10M","allowedSourceAddressPrefixes":[]`, 202, "", "", `"allowedSourceAddressPrefix":"203.0.113.7"`},
		{"W19 joined by a space", `"number":22,"duration":"PT10M","allowedSourceAddressPrefix":"192.0.2.1/32 192.0.2.2/32"`, 400, "InvalidSourceAddressPrefix", at + ".allowedSourceAddressPrefix", "allowedSourceAddressPrefixes"},
		{"W19 joined by a comma", `"number":22,"duration":"PT10M","allowedSourceAddressPrefix":"192.0.2.1,192.0.2.2"`, 400, "InvalidSourceAddressPrefix", at + ".allowedSourceAddressPrefix", "allowedSourceAddressPrefixes"},
		{"W24 seven digits", `"number":22,"endTimeUtc":"2026-11-23T12:30:00.1239999Z"`, 202, "", "", `"endTimeUtc":"2026-11-23T12:30:00.1239999Z"`},
		{"W24 no digits", `"number":22,"endTimeUtc":"2026-11-23T12:30:00Z"`, 202, "", "", `"endTimeUtc":"2026-11-23T12:30:00.0000000Z"`},
		{"W24 an offset", `"number":22,"endTimeUtc":"2026-11-23T13:30:00+01:00"`, 202, "", "", `"endTimeUtc":"2026-11-23T12:30:00.0000000Z"`},
		{"an end in the past", `"number":22,"endTimeUtc":"2026-11-23T11:59:59Z"`, 400, "EndTimeInPast", at + ".endTimeUtc", ""},
		{"over the maximum", `"number":22,"duration":"PT3H1S"`, 400, "DurationOverMaximum", at + ".duration", ""},
		{"a port that the policy does not name", `"number":23,"duration":"PT1H"`, 400, "PortNotInPolicy", at + ".number", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newCompat(t)
			a.put(web)
			r := a.call("POST", policy+"/initiate"+version, initiate(web, "{"+tc.port+"}"))
			r.wants(t, tc.status, tc.code)
			if _, target := r.code(); target != tc.target || !strings.Contains(r.text, tc.want) {
				t.Errorf("target %q, want %q and %q in\n%s", target, tc.target, tc.want, r.text)
			}
			want := 0
			if tc.status == 202 {
				want = 1
			}
			if open, _ := a.store.OpenGrants(t.Context()); len(open) != want || a.allows("web-nsg") != want {
				t.Errorf("%d grants and %d rules, want %d", len(open), a.allows("web-nsg"), want)
			}
		})
	}
}

// TestW18: without the platform's hop the caller's address is not known, and nothing else is believed.
func TestW18(t *testing.T) {
	a := newCompat(t)
	a.put(web)
	r := httptest.NewRequest("POST", policy+"/initiate"+version, strings.NewReader(initiate(web, `{"number":22,"duration":"PT1H"}`)))
	r.Header.Set("Authorization", "Bearer test")
	r.Header.Set("X-Real-IP", "198.51.100.66")
	r.Header.Set("X-Client-IP", "198.51.100.66")
	a.do(r).wants(t, 400, "SourceAddressPrefixMissing")
}

// TestW20: a broken body is told before the policy is looked up.
func TestW20(t *testing.T) {
	a := newCompat(t)
	path := strings.Replace(policy, "/default", "/nosuch", 1) + "/initiate" + version
	a.call("POST", path, initiate(web, `{"number":22}`)).wants(t, 400, "InvalidInitiateInput")
	a.call("POST", path, initiate(web, `{"number":"x","duration":"PT1H"}`)).wants(t, 400, "InvalidPort")
	a.call("POST", path, `{}`).wants(t, 400, "VirtualMachinesMissing")
	a.call("POST", path, initiate(web, `{"number":22,"duration":"PT1H"}`)).wants(t, 404, "PolicyNotFound")
	a.put(web)
	a.call("POST", policy+"/initiate"+version, initiate(app1, `{"number":22,"duration":"PT1H"}`)).wants(t, 400, "VirtualMachineNotInPolicy")
}

func TestW21(t *testing.T) {
	a := newCompat(t)
	a.put(web)
	body := `{"justification":"patch \"day\" <b>","requestor":"mallory@example.com",` + initiate(web, `{"number":22,"duration":"PT1H"}`)[1:]
	for _, r := range []answer{a.call("POST", policy+"/initiate"+version, body), a.call("GET", policy+version, "")} {
		if !strings.Contains(r.text, `"requestor":"alice@example.com","justification":"patch \"day\" \u003cb\u003e"`) || strings.Contains(r.text, "mallory") {
			t.Errorf("%s", r.text)
		}
	}
}

// TestW22: every status and reason that a client can see is one of the contract's.
func TestW22(t *testing.T) {
	port := `{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"192.0.2.1"}`
	for _, tc := range []struct {
		name, want string
		do         func(*testing.T, *app)
	}{
		{"open", `"status":"Initiated","statusReason":"UserRequested"`, func(*testing.T, *app) {}},
		{"expired", `"status":"Revoked","statusReason":"Expired"`, func(t *testing.T, a *app) {
			a.leap(time.Hour)
			a.sweeps().wants(t, 200, "")
		}},
		{"superseded", `"status":"Revoked","statusReason":"NewerRequestInitiated"`, func(t *testing.T, a *app) {
			a.leap(time.Minute)
			a.call("POST", policy+"/initiate"+version, initiate(web, port)).wants(t, 202, "")
		}},
		{"revoked", `"status":"Revoked","statusReason":"UserRequested"`, func(t *testing.T, a *app) {
			open, _ := a.store.OpenGrants(t.Context())
			a.call("POST", "/api/requests/"+open[0].Grant.ID+"/revoke", "").wants(t, 200, "")
		}},
		{"the policy went and came again", `"status":"Revoked","statusReason":"UserRequested"`, func(t *testing.T, a *app) {
			a.put()
			a.put(web)
		}},
		{"never opened", `"status":"Revoked","statusReason":"Expired"`, func(t *testing.T, a *app) {
			a.call("POST", "/api/requests/"+a.openGrant()+"/revoke", "").wants(t, 200, "")
			a.leap(time.Minute)
			failed := false
			a.cloud.Fault = func(_ context.Context, s coretest.Step) error {
				if s.Op == "Apply" && !failed {
					failed = true
					return errors.New("broken")
				}
				return nil
			}
			a.call("POST", policy+"/initiate"+version, initiate(web, port)).wants(t, 500, "InternalServerError")
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newCompat(t)
			a.put(web)
			a.call("POST", policy+"/initiate"+version, initiate(web, port)).wants(t, 202, "")
			tc.do(t, a)
			r := a.call("GET", policy+version, "")
			if !strings.Contains(r.text, tc.want) {
				t.Errorf("%s\nlacks %s", r.text, tc.want)
			}
		})
	}
}

func (a *app) openGrant() string {
	a.t.Helper()
	open, err := a.store.OpenGrants(a.t.Context())
	if err != nil || len(open) != 1 {
		a.t.Fatalf("%d open grants, %v", len(open), err)
	}
	return open[0].Grant.ID
}
