package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/permit"
	"portcullis/core/store"
	"portcullis/handlers"
	"portcullis/handlers/arrival"
	"portcullis/infra/telemetry"
)

const (
	secretMachine   = "/subscriptions/" + estateSubscription + "/resourceGroups/demo/providers/Microsoft.Compute/virtualMachines/web"
	secretDirectory = "aaaaaaaa-0000-4000-8000-00000000000a"
	// What no line of a log, no answer and no finding may hold.
	secretAddress = "s3cr3t-signature"
	secretToken   = "t0ken-of-"
	secretAnswer  = "what the receiver says to itself"
)

// people is who may do what, by name.
type people map[string][]string

// Missing implements [permit.Authority].
func (p people) Missing(_ context.Context, who jit.Caller, _ string, actions ...string) (string, error) {
	for _, a := range actions {
		if !slices.Contains(p[who.Name], a) {
			return a, nil
		}
	}
	return "", nil
}

// written is a log that several goroutines write.
type written struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *written) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(b)
}

func (w *written) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// installation is the app over stores in memory, with the channels, the telemetry and the log that its settings make. alice asks, bob and ben may approve,
// eve may only look.
type installation struct {
	t     *testing.T
	doors http.Handler
	rooms *core.App
	store *coretest.Memory
	cloud *coretest.Cloud
	log   *written
	mu    sync.Mutex
	clock time.Time
}

func (i *installation) now() time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.clock
}

func (i *installation) leap(d time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.clock = i.clock.Add(d)
}

