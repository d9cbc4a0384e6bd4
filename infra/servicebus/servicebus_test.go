package servicebus_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"portcullis/core/coretest"
	"portcullis/core/store"
	"portcullis/infra/servicebus"
	"portcullis/local/bussim"
)

const namespace = "portcullis.servicebus.windows.net"

type token string

func (t token) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(t), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// bus is a broker with a clock that tests move, behind an alarm.
type bus struct {
	broker  *bussim.Broker
	address string

	mu   sync.Mutex
	now  time.Time
	seen map[string]bool
}

func (b *bus) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func newBus(t testing.TB) *bus {
	t.Helper()
	b := &bus{now: coretest.AlarmStart, seen: map[string]bool{}}
	broker, err := bussim.Open(bussim.Config{
		Now:    b.clock,
		Queues: []bussim.Queue{{Name: servicebus.DefaultQueue, DuplicateWindow: time.Hour, DefaultTTL: 45 * 24 * time.Hour}},
		VerifyToken: func(_ context.Context, token, audience string) error {
			if token != "good" {
				return errors.New("not the good token")
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- broker.Serve(l) }()
	t.Cleanup(func() {
		if err := broker.Close(); err != nil {
			t.Error(err)
		}
		<-served
	})
	b.broker, b.address = broker, l.Addr().String()
	return b
}

// alarm gives an alarm on the bus that tries everything once.
func (b *bus) alarm(t testing.TB, cred azcore.TokenCredential, change ...func(*servicebus.Options)) *servicebus.Alarm {
	t.Helper()
	options := servicebus.Options{Loopback: b.address, Retry: azservicebus.RetryOptions{MaxRetries: -1}}
	for _, f := range change {
		f(&options)
	}
	a, err := servicebus.New(namespace, cred, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(context.WithoutCancel(t.Context())) }) // the broker may be gone
	return a
}

// messages gives what is in the queue.
func (b *bus) messages(t testing.TB) []bussim.Message {
	t.Helper()
	m, err := b.broker.Messages(servicebus.DefaultQueue)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Delivered implements coretest.AlarmFixture: what has become active.
func (b *bus) Delivered(now time.Time) ([]coretest.Hint, error) {
	b.mu.Lock()
	if now.After(b.now) {
		b.now = now
	}
	b.mu.Unlock()
	b.broker.Wake()
	all, err := b.broker.Messages(servicebus.DefaultQueue)
	if err != nil {
		return nil, err
	}
	var out []coretest.Hint
	for _, m := range all {
		if m.State != bussim.Active || b.seen[fmt.Sprint(m.SequenceNumber)] {
			continue
		}
		b.seen[fmt.Sprint(m.SequenceNumber)] = true
		body, err := servicebus.Parse(m.Body)
		if err != nil {
			return nil, err
		}
		out = append(out, coretest.Hint(body))
	}
	return out, nil
}

// Fail implements coretest.AlarmFixture.
func (b *bus) Fail(on bool) {
	b.broker.Refuse(on)
	b.broker.DropConnections()
}

func TestConformance(t *testing.T) {
	coretest.TestAlarm(t, func(t *testing.T) (store.Alarm, coretest.AlarmFixture) {
		b := newBus(t)
		return b.alarm(t, token("good")), b
	})
}

func TestNewRefuses(t *testing.T) {
	rows := map[string]struct {
		namespace string
		cred      azcore.TokenCredential
		options   servicebus.Options
		want      string
	}{
		"no credential":        {namespace: namespace, want: "credential"},
		"no namespace":         {cred: token("x"), want: "host name"},
		"a URL":                {namespace: "sb://" + namespace, cred: token("x"), want: "host name"},
		"a path":               {namespace: namespace + "/q", cred: token("x"), want: "host name"},
		"a port":               {namespace: namespace + ":5671", cred: token("x"), want: "host name"},
		"a connection string":  {namespace: "Endpoint=sb://x;SharedAccessKey=y", cred: token("x"), want: "host name"},
		"another host":         {namespace: namespace, cred: token("x"), options: servicebus.Options{Loopback: "10.0.0.4:5672"}, want: "not a loopback"},
		"every interface":      {namespace: namespace, cred: token("x"), options: servicebus.Options{Loopback: "0.0.0.0:5672"}, want: "not a loopback"},
		"a name for loopback":  {namespace: namespace, cred: token("x"), options: servicebus.Options{Loopback: "localhost:5672"}, want: "not an address"},
		"loopback and no port": {namespace: namespace, cred: token("x"), options: servicebus.Options{Loopback: "127.0.0.1"}, want: "not an address"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			_, err := servicebus.New(row.namespace, row.cred, row.options)
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got error %v, want one with %q", err, row.want)
			}
		})
	}
}

func wake() store.Wake {
	return store.Wake{Grant: "018f3c1e-7c00-7000-8000-000000000001", Generation: 3, At: coretest.AlarmStart.Add(time.Hour), Attempt: 2}
}

func TestScheduleRefuses(t *testing.T) {
	rows := map[string]func(*store.Wake){
		"no grant":          func(w *store.Wake) { w.Grant = "" },
		"a path":            func(w *store.Wake) { w.Grant = "../x" },
		"a long grant":      func(w *store.Wake) { w.Grant = strings.Repeat("a", 65) },
		"no generation":     func(w *store.Wake) { w.Generation = 0 },
		"negative":          func(w *store.Wake) { w.Generation = -1 },
		"no time":           func(w *store.Wake) { w.At = time.Time{} },
		"a grant in quotes": func(w *store.Wake) { w.Grant = `x","v":2` },
	}
	for name, spoil := range rows {
		t.Run(name, func(t *testing.T) {
			b := newBus(t)
			bad := wake()
			spoil(&bad)
			if err := b.alarm(t, token("good")).Schedule(t.Context(), wake(), bad); err == nil {
				t.Error("no error")
			}
			if m := b.messages(t); len(m) != 0 {
				t.Errorf("%d messages were sent all the same", len(m))
			}
		})
	}
}

func TestForbidden(t *testing.T) {
	a := newBus(t).alarm(t, token("bad"))
	for what, err := range map[string]error{"schedule": a.Schedule(t.Context(), wake()), "ping": a.Ping(t.Context())} {
		if !errors.Is(err, store.ErrForbidden) {
			t.Errorf("%s with a token that is refused: got %v, want store.ErrForbidden", what, err)
		}
	}
}

func TestUnavailable(t *testing.T) {
	rows := map[string]func(*testing.T, *bus) *servicebus.Alarm{
		"no queue": func(t *testing.T, b *bus) *servicebus.Alarm {
			return b.alarm(t, token("good"), func(o *servicebus.Options) { o.Queue = "another" })
		},
		"nobody listens": func(t *testing.T, b *bus) *servicebus.Alarm {
			if err := b.broker.Close(); err != nil {
				t.Fatal(err)
			}
			return b.alarm(t, token("good"))
		},
		"refused": func(t *testing.T, b *bus) *servicebus.Alarm {
			b.broker.Refuse(true)
			return b.alarm(t, token("good"))
		},
	}
	for name, arrange := range rows {
		t.Run(name, func(t *testing.T) {
			a := arrange(t, newBus(t))
			for what, err := range map[string]error{"schedule": a.Schedule(t.Context(), wake()), "ping": a.Ping(t.Context())} {
				down, ok := errors.AsType[*store.Unavailable](err)
				if !ok || down.Dependency != "Service Bus" {
					t.Errorf("%s: got %v, want *store.Unavailable of Service Bus", what, err)
				}
			}
		})
	}
}

func TestBusy(t *testing.T) {
	b := newBus(t)
	a := b.alarm(t, token("good"))
	if err := b.broker.BusyNext(servicebus.DefaultQueue, 1); err != nil {
		t.Fatal(err)
	}
	if _, ok := errors.AsType[*store.Unavailable](a.Schedule(t.Context(), wake())); !ok {
		t.Error("a busy queue gave no *store.Unavailable")
	}
	if err := a.Schedule(t.Context(), wake()); err != nil {
		t.Errorf("the same call again: %v", err)
	}
}
