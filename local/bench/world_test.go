package bench

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/google/uuid"

	"portcullis/core"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/store"
	"portcullis/core/tell"
	"portcullis/handlers"
	"portcullis/infra/arm"
	"portcullis/infra/azfirewall"
	"portcullis/infra/nsg"
	"portcullis/infra/rbac"
	"portcullis/infra/servicebus"
	"portcullis/infra/table"
	"portcullis/local/armsim"
	"portcullis/local/issuer"
	"portcullis/local/tablesim"
)

const (
	sub      = "11111111-1111-1111-1111-111111111111"
	tenant   = issuer.DefaultTenant
	person   = "00000000-0000-0000-0000-0000000000e3" // the issuer's admin
	group    = "/subscriptions/" + sub + "/resourceGroups/rg"
	provider = group + "/providers/Microsoft.Network/"
	armURL   = "https://management.example"
	audience = "https://management.azure.com"
	tableURL = "https://table.example/devaccount"
)

type object = map[string]any

// estate is machines behind security groups: machine i stands behind group i modulo groups, by its network interface.
// The spare machines come after them, each behind a group of its own.
type estate struct{ machines, groups, spare int }

func (e estate) groupOf(machine int) int {
	if machine >= e.machines {
		return e.groups + machine - e.machines
	}
	return machine % e.groups
}

func groupID(n int) jit.ID {
	return jit.ID{Subscription: sub, ResourceGroup: "rg", Type: jit.TypeNSG, Name: fmt.Sprintf("nsg%05d", n)}
}

func machineID(n int) jit.ID {
	return jit.ID{Subscription: sub, ResourceGroup: "rg", Type: jit.TypeVM, Name: fmt.Sprintf("vm%05d", n)}
}

func nicName(n int) string { return fmt.Sprintf("nic%05d", n) }

