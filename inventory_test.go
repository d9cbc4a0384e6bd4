package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/tracing"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/handlers"
	"portcullis/infra/arm"
	"portcullis/infra/nsg"
)

const estateSubscription = "00000000-0000-0000-0000-00000000d3e0"

// estate is Resource Manager's lists of a subscription with many machines, each with a public address, in several
// resource groups, each with a network and a security group: pages of 100, each after 50 ms.
type estate struct {
	lists map[string][]string // by path, in lower case
	url   string
	reads atomic.Int64
}

func newEstate(t *testing.T, machines, groups int) *estate {
	e := &estate{lists: map[string][]string{}}
	root := "/subscriptions/" + estateSubscription
	put := func(g int, kind, name, doc string) {
		group := fmt.Sprintf("%s/resourceGroups/group-%03d", root, g)
		at := "/providers/Microsoft.Network/" + kind
		item := fmt.Sprintf(`{"id":"%s%s/%s","name":"%s","location":"westeurope","etag":"W/\"1\"","properties":{"provisioningState":"Succeeded",%s}}`, group, at, name, name, doc)
		for _, path := range []string{root + at, group + at} {
			e.lists[strings.ToLower(path)] = append(e.lists[strings.ToLower(path)], item)
		}
	}
	for g := range groups {
		net := fmt.Sprintf("%s/resourceGroups/group-%03d/providers/Microsoft.Network", root, g)
		put(g, "networkSecurityGroups", "guard", `"securityRules":[]`)
		put(g, "virtualNetworks", "net", fmt.Sprintf(`"subnets":[{"id":"%[1]s/virtualNetworks/net/subnets/work","name":"work","properties":{"networkSecurityGroup":{"id":"%[1]s/networkSecurityGroups/guard"}}}]`, net))
		e.lists[strings.ToLower(root+"/resourcegroups")] = append(e.lists[strings.ToLower(root+"/resourcegroups")], fmt.Sprintf(`{"id":"/x","name":"group-%03d"}`, g))
	}
	for i := range machines {
		group := fmt.Sprintf("%s/resourceGroups/group-%03d/providers", root, i%groups)
		put(i%groups, "publicIPAddresses", fmt.Sprintf("ip-%05d", i), fmt.Sprintf(`"ipAddress":"20.%d.%d.%d"`, i>>16, i>>8&255, i&255))
		put(i%groups, "networkInterfaces", fmt.Sprintf("nic-%05d", i), fmt.Sprintf(`"primary":true,"resourceGuid":"guid-%05[1]d","virtualMachine":{"id":"%[2]s/Microsoft.Compute/virtualMachines/vm-%05[1]d"},
			"ipConfigurations":[{"name":"main","properties":{"primary":true,"privateIPAddress":"10.%[3]d.%[4]d.%[5]d","subnet":{"id":"%[2]s/Microsoft.Network/virtualNetworks/net/subnets/work"},"publicIPAddress":{"id":"%[2]s/Microsoft.Network/publicIPAddresses/ip-%05[1]d"}}}]`,
			i, group, i>>16, i>>8&255, i&255))
	}
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	e.url = server.URL
	return e
}

