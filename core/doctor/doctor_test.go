package doctor_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/doctor"
	"portcullis/core/jit"
	"portcullis/core/permit"
	"portcullis/core/store"
)

// TestRefuses: who administers nothing is told nothing, and nothing is looked at for them.
func TestRefuses(t *testing.T) {
	for _, tt := range []struct {
		name          string
		who           jit.Caller
		subscriptions []string
		admins        []string
		target        string
	}{
		{"nobody", jit.Caller{}, []string{first}, []string{first}, ""},
		{"somebody else", jit.Caller{ID: "tid/bob", Name: "bob"}, []string{first}, []string{first}, "/subscriptions/" + first},
		{"somebody else of two", jit.Caller{ID: "tid/bob", Name: "bob"}, []string{first, second}, []string{first, second}, "/subscriptions"},
		{"an administrator of what is not managed", ann, []string{first}, []string{second}, "/subscriptions/" + first},
		{"where nothing is managed", ann, nil, nil, "/subscriptions"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, tt.subscriptions...)
			w.admins = tt.admins
			_, err := w.Look(t.Context(), tt.who)
			refused := jit.Refused(err)
			if refused == nil || refused.Code != permit.CodeForbidden || tt.target != "" && refused.Target != tt.target {
				t.Errorf("%v", err)
			}
			for what := range w.counts() {
				if !strings.HasPrefix(what, "permission ") {
					t.Errorf("%s was looked at", what)
				}
			}
		})
	}
}

// TestPermissionUnknown: where it cannot be found out whether somebody administers anything, nobody is told anything.
func TestPermissionUnknown(t *testing.T) {
	w := newWorld(t, first)
	w.fail["permission "+first] = &store.Unavailable{Dependency: doctor.ResourceManager, Err: secret}
	_, err := w.Look(t.Context(), ann)
	if _, down := errors.AsType[*store.Unavailable](err); !down {
		t.Errorf("%v", err)
	}
	if got := w.counts(); !cmp.Equal(got, map[string]int{"permission " + first: 1}) {
		t.Errorf("looked at %v", got)
	}
}

// TestOthersSubscriptions: of a subscription that somebody does not administer nothing is told, and nothing is asked but whether
// they do. Where that cannot be found out they are told that there is something, and not what.
func TestOthersSubscriptions(t *testing.T) {
	for _, fail := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, first, second)
			w.admins = []string{first}
			want := []string{}
			if fail {
				w.fail["permission "+second] = store.ErrForbidden
				want = []string{"permissions: unknown"}
			}
			r := w.look()
			if diff := cmp.Diff(want, ill(r)); diff != "" || !slices.Equal(r.Subscriptions, []string{first}) {
				t.Errorf("%v\n%s", r.Subscriptions, diff)
			}
			for _, c := range r.Checks {
				if strings.Contains(c.Subscription+c.Seen+c.Reason+c.Advice, second) {
					t.Errorf("%s tells of %s", c.Name, second)
				}
			}
			for what, n := range w.counts() {
				if strings.HasSuffix(what, second) && what != "permission "+second {
					t.Errorf("%s was asked for %d times", what, n)
				}
			}
		})
	}
}

// TestCosts holds what a look costs, in calls of ports, and that the next one within [doctor.Life] costs no more than the question who
// asks, however many do.
func TestCosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, first, second)
		if got := ill(w.look()); len(got) > 0 {
			t.Errorf("ill: %v", got)
		}
		want := map[string]int{
			"permission " + first: 1, "permission " + second: 1,
			"token " + doctor.ResourceManager: 1, "token " + doctor.TableStorage: 1, "token " + doctor.ServiceBus: 1, "self": 4,
			"own roles": 6, // two actions to read and one to write, in each; firewalls nobody has
			"try":       1, "schedule": 1, "sweep": 1, "overdue": 1, "targets": 2,
			"Microsoft.App " + home: 1, "Microsoft.Compute " + first: 1, "Microsoft.Network " + first: 1, "Microsoft.Compute " + second: 1, "Microsoft.Network " + second: 1,
		}
		if diff := cmp.Diff(want, w.counts()); diff != "" {
			t.Errorf("a look costs (-want +got):\n%s", diff)
		}
		var all sync.WaitGroup
		ask := func() {
			for range 50 {
				all.Go(func() { w.look() })
			}
			all.Wait()
		}
		ask()
		if diff := cmp.Diff(map[string]int{"permission " + first: 50, "permission " + second: 50}, w.counts()); diff != "" {
			t.Errorf("fifty looks soon after (-want +got):\n%s", diff)
		}
		time.Sleep(doctor.Life)
		ask()
		want["permission "+first], want["permission "+second] = 50, 50
		if diff := cmp.Diff(want, w.counts()); diff != "" {
			t.Errorf("fifty looks at once (-want +got):\n%s", diff)
		}
	})
}

