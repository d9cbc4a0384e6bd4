package nsg_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/infra/nsg"
	"portcullis/local/armsim"
)

// TestSurveyOfTheDemo: every machine of Machines, the classic one, and who is behind which firewall.
func TestSurveyOfTheDemo(t *testing.T) {
	r := newRig(t, armsim.Knobs{PageSize: 3})
	for _, res := range armsim.Demo() {
		if err := r.ARM.Put(res.ID, res.Document); err != nil {
			t.Fatal(err)
		}
	}
	want, err := r.Machines(t.Context(), armsim.DemoSubscription)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Survey(t.Context(), armsim.DemoSubscription)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(names(want), names(got.Machines)); diff != "" || len(want) != 8 {
		t.Errorf("machines (-listed +surveyed):\n%s", diff)
	}
	if len(got.Classic) != 1 || got.Classic[0].Name != "old" || got.Classic[0].Type != jit.TypeClassicVM {
		t.Errorf("classic: %v", got.Classic)
	}
	tags := map[string]map[string]string{}
	for key, t := range got.Tags {
		tags[key[strings.LastIndex(key, "/")+1:]] = t
	}
	apps := map[string]string{"env": "test", "team": "apps"}
	if diff := cmp.Diff(map[string]map[string]string{"web": {"env": "prod", "team": "shop"}, "app1": apps, "app2": apps, "old": {}}, tags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	behind := map[string]bool{}
	for key, managed := range got.Behind {
		behind[key[strings.LastIndex(key, "/")+1:]] = managed
	}
	if diff := cmp.Diff(map[string]bool{"behindfw": false, "managedfw": true}, behind); diff != "" {
		t.Errorf("behind a firewall (-want +got):\n%s", diff)
	}
}

// names gives what tells machines apart, with what stands before and behind them.
func names(machines []network.Machine) []string {
	var out []string
	for _, m := range machines {
		out = append(out, fmt.Sprint(m.VM, m.Location, m.Placements, m.Private, m.Public, m.Unguarded))
	}
	return out
}

// estate puts n machines with a public address each, behind one NSG for each of the groups.
func estate(t testing.TB, put func(id, doc string), n, groups int) {
	t.Helper()
	for g := range groups {
		net := fmt.Sprintf("/subscriptions/%s/resourceGroups/group-%03d/providers/Microsoft.Network/", sub, g)
		put(net+"networkSecurityGroups/guard", `{"location":"westeurope","properties":{"securityRules":[]}}`)
		put(net+"virtualNetworks/net", fmt.Sprintf(`{"location":"westeurope","properties":{"addressSpace":{"addressPrefixes":["10.0.0.0/8"]},"subnets":[{"name":"work","properties":{"addressPrefix":"10.0.0.0/8","networkSecurityGroup":{"id":"%snetworkSecurityGroups/guard"}}}]}}`, net))
	}
	for i := range n {
		group := fmt.Sprintf("/subscriptions/%s/resourceGroups/group-%03d/providers/", sub, i%groups)
		net := group + "Microsoft.Network/"
		put(fmt.Sprintf("%spublicIPAddresses/ip-%05d", net, i), fmt.Sprintf(`{"location":"westeurope","properties":{"ipAddress":"20.%d.%d.%d"}}`, i>>16, i>>8&255, i&255))
		put(fmt.Sprintf("%snetworkInterfaces/nic-%05d", net, i), fmt.Sprintf(`{"location":"westeurope","properties":{"primary":true,"virtualMachine":{"id":"%sMicrosoft.Compute/virtualMachines/vm-%05d"},
			"ipConfigurations":[{"name":"main","properties":{"primary":true,"privateIPAddress":"10.%d.%d.%d","subnet":{"id":"%svirtualNetworks/net/subnets/work"},"publicIPAddress":{"id":"%spublicIPAddresses/ip-%05d"}}}]}}`,
			group, i, i>>16, i>>8&255, i&255, net, net, i))
	}
}

// TestSurveyAtScale measures the survey of 10,000 machines from a stand-in that answers pages of 100
// after 50 ms. The groups decide: lists of groups are read side by side, the pages of one are not. With the
// race detector, whose times say nothing, a tenth of them do.
func TestSurveyAtScale(t *testing.T) {
	machines := 10_000
	if raceDetector {
		machines = 1_000
	}
	for _, groups := range []int{1, 20, 100} {
		t.Run(fmt.Sprint(groups), func(t *testing.T) {
			pages := newPaged(t, machines, groups)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			began := time.Now()
			got, err := pages.client.Survey(t.Context(), sub)
			took := time.Since(began)
			if err != nil || len(got.Machines) != machines {
				t.Fatalf("%d machines, %v", len(got.Machines), err)
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			t.Logf("%d machines in %d groups: %v, %d reads, at most %d at once; %d MiB allocated in all, %d MiB kept",
				machines, groups, took.Round(time.Millisecond), pages.reads.Load(), pages.most.Load(), (after.TotalAlloc-before.TotalAlloc)>>20, (int64(after.HeapAlloc)-int64(before.HeapAlloc))>>20)
			if !slices.IsSortedFunc(got.Machines, func(a, b network.Machine) int { return strings.Compare(a.VM.Key(), b.VM.Key()) }) {
				t.Error("not sorted")
			}
			runtime.KeepAlive(got)
		})
	}
}

// paged is a client before lists that were made once, so that the time of the stand-in is not
// measured with the adapter's.
type paged struct {
	client      *nsg.Client
	reads, most atomic.Int64
	now         atomic.Int64
}

func newPaged(t *testing.T, machines, groups int) *paged {
	t.Helper()
	lists := map[string][]string{} // by path, in lower case
	estate(t, func(id, doc string) {
		group, typ, _ := strings.Cut(id, "/providers/")
		typ = typ[:strings.LastIndex(typ, "/")]
		item := fmt.Sprintf(`{"id":%q,"name":%q,%s`, id, id[strings.LastIndex(id, "/")+1:], strings.Replace(strings.Replace(doc, "{", "", 1), `{"name":"work",`, fmt.Sprintf(`{"id":"%s/subnets/work","name":"work",`, id), 1))
		for _, at := range []string{"/subscriptions/" + sub, group} {
			path := strings.ToLower(at + "/providers/" + typ)
			lists[path] = append(lists[path], item)
		}
	}, machines, groups)
	all := strings.ToLower("/subscriptions/" + sub + "/resourcegroups")
	for g := range groups {
		lists[all] = append(lists[all], fmt.Sprintf(`{"id":"/x","name":"group-%03d"}`, g))
	}
	p := &paged{}
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.reads.Add(1)
		p.most.Store(max(p.most.Load(), p.now.Add(1)))
		defer p.now.Add(-1)
		timer := time.NewTimer(50 * time.Millisecond) // what ARM takes
		defer timer.Stop()
		<-timer.C
		list, from := lists[strings.ToLower(r.URL.Path)], 0
		_, _ = fmt.Sscan(r.URL.Query().Get("from"), &from)
		to := min(from+100, len(list))
		next := ""
		if to < len(list) {
			next = fmt.Sprintf(`,"nextLink":"%s%s?from=%d"`, server.URL, r.URL.Path, to)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"value":[%s]%s}`, strings.Join(list[from:to], ","), next)
	}))
	t.Cleanup(server.Close)
	p.client = client(t, server, nil)
	return p
}
