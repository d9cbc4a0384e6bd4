package attack

import (
	"fmt"
	"strings"
	"testing"
)

// secret is the port of web for which another person has to decide.
const secret = 5986

// decided is the policy of web: the ports that it has without one, one of them after an approval.
var decided = fmt.Sprintf(`{"virtualMachines":[{"id":"%s","ports":[{"number":22},{"number":3389},{"number":5985},{"number":%d,"approvers":1}]}]}`, web, secret)

// await has a request wait for approval, a drill owe a review, and a hold stand, all the time. None of them is to change.
func (s *stack) await(t *testing.T) {
	t.Helper()
	s.must(200, "admin", "POST", "/api/enable", decided)
	waits := s.must(202, "waiter", "POST", "/api/request", asking(web, secret, "it waits", "203.0.113.70")).object()
	approval, _ := waits["approval"].(map[string]any)
	s.waiting, _ = waits["id"].(string)
	s.digest, _ = approval["digest"].(string)
	drill := strings.Replace(asking(web, 22, "a drill", "203.0.113.71"), "{", `{"breakGlass":true,"drill":true,`, 1)
	s.drill, _ = s.must(200, "requester", "POST", "/api/request", drill).object()["id"].(string)
	elsewhere := `{"scope":{"resourceGroup":"/subscriptions/` + sub + `/resourceGroups/elsewhere"},"reason":"it stands","hold":true}`
	s.hold, _ = s.must(200, "admin", "POST", "/api/lockdown", elsewhere).object()["hold"].(string)
	if s.waiting == "" || s.digest == "" || s.drill == "" || s.hold == "" {
		t.Fatalf("waiting %q of %q, drill %q, hold %q", s.waiting, s.digest, s.drill, s.hold)
	}
}

// known puts what stands in place of its names.
func (s *stack) known(text string) string {
	return strings.NewReplacer("{window}", s.window, "{waiting}", s.waiting, "{digest}", s.digest, "{drill}", s.drill, "{hold}", s.hold).Replace(text)
}

