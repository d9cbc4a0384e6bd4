package nsg

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/store"
	"portcullis/infra/arm"
	"portcullis/infra/nsg/topology"
)

var _ network.Surveyor = (*Client)(nil)

// How a survey lists. ARM's next page is known only from the page before, so the pages of one list
// come one after the other; lists of several resource groups come side by side. The size of a page is
// ARM's: the network provider documents no $top.
const (
	fewPages   = 3   // as many are read of the subscription's list before its groups' are
	mostGroups = 400 // above, the groups would cost more reads than they save time
	surveyWide = 24  // lists at the same time
)

const resourcesVersion = "2021-04-01" // api-version of resource groups and of the list of all resources

// Survey gives the machines of [Client.Machines], the classic ones, their tags, and which have an Azure Firewall
// before them.
//
// Where a list is long it reads those of the resource groups side by side, so that it takes
// seconds for ten thousand machines. What moves from one group to another meanwhile may be missing
// or be found in both: it is for people to see, not for a sweep to act on.
//
// Firewalls, classic machines and tags are left out where the app may not read them or the routes to them. A machine in a spoke
// of a virtual hub is not taken for one behind the hub's firewall: the interface does not say so.
func (c *Client) Survey(ctx context.Context, subscription string) (network.Survey, error) {
	doing := "survey subscription " + subscription
	s, err := c.subscription(subscription)
	if err != nil {
		return network.Survey{}, fmt.Errorf("%s: %w", doing, err)
	}
	var inv topology.Lists
	var out network.Survey
	var classic, machines []tagged
	g, gctx := arm.NewGroup(ctx)
	g.Go(func() (err error) { inv, err = s.listsSideBySide(gctx, doing, subscription); return err })
	g.Go(func() (err error) {
		classic, err = s.ofType(gctx, doing, subscription, jit.TypeClassicVM)
		return readable(err)
	})
	g.Go(func() (err error) {
		machines, err = s.ofType(gctx, doing, subscription, jit.TypeVM)
		return readable(err)
	})
	if err := g.Wait(); err != nil {
		return network.Survey{}, err
	}
	out.Tags = map[string]map[string]string{}
	for _, m := range append(classic, machines...) {
		out.Tags[m.id.Key()] = m.tags
	}
	for _, m := range classic {
		out.Classic = append(out.Classic, m.id)
	}
	all := func(string) bool { return true }
	if err := readable(c.fronts(ctx, doing, subscription, &inv, all)); err != nil {
		return network.Survey{}, err
	}
	found, err := inv.Machines(all)
	if err != nil {
		return network.Survey{}, fmt.Errorf("%s: %w", doing, err)
	}
	for _, key := range slices.Sorted(maps.Keys(found)) {
		out.Machines = append(out.Machines, found[key])
	}
	out.Behind = inv.Fronted()
	return out, nil
}

// readable passes over what the app may not read.
func readable(err error) error {
	if errors.Is(err, store.ErrForbidden) {
		return nil
	}
	return err
}

// tagged is a machine as ARM lists it among all resources.
type tagged struct {
	id   jit.ID
	tags map[string]string // never nil
}

// ofType gives the machines of a type, sorted. ARM lists those that the app may see.
func (s *clients) ofType(ctx context.Context, doing, subscription, of string) ([]tagged, error) {
	var out []tagged
	filter := url.Values{"$filter": {"resourceType eq '" + of + "'"}}
	err := s.resources(ctx, "/subscriptions/"+subscription+"/resources", filter, func(r resource) {
		vm, err := jit.ParseID(r.ID)
		if err != nil || !strings.EqualFold(vm.Type, of) {
			return
		}
		if r.Tags == nil {
			r.Tags = map[string]string{}
		}
		out = append(out, tagged{vm, r.Tags})
	})
	slices.SortFunc(out, func(a, b tagged) int { return strings.Compare(a.id.Key(), b.id.Key()) })
	if err != nil {
		return nil, arm.Translate(ctx, doing, subscription, err)
	}
	return out, nil
}

// resource is what lists of resources and of resource groups have in common.
type resource struct {
	ID, Name string
	Tags     map[string]string
}

// resources lists what has an id and a name: no client of the SDK is worth its weight for two lists.
func (s *clients) resources(ctx context.Context, path string, query url.Values, add func(resource)) error {
	query.Set("api-version", resourcesVersion)
	return s.eachPage(ctx, path, query, func(text []byte) (string, error) {
		var page struct {
			Value    []resource `json:"value"`
			NextLink string     `json:"nextLink"`
		}
		err := json.Unmarshal(text, &page)
		for _, r := range page.Value {
			add(r)
		}
		return page.NextLink, err
	})
}

// walker reads one page and reports whether there is another.
type walker func(ctx context.Context) (bool, error)

// rest reads all pages that are left.
func (w walker) rest(ctx context.Context) error {
	for {
		if more, err := w(ctx); err != nil || !more {
			return err
		}
	}
}