// TestIll: each thing that can be ill is told under its name with its state, and nothing else is.
func TestIll(t *testing.T) {
	nsgIn := func(group string) jit.ID {
		return jit.ID{Subscription: first, ResourceGroup: group, Type: jit.TypeNSG, Name: "nsg"}
	}
	firewall := jit.ID{Subscription: first, ResourceGroup: "Hub", Type: jit.TypeFirewall, Name: "fw"}
	down := func(of string) error { return &store.Unavailable{Dependency: of, Err: secret} }
	scope, group := "/subscriptions/"+first, "/subscriptions/"+first+"/resourceGroups/"
	for _, tt := range []struct {
		name string
		make func(*world)
		want []string
		says []string // in what is seen, advised or given as the reason by the first of want
	}{
		{"nothing", func(*world) {}, []string{}, nil},
		{"a role to read is missing", func(w *world) { w.lacking[scope] = "B/read" }, []string{"readRole: broken"}, []string{"B/read", "Portcullis App Reader", "--assignee-object-id 00000000-0000-0000-0000-0000000000a0", "--scope " + scope}},
		{"a role to write is missing where a group is ours", func(w *world) {
			w.targets = []jit.ID{nsgIn("Web"), nsgIn("db")}
			w.lacking[scope], w.lacking[group+"web"] = "A/write", "A/write"
		}, []string{"writeRole: broken"}, []string{"1 resource group", "managed.resource_groups", "--scope " + group + "web"}},
		{"a role to write is held where it is needed alone", func(w *world) {
			w.targets = []jit.ID{nsgIn("web")}
			w.lacking[scope] = "A/write"
		}, []string{}, nil},
		{"a role to write is missing and nothing is ours", func(w *world) { w.lacking[scope] = "A/write" }, []string{"writeRole: unknown"}, []string{"A/write", "managed.resource_groups"}},
		{"a role for firewalls is missing and no firewall is ours", func(w *world) { w.lacking[group+"hub"] = "F/write" }, []string{}, nil},
		{"a role for firewalls is missing", func(w *world) { w.targets = []jit.ID{firewall}; w.lacking[group+"hub"] = "F/write" }, []string{"firewallRole: broken"}, []string{"managed.firewall_groups", group + "hub"}},
		{"the roles cannot be read", func(w *world) { w.fail["own roles"] = store.ErrForbidden }, []string{"readRole: unknown", "writeRole: unknown"}, []string{"lacks the permission", "roleAssignments/read"}},
		{"the app does not know who it is", func(w *world) { w.fail["self"] = secret }, []string{"readRole: unknown", "writeRole: unknown"}, nil},
		{"what is ours cannot be read", func(w *world) { w.fail["targets"] = down(doctor.TableStorage) }, []string{"firewallRole: unknown"}, nil},
		{"a provider is not registered", func(w *world) { w.states["Microsoft.Compute"] = "NotRegistered" }, []string{"providers: broken"}, []string{"az provider register", "Microsoft.Compute"}},
		{"a provider is being registered", func(w *world) { w.states["Microsoft.Network"] = "Registering" }, []string{"providers: broken"}, []string{"Microsoft.Network"}},
		{"providers may not be read", func(w *world) { w.fail["Microsoft.Network "+first] = store.ErrForbidden }, []string{"providers: unknown"}, []string{"may not read", "Microsoft.Resources/subscriptions/providers/read"}},
		{"providers cannot be read", func(w *world) { w.fail["Microsoft.Network "+first] = down(doctor.ResourceManager) }, []string{"providers: unknown"}, []string{doctor.ResourceManager}},
		{"the app's own subscription may not be read", func(w *world) { w.fail["Microsoft.App "+home] = store.ErrForbidden }, []string{"ownProvider: unknown"}, []string{"may not read"}},
		{"the app's own subscription is not known", func(w *world) { w.Home = "" }, []string{"ownProvider: unknown"}, nil},
		{"the provider that runs the app is not registered", func(w *world) { w.states["Microsoft.App"] = "Unregistered" }, []string{"ownProvider: broken"}, []string{"Microsoft.App"}},
		{"no token for the table", func(w *world) { w.fail["token "+doctor.TableStorage] = down("the endpoint") }, []string{"tokens: broken"}, []string{doctor.TableStorage, "PORTCULLIS_IDENTITY_CLIENT_ID"}},
		{"a token that is not renewed", func(w *world) { w.lifetime = 59 * time.Second }, []string{"tokens: attention"}, nil},
		{"the table is down", func(w *world) { w.fail["try"] = down(doctor.TableStorage) }, []string{"tableStorage: broken"}, []string{doctor.TableStorage}},
		{"the table may not be written", func(w *world) { w.fail["try"] = store.ErrForbidden }, []string{"tableStorage: broken"}, []string{"lacks the permission", "Storage Table Data Contributor"}},
		{"the bus is down", func(w *world) { w.fail["schedule"] = down(doctor.ServiceBus) }, []string{"queue: broken"}, []string{doctor.ServiceBus, "Data Sender"}},
		{"the queue delivers nothing", func(w *world) { w.deliver = func(store.Wake) {} }, []string{"queue: broken"}, []string{"has not come", "Data Receiver"}},
		{"a wake-up is late", func(w *world) {
			w.deliver = func(wake store.Wake) { wake.At = wake.At.Add(6 * time.Second); go w.arrive(wake) }
		}, []string{"queue: attention"}, []string{"6.0 s after its time"}},
		{"no clock answers", func(w *world) {
			w.fail["try"], w.fail["Microsoft.App "+home] = down(doctor.TableStorage), down(doctor.ResourceManager)
		}, []string{"clock: unknown", "ownProvider: unknown", "tableStorage: broken"}, nil},
		{"a refusal tells the time too", func(w *world) {
			w.fail["try"], w.fail["Microsoft.App "+home], w.armAhead = down(doctor.TableStorage), store.ErrForbidden, -2*time.Minute
		}, []string{"clock: broken", "ownProvider: unknown", "tableStorage: broken"}, nil},
		{"no sweep yet", func(w *world) { w.completed = 0 }, []string{"sweep: unknown"}, []string{"POST /api/sweep"}},
		{"sweeps cannot be read", func(w *world) { w.fail["sweep"] = secret }, []string{"sweep: unknown"}, nil},
		{"an old sweep", func(w *world) { w.completed = 10*time.Minute + time.Second }, []string{"sweep: attention"}, []string{"alert heartbeat"}},
		{"a sweep that is older", func(w *world) { w.completed = 15*time.Minute + time.Second }, []string{"sweep: broken"}, nil},
		{"a closing that is late", func(w *world) { w.overdue = 61 * time.Second }, []string{"closings: attention"}, []string{"alert overdue", "61 s"}},
		{"a closing that is later", func(w *world) { w.overdue = 301 * time.Second }, []string{"closings: broken"}, nil},
		{"closings cannot be read", func(w *world) { w.fail["overdue"] = secret }, []string{"closings: unknown"}, nil},
		{"a setting that nobody knows", func(w *world) { w.About.UnknownSettings = []string{"PORTCULLIS_X"} }, []string{"settings: attention"}, []string{"PORTCULLIS_X"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, first)
				tt.make(w)
				r := w.look()
				if diff := cmp.Diff(tt.want, ill(r)); diff != "" {
					t.Fatalf("ill (-want +got):\n%s", diff)
				}
				if len(tt.want) == 0 {
					return
				}
				name, _, _ := strings.Cut(tt.want[0], ":")
				c := find(t, r, name)
				for _, part := range tt.says {
					if !strings.Contains(c.Seen+" "+c.Reason+" "+c.Advice, part) {
						t.Errorf("%s does not say %q: %+v", name, part, c)
					}
				}
			})
		})
	}
}

