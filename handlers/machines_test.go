package handlers_test

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/store"
	"portcullis/handlers"
)

// TestMachinesRefused holds what GET /api/machines may not be asked.
func TestMachinesRefused(t *testing.T) {
	a := newApp(t)
	for query, target := range map[string]string{"sort=colour": "sort", "state=open": "state", "top=0": "top", "top=1001": "top", "cursor=x": "cursor", "subscription=x": "subscription", "vm=x": "vm"} {
		r := a.call("GET", "/api/machines?"+query, "")
		if _, at := r.code(); r.status != http.StatusBadRequest || at != target {
			t.Errorf("%s: %d %s", query, r.status, r.text)
		}
	}
}

// TestMachines holds the answer word by word.
func TestMachines(t *testing.T) {
	a := newApp(t)
	a.enable()
	r := a.call("POST", "/api/request", `{"virtualMachines":[{"id":"`+web+`","ports":[{"number":22,"duration":"PT1H"}]}],"justification":"<b>"}`)
	if r.status != 200 {
		t.Fatal(r.text)
	}
	id := r.body["id"].(string)
	got := a.call("GET", "/api/machines?state=configured&sort=-lastAccess&top=1", "")
	want := map[string]any{
		"value": []any{map[string]any{
			"id": web, "name": "web", "resourceGroup": "demo", "subscription": sub, "location": "westeurope", "state": "configured",
			"targets":    []any{"/subscriptions/" + sub + "/resourceGroups/demo/providers/Microsoft.Network/networkSecurityGroups/web-nsg"},
			"connection": map[string]any{"kind": "networkSecurityGroup", "hosts": []any{"198.51.100.4"}, "public": true}, "existingRules": "override", "etag": `"Dmun2tAd3KuVW-dBfOfzcmg-"`,
			"ports": []any{
				map[string]any{"number": 22.0, "protocol": "TCP", "allowedSourceAddressPrefix": "203.0.113.0/24", "maxRequestAccessDuration": "PT3H"},
				map[string]any{"number": 3389.0, "protocol": "*", "allowedSourceAddressPrefix": "*", "maxRequestAccessDuration": "PT3H"}},
			"approvedRequests": 1.0, "lastAccess": map[string]any{"time": "2026-11-23T12:00:00.000Z", "requestor": "alice@example.com"},
			"openWindows": []any{map[string]any{"request": id, "number": 22.0, "protocol": "TCP", "allowedSourceAddressPrefixes": []any{"203.0.113.7"},
				"startTimeUtc": "2026-11-23T12:00:00.000Z", "endTimeUtc": "2026-11-23T13:00:00.000Z", "status": "Initiated", "requestor": "alice@example.com", "justification": "<b>", "own": true}},
		}},
		"counts":         map[string]any{"configured": 1.0, "notConfigured": 0.0, "unsupported": 0.0},
		"resourceGroups": []any{"demo"}, "subscriptions": []any{sub},
	}
	if diff := cmp.Diff(want, got.body); diff != "" || got.status != 200 {
		t.Errorf("%d (-want +got):\n%s", got.status, diff)
	}
}

// TestMachinesPages follows nextLink.
func TestMachinesPages(t *testing.T) {
	a := newApp(t)
	for i := range 5 {
		vm, err := jit.ParseVM(strings.TrimSuffix(web, "web") + fmt.Sprint("m", i))
		if err != nil {
			t.Fatal(err)
		}
		a.cloud.Place(network.Machine{VM: vm})
	}
	var names []string
	next := "/api/machines?top=4"
	for range 5 {
		r := a.call("GET", next, "")
		for _, m := range r.body["value"].([]any) {
			names = append(names, m.(map[string]any)["name"].(string))
		}
		if next, _ = r.body["nextLink"].(string); next == "" {
			break
		}
	}
	if !slices.Equal(names, []string{"m0", "m1", "m2", "m3", "m4", "web"}) {
		t.Error(names)
	}
}

