package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/infra/table"
	"portcullis/local/azurite"
)

const subscription = "00000000-0000-0000-0000-00000000d3e0"

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// account is one Azurite, with the shared key that it wants in place of a token.
type account struct {
	t   *testing.T
	url string

	mu    sync.Mutex
	calls []string // "METHOD path" of the program's own client
}

// Do sends a request with Azurite's own key (Shared Key Lite for the Table service), whatever token it came with.
func (a *account) Do(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	key, err := base64.StdEncoding.DecodeString(azurite.Key)
	if err != nil {
		return nil, err
	}
	date := time.Now().UTC().Format(http.TimeFormat)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(date + "\n/" + azurite.Account + r.URL.EscapedPath()))
	r.Header.Set("x-ms-date", date)
	r.Header.Set("Authorization", "SharedKeyLite "+azurite.Account+":"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return http.DefaultClient.Do(r)
}

// noted is a transport that remembers what was asked.
type noted struct{ *account }

func (n noted) Do(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	n.calls = append(n.calls, r.Method+" "+r.URL.Path)
	n.mu.Unlock()
	return http.DefaultClient.Do(r)
}

type anybody struct{}

func (anybody) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "none", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func (a *account) store() *table.Store {
	a.t.Helper()
	s, err := table.New(a.url, anybody{}, table.Options{ClientOptions: azcore.ClientOptions{Transport: a}})
	if err != nil {
		a.t.Fatal(err)
	}
	return s
}

func (a *account) client(o azcore.ClientOptions) *aztables.ServiceClient {
	a.t.Helper()
	key, err := aztables.NewSharedKeyCredential(azurite.Account, azurite.Key)
	if err != nil {
		a.t.Fatal(err)
	}
	o.Transport = noted{a}
	c, err := aztables.NewServiceClientWithSharedKey(a.url, key, &aztables.ClientOptions{ClientOptions: o})
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

// reset deletes every table.
func (a *account) reset() {
	a.t.Helper()
	c := a.client(patient())
	for pager := c.NewListTablesPager(nil); pager.More(); {
		page, err := pager.NextPage(a.t.Context())
		if err != nil {
			a.t.Fatal(err)
		}
		for _, t := range page.Tables {
			if _, err := c.DeleteTable(a.t.Context(), *t.Name, nil); err != nil {
				a.t.Fatal(err)
			}
		}
	}
}

func (a *account) tables() string {
	a.t.Helper()
	var names []string
	for pager := a.client(patient()).NewListTablesPager(nil); pager.More(); {
		page, err := pager.NextPage(a.t.Context())
		if err != nil {
			a.t.Fatal(err)
		}
		for _, t := range page.Tables {
			names = append(names, *t.Name)
		}
	}
	return strings.Join(names, " ")
}

func vm(name string) jit.ID {
	return jit.ID{Subscription: subscription, ResourceGroup: "demo", Type: jit.TypeVM, Name: name}
}

const (
	policiesHere = 120
	pastHere     = 2100
	entriesHere  = 700
)

// fill makes an installation's tables: policies and a log as the app writes them, and past grants of every type of property.
func (a *account) fill() {
	t := a.t
	t.Helper()
	s := a.store()
	if err := s.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	nsg := jit.ID{Subscription: subscription, ResourceGroup: "demo", Type: jit.TypeNSG, Name: "apps-nsg"}
	for i := range policiesHere {
		rec := store.PolicyRecord{Policy: jit.Policy{VM: vm(fmt.Sprintf("vm%d", i)), Ports: jit.DefaultPorts()}, Location: "westeurope", ChangedBy: "ann <o'hara>", ChangedAt: noon,
			Placements: []store.Placement{{Target: nsg, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 1, byte(i)})}}}}
		if _, err := s.PutPolicy(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
	}
	var entries []store.Entry
	for i := range entriesHere {
		e := store.Entry{ID: fmt.Sprint("entry ", i), Time: noon.Add(time.Duration(i) * 10 * time.Minute), Operation: store.OpOpen, Result: store.Succeeded, VM: vm("vm1"), Requestor: "ann", Message: "a <b> & 'c' \u2028 é"}
		if i%50 == 0 {
			e.VM, e.Message = jit.ID{}, strings.Repeat("long ", 20_000)
		}
		entries = append(entries, e)
	}
	if err := s.Append(t.Context(), entries...); err != nil {
		t.Fatal(err)
	}
	var rows []row
	for i := range pastHere {
		r, err := readRow(fmt.Appendf(nil, `{"PartitionKey":"day'%d","RowKey":"%06d|x","V":%d,"Big":"9007199254740993","Big@odata.type":"Edm.Int64","When":"2026-11-23T12:00:00.1234567Z","When@odata.type":"Edm.DateTime",
			"Id":"c9da6455-213d-42c9-9a79-3e9149a57833","Id@odata.type":"Edm.Guid","Raw":"AQID","Raw@odata.type":"Edm.Binary","Yes":true,"Half":0.5,"Doc":"{\"a\":\"<%d>\"}"}`, i/900, i, i, i))
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, r)
	}
	if err := put(t.Context(), a.client(patient()).NewClient("PortcullisHistory"), rows); err != nil {
		t.Fatal(err)
	}
}