// TestClock: what a whole second and the length of a call can explain is no difference. Ours is wrong for sure where all say so.
func TestClock(t *testing.T) {
	for _, tt := range []struct {
		arm, table time.Duration
		want       doctor.State
	}{
		{0, 0, doctor.OK}, {5 * time.Second, -5 * time.Second, doctor.OK},
		{7 * time.Second, 0, doctor.Attention}, {0, -8 * time.Second, doctor.Attention}, {59 * time.Second, 59 * time.Second, doctor.Attention},
		{time.Hour, 0, doctor.Attention}, // one of the two is wrong, and it need not be ours
		{62 * time.Second, 62 * time.Second, doctor.Broken}, {-62 * time.Second, -62 * time.Second, doctor.Broken}, {time.Hour, -time.Hour, doctor.Broken},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, first)
			w.armAhead, w.tabAhead = tt.arm, tt.table
			if c := find(t, w.look(), doctor.CheckClock); c.State != tt.want {
				t.Errorf("%s and %s ahead of ours: %s, want %s: %+v", tt.arm, tt.table, c.State, tt.want, c)
			}
		})
	}
}

// costs is what the doctor cannot find out where one of those that it asks does not answer.
var costs = map[string][]string{
	"token " + doctor.TableStorage: {"tokens: unknown"},
	"try":                          {"tableStorage: unknown"},
	"schedule":                     {"queue: unknown"},
	"sweep":                        {"sweep: unknown"},
	"overdue":                      {"closings: unknown"},
	"targets":                      {"firewallRole: unknown"},
	"own roles":                    {"readRole: unknown", "writeRole: unknown"},
	"self":                         {"readRole: unknown", "writeRole: unknown"},
	"Microsoft.App " + home:        {"ownProvider: unknown"},
	"Microsoft.Network " + first:   {"providers: unknown"},
}