// TestVerifyActivity holds GET /api/activity/verify.
func TestVerifyActivity(t *testing.T) {
	a := newApp(t)
	for _, query := range []string{"subscription=x", "from=yesterday", "to=x", "from=2026-01-01T00:00:00Z&to=2026-03-01T00:00:00Z",
		// A stated head is one chain's, and whole.
		"subscription=" + sub + "&entries=1", "subscription=" + sub + "&head=" + stated(1), "entries=1&head=" + stated(1), "subscription=" + sub + "&entries=0&head=" + stated(1),
		"subscription=" + sub + "&entries=01&head=" + stated(1), "subscription=" + sub + "&entries=1&head=" + stated(1)[1:], "subscription=" + sub + "&entries=1&head=" + stated(1) + "&from=2026-11-22T00:00:00Z&to=2026-11-24T00:00:00Z"} {
		if r := a.call("GET", "/api/activity/verify?"+query, ""); r.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", query, r.status, r.text)
		}
	}
	a.enable()
	r := a.call("GET", "/api/activity/verify", "")
	chains, _ := r.body["value"].([]any)
	if r.status != 200 || r.body["whole"] != true || len(chains) != 2 {
		t.Fatalf("%d %s", r.status, r.text)
	}
	first := chains[0].(map[string]any)
	if first["subscription"] != sub || first["day"] != "2026-11-23" || first["whole"] != true || first["entries"] != 1.0 || len(first["head"].(string)) != 64 {
		t.Errorf("%v", first)
	}
	if none := chains[1].(map[string]any); none["subscription"] != "none" || none["entries"] != 0.0 {
		t.Errorf("%v", none)
	}
	for query, whole := range map[string]bool{"entries=1&head=" + first["head"].(string): true, "entries=1&head=" + stated(1): false, "entries=1&head=" + stated(2): false, "entries=2&head=" + stated(2): false} {
		r := a.call("GET", "/api/activity/verify?subscription="+sub+"&"+query, "")
		if broken := strings.Contains(r.text, `"break":"Rewound"`); r.status != 200 || r.body["whole"] != whole || broken == whole {
			t.Errorf("%s: %d %s", query, r.status, r.text)
		}
	}
	a.wire(func(p *core.Ports) { p.Activity = broken{a.store} })
	r = a.call("GET", "/api/activity/verify?subscription="+strings.ToUpper(sub), "")
	want := map[string]any{"whole": false, "value": []any{map[string]any{"subscription": sub, "day": "2026-11-23", "whole": false, "entries": 2.0, "head": "ab",
		"firstBroken": map[string]any{"sequence": 3.0, "break": "Removed", "message": "it is gone"}}}}
	if diff := cmp.Diff(want, r.body); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// stated gives a hash that no log has.
func stated(n int) string { return fmt.Sprintf("%064x", n) }

// broken is a log whose chains are all broken.
type broken struct{ store.Activity }

func (broken) Verify(ctx context.Context, _ string, _ time.Time, _ ...store.Head) (store.VerifyResult, error) {
	return store.VerifyResult{Entries: 2, Head: "ab", FirstBroken: &store.BrokenEntry{Seq: 3, Break: store.BreakRemoved, Message: "it is gone"}}, ctx.Err()
}

// fill puts n entries of web into the log, the first the oldest.
func (a *app) fill(n int, each func(int, *store.Entry)) {
	a.t.Helper()
	vm, err := jit.ParseVM(web)
	if err != nil {
		a.t.Fatal(err)
	}
	var entries []store.Entry
	for i := range n {
		e := store.Entry{ID: fmt.Sprintf("e%06d", i), Time: noon.Add(time.Duration(i) * time.Millisecond), Operation: store.OpOpen, Result: store.Succeeded, VM: vm, Requestor: "alice@example.com",
			Actor: jit.Actor{Tenant: tenant, Object: admin, Kind: jit.Person, Client: client, SignIn: "pwd mfa", Address: netip.MustParseAddr("198.51.100.9")},
			Ports: []uint16{22, 3389}, Sources: []string{"203.0.113.7", "2001:db8::/32"}, End: noon.Add(time.Hour)}
		if each != nil {
			each(i, &e)
		}
		entries = append(entries, e)
	}
	if err := a.store.Append(a.t.Context(), entries...); err != nil {
		a.t.Fatal(err)
	}
}

var nastyCells = []string{"=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "  \"=1", "'=1", "\u00a0=1", "\uff1d1", "\"\"@x", "\n+1", "a\"b,c\r\nd", "plain", "", "<script>", "é, \U0001F512", "1-2=3",
	"a\n2026-11-23T12:00:00.000Z,forged", "a\u2028b", "a\u0085b", "a\rb\vc\fd", "turned \u202e around", "\x1b[31mred", "a\u200bb"}

