package portal_test

import (
	"net/netip"
	"strings"
	"testing"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// TestActivityTellsPeopleApart: two people under one name, and somebody who says to be an application, are not taken for each other.
func TestActivityTellsPeopleApart(t *testing.T) {
	s := newSite(t)
	const tenant, one, two, app = "aaaaaaaa-0000-4000-8000-00000000000a", "eeeeeee1-0000-4000-8000-000000000001", "eeeeeee2-0000-4000-8000-000000000002", "ffffffff-0000-4000-8000-00000000000f"
	entry := func(id, object string, kind jit.CallerKind, address string) store.Entry {
		who := jit.Caller{ID: tenant + "/" + object, Name: "Admin@example.com", Kind: kind, Client: app, SignIn: "pwd mfa"}
		if address != "" {
			who.Address = netip.MustParseAddr(address)
		}
		e := store.EntryBy(who, store.OpOpen)
		e.ID, e.Time, e.Result, e.VM = id, noon, store.Succeeded, vm(t, web)
		return e
	}
	sweep := store.EntryBy(jit.App(), store.OpSweep)
	sweep.ID, sweep.Time, sweep.Result = "sweep", noon, store.Succeeded
	if err := s.store.Append(t.Context(), entry("1", one, jit.Person, "203.0.113.9"), entry("2", two, jit.Application, ""), sweep); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"activity", "machine?vm=" + web} {
		p := s.get(path)
		p.holds(t, `<summary>Admin@example.com <span class="muted small mono">000000000001</span></summary>`, `<summary>Admin@example.com <span class="muted small mono">000000000002</span></summary>`,
			`<dt>Person</dt><dd class="mono">`+one, `<dt>Application</dt><dd class="mono">`+two, `<dt>Directory</dt><dd class="mono">`+tenant, `<dt>Client</dt><dd class="mono">`+app,
			`<dt>Signed in with</dt><dd class="mono">pwd mfa`)
		if n := strings.Count(p.text, `<dt>From</dt><dd class="mono">203.0.113.9`); n != 1 {
			t.Errorf("%s: the address stands %d times", path, n)
		}
	}
	s.get("activity?sweeps=shown").holds(t, `<td data-label="Who">portcullis</td>`)
	by := func(who string, holds string, lacks ...string) {
		t.Helper()
		p := s.get("activity?requestor=" + who)
		p.holds(t, holds)
		p.lacks(t, lacks...)
	}
	by(strings.ToUpper(two), "000000000002</span>", "000000000001</span>", `data-label="Who">portcullis`)
	by(two, "/api/portal/activity?format=csv&amp;requestor="+two, "requestor=A")
	by("ADMIN@example.com", "000000000001</span>", `data-label="Who">portcullis`)
	by(one+"0", "Nothing matches", "000000000001</span>")
}

// TestActivityOfThePage: what is done on the page is logged with the address that it came from.
func TestActivityOfThePage(t *testing.T) {
	s := newSite(t)
	s.enable()
	id := s.opened("alice", "why", 3600e9, 22)
	if p := s.post("requests/" + id + "/close"); p.status != 303 {
		t.Fatal(p.status, p.text)
	}
	entries, _, err := s.store.Entries(t.Context(), store.EntryFilter{Operation: store.OpRevoke}, "", 1)
	if err != nil || len(entries) != 1 || !entries[0].Actor.Address.IsValid() {
		t.Errorf("%+v, %v", entries, err)
	}
}