// TestHang: whatever hangs costs its own check, which is unknown, and no more than its time.
func TestHang(t *testing.T) {
	for what, want := range costs {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, first)
				w.hang[what] = true
				began := time.Now()
				r := w.look()
				if diff := cmp.Diff(want, ill(r)); diff != "" {
					t.Errorf("ill (-want +got):\n%s", diff)
				}
				name, _, _ := strings.Cut(want[0], ":")
				c := find(t, r, name)
				if !strings.Contains(c.Reason, "no answer within") || c.Took > 20*time.Second || time.Since(began) > 20*time.Second {
					t.Errorf("after %s: %+v", time.Since(began), c)
				}
			})
		})
	}
	t.Run("everything", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, first)
			for _, what := range []string{"token " + doctor.TableStorage, "try", "schedule", "sweep", "overdue", "targets", "own roles", "Microsoft.App " + home, "Microsoft.Network " + first} {
				w.hang[what] = true
			}
			began := time.Now()
			if r := w.look(); r.State != doctor.Unknown || time.Since(began) > 20*time.Second {
				t.Errorf("%s after %s: %v", r.State, time.Since(began), ill(r))
			}
		})
	})
}

// TestPanic: a check that panics is unknown, whatever it is that does, and the others are made. Where the question who asks
// panics, nobody is told anything.
func TestPanic(t *testing.T) {
	for what, want := range costs {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, first)
			w.panics = what
			if diff := cmp.Diff(want, ill(w.look())); diff != "" {
				t.Errorf("%s panics: ill (-want +got):\n%s", what, diff)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, first)
		w.panics = "permission " + first
		if r, err := w.Look(t.Context(), ann); err == nil || len(r.Checks) > 0 {
			t.Errorf("who asks was not found out, and is told %+v", r)
		}
		w = newWorld(t, first, second)
		w.panics = "permission " + first
		if r := w.look(); !slices.Equal(r.Subscriptions, []string{second}) || !cmp.Equal(ill(r), []string{"permissions: unknown"}) {
			t.Errorf("%v %v", r.Subscriptions, ill(r))
		}
	})
}

// TestNothingNeeded: an installation that does not know what its roles have to hold does not take them for whole.
func TestNothingNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, first)
		w.Actions = doctor.Actions{}
		w.targets = []jit.ID{{Subscription: first, ResourceGroup: "hub", Type: jit.TypeFirewall, Name: "fw"}}
		if diff := cmp.Diff([]string{"firewallRole: unknown", "readRole: unknown", "writeRole: unknown"}, ill(w.look())); diff != "" {
			t.Errorf("ill (-want +got):\n%s", diff)
		}
	})
}

func TestWorst(t *testing.T) {
	for _, tt := range []struct {
		of   []doctor.State
		want doctor.State
	}{
		{nil, doctor.OK},
		{[]doctor.State{doctor.OK, doctor.Unknown}, doctor.Unknown},
		{[]doctor.State{doctor.Attention, doctor.Unknown, doctor.OK}, doctor.Attention},
		{[]doctor.State{doctor.Broken, doctor.Attention}, doctor.Broken},
	} {
		var checks []doctor.Check
		for _, s := range tt.of {
			checks = append(checks, doctor.Check{State: s})
		}
		if got := doctor.Worst(checks); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.of, got, tt.want)
		}
	}
}