// seen is how a cell of nastyCells may be read: on one line, and without what cannot be seen.
var seen = strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ", "\t", " ", "\v", " ", "\f", " ", "\u00a0", " ", "\u2028", " ", "\u0085", " ", "\u202e", "\ufffd", "\x1b", "\ufffd", "\u200b", "\ufffd")

// TestActivityCSV: any spreadsheet reads every cell, and takes none for a formula.
func TestActivityCSV(t *testing.T) {
	a := newApp(t)
	a.fill(len(nastyCells), func(i int, e *store.Entry) { e.Justification, e.Requestor = nastyCells[i], nastyCells[i] })
	r := a.call("GET", "/api/activity?format=csv", "")
	if r.status != 200 || r.header.Get("Content-Type") != "text/csv; charset=utf-8; header=present" ||
		r.header.Get("Content-Disposition") != `attachment; filename="portcullis-activity-20261123T120000Z.csv"` {
		t.Fatalf("%d %v", r.status, r.header)
	}
	if !strings.Contains(r.text, "id\r\n") || strings.Contains(strings.ReplaceAll(r.text, "\r\n", ""), "\n") {
		t.Error("the lines do not end as RFC 4180 has it")
	}
	if lines := len(strings.FieldsFunc(r.text, func(c rune) bool { return strings.ContainsRune("\r\n\v\f\u0085\u2028\u2029\x1c\x1d\x1e", c) })); lines != len(nastyCells)+1 {
		t.Errorf("who reads by lines reads %d, want %d", lines, len(nastyCells)+1)
	}
	rows, err := csv.NewReader(strings.NewReader(r.text)).ReadAll()
	if err != nil || len(rows) != len(nastyCells)+1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	want := []string{"time", "subscription", "resourceGroup", "virtualMachine", "operation", "result", "requestor", "requestorTenantId", "requestorObjectId", "requestorKind", "clientId", "authenticationMethods", "callerAddress", "sourceAddressPrefixes", "ports", "endTimeUtc", "justification", "correlationId", "target", "request", "reason", "message", "id"}
	if diff := cmp.Diff(want, rows[0]); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	slices.Reverse(rows[1:]) // newest first
	for i, cell := range nastyCells {
		row := rows[i+1]
		wantCell := seen.Replace(cell)
		if i <= 12 {
			wantCell = "'" + wantCell
		}
		if got := row[16]; got != wantCell || row[6] != got {
			t.Errorf("%q became %q, want %q", cell, got, wantCell)
		}
		for _, c := range row {
			if formula(c) {
				t.Errorf("%q may be taken for a formula", c)
			}
		}
	}
	if diff := cmp.Diff([]string{"2026-11-23T12:00:00.000Z", sub, "demo", web, "Open", "Succeeded", "'=1+1", tenant, admin, "Person", client, "pwd mfa", "198.51.100.9", "203.0.113.7 2001:db8::/32", "22 3389", "2026-11-23T13:00:00.000Z", "'=1+1", "", "", "", "", "", "e000000"}, rows[1]); diff != "" {
		t.Errorf("a row (-want +got):\n%s", diff)
	}
}

// formula is what a spreadsheet does that strips blanks and quotes first.
func formula(cell string) bool {
	if strings.HasPrefix(cell, "'") {
		return false
	}
	bare := strings.TrimLeft(cell, " \"\t\r\n\u00a0")
	return bare != "" && strings.ContainsAny(bare[:1], "=+-@")
}