func (e *estate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.reads.Add(1)
	timer := time.NewTimer(50 * time.Millisecond) // the assumed time for a page
	defer timer.Stop()
	<-timer.C
	list, from := e.lists[strings.ToLower(r.URL.Path)], 0
	_, _ = fmt.Sscan(r.URL.Query().Get("from"), &from)
	to := min(from+100, len(list))
	next := ""
	if to < len(list) {
		next = fmt.Sprintf(`,"nextLink":"%s%s?from=%d"`, e.url, r.URL.Path, to)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"value":[`)
	for i, item := range list[from:to] {
		if i > 0 {
			_, _ = io.WriteString(w, ",")
		}
		_, _ = io.WriteString(w, item)
	}
	_, _ = io.WriteString(w, "]"+next+"}")
}

type anybody struct{}

func (anybody) Missing(context.Context, jit.Caller, string, ...string) (string, error) {
	return "", nil
}

func (anybody) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "token", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// TestInventoryOfTenThousand measures GET /api/machines with everything that production has except identity and
// storage: the handler, the guard, the adapter as wired in main, and the pacer. It asserts the answer and the
// number of reads. It prints the time and the peak memory of the process, including the stand-in; these depend on
// the machine and are not asserted.
func TestInventoryOfTenThousand(t *testing.T) {
	if testing.Short() {
		t.Skip("it reads pages that take their time")
	}
	machines := 10_000
	if raceDetector { // its times are meaningless
		machines = 2_000
	}
	for _, tc := range []struct {
		groups, reads int // at most this many reads: two lists of 100 pages, up to three pages of each that are read in vain, and some short lists
	}{{20, 250}, {1, 250}} {
		t.Run(fmt.Sprint(tc.groups, " groups"), func(t *testing.T) {
			e := newEstate(t, machines, tc.groups)
			cfg := nsgOf(config{Cloud: "AzurePublic", ARMEndpoint: e.url, Subscriptions: []string{estateSubscription}}, tracing.Provider{})
			cfg.Pacer = arm.NewPacer(arm.Config{Subscriptions: []string{estateSubscription}})
			groups, err := nsg.New(anybody{}, cfg)
			if err != nil {
				t.Fatal(err)
			}
			store := coretest.NewMemory()
			now := time.Now() // fixed: on a slow machine the first answer would be too old for the second
			rooms := core.New(core.Ports{Network: groups, Kinds: network.KindsOf(network.SecurityGroups(groups)), Policies: store, Grants: store, Keys: store, History: store, Targets: store,
				Activity: store, Holds: store, Sweeps: store, Alarm: &coretest.Bell{}, Subscriptions: []string{estateSubscription}, Now: func() time.Time { return now }, NewID: newID, Authority: anybody{}})
			h := handlers.New(rooms, handlers.Options{
				Caller: func(*http.Request) (jit.Caller, error) { return jit.Caller{ID: "tid/alice", Name: "alice"}, nil },
				Wait:   time.Second, Version: "test", Log: slog.New(slog.DiscardHandler), NewID: newID,
			})
			began := busy()
			look := func(query string) (total int, took time.Duration) {
				t.Helper()
				w := httptest.NewRecorder()
				began := time.Now()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/machines?"+query, nil))
				took = time.Since(began)
				var body struct {
					Value  []struct{ Name string }
					Counts struct{ NotConfigured int }
				}
				if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != http.StatusOK || len(body.Value) != 100 {
					t.Fatalf("%d, %v: %.300s", w.Code, err, w.Body)
				}
				return body.Counts.NotConfigured, took
			}
			total, first := look("")
			reads := e.reads.Load()
			again, second := look("sort=-name&q=vm-")
			if total != machines || again != machines || int(reads) > tc.reads {
				t.Errorf("%d machines, then %d, in %d reads; want %d in %d at most", total, again, reads, machines, tc.reads)
			}
			if after := e.reads.Load(); after != reads {
				t.Errorf("%d more reads for the second look", after-reads)
			}
			t.Logf("%d machines in %d groups: first look %v in %d reads, second %v; %v of CPU for both, most memory of the process so far %s, both with the stand-in",
				machines, tc.groups, first.Round(time.Millisecond), reads, second.Round(time.Millisecond), busy()-began, mostMemory())
		})
	}
}

// busy returns the CPU time of the process according to the kernel, since the wall-clock time includes other
// processes.
func busy() time.Duration {
	text, err := os.ReadFile("/proc/self/stat")
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if err != nil || len(fields) < 13 {
		return 0
	}
	var ticks time.Duration
	for _, f := range fields[11:13] { // utime and stime, in hundredths of a second
		n, err := strconv.Atoi(f)
		if err != nil {
			return 0
		}
		ticks += time.Duration(n)
	}
	return ticks * 10 * time.Millisecond
}

// mostMemory returns the peak resident memory of the process according to the kernel.
func mostMemory() string {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "not known here"
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			return strings.TrimSpace(rest)
		}
	}
	return "not known here"
}
