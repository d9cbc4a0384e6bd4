package nsg_test

import (
	"errors"
	"testing"

	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/store"
	"portcullis/infra/arm"
	"portcullis/infra/arm/armtest"
	"portcullis/infra/nsg"
	"portcullis/local/armsim"
)

func TestNewRefuses(t *testing.T) {
	plainHTTP := azarm.ClientOptions{ClientOptions: policy.ClientOptions{InsecureAllowCredentialWithHTTP: true}}
	for _, tc := range []struct {
		name string
		cfg  arm.Connection
	}{
		{"endpoint alone", arm.Connection{Endpoint: "https://management.azure.com"}},
		{"audience alone", arm.Connection{Audience: "https://management.azure.com"}},
		{"plain HTTP to the public cloud", arm.Connection{Options: plainHTTP}},
		{"plain HTTP to another machine", arm.Connection{Endpoint: "http://192.0.2.1:8080", Audience: "a", Options: plainHTTP}},
		{"plain HTTP to a name that looks like this machine", arm.Connection{Endpoint: "http://localhost.example.com", Audience: "a", Options: plainHTTP}},
		{"plain HTTP to no URL", arm.Connection{Endpoint: "http://[::1", Audience: "a", Options: plainHTTP}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := nsg.New(armtest.Credential("app"), nsg.Config{Connection: tc.cfg}); err == nil {
				t.Error("no error")
			}
		})
	}
	if _, err := nsg.New(nil, nsg.Config{}); err == nil {
		t.Error("no credential: no error")
	}
	for _, endpoint := range []string{"http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1"} {
		if _, err := nsg.New(armtest.Credential("app"), nsg.Config{Connection: arm.Connection{Endpoint: endpoint, Audience: "a", Options: plainHTTP}}); err != nil {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}

// TestRefusesIDs holds that nothing is asked of ARM for an id that can name nothing.
func TestRefusesIDs(t *testing.T) {
	s := play(t)
	c := client(t, s.Server, func(cfg *nsg.Config) { cfg.Subscription = "" })
	vm := jit.ID{Subscription: sub, ResourceGroup: "rg", Type: jit.TypeVM, Name: "vm"}
	odd := nsgID("shop")
	odd.Subscription = "mine"
	for _, id := range []jit.ID{{}, vm, odd} {
		if _, err := c.Rules(t.Context(), network.Ordinary(), id); err == nil {
			t.Errorf("Rules of %s: no error", id)
		}
		snap := shop()
		snap.Target = id
		if _, err := c.Apply(t.Context(), network.Ordinary(), snap, plan.Changes{Create: []jit.Rule{mine("a", 100)}}); err == nil {
			t.Errorf("Apply to %s: no error", id)
		}
	}
	for _, id := range []string{"", "mine", sub + "/.."} {
		if _, err := c.All(t.Context(), network.Ordinary(), id); err == nil {
			t.Errorf("All of %q: no error", id)
		}
		if _, err := c.Machines(t.Context(), id); err == nil {
			t.Errorf("Machines of %q: no error", id)
		}
	}
	if err := c.Ping(t.Context()); err == nil {
		t.Error("Ping without a subscription: no error")
	}
	if calls := s.Seen(t); len(calls) != 0 {
		t.Errorf("calls %v, want none", calls)
	}
}

func TestPing(t *testing.T) {
	r := newRig(t, armsim.Knobs{Down: true})
	if _, ok := isUnavailable(r.Ping(t.Context())); !ok {
		t.Error("down: want *store.Unavailable")
	}
	r.Tune(t, func(k *armsim.Knobs) {
		k.Down, k.Denied = false, []armsim.Denied{{Action: "Microsoft.Network/networkSecurityGroups/read"}}
	})
	if err := r.Ping(t.Context()); !errors.Is(err, store.ErrForbidden) {
		t.Errorf("without permission: error %v, want %v", err, store.ErrForbidden)
	}
	r.Tune(t, func(k *armsim.Knobs) { k.Denied = nil })
	r.ARM.Reset()
	if err := r.Ping(t.Context()); err != nil {
		t.Errorf("error %v", err)
	}
	if n := r.ARM.Counts(); n.Reads != 1 {
		t.Errorf("%d reads, want 1", n.Reads)
	}
}

// TestCalls counts what each method costs at ARM.
func TestCalls(t *testing.T) {
	a := mine("a", 100)
	for _, tc := range []struct {
		name  string
		knobs armsim.Knobs
		want  armsim.Counts
		call  func(r *rig, s network.Snapshot) error
	}{
		{"Rules", armsim.Knobs{}, armsim.Counts{Reads: 1}, func(r *rig, s network.Snapshot) error {
			_, err := r.Rules(t.Context(), network.Ordinary(), s.Target)
			return err
		}},
		{"Apply that is done at once", armsim.Knobs{Writes: armsim.Writes{Answer: armsim.AnswerSucceeded}}, armsim.Counts{Writes: 1}, func(r *rig, s network.Snapshot) error {
			_, err := r.Apply(t.Context(), network.Ordinary(), s, create(a))
			return err
		}},
		{"Apply that takes a while", armsim.Knobs{}, armsim.Counts{Writes: 1, Reads: 1}, func(r *rig, s network.Snapshot) error {
			_, err := r.Apply(t.Context(), network.Ordinary(), s, create(a))
			return err
		}},
		{"Apply of nothing", armsim.Knobs{}, armsim.Counts{}, func(r *rig, s network.Snapshot) error {
			_, err := r.Apply(t.Context(), network.Ordinary(), s, plan.Changes{})
			return err
		}},
		{"Apply of what is refused here", armsim.Knobs{}, armsim.Counts{}, func(r *rig, s network.Snapshot) error {
			if _, err := r.Apply(t.Context(), network.Ordinary(), s, create(jit.Rule{Name: "portcullis-b"})); err == nil {
				return errors.New("no error")
			}
			return nil
		}},
		{"Apply of what ARM refuses", armsim.Knobs{}, armsim.Counts{Writes: 1, Rejected: 1}, func(r *rig, s network.Snapshot) error {
			_, err := r.Apply(t.Context(), network.Ordinary(), s, create(mine("b", 99)))
			if e := (*jit.Error)(nil); !errors.As(err, &e) || e.Code != arm.CodeRefused {
				return errors.Join(errors.New("want a refusal by Azure"), err)
			}
			return nil
		}},
		{"All", armsim.Knobs{PageSize: 2}, armsim.Counts{Reads: 3}, func(r *rig, s network.Snapshot) error {
			list, err := r.All(t.Context(), network.Ordinary(), sub)
			if len(list) != 5 {
				err = errors.Join(err, errors.New("want five"))
			}
			return err
		}},
		{"Locate", armsim.Knobs{}, armsim.Counts{Reads: 3}, func(r *rig, s network.Snapshot) error {
			_, err := r.Locate(t.Context(), []jit.ID{vmID("a"), vmID("b"), vmID("c")})
			return err
		}},
		{"Locate of nothing", armsim.Knobs{}, armsim.Counts{}, func(r *rig, s network.Snapshot) error {
			_, err := r.Locate(t.Context(), nil)
			return err
		}},
		{"Machines", armsim.Knobs{}, armsim.Counts{Reads: 3}, func(r *rig, s network.Snapshot) error {
			_, err := r.Machines(t.Context(), sub)
			return err
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, tc.knobs)
			target := r.Target(t)
			for range 4 {
				r.Target(t)
			}
			s, err := r.Rules(t.Context(), network.Ordinary(), target)
			if err != nil {
				t.Fatal(err)
			}
			r.ARM.Reset()
			if err := tc.call(r, s); err != nil {
				t.Errorf("error %v", err)
			}
			if got := r.ARM.Counts(); got != tc.want {
				t.Errorf("calls %+v, want %+v", got, tc.want)
			}
		})
	}
}