// listing is one kind of resource, whose pages add themselves to the lists.
type listing struct {
	whole func() walker
	group func(name string) walker
	clear func() // forgets what was added
}

func walk[T any](pager *runtime.Pager[T], page func(func()), add func(T)) walker {
	return func(ctx context.Context) (bool, error) {
		got, err := pager.NextPage(ctx)
		if err != nil {
			return false, err
		}
		page(func() { add(got) })
		return pager.More(), nil
	}
}

// lists makes the three listings at the same time, each read by what read returns, and tells how many pages that took. The first failure ends
// the others.
func (s *clients) lists(ctx context.Context, doing, subscription string, read func(context.Context) func(listing) error) (topology.Lists, int, error) {
	out := topology.New()
	var mu sync.Mutex
	pages := 0
	g, gctx := arm.NewGroup(ctx)
	reads := read(gctx)
	for _, l := range s.listings(&out, func(add func()) {
		mu.Lock()
		defer mu.Unlock()
		pages++
		add()
	}) {
		g.Go(func() error { return reads(l) })
	}
	if err := g.Wait(); err != nil {
		return topology.Lists{}, 0, arm.Translate(ctx, doing, subscription, err)
	}
	out.Sort()
	out.Share()
	return out, pages, nil
}

// listsSideBySide is lists, with the groups of long lists side by side.
func (s *clients) listsSideBySide(ctx context.Context, doing, subscription string) (topology.Lists, error) {
	out, _, err := s.lists(ctx, doing, subscription, func(ctx context.Context) func(listing) error {
		groups := sync.OnceValues(func() ([]string, error) { return s.resourceGroups(ctx, subscription) })
		slots := make(chan struct{}, surveyWide)
		return func(l listing) error { return l.read(ctx, groups, slots) }
	})
	return out, err
}

// listings returns the three kinds of resource that machines are found by. page has what a page holds added by one at a time.
func (s *clients) listings(inv *topology.Lists, page func(add func())) []listing {
	nics := func(list []*armnetwork.Interface) { inv.Interfaces = append(inv.Interfaces, list...) }
	networks := func(list []*armnetwork.VirtualNetwork) {
		for _, n := range list {
			inv.AddNetwork(n)
		}
	}
	addresses := func(list []*armnetwork.PublicIPAddress) {
		for _, a := range list {
			inv.AddAddress(a)
		}
	}
	return []listing{{
		whole: func() walker {
			return walk(s.interfaces.NewListAllPager(nil), page, func(p armnetwork.InterfacesClientListAllResponse) { nics(p.Value) })
		},
		group: func(name string) walker {
			return walk(s.interfaces.NewListPager(name, nil), page, func(p armnetwork.InterfacesClientListResponse) { nics(p.Value) })
		},
		clear: func() { inv.Interfaces = nil },
	}, {
		whole: func() walker {
			return walk(s.networks.NewListAllPager(nil), page, func(p armnetwork.VirtualNetworksClientListAllResponse) { networks(p.Value) })
		},
		group: func(name string) walker {
			return walk(s.networks.NewListPager(name, nil), page, func(p armnetwork.VirtualNetworksClientListResponse) { networks(p.Value) })
		},
		clear: inv.ForgetNetworks,
	}, {
		whole: func() walker {
			return walk(s.addresses.NewListAllPager(nil), page, func(p armnetwork.PublicIPAddressesClientListAllResponse) { addresses(p.Value) })
		},
		group: func(name string) walker {
			return walk(s.addresses.NewListPager(name, nil), page, func(p armnetwork.PublicIPAddressesClientListResponse) { addresses(p.Value) })
		},
		clear: inv.ForgetAddresses,
	}}
}

// read reads the list: the subscription's while it is short, else those of its groups. Where
// there are too many groups, or they cannot be listed, it goes on with the subscription's.
func (l listing) read(ctx context.Context, groups func() ([]string, error), slots chan struct{}) error {
	whole := l.whole()
	for range fewPages {
		if more, err := whole(ctx); err != nil || !more {
			return err
		}
	}
	names, err := groups()
	if err != nil || len(names) < 2 || len(names) > mostGroups {
		return whole.rest(ctx)
	}
	l.clear()
	g, gctx := arm.NewGroup(ctx)
	for _, name := range names {
		g.Go(func() error {
			slots <- struct{}{}
			defer func() { <-slots }()
			err := l.group(name).rest(gctx)
			if r := arm.Refusal(err); r != nil && r.StatusCode == http.StatusNotFound {
				return nil // the group has gone meanwhile
			}
			return err
		})
	}
	return g.Wait()
}

// resourceGroups gives the names of the subscription's resource groups.
func (s *clients) resourceGroups(ctx context.Context, subscription string) ([]string, error) {
	var out []string
	err := s.resources(ctx, "/subscriptions/"+subscription+"/resourcegroups", url.Values{}, func(r resource) { out = append(out, r.Name) })
	return out, err
}