func addressOf(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

// world is one subscription, what stands in it, and the app before it.
type world struct {
	tb testing.TB
	estate
	arm    *armsim.Server
	tables *tablesim.Server
	queue  *queue
	store  *table.Store
	rooms  *core.App
	app    http.Handler
	second http.Handler // of another instance, which shares nothing with the first but the services; nil where there is none
	door   http.Handler // Resource Manager, as calls come to it
	real   bool
	free   bool
	tells  bool
	wait   time.Duration
	rng    *rand.Rand
	drawn  []time.Duration // how long a write to each group takes
	writes atomic.Int64    // nanoseconds since 1970 of the last write that was confirmed
}

// setting is what a world is made with.
type setting struct {
	estate
	knobs armsim.Knobs
	seed  uint64
	real  bool // in real time: no call takes longer than it does, and links in answers name the server that was asked
	free  bool // the app does not keep to the network provider's limit, as PORTCULLIS_NETWORK_WRITE_LIMIT=off has it
	tells bool // people are told in two channels; what delivers it finds nothing, and costs nothing

	// wait is how long a request is waited for before it is answered with 202. 0 is to its end, however long that is.
	wait   time.Duration
	second bool                            // there are two instances of the app
	watch  func(http.Handler) http.Handler // stands before Resource Manager; nil for nothing
}

func newWorld(tb testing.TB, s setting) *world {
	tb.Helper()
	w := &world{tb: tb, estate: s.estate, queue: newQueue(), real: s.real, free: s.free, tells: s.tells, wait: cmp.Or(s.wait, time.Hour), rng: rand.New(rand.NewPCG(s.seed, 7)), drawn: make([]time.Duration, s.groups+s.spare)}
	var err error
	base := armURL
	if s.real {
		base = ""
	}
	w.arm, err = armsim.Open(armsim.Config{URL: base, Verify: func(token string) (string, error) { return token, nil }, Seed: s.seed, Knobs: s.knobs})
	w.check(err)
	w.tables, err = tablesim.Open(tablesim.Config{AccountInPath: true, Verify: func(string) error { return nil }})
	w.check(err)
	tb.Cleanup(func() { w.check(errors.Join(w.arm.Close(), w.tables.Close())) })
	w.door = w.arm
	if s.watch != nil {
		w.door = s.watch(w.arm)
	}
	w.build()
	w.rooms, w.store, w.app = w.wire()
	if s.second {
		_, _, w.second = w.wire()
	}
	w.check(w.store.Setup(tb.Context()))
	w.check(w.rooms.Ready(tb.Context()))
	return w
}

func (w *world) check(err error) {
	w.tb.Helper()
	if err != nil {
		w.tb.Fatal(err)
	}
}

// build puts the estate into Resource Manager, and a role by which the person may do everything.
func (w *world) build() {
	put := func(id string, document object) {
		text, err := json.Marshal(document)
		w.check(err)
		w.check(w.arm.Put(id, text))
	}
	role := "/subscriptions/" + sub + "/providers/Microsoft.Authorization/roleDefinitions/" + armsim.Owner
	w.check(w.arm.Put(role, armsim.Role("Owner", "BuiltInRole", []string{"*"}, nil, []string{"/"})))
	put("/subscriptions/"+sub+"/providers/Microsoft.Authorization/roleAssignments/44444444-4444-4444-4444-444444444444",
		object{"properties": object{"roleDefinitionId": role, "principalId": person, "principalType": "User"}})
	for n := range w.groups + w.spare {
		put(groupID(n).String(), object{"location": "westeurope", "properties": object{"securityRules": []any{object{
			"name": "AllowWeb", "properties": object{"priority": 3000, "direction": "Inbound", "access": "Allow", "protocol": "Tcp", "sourceAddressPrefix": "Internet",
				"sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "443"}}}}})
	}
	subnet := provider + "virtualNetworks/vnet/subnets/machines"
	put(provider+"virtualNetworks/vnet", object{"location": "westeurope", "properties": object{
		"addressSpace": object{"addressPrefixes": []string{"10.0.0.0/8"}},
		"subnets":      []any{object{"name": "machines", "properties": object{"addressPrefix": "10.0.0.0/8"}}}}})
	for n := range w.machines + w.spare {
		put(provider+"networkInterfaces/"+nicName(n), object{"location": "westeurope", "properties": object{
			"primary": true, "virtualMachine": object{"id": machineID(n).String()},
			"networkSecurityGroup": object{"id": groupID(w.groupOf(n)).String()},
			"ipConfigurations": []any{object{"name": "first", "properties": object{"primary": true,
				"privateIPAddress": addressOf(n).String(), "privateIPAddressVersion": "IPv4", "subnet": object{"id": subnet}}}}}})
	}
}

// transports are the ways to the two services.
func (w *world) toARM() azcore.ClientOptions {
	if w.real {
		return azcore.ClientOptions{Transport: wire{w.door, 0}}
	}
	return azcore.ClientOptions{Transport: wire{w.door, armTrip}}
}

func (w *world) toTables() azcore.ClientOptions {
	if w.real {
		return azcore.ClientOptions{Transport: wire{w.tables, 0}}
	}
	return azcore.ClientOptions{Transport: wire{w.tables, tableTrip}}
}

// newID returns a UUID of version 7 of the bubble's time, which begins anew in every bubble: the module's own never go back.
func newID() string {
	id := uuid.Must(uuid.NewRandom())
	ms := time.Now().UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6] = 7<<4 | id[6]&0xf
	return id.String()
}

// wire puts an instance of the app together as main does, but for telemetry and the verifier of tokens: who calls is given.
func (w *world) wire() (*core.App, *table.Store, http.Handler) {
	options := azarm.ClientOptions{ClientOptions: w.toARM()}
	// As in main: Resource Manager counts the calls of an identity together, whoever makes them.
	limits := arm.Documented()
	if w.free {
		limits = limits.WithoutNetwork()
	}
	pacer := arm.NewPacer(arm.Config{Subscriptions: []string{sub}, Limits: limits})
	groups, err := nsg.New(identity("app"), nsg.Config{Connection: arm.Connection{Endpoint: armURL, Audience: audience, Options: options, Pacer: pacer}, Subscription: sub})
	w.check(err)
	gates, err := azfirewall.New(identity("app"), azfirewall.Config{Connection: arm.Connection{Endpoint: armURL, Audience: audience, Options: options, Pacer: pacer}})
	w.check(err)
	authority, err := rbac.New(identity("app"), rbac.Config{Connection: arm.Connection{Endpoint: armURL, Audience: audience, Options: options, Pacer: pacer}})
	w.check(err)
	rows, err := table.New(tableURL, identity("app"), table.Options{ClientOptions: w.toTables()})
	w.check(err)
	var courier *tell.Courier
	if w.tells {
		courier = &tell.Courier{Outbox: unread{rows}, Channels: []tell.Named{{Name: "chat"}, {Name: "mail"}}, Now: time.Now}
	}
	rooms := core.New(core.Ports{
		Courier: courier, Network: groups, Kinds: network.KindsOf(network.SecurityGroups(timed{groups, &w.writes}), network.AzureFirewalls(gates)),
		Policies: rows, Grants: rows, Keys: rows, History: rows, Targets: rows, Activity: rows, Holds: rows, Sweeps: rows, Reviews: rows, BreakGlass: time.Hour,
		Alarm: alarm{w.queue}, Authority: authority, Subscriptions: []string{sub}, Now: time.Now, NewID: newID,
	})
	app := handlers.New(rooms, handlers.Options{
		Address: hostAddress, ForwardedHeaders: true,
		Caller: func(r *http.Request) (jit.Caller, error) {
			return jit.Caller{ID: tenant + "/" + person, Name: "ann@example.com"}, nil
		},
		ParseWake: func(body []byte) (store.Wake, error) {
			b, err := servicebus.Parse(body)
			return store.Wake{Grant: b.Grant, Generation: b.Generation, Remind: b.Remind}, err
		},
		Wait: w.wait, Version: "bench", NewID: newID, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	return rooms, rows, app
}

// unread is an outbox in which letters are stored, and never found by whoever delivers.
type unread struct{ store.Outbox }

// Letters implements [store.Outbox].
func (unread) Letters(context.Context, string, string, int) ([]store.Letter, string, error) {
	return nil, "", nil
}

// call makes one HTTP request to the app and wants a status of 200.
func (w *world) call(method, path string, body any) []byte {
	w.tb.Helper()
	status, answer := w.try(method, path, body)
	if status != http.StatusOK {
		w.tb.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	return answer
}

func (w *world) try(method, path string, body any) (int, []byte) {
	return w.send(w.app, method, path, body)
}

// send makes one HTTP request to an instance of the app.
func (w *world) send(app http.Handler, method, path string, body any) (int, []byte) {
	var text []byte
	if body != nil {
		var err error
		text, err = json.Marshal(body)
		w.check(err)
	}
	r := httptest.NewRequest(method, path, strings.NewReader(string(text)))
	r.Header.Set("Authorization", "Bearer anybody")
	r.Header.Set("X-Forwarded-For", "198.51.100.7")
	out := httptest.NewRecorder()
	app.ServeHTTP(out, r)
	return out.Code, out.Body.Bytes()
}

// portOf returns the number of the nth port of a request.
func portOf(n int) int { return []int{22, 3389, 5985, 5986}[n] }

// enable protects machines, through the app's own door.
func (w *world) enable(machines, ports int) {
	w.tb.Helper()
	var vms, rules []any
	for n := range ports {
		rules = append(rules, object{"number": portOf(n), "protocol": "TCP"})
	}
	for n := range machines {
		vms = append(vms, object{"id": machineID(n).String(), "ports": rules})
	}
	for some := range slices.Chunk(vms, jit.MaxVMs) {
		w.call(http.MethodPost, "/api/enable", object{"virtualMachines": some})
	}
}

// request is the body of a request for the first machines and ports, or for those from first on.
func request(first, machines, ports int, length time.Duration, source string) object {
	var vms []any
	for n := first; n < first+machines; n++ {
		var list []any
		for p := range ports {
			list = append(list, object{"number": portOf(p), "duration": fmt.Sprintf("PT%dS", int(length.Seconds())), "allowedSourceAddressPrefix": source})
		}
		vms = append(vms, object{"id": machineID(n).String(), "ports": list})
	}
	return object{"virtualMachines": vms, "justification": "bench"}
}

// revoke is the host's invocation of the function revoke with one message.
func (w *world) revoke(ctx context.Context, body []byte) error { return w.wake(ctx, w.app, body) }

// wake is the same of an instance of the app.
func (w *world) wake(ctx context.Context, app http.Handler, body []byte) error {
	text, err := json.Marshal(object{"Data": object{"message": string(body)}, "Metadata": object{}})
	if err != nil {
		return err
	}
	if status, answer := w.post(ctx, app, "/revoke", text); status != http.StatusOK {
		return fmt.Errorf("revoke: %d %s", status, answer)
	}
	return nil
}

// hostAddress is where the Functions host finds the app.
const hostAddress = "127.0.0.1:7101"

// post invokes a trigger of an instance of the app as the Functions host does.
func (w *world) post(ctx context.Context, app http.Handler, path string, envelope []byte) (int, []byte) {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, path, bytes.NewReader(envelope))
	r.Host = hostAddress
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	r.Header.Set("X-Azure-Functions-InvocationId", newID())
	out := httptest.NewRecorder()
	app.ServeHTTP(out, r)
	return out.Code, out.Body.Bytes()
}

// serve delivers what is due, as many at a time as wide, until stop is called.
func (w *world) serve(wide int, handle func(context.Context, []byte) error) (stop func()) {
	ctx, cancel := context.WithCancel(w.tb.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.queue.deliver(ctx, wide, handle)
	}()
	return func() { cancel(); <-done }
}

// draw gives each group's writes a latency in [low, high] and the answers of the mode, and returns the slowest.
func (w *world) draw(low, high time.Duration, m mode) time.Duration {
	slowest := time.Duration(0)
	targets := map[string]*armsim.Writes{}
	for n := range w.drawn {
		w.drawn[n] = low
		if high > low {
			w.drawn[n] += time.Duration(w.rng.Int64N(int64(high - low))).Truncate(time.Millisecond)
		}
		slowest = max(slowest, w.drawn[n])
		l := armsim.Duration(w.drawn[n])
		targets[groupID(n).String()] = &armsim.Writes{LatencyMin: l, LatencyMax: l, Answer: m.answer, RetryAfter: armsim.Duration(m.retryAfter), Concurrent: m.concurrent}
	}
	w.check(w.arm.Tune(func(k *armsim.Knobs) { k.Targets = targets }))
	return slowest
}

// mode is how Resource Manager takes writes.
type mode struct {
	answer     armsim.Answer
	retryAfter time.Duration
	concurrent armsim.Concurrency
}

// timed notes when a write was last confirmed.
type timed struct {
	network.RuleStore
	last *atomic.Int64
}

// Apply implements access.Firewall.
func (f timed) Apply(ctx context.Context, p network.Priority, s network.Snapshot, c plan.Changes) (network.Snapshot, error) {
	after, err := f.RuleStore.Apply(ctx, p, s, c)
	if err == nil && !c.Empty() {
		f.last.Store(time.Now().UnixNano())
	}
	return after, err
}

// Turn implements access.Pacer, as the firewall behind it does.
func (f timed) Turn(ctx context.Context, p network.Priority, s network.Snapshot) (context.Context, bool, error) {
	return f.RuleStore.(network.Turns).Turn(ctx, p, s)
}

// lastWrite is when a write was last confirmed to the app.
func (w *world) lastWrite() time.Time { return time.Unix(0, w.writes.Load()) }

// cost is what was asked of the services.
type cost struct {
	Writes   int // PUTs and DELETEs
	Reads    int // GETs and lists, polls included
	Polls    int // of the reads
	Rejected int // calls answered with an error, of all the above
	Table    int // requests to Table Storage; a transaction and a page are one each
	Bus      bus
}

func (w *world) cost() cost {
	n := w.arm.Counts()
	c := cost{Writes: n.Writes + n.Deletes, Reads: n.Reads + n.Polls, Polls: n.Polls, Rejected: n.Rejected, Bus: w.queue.counted()}
	for _, n := range w.tables.Stats().Operations {
		c.Table += n
	}
	return c
}

func (c cost) minus(o cost) cost {
	return cost{c.Writes - o.Writes, c.Reads - o.Reads, c.Polls - o.Polls, c.Rejected - o.Rejected, c.Table - o.Table, c.Bus.minus(o.Bus)}
}

// standing counts the rules of a group that are not the one it began with.
func (w *world) standing(n int) (allows, denies int) {
	text, ok := w.arm.Effective(groupID(n).String())
	if !ok {
		w.tb.Fatalf("%s is gone", groupID(n).Name)
	}
	var doc struct {
		Properties struct {
			SecurityRules []struct {
				Name       string
				Properties struct{ Access string }
			}
		}
	}
	w.check(json.Unmarshal(text, &doc))
	for _, r := range doc.Properties.SecurityRules {
		switch {
		case r.Name == "AllowWeb":
		case r.Properties.Access == "Allow":
			allows++
		default:
			denies++
		}
	}
	return allows, denies
}

// allows counts the allow rules on all groups, beside those that were there.
func (w *world) allows() int { return w.allowsOf(w.groups + w.spare) }

// opens reports whether there is one on the first groups.
func (w *world) opens(groups int) bool {
	for n := range groups {
		if allows, _ := w.standing(n); allows > 0 {
			return true
		}
	}
	return false
}

// allowsOf counts them on the first groups.
func (w *world) allowsOf(groups int) int {
	sum := 0
	for n := range groups {
		a, _ := w.standing(n)
		sum += a
	}
	return sum
}
