package armsim_test

import (
	"net/http"
	"testing"
	"time"

	"portcullis/local/armsim"
)

// TestProviders checks what is said of resource providers, in any case of their names, and that nobody writes them here.
func TestProviders(t *testing.T) {
	r := newRig(t, armsim.Knobs{Providers: map[string]string{"Microsoft.Compute": "NotRegistered"}})
	const at = "/subscriptions/" + sub + "/providers/"
	r.want(405, "MethodNotAllowed", "PUT", at+"Microsoft.Network", "{}")
	for name, want := range map[string]string{"Microsoft.Network": "Registered", "microsoft.compute": "NotRegistered"} {
		if _, body := r.want(200, "", "GET", at+name, ""); body["registrationState"] != want || body["namespace"] != name {
			t.Errorf("%s: %v", name, body)
		}
	}
	if err := r.arm.Tune(func(k *armsim.Knobs) {
		k.Denied = []armsim.Denied{{Action: "Microsoft.Resources/subscriptions/providers/read"}}
	}); err != nil {
		t.Fatal(err)
	}
	r.want(403, "AuthorizationFailed", "GET", at+"Microsoft.Network", "")
}

// TestAhead checks that answers tell of the clock that the knob makes wrong, refusals too.
func TestAhead(t *testing.T) {
	r := newRig(t, armsim.Knobs{Ahead: armsim.Duration(2 * time.Minute)})
	for _, path := range []string{"/subscriptions/" + sub + "/providers/Microsoft.Network", "/nothing"} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", r.url+path+"?api-version=2025-05-01", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer alice")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		at, err := http.ParseTime(res.Header.Get("Date"))
		if want := r.clock.Now().Add(2 * time.Minute).Truncate(time.Second); err != nil || !at.Equal(want) {
			t.Errorf("%s: %v, want %v (%v)", path, at, want, err)
		}
	}
}
