package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestDecidesWhatIsNotHis: approving and denying of oneself, twice, after the decision, after the end, without the right and of another
// installation. Each has a code of its own, also dry; nothing is half done, nobody is told, and no log holds a secret.
func TestDecidesWhatIsNotHis(t *testing.T) {
	address, told := receiver(t, 202)
	with := map[string]string{"PORTCULLIS_TELL": "webhook", "PORTCULLIS_TELL_WEBHOOK": address}
	other := newInstallation(t, with)
	approves := func(i *installation, as, id, digest string) {
		i.must(200, as, "POST", "/api/requests/"+id+"/approve", `{"digest":"`+digest+`"}`)
	}
	denies := func(i *installation, as, id, _ string) {
		i.must(200, as, "POST", "/api/requests/"+id+"/deny", `{"justification":"no"}`)
	}
	for _, tc := range []struct {
		name   string
		as     string
		before func(i *installation, id, digest string)
		swaps  func(id, digest string) (string, string) // what is sent instead
		status int
		code   string
		deny   string // its code for a denial, where that is another one
	}{
		{name: "himself", as: "alice", status: 403, code: "OwnRequest"},
		{name: "twice", as: "bob", before: func(i *installation, id, digest string) { approves(i, "bob", id, digest) }, status: 409, code: "AlreadyApproved", deny: "-"},
		{name: "after it was approved", as: "bob", before: func(i *installation, id, digest string) {
			approves(i, "bob", id, digest)
			approves(i, "ben", id, digest)
		}, status: 409, code: "RequestNotWaiting"},
		{name: "after it was denied", as: "bob", before: func(i *installation, id, digest string) { denies(i, "ben", id, digest) }, status: 409, code: "RequestNotWaiting"},
		{name: "after it was cancelled", as: "bob", before: func(i *installation, id, _ string) {
			i.must(200, "alice", "POST", "/api/requests/"+id+"/revoke", "")
		}, status: 409, code: "RequestNotWaiting"},
		{name: "after the end of the wait", as: "bob", before: func(i *installation, _, _ string) { i.leap(time.Hour) }, status: 409, code: "ApprovalExpired"},
		{name: "after the end of the wait, which a sweep has noted", as: "bob", before: func(i *installation, _, _ string) {
			i.leap(time.Hour)
			i.must(200, "bob", "POST", "/api/sweep", "")
		}, status: 409, code: "ApprovalExpired"},
		{name: "after the end of the window", as: "bob", before: func(i *installation, id, digest string) {
			approves(i, "bob", id, digest)
			approves(i, "ben", id, digest)
			i.leap(3 * time.Hour)
			i.must(200, "bob", "POST", "/api/sweep", "")
		}, status: 409, code: "RequestNotWaiting"},
		{name: "without the right", as: "eve", status: 403, code: "AuthorizationFailed"},
		{name: "who may not even look", as: "mallory", status: 404, code: "RequestNotFound"},
		{name: "of another installation", as: "bob", swaps: func(string, string) (string, string) { return other.asks("22", "203.0.113.7", "elsewhere") }, status: 404, code: "RequestNotFound"},
		{name: "with the digest of another installation", as: "bob", swaps: func(id, _ string) (string, string) {
			_, digest := other.asks("22", "203.0.113.8", "elsewhere")
			return id, digest
		}, status: 409, code: "ContentChanged", deny: "-"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			i := newInstallation(t, with)
			id, digest := i.asks("22", "203.0.113.7", "it waits")
			if tc.before != nil {
				tc.before(i, id, digest)
			}
			sentID, sent := id, digest
			if tc.swaps != nil {
				sentID, sent = tc.swaps(id, digest)
			}
			before, heard := i.state(id), len(told())
			for verb, body := range map[string]string{"approve": `{"digest":"` + sent + `"}`, "deny": `{"justification":"no"}`} {
				want := tc.code
				if verb == "deny" && tc.deny == "-" {
					continue // it may be denied
				}
				for _, dry := range []string{"?dryRun=true", ""} {
					status, text, _ := i.call(tc.as, "POST", "/api/requests/"+sentID+"/"+verb+dry, body)
					if status != tc.status || !strings.Contains(text, `"code":"`+want+`"`) {
						t.Errorf("%s%s: %d %s, want %d %s", verb, dry, status, text, tc.status, want)
					}
				}
			}
			if after := i.state(id); after != before || len(told()) != heard {
				t.Errorf("it was\n%s\nand is\n%s\nand %d messages were told", before, after, len(told())-heard)
			}
			if refused := strings.Count(i.logged(), tc.code); tc.status != 404 && refused == 0 || tc.status == 404 && refused != 0 {
				t.Errorf("the log of activity has %d lines of %s:\n%s", refused, tc.code, i.logged())
			}
			i.keeps()
		})
	}
}

// TestOpenedElsewhere: a wake-up that another installation has scheduled, on the same bus by mistake, opens and closes nothing and does not come again.
func TestOpenedElsewhere(t *testing.T) {
	i, other := newInstallation(t, nil), newInstallation(t, nil)
	id, digest := i.asks("22", "203.0.113.7", "it waits")
	foreign, _ := other.asks("3389", "203.0.113.7", "it is open")
	before := i.state(id)
	for _, generation := range []int{1, 2} {
		if err := i.rooms.Rounds.Wake(t.Context(), foreign, generation); err != nil {
			t.Errorf("it comes again: %v", err)
		}
		if err := i.rooms.Courier.Remind(t.Context(), foreign, generation); err != nil {
			t.Errorf("the reminder comes again: %v", err)
		}
	}
	if after := i.state(id); after != before {
		t.Errorf("it was\n%s\nand is\n%s", before, after)
	}
	if status, text, _ := i.call("bob", "POST", "/api/requests/"+id+"/approve", `{"digest":"`+digest+`"}`); status != 200 {
		t.Errorf("what waits here: %d %s", status, text)
	}
}