// TestWhoItWas: two people under one name are told apart in the log, in every form that it is read in, and found by who they are and by
// how they are called.
func TestWhoItWas(t *testing.T) {
	a := newApp(t)
	a.enable()
	body := `{"virtualMachines":[{"id":"` + web + `","ports":[{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"203.0.113.9"}]}]}`
	if r := a.call("POST", "/api/request", body, "Authorization", "Bearer requester", "X-Forwarded-For", "2001:db8::9"); r.status != 202 && r.status != 200 {
		t.Fatal(r.status, r.text)
	}
	if r := a.sweeps(); r.status != 200 {
		t.Fatal(r.status, r.text)
	}
	as := func(object, signIn, address string) map[string]any {
		return map[string]any{"requestorTenantId": tenant, "requestorObjectId": object, "requestorKind": "Person", "clientId": client, "authenticationMethods": signIn, "callerAddress": address}
	}
	byAdmin, byRequester := as(admin, "pwd mfa", "203.0.113.7"), as(requester, "", "2001:db8::9")
	list := func(query string) []any {
		t.Helper()
		r := a.call("GET", "/api/activity?top=1000"+query, "")
		if r.status != 200 {
			t.Fatal(query, r.status, r.text)
		}
		return r.body["value"].([]any)
	}
	who := func(e map[string]any) map[string]any {
		out := map[string]any{}
		for name := range byAdmin {
			out[name] = or(e[name], "")
		}
		if words, ok := out["authenticationMethods"].([]any); ok {
			out["authenticationMethods"] = strings.Trim(fmt.Sprint(words), "[]")
		}
		return out
	}
	for _, e := range list("") {
		e := e.(map[string]any)
		want, name := byRequester, "Alice@Example.com"
		switch e["operation"] {
		case "Enable":
			want, name = byAdmin, "alice@example.com"
		case "Sweep":
			want, name = map[string]any{"requestorTenantId": "", "requestorObjectId": "", "requestorKind": "Portcullis", "clientId": "", "authenticationMethods": "", "callerAddress": ""}, "portcullis"
		}
		if diff := cmp.Diff(want, who(e)); diff != "" || e["requestor"] != name {
			t.Errorf("%v of %v (-want +got):\n%s", e["operation"], e["requestor"], diff)
		}
	}
	rows, err := csv.NewReader(strings.NewReader(a.call("GET", "/api/activity?format=csv", "").text)).ReadAll()
	if err != nil || len(rows) != len(list(""))+1 {
		t.Fatal(len(rows), err)
	}
	for i, e := range list("") {
		row := map[string]any{}
		for n, name := range rows[0] {
			row[name] = rows[i+1][n]
		}
		if diff := cmp.Diff(who(e.(map[string]any)), who(row)); diff != "" {
			t.Errorf("CSV (-JSON +CSV):\n%s", diff)
		}
	}
	ours := len(list("")) - len(list("&requestor=portcullis"))
	for query, want := range map[string]int{
		"&requestorObjectId=" + admin:                                        1,
		"&requestorObjectId=" + strings.ToUpper(admin):                       1,
		"&requestorObjectId=" + requester:                                    ours - 1,
		"&requestor=ALICE%40example.COM":                                     ours,
		"&requestor=alice%40example.com&requestorObjectId=" + admin:          1,
		"&requestor=alice&requestorObjectId=" + admin:                        0,
		"&requestorObjectId=" + tenant:                                       0,
		"&requestorObjectId=" + requester + "&operation=Enable":              0,
		"&requestorObjectId=" + requester + "&requestor=Alice%40example.com": ours - 1,
	} {
		if got := len(list(query)); got != want {
			t.Errorf("%s: %d entries, want %d", query, got, want)
		}
	}
	for path, want := range map[string]int{"?requestorObjectId=" + requester: 1, "?requestorObjectId=" + admin: 0, "?requestor=ALICE@example.com": 1} {
		if got := len(a.call("GET", "/api/requests"+path, "").body["value"].([]any)); got != want {
			t.Errorf("requests%s: %d, want %d", path, got, want)
		}
	}
	for _, path := range []string{"/api/activity", "/api/requests"} {
		r := a.call("GET", path+"?requestorObjectId=alice", "")
		if code, target := r.code(); r.status != 400 || code != "InvalidQueryParameter" || target != "requestorObjectId" {
			t.Errorf("%s: %d %s %s", path, r.status, code, target)
		}
	}
}

func or(v, otherwise any) any {
	if v == nil {
		return otherwise
	}
	return v
}

// TestAddressNeedsItsSetting: an address that nothing vouches for does not come into the log.
func TestAddressNeedsItsSetting(t *testing.T) {
	for _, trusted := range []bool{false, true} {
		a := newApp(t)
		a.Handler = handlers.New(a.rooms, handlers.Options{Address: hostAddress, ForwardedHeaders: trusted, NewID: a.ports.NewID, Log: slog.New(slog.DiscardHandler),
			Caller: func(*http.Request) (jit.Caller, error) {
				return jit.Caller{ID: tenant + "/" + admin, Name: "alice"}, nil
			}})
		a.enable()
		if got := a.lastEntry().Actor.Address; got.IsValid() != trusted {
			t.Errorf("forwarded headers %v: the address is %v", trusted, got)
		}
	}
}