// second is K: nobody is the second person of what he asked for, and nobody becomes it by what he calls himself. Each is sent five
// times, and costs five lines of the log at most, or none where what is named is not there for who asks.
func second() []attack {
	const often, forbidden, missing = 5, "AuthorizationFailed", "RequestNotFound"
	made := "00000000-0000-7000-8000-000000000009"
	text := strings.Repeat("a", 900_000)
	var rows []attack
	refused := func(name, as, path, body string, status int, code string) {
		lines := often * line
		if status == 404 {
			lines = 0
		}
		rows = append(rows, attack{letter: "K", name: name + ", by " + as, as: as, path: path, body: body, times: often, status: status, code: code, rows: lines},
			attack{letter: "K", name: name + ", by " + as + ", dry", as: as, path: path + "?dryRun=true", body: body, times: often, status: status, code: code})
	}
	for verb, body := range map[string]string{"approve": `{"digest":"{digest}"}`, "deny": `{"justification":"no"}`} {
		at := "/api/requests/{waiting}/" + verb
		refused(verb, "waiter", at, body, 403, "OwnRequest")
		refused(verb, "looker", at, body, 403, forbidden)
		refused(verb, "reader", at, body, 403, forbidden)
		refused(verb, "robot", at, body, 403, "ApproverNotAPerson")
		refused(verb, "poser", at, body, 404, missing)
		refused(verb, "nobody", at, body, 404, missing)
		refused(verb, "reader2", at, body, 404, missing)
		refused(verb+" what is open", "approver", "/api/requests/{window}/"+verb, body, 409, "RequestNotWaiting")
		refused(verb+" what is not there", "approver", "/api/requests/"+made+"/"+verb, body, 404, missing)
	}
	refused("approve something else", "approver", "/api/requests/{waiting}/approve", `{"digest":"`+strings.Repeat("0", 64)+`"}`, 409, "ContentChanged")
	refused("approve what the body changes", "approver", "/api/requests/{waiting}/approve", `{"digest":"{digest}","virtualMachines":[]}`, 400, "UnknownField")
	refused("a digest, 900 KB", "approver", "/api/requests/{waiting}/approve", `{"digest":"`+text+`"}`, 400, "FieldTooLong")
	refused("a reason of a denial, 900 KB", "approver", "/api/requests/{waiting}/deny", `{"justification":"`+text+`"}`, 400, "JustificationTooLong")

	review := "/api/requests/{drill}/review"
	refused("review", "requester", review, `{"review":"nothing happened"}`, 403, "OwnReview")
	refused("review", "looker", review, `{"review":"nothing happened"}`, 403, forbidden)
	refused("review", "robot", review, `{"review":"nothing happened"}`, 403, "ReviewerNotPerson")
	refused("review", "nobody", review, `{"review":"nothing happened"}`, 404, missing)
	refused("review what owes none", "approver", "/api/requests/{window}/review", `{"review":"nothing happened"}`, 409, "ReviewNotOwed")
	refused("a review, 900 KB", "approver", review, `{"review":"`+text+`"}`, 400, "ReviewTooLong")

	everything, machine := `{"scope":{"everything":true},"reason":"why","hold":true}`, `{"scope":{"virtualMachine":"`+web+`"},"reason":"why","hold":true}`
	for _, as := range []string{"nobody", "reader", "waiter", "approver", "looker", "robot"} {
		refused("lock everything down", as, "/api/lockdown", everything, 403, forbidden)
		refused("lock a machine down", as, "/api/lockdown", machine, 403, forbidden)
	}
	refused("lock down what is not managed", "approver", "/api/lockdown", `{"scope":{"virtualMachine":"`+stranger(1)+`"},"reason":"why"}`, 400, "SubscriptionNotManaged")
	refused("a reason of a lock-down, 900 KB", "waiter", "/api/lockdown", `{"scope":{"everything":true},"reason":"`+text+`"}`, 400, "ReasonTooLong")
	refused("lift", "reader", "/api/lockdown/{hold}/lift", `{"reason":"why"}`, 403, forbidden)
	refused("lift", "approver", "/api/lockdown/{hold}/lift", `{"reason":"why"}`, 403, forbidden)
	refused("lift", "nobody", "/api/lockdown/{hold}/lift", `{"reason":"why"}`, 404, "HoldNotFound")
	refused("lift", "waiter", "/api/lockdown/{hold}/lift", `{"reason":"why"}`, 404, "HoldNotFound")
	refused("lift what is not there", "approver", "/api/lockdown/"+made+"/lift", `{"reason":"why"}`, 404, "HoldNotFound")
	refused("a reason of a lift, 900 KB", "approver", "/api/lockdown/{hold}/lift", `{"reason":"`+text+`"}`, 400, "ReasonTooLong")
	return append(rows, attack{letter: "K", name: "what was to be decided stands as it was", do: undecided, reads: 10})
}

// undecided holds that nothing has been decided, reviewed or lifted.
func undecided(t *testing.T, s *stack, f *figures) {
	waits := s.must(200, "admin", "GET", "/api/requests/"+s.waiting, "").object()
	approval, _ := waits["approval"].(map[string]any)
	if by, _ := approval["approvedBy"].([]any); waits["status"] != "AwaitingApproval" || approval["digest"] != s.digest || len(by) != 0 || approval["denied"] != nil {
		t.Errorf("what waited is %v", waits)
	}
	review, _ := s.must(200, "admin", "GET", "/api/requests/"+s.drill, "").object()["review"].(map[string]any)
	if review["status"] != "Owed" {
		t.Errorf("the review of the drill is %v", review)
	}
	holds := s.must(200, "admin", "GET", "/api/lockdown", "").list()
	if len(holds) != 1 || holds[0]["id"] != s.hold {
		t.Errorf("the holds are %v", holds)
	}
	f.say("K", "approving, denying, reviewing, locking down and lifting what is not one's own to decide", "not there", "refused, nothing decided")
}