// TestUndeliverable: an unknown channel stops the start. A receiver that redirects, refuses the size of a card, wants another secret, or whose address is
// not resolved is a finding. The window opens and closes as always, what another channel is told arrives, and no secret is in a log.
func TestUndeliverable(t *testing.T) {
	elsewhere, misled := receiver(t, 200)
	for _, tc := range []struct {
		name    string
		status  int
		header  []string
		address string
		finding string
	}{
		{name: "redirected to another host", status: 307, header: []string{"Location", elsewhere}, finding: "it answered 307, a redirect, which is not followed"},
		{name: "moved to another host for good", status: 308, header: []string{"Location", elsewhere}, finding: "it answered 308, a redirect, which is not followed"},
		{name: "a card over the limit", status: 413, finding: "slack refused the message with 413"},
		{name: "a secret that is not valid any more", status: 403, finding: "it answered 403"},
		{name: "an address that is not resolved", address: "@Microsoft.KeyVault(SecretUri=https://vault.example/secrets/" + secretAddress + ")", finding: "the Key Vault reference of its address is not resolved"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			well, told := receiver(t, 202)
			ill, asked := receiver(t, tc.status, tc.header...)
			if tc.address != "" {
				ill = tc.address
			}
			i := newInstallation(t, map[string]string{"PORTCULLIS_TELL": "webhook,slack", "PORTCULLIS_TELL_WEBHOOK": well, "PORTCULLIS_TELL_SLACK": ill})
			id, _ := i.asks("3389", "203.0.113.7", "it opens")
			if rec, err := i.rooms.Verbs.Find(t.Context(), id); err != nil || rec.Grant.Status().String() != "Initiated" {
				t.Errorf("%v, %s", err, rec.Grant.Status())
			}
			i.leap(15 * time.Minute)
			_, text, _ := i.call("bob", "POST", "/api/sweep", "")
			if strings.Count(text, `"Undelivered"`) != 1 || !strings.Contains(text, tc.finding) {
				t.Errorf("the sweep says %s", text)
			}
			if !strings.Contains(i.log.String(), "message not delivered") || tc.status != 0 && len(asked()) == 0 {
				t.Errorf("%d calls, and the log says\n%s", len(asked()), i.log)
			}
			i.must(200, "alice", "POST", "/api/requests/"+id+"/revoke", "")
			if i.cloud.Writes() == 0 || len(told()) != 2 || !strings.Contains(told()[0], "portcullis.Open") || !strings.Contains(told()[1], "portcullis.Ended") {
				t.Errorf("the other channel was told %q", told())
			}
			if letters := i.due(); len(letters) != 2 || letters[0].Tries < 1 || letters[0].GaveUp {
				t.Errorf("left are %+v", letters)
			}
			i.keeps()
		})
	}
	if n := len(misled()); n != 0 {
		t.Errorf("%d messages went where a redirect leads", n)
	}
	t.Run("an unknown channel", func(t *testing.T) {
		_, err := readConfig(environ(map[string]string{"PORTCULLIS_TELL": "webhook,sms", "PORTCULLIS_TELL_WEBHOOK": elsewhere, "PORTCULLIS_TELL_SMS": elsewhere}))
		if err == nil || !strings.Contains(err.Error(), `"sms" is none of webhook, teams, slack, email`) || strings.Contains(err.Error(), secretAddress) {
			t.Errorf("error %v", err)
		}
	})
}

// TestCardAtItsLimits: the largest request that a door takes, in the characters that grow most, comes to each channel whole enough for its receiver.
func TestCardAtItsLimits(t *testing.T) {
	for channel, most := range map[string]int{channelTeams: 28 << 10, channelSlack: 64 << 10, channelWebhook: 256 << 10, channelEmail: 256 << 10} {
		t.Run(channel, func(t *testing.T) {
			address, told := receiver(t, 200)
			i := newInstallation(t, map[string]string{"PORTCULLIS_TELL": channel, fmt.Sprint("PORTCULLIS_TELL_", strings.ToUpper(channel)): address})
			var sources []string
			for n := range 100 {
				sources = append(sources, fmt.Sprintf(`"203.0.113.%d"`, n))
			}
			body := `{"justification":"` + strings.Repeat("<", 1000) + `","virtualMachines":[{"id":"` + secretMachine + `","ports":[{"number":3389,"duration":"PT1H","allowedSourceAddressPrefixes":[` + strings.Join(sources, ",") + `]}]}]}`
			status, text, out := i.call("alice", "POST", "/api/request", body)
			if status != 200 {
				t.Fatalf("%d %s", status, text)
			}
			i.must(200, "alice", "POST", "/api/requests/"+out["id"].(string)+"/revoke", "")
			got := told()
			if len(got) != 2 || len(i.due()) != 0 {
				t.Fatalf("%d messages arrived, %d are left", len(got), len(i.due()))
			}
			for _, message := range got {
				if len(message) > most {
					t.Errorf("%d bytes, more than %d", len(message), most)
				}
			}
			t.Logf("at most %d bytes of %d", max(len(got[0]), len(got[1])), most)
			i.keeps()
		})
	}
}