// TestActivityLines: one JSON object a line, those of the list.
func TestActivityLines(t *testing.T) {
	a := newApp(t)
	a.fill(len(nastyCells), func(i int, e *store.Entry) { e.Justification = nastyCells[i] })
	list := a.call("GET", "/api/activity?top=1000", "").body["value"].([]any)
	r := a.call("GET", "/api/activity?format=jsonl", "")
	if r.status != 200 || !strings.HasSuffix(r.header.Get("Content-Disposition"), `.jsonl"`) {
		t.Fatalf("%d %v", r.status, r.header)
	}
	lines := bufio.NewScanner(strings.NewReader(r.text))
	var got []any
	for lines.Scan() {
		var v any
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		got = append(got, v)
	}
	if diff := cmp.Diff(list, got); diff != "" || len(got) != len(nastyCells) {
		t.Errorf("(-list +lines):\n%s", diff)
	}
}

// long is a log of n entries a millisecond apart, the first at noon.
type long struct {
	store.Activity
	n int
}

func (l long) Entries(_ context.Context, f store.EntryFilter, cursor string, limit int) ([]store.Entry, string, error) {
	from, first := l.n-1, 0
	if cursor != "" {
		if _, err := fmt.Sscan(cursor, &from); err != nil {
			return nil, "", err
		}
	} else if !f.To.IsZero() {
		from = int(f.To.Sub(noon).Milliseconds()) - 1
	}
	if !f.From.IsZero() {
		first = int(f.From.Sub(noon).Milliseconds())
	}
	var out []store.Entry
	for i := from; i >= first && len(out) < limit; i-- {
		out = append(out, store.Entry{ID: fmt.Sprint(i), Time: noon.Add(time.Duration(i) * time.Millisecond), Operation: store.OpOpen})
	}
	if next := from - len(out); next >= first {
		return out, fmt.Sprint(next), nil
	}
	return out, "", nil
}

// TestActivityCut: a download that is not whole says so in its last line, and how to get the rest.
func TestActivityCut(t *testing.T) {
	a := newApp(t)
	const most = 50_000
	a.wire(func(p *core.Ports) { p.Activity = long{a.store, most + 2} })
	rows, err := csv.NewReader(strings.NewReader(a.call("GET", "/api/activity?format=csv", "").text)).ReadAll()
	if err != nil || len(rows) != most+2 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if last := rows[len(rows)-1]; last[4] != "ExportCut" || !strings.Contains(last[21], "to=2026-11-23T12:00:00.002Z") {
		t.Errorf("the last row: %q", last)
	}
	for query, want := range map[string]int{"to": 2, "from": most} {
		lines := a.call("GET", "/api/activity?format=jsonl&"+query+"=2026-11-23T12:00:00.002Z", "").text
		if n := strings.Count(lines, "\n"); n != want || strings.Contains(lines, "ExportCut") {
			t.Errorf("%s: %d lines, want %d and no more to come", query, n, want)
		}
	}
}

// TestActivityBreaksOff: an error before the first line is an error; a later one is the last line.
func TestActivityBreaksOff(t *testing.T) {
	a := newApp(t)
	a.fill(2500, nil)
	for pages, format := range []string{"csv", "csv", "jsonl"} {
		a.wire(func(p *core.Ports) { p.Activity = &breaking{Activity: a.store, left: pages} })
		r := a.call("GET", "/api/activity?format="+format, "")
		if pages == 0 {
			if r.status != http.StatusServiceUnavailable {
				t.Errorf("%d %s", r.status, r.text)
			}
			continue
		}
		lines := strings.Split(strings.TrimSpace(r.text), "\n")
		if last := lines[len(lines)-1]; r.status != 200 || !strings.Contains(last, "ExportCut") || len(lines) < 1000*pages {
			t.Errorf("after %d pages: %d lines, the last %q", pages, len(lines), last)
		}
	}
	if r := a.call("GET", "/api/activity?format=xml", ""); r.status != http.StatusBadRequest {
		t.Errorf("another format: %d", r.status)
	}
}

// breaking is a log that can be read for some pages.
type breaking struct {
	store.Activity
	left int
}

func (b *breaking) Entries(ctx context.Context, f store.EntryFilter, cursor string, limit int) ([]store.Entry, string, error) {
	if b.left--; b.left < 0 {
		return nil, "", &store.Unavailable{Dependency: "Table Storage", Err: fmt.Errorf("gone")}
	}
	return b.Activity.Entries(ctx, f, cursor, limit)
}
