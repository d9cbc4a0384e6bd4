package reach_test

import (
	"fmt"
	"net/netip"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"portcullis/core/jit"
	"portcullis/core/reach"
)

// TestOpenTag: tags that hold anybody's machines, or services that connect to what anybody names, are open in every region and spelling.
func TestOpenTag(t *testing.T) {
	for tag, want := range map[string]bool{
		"Internet": true, "internet": true, "AzureCloud": true, "AzureCloud.westeurope": true, "azurecloud.WestEurope": true, "Storage": true, "Storage.WestEurope": true,
		"AppService": true, "AppService.northeurope": true, "DataFactory.eastus": true, "LogicApps": true, "AzureDevOps": true, "AzureFrontDoor.Backend": true,
		"GuestAndHybridManagement": true, "ApplicationInsightsAvailability": true,
		"": false, "VirtualNetwork": false, "AzureLoadBalancer": false, "GatewayManager": false, "AzureFrontDoor.FirstParty": false, "AzureFrontDoor.Frontend": false,
		"StorageSyncService": false, "AzureCloudX": false, "AppServiceManagement": false, "DataFactoryManagement": false, "LogicAppsManagement": false, "Sql": false,
	} {
		if got := reach.OpenTag(tag); got != want {
			t.Errorf("%q: open %v, want %v", tag, got, want)
		}
	}
}

// TestStrangers: who is let in by an open tag is among those who reach a port from the Internet, unless another guard or an earlier rule keeps them out.
func TestStrangers(t *testing.T) {
	known := reach.Names{VirtualNetwork: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	told := known
	told.Tags = map[string][]netip.Prefix{"storage": {netip.MustParsePrefix("10.1.0.0/16")}}
	for name, tc := range map[string]struct {
		names  reach.Names
		nic    []string
		subnet []string
		want   []string
	}{
		"everybody's machines":                   {known, []string{"allow 300 tcp AzureCloud -> * :22"}, nil, []string{"nic0"}},
		"a region of them":                       {known, []string{"allow 300 tcp AzureCloud.westeurope -> * :22"}, nil, []string{"nic0"}},
		"storage":                                {known, []string{"allow 300 tcp Storage.WestEurope -> * :22"}, nil, []string{"nic0"}},
		"a tag that is not open":                 {known, []string{"allow 300 tcp GatewayManager -> * :22"}, nil, nil},
		"a tag of which the addresses are known": {told, []string{"allow 300 tcp Storage -> * :22"}, nil, nil},
		"another port":                           {known, []string{"allow 300 tcp AzureCloud -> * :23"}, nil, nil},
		"denied before, by the same tag":         {known, []string{"deny 200 * Storage -> * :*", "allow 300 tcp Storage.westeurope -> * :22"}, nil, nil},
		"denied before, by all of Azure":         {known, []string{"deny 200 * AzureCloud -> * :*", "allow 300 tcp LogicApps -> * :22"}, nil, nil},
		"denied before, by Internet":             {known, []string{"deny 200 * Internet -> * :*", "allow 300 tcp AzureCloud -> * :22"}, nil, nil},
		"another tag denied before":              {known, []string{"deny 200 * Sql -> * :*", "allow 300 tcp AzureCloud -> * :22"}, nil, []string{"nic1"}},
		"a region denied before":                 {known, []string{"deny 200 * AzureCloud.westeurope -> * :*", "allow 300 tcp AzureCloud -> * :22"}, nil, []string{"nic1"}},
		"of another port denied before":          {known, []string{"deny 200 * AzureCloud -> * :23", "allow 300 tcp AzureCloud -> * :22"}, nil, []string{"nic1"}},
		"through both groups":                    {known, []string{"allow 300 tcp AzureCloud -> * :22"}, []string{"allow 300 tcp Storage -> * :22"}, []string{"nic0"}},
		"through another that lets all in":       {known, []string{"allow 300 tcp AzureCloud -> * :22"}, []string{"allow 300 tcp * -> * :22"}, []string{"nic0"}},
		"another lets one address in":            {known, []string{"allow 300 tcp AzureCloud -> * :22"}, []string{"allow 300 tcp 203.0.113.7 -> * :22"}, nil},
		"another lets nobody in":                 {known, []string{"allow 300 tcp AzureCloud -> * :22"}, []string{"deny 300 tcp * -> * :22"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			e := reach.Endpoint{Address: netip.MustParseAddr("10.0.0.4"), Guards: []reach.Guard{guard(t, "nic", tc.nic...)}}
			if tc.subnet != nil {
				e.Guards = append(e.Guards, guard(t, "subnet", tc.subnet...))
			}
			var got []string
			for _, x := range tc.names.Exposures(e, []uint16{22}, tc.names.Internet()) {
				if x.Strangers && x.Certain.IsEmpty() {
					got = append(got, x.By[0].Rule.Name)
				}
			}
			if d := gocmp.Diff(tc.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
	e := reach.Endpoint{Address: netip.MustParseAddr("10.0.0.4"), Guards: []reach.Guard{guard(t, "nic", "allow 300 tcp AzureCloud -> * :22")}}
	if got := known.Exposures(e, []uint16{22}, jit.SourcesOf()); len(got) != 0 {
		t.Errorf("from nowhere: %v", fmt.Sprint(got))
	}
}