func newInstallation(t *testing.T, settings map[string]string) *installation {
	t.Helper()
	i := &installation{t: t, store: coretest.NewMemory(), cloud: coretest.NewCloud(), log: &written{}, clock: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	vm, err := jit.ParseVM(secretMachine)
	if err != nil {
		t.Fatal(err)
	}
	group, addrs := jit.ID{Subscription: estateSubscription, ResourceGroup: "demo", Type: jit.TypeNSG, Name: "web-nsg"}, []netip.Addr{netip.MustParseAddr("10.0.0.4")}
	i.cloud.SetRules(group)
	i.cloud.Place(network.Machine{VM: vm, Location: "westeurope", Private: addrs, Placements: []store.Placement{{Target: group, Addresses: addrs}}})
	cfg, err := readConfig(environ(settings))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(telemetry.Bounded(slog.NewJSONHandler(i.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	tel, err := telemetry.Start(t.Context(), telemetry.Config{Version: "test", Log: log, Now: i.now, Invocation: arrival.Invocation})
	if err != nil {
		t.Fatal(err)
	}
	courier, err := courierOf(cfg, nil, i.store, tel)
	if err != nil {
		t.Fatal(err)
	}
	if courier != nil {
		courier.Now = i.now
	}
	asks, writes := []string{permit.ActionRead, permit.ActionInitiate, permit.ActionReadVM}, []string{permit.ActionRead, permit.ActionWrite, permit.ActionDelete, permit.ActionReadVM, permit.ActionWriteVM}
	i.rooms = core.New(core.Ports{
		Network: i.cloud, Kinds: network.KindsOf(network.SecurityGroups(tel.RuleStore(i.cloud))), Policies: i.store, Grants: i.store, Keys: i.store, History: i.store, Targets: i.store,
		Activity: tel.Activity(i.store), Holds: i.store, Sweeps: tel.Sweeps(i.store, i.store), Reviews: i.store, Alarm: &coretest.Bell{},
		Authority:     people{"alice": slices.Concat(asks, writes), "bob": writes, "ben": writes, "eve": {permit.ActionRead}},
		Subscriptions: []string{estateSubscription}, Courier: courier, Panicked: tel.Panicked, Now: i.now, NewID: newID,
	})
	i.doors = handlers.New(i.rooms, handlers.Options{
		Address: "127.0.0.1:7101", Wait: 10 * time.Second, Version: "test", Log: log, NewID: newID, Observe: tel.Request, Audiences: []string{"api://portcullis"}, ParseWake: parseWake,
		Caller: func(r *http.Request) (jit.Caller, error) {
			name, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "+secretToken)
			if !ok {
				return jit.Caller{}, errors.New("no token")
			}
			return jit.Caller{ID: secretDirectory + "/" + objectOf(name), Name: name, Kind: jit.Person}, nil
		},
	})
	i.must(200, "bob", "POST", "/api/enable", `{"virtualMachines":[{"id":"`+secretMachine+`","ports":[{"number":22,"approvers":2},{"number":3389}]}]}`)
	return i
}

func objectOf(name string) string {
	return "eeeeeeee-0000-4000-8000-" + strings.Repeat("0", 12-len(name)) + strings.Map(func(r rune) rune { return rune("0123456789abcdef"[r%16]) }, name)
}

// call calls a door and gives the answer's status, its text, and what it holds.
func (i *installation) call(as, method, path, body string) (int, string, map[string]any) {
	i.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+secretToken+as)
	w := httptest.NewRecorder()
	i.doors.ServeHTTP(w, r)
	i.rooms.Courier.Wait()
	var out map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		i.t.Fatalf("%s %s: %v: %s", method, path, err, w.Body)
	}
	return w.Code, w.Body.String(), out
}

func (i *installation) must(status int, as, method, path, body string) map[string]any {
	i.t.Helper()
	got, text, out := i.call(as, method, path, body)
	if got != status {
		i.t.Fatalf("%s %s as %s: %d %s", method, path, as, got, text)
	}
	return out
}

// asks has alice ask for a port, and gives the id and the digest of the request.
func (i *installation) asks(port, source, why string) (id, digest string) {
	i.t.Helper()
	status, text, out := i.call("alice", "POST", "/api/request", `{"justification":"`+why+`","virtualMachines":[{"id":"`+secretMachine+`","ports":[{"number":`+port+`,"duration":"PT2H","allowedSourceAddressPrefix":"`+source+`"}]}]}`)
	if status != 200 && status != 202 {
		i.t.Fatalf("ask: %d %s", status, text)
	}
	approval, _ := out["approval"].(map[string]any)
	digest, _ = approval["digest"].(string)
	return out["id"].(string), digest
}

// state is everything that a refusal must leave as it was, but for its line in the log of activity.
func (i *installation) state(id string) string {
	i.t.Helper()
	rec, err := i.rooms.Verbs.Find(i.t.Context(), id)
	if err != nil {
		return err.Error()
	}
	out, err := json.Marshal(struct {
		Record store.GrantRecord
		Writes int
		Due    []store.Letter
	}{rec, i.cloud.Writes(), i.due()})
	if err != nil {
		i.t.Fatal(err)
	}
	return string(out)
}

// due returns the letters that are still to be delivered.
func (i *installation) due() []store.Letter {
	var out []store.Letter
	for _, channel := range []string{channelWebhook, channelTeams, channelSlack, channelEmail} {
		letters, _, err := i.store.Letters(i.t.Context(), channel, "", 100)
		if err != nil {
			i.t.Fatal(err)
		}
		out = append(out, letters...)
	}
	return out
}

// logged returns the lines of the log of activity.
func (i *installation) logged() string {
	i.t.Helper()
	_, text, _ := i.call("bob", "GET", "/api/activity?top=100", "")
	return text
}

// keeps fails where something that is secret has left the app by its log, its log of activity or its findings.
func (i *installation) keeps() {
	i.t.Helper()
	_, findings, _ := i.call("bob", "POST", "/api/sweep", "")
	for what, text := range map[string]string{"the log": i.log.String(), "the log of activity": i.logged(), "the findings": findings} {
		for _, secret := range []string{secretAddress, secretToken, secretAnswer, "s3cr3t"} {
			if strings.Contains(text, secret) {
				i.t.Errorf("%s holds %q:\n%s", what, secret, text)
			}
		}
	}
	if !strings.Contains(i.log.String(), `"msg":"request"`) {
		i.t.Errorf("the log holds no line of a call:\n%s", i.log)
	}
}

// receiver is a receiver on loopback that answers as it is told, and says what is its own affair.
func receiver(t *testing.T, status int, header ...string) (address string, calls func() []string) {
	var mu sync.Mutex
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		got = append(got, string(body))
		mu.Unlock()
		for n := 0; n+1 < len(header); n += 2 {
			w.Header().Set(header[n], header[n+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, secretAnswer)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/hook?sig=" + secretAddress, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(got)
	}
}