func (a *account) rows(name string) int {
	a.t.Helper()
	n := 0
	for _, err := range each(a.t.Context(), a.client(patient()).NewClient(name)) {
		if err != nil {
			a.t.Fatal(err)
		}
		n++
	}
	return n
}

func copyOf(from, to *account, progress io.Writer) *copying {
	return &copying{from: from.client(readOnly()), to: to.client(patient()), source: from.url, prefix: "Portcullis", log: to.store(), progress: progress, now: func() time.Time { return noon }}
}

// TestCopy copies several thousand rows from one Azurite to another. Each case leaves the destination to the next as it says.
func TestCopy(t *testing.T) {
	from, to := &account{t: t, url: azurite.Start(t)}, &account{t: t, url: azurite.Start(t)}
	refused := func(t *testing.T, c *copying, says string) {
		t.Helper()
		if err := c.run(t.Context()); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q", err, says)
		}
	}

	refused(t, copyOf(from, to, io.Discard), "the source has no table PortcullisState")
	from.fill()

	t.Run("a destination that holds something", func(t *testing.T) {
		if err := to.store().Setup(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := to.store().Append(t.Context(), store.Entry{ID: "x", Time: noon, Operation: store.OpSweep, Result: store.Succeeded}); err != nil {
			t.Fatal(err)
		}
		refused(t, copyOf(from, to, io.Discard), "the destination holds rows in PortcullisActivity")
		if got := to.tables(); strings.Contains(got, "Copy") || to.rows("PortcullisState") != 0 {
			t.Errorf("a refused copy wrote something: %s", got)
		}
		to.reset()
	})

	t.Run("a source that is only read", func(t *testing.T) {
		if _, err := from.client(readOnly()).CreateTable(t.Context(), "Other", nil); err == nil || !strings.Contains(err.Error(), "the source is only read") || strings.Contains(from.tables(), "Other") {
			t.Errorf("a write of the source: %v", err)
		}
	})

	t.Run("broken off and resumed", func(t *testing.T) {
		from.calls = nil
		for try := range 20 {
			c := copyOf(from, to, io.Discard)
			ctx, cancel := context.WithCancel(t.Context())
			marks := 0
			c.marked = func() {
				if marks++; marks == 2 && try < 5 { // each of the first tries comes one page further
					cancel()
				}
			}
			var out bytes.Buffer
			c.progress = &out
			err := c.run(ctx)
			cancel()
			if err == nil {
				if try < 5 {
					t.Fatalf("it ended in try %d", try)
				}
				if !strings.Contains(out.String(), "going on with the copy that was begun at 2026-11-23T12:00:00Z") || !strings.Contains(out.String(), "all 12 chains of the activity log are whole") {
					t.Errorf("it says\n%s", out.String())
				}
				break
			}
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			if try == 3 {
				other := copyOf(from, to, io.Discard)
				other.source = "https://other.table.core.windows.net"
				refused(t, other, "a copy of "+from.url+" was begun there")
			}
		}
		for _, call := range from.calls {
			if !strings.HasPrefix(call, "GET ") {
				t.Errorf("the source was asked to %s", call)
			}
		}
		total := 0
		for _, name := range copyOf(from, to, io.Discard).tables() {
			got, want := to.rows(name), from.rows(name)
			if got != want || got == 0 {
				t.Errorf("%s has %d rows, want %d", name, got, want)
			}
			total += got
		}
		t.Logf("%d rows", total)
		if got := to.tables(); got != "PortcullisActivity PortcullisHistory PortcullisState" {
			t.Errorf("the destination has the tables %s", got)
		}
		// The app goes on with what it finds there.
		s := to.store()
		rec, err := s.Policy(t.Context(), vm("vm7"))
		if err != nil {
			t.Fatal(err)
		}
		rec.Policy.ExistingRules = jit.Respect
		if _, err := s.PutPolicy(t.Context(), rec); err != nil {
			t.Error(err)
		}
		if err := s.Append(t.Context(), store.Entry{ID: "after", Time: noon.Add(time.Hour), Operation: store.OpSweep, Result: store.Succeeded}); err != nil {
			t.Error(err)
		}
		if v, err := s.Verify(t.Context(), "", noon); err != nil || v.FirstBroken != nil {
			t.Errorf("%+v %v", v, err)
		}
		refused(t, copyOf(from, to, io.Discard), "the destination holds rows in PortcullisState")
		to.reset()
	})

	t.Run("a source that is written to", func(t *testing.T) {
		c := copyOf(from, to, io.Discard)
		s := from.store()
		once := sync.OnceFunc(func() {
			rec, err := s.Policy(t.Context(), vm("vm3"))
			if err == nil {
				rec.ChangedBy = "bob"
				_, err = s.PutPolicy(t.Context(), rec)
			}
			if err != nil {
				t.Error(err)
			}
		})
		marks := 0
		c.marked = func() {
			if marks++; marks == 3 { // State is copied
				once()
			}
		}
		if err := c.run(t.Context()); !errors.Is(err, errSourceChanged) {
			t.Errorf("got %v", err)
		}
		if !strings.Contains(to.tables(), "PortcullisCopy") {
			t.Error("a copy that is not whole looks like one")
		}
		to.reset()
	})

	t.Run("a log that was tampered with", func(t *testing.T) {
		activity := from.client(patient()).NewClient("PortcullisActivity")
		for r, err := range each(t.Context(), activity) {
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(r.key, "e|") || !strings.Contains(r.doc, `"Requestor":"ann"`) {
				continue
			}
			text, err := json.Marshal(map[string]any{"PartitionKey": r.partition, "RowKey": r.key, "Doc": strings.Replace(r.doc, `"Requestor":"ann"`, `"Requestor":"eve"`, 1)})
			if err == nil {
				_, err = activity.UpdateEntity(t.Context(), text, &aztables.UpdateEntityOptions{UpdateMode: aztables.UpdateModeMerge})
			}
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		from.calls = nil
		refused(t, copyOf(from, to, io.Discard), "the copy is what the source is, and there the activity log is not as it was written")
		lists := 0
		for _, call := range from.calls {
			if strings.HasSuffix(call, "()") {
				lists++
			}
		}
		// A look at each table, then twice the pages of 1,000 rows: to copy and to compare.
		want := 3
		for _, name := range copyOf(from, to, io.Discard).tables() {
			want += 2 * ((from.rows(name) + 999) / 1000)
		}
		if lists != want {
			t.Errorf("the source was listed %d times, want %d", lists, want)
		}
		if got := to.tables(); strings.Contains(got, "Copy") {
			t.Errorf("the destination has the tables %s", got)
		}
	})
}

// TestPrepareRefuses: what names no two accounts ends before anybody is asked for anything.
func TestPrepareRefuses(t *testing.T) {
	const a, b = "https://a.table.core.windows.net", "https://b.table.core.windows.net"
	for name, args := range map[string][3]string{
		"nothing": {"", b, "Portcullis"}, "no destination": {a, "", "Portcullis"}, "plain http": {"http://a.table.core.windows.net", b, "Portcullis"},
		"the same": {a, strings.ToUpper(a[8:9]) + a[9:], "Portcullis"}, "the same twice": {a + "/", a, "Portcullis"}, "no prefix": {a, b, "-"},
		"somebody else's host": {"https://a.table.core.windows.net.example.com", b, "Portcullis"}, "another service": {"https://a.blob.core.windows.net", b, "Portcullis"},
		"a signature": {a + "/?sv=2026-01-01&sig=SECRET", b, "Portcullis"}, "a password": {"https://ada:SECRET@a.table.core.windows.net", b, "Portcullis"}, "a table": {a + "/PortcullisState", b, "Portcullis"},
	} {
		if _, err := prepare(args[0], args[1], args[2]); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s is not refused, or shown: %v", name, err)
		}
	}
	for _, from := range []string{a, a + "/", "https://a.z01.table.storage.azure.net", "https://a.table.core.usgovcloudapi.net", "https://a.table.core.chinacloudapi.cn"} {
		if _, err := prepare(from, b, "Portcullis"); err != nil {
			t.Error(err)
		}
	}
}
