package nsg_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/local/armsim"
)

// reads counts the reads of f.
func (r *rig) reads(f func()) int {
	var mu sync.Mutex
	n := 0
	r.Interpose(func(req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if req.Method == http.MethodGet {
			n++
		}
	})
	f()
	r.Interpose(nil)
	return n
}

func (r *rig) recall(t *testing.T, vms ...jit.ID) (found map[string]network.Machine, reads int) {
	t.Helper()
	var err error
	reads = r.reads(func() { found, err = r.Recall(t.Context(), vms) })
	if err != nil {
		t.Fatal(err)
	}
	return found, reads
}

func same(t *testing.T, what string, got, want map[string]network.Machine) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("%s (-located +recalled):\n%s", what, diff)
	}
}

// TestRecallReadsOneInterface holds what a request for one machine costs, and that what it
// gives is what a listing gives, whatever happened to the machine meanwhile.
func TestRecallReadsOneInterface(t *testing.T) {
	r := newRig(t, armsim.Knobs{})
	subnet := r.Subnet(t, "s", r.Guard(t, "g"))
	web, nics := r.Machine(t, "web", oneNIC(subnet, "10.0.0.4"))
	other, _ := r.Machine(t, "other", oneNIC(subnet, "10.0.0.5"))
	if _, reads := r.recall(t, web); reads < 3 {
		t.Errorf("the first call made %d reads, want a listing", reads)
	}
	locate := func(vms ...jit.ID) map[string]network.Machine {
		t.Helper()
		found, err := r.Locate(t.Context(), vms)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	want := locate(web)
	got, reads := r.recall(t, web)
	same(t, "one machine", got, want)
	if reads != 1 {
		t.Errorf("a machine that was listed before took %d reads, want 1", reads)
	}
	// Its address becomes another machine's: only what it has now is given.
	r.Put(t, nics[0], nicOf(web, subnet, "10.0.0.9"))
	got, reads = r.recall(t, web)
	if a := got[web.Key()].Private; !slices.Equal(a, []netip.Addr{netip.MustParseAddr("10.0.0.9")}) || reads != 1 {
		t.Errorf("after it moved: addresses %v, %d reads", a, reads)
	}
	// Its interface becomes another machine's: it is not given.
	r.Put(t, nics[0], nicOf(other, subnet, "10.0.0.9"))
	got, _ = r.recall(t, web)
	same(t, "an interface that became another's", got, locate(web))
	// It is gone.
	r.Remove(t, web)
	if got, _ = r.recall(t, web); len(got) != 0 {
		t.Errorf("a machine that is gone is given: %v", got)
	}
}

// TestRecallOfManyAtOnce checks that requests that come together for machines of which nothing is known share two listings, that each
// gets its own machine, and that afterwards all machines of the subscription are known.
func TestRecallOfManyAtOnce(t *testing.T) {
	r := newRig(t, armsim.Knobs{})
	subnet := r.Subnet(t, "s", r.Guard(t, "g"))
	var vms []jit.ID
	for n := range 40 {
		vm, _ := r.Machine(t, fmt.Sprint("web", n), oneNIC(subnet, fmt.Sprint("10.0.0.", 10+n)))
		vms = append(vms, vm)
	}
	last := len(vms) - 1
	reads := r.reads(func() {
		var all sync.WaitGroup
		for n, vm := range vms[:last] {
			all.Go(func() {
				found, err := r.Recall(t.Context(), []jit.ID{vm})
				want := []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(10 + n)})}
				if err != nil || len(found) != 1 || !slices.Equal(found[vm.Key()].Private, want) {
					t.Errorf("%s: %v, error %v; want it alone, at %s", vm.Name, found, err, want)
				}
			})
		}
		all.Wait()
	})
	if most := 2*3 + last; reads > most { // who comes late enough finds its interface known
		t.Errorf("%d requests made %d reads, want at most two listings and an interface each: %d", last, reads, most)
	}
	if _, reads := r.recall(t, vms[last]); reads != 1 {
		t.Errorf("a machine that was listed for others took %d reads, want 1", reads)
	}
}

func nicOf(vm jit.ID, subnet, address string) object {
	return object{"location": "westeurope", "properties": object{"primary": true, "virtualMachine": object{"id": vm.String()},
		"ipConfigurations": []any{object{"name": "c0", "properties": object{"primary": true, "privateIPAddress": address, "subnet": object{"id": subnet}}}}}}
}
