package servicebus_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"portcullis/core/decide"
	"portcullis/core/store"
	"portcullis/infra/servicebus"
	"portcullis/local/bussim"
)

func TestParseRefuses(t *testing.T) {
	const grant = `"grant":"018f3c1e-7c00-7000-8000-000000000001"`
	rows := map[string]string{
		"empty":                 ``,
		"null":                  `null`,
		"a list":                `[]`,
		"a string":              `"x"`,
		"no version":            `{` + grant + `,"generation":1}`,
		"version 0":             `{"v":0,` + grant + `,"generation":1}`,
		"a newer version":       `{"v":2,` + grant + `,"generation":1,"new":true}`,
		"version as text":       `{"v":"1",` + grant + `,"generation":1}`,
		"no grant":              `{"v":1,"generation":1}`,
		"an empty grant":        `{"v":1,"grant":"","generation":1}`,
		"a grant with a slash":  `{"v":1,"grant":"a/b","generation":1}`,
		"a long grant":          `{"v":1,"grant":"` + strings.Repeat("a", 65) + `","generation":1}`,
		"a grant as number":     `{"v":1,"grant":7,"generation":1}`,
		"no generation":         `{"v":1,` + grant + `}`,
		"generation 0":          `{"v":1,` + grant + `,"generation":0}`,
		"a negative generation": `{"v":1,` + grant + `,"generation":-1}`,
		"a broken generation":   `{"v":1,` + grant + `,"generation":1.5}`,
		"a huge generation":     `{"v":1,` + grant + `,"generation":99999999999999999999}`,
		"another name":          `{"v":1,` + grant + `,"generation":1,"MessageId":"x"}`,
		"two objects":           `{"v":1,` + grant + `,"generation":1}{}`,
		"something after":       `{"v":1,` + grant + `,"generation":1} x`,
		"cut off":               `{"v":1,` + grant,
		"over 1 KiB":            `{"v":1,` + grant + `,"generation":1}` + strings.Repeat(" ", 1024),
		"deep":                  strings.Repeat(`{"v":`, 200),
	}
	for name, body := range rows {
		t.Run(name, func(t *testing.T) {
			if got, err := servicebus.Parse([]byte(body)); err == nil {
				t.Errorf("parsed as %+v", got)
			}
		})
	}
	got, err := servicebus.Parse([]byte(`{"generation":7, ` + grant + `, "v":1}` + "\n"))
	if want := (servicebus.Body{Grant: "018f3c1e-7c00-7000-8000-000000000001", Generation: 7}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"v":1,"grant":"a","generation":1}`, `{"v":1,"grant":"a","generation":1}x`, `{"v":2}`, `{"V":1,"GRANT":"a","Generation":1}`, "\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := servicebus.Parse(data)
		if err != nil {
			if b != (servicebus.Body{}) {
				t.Errorf("an error and %+v", b)
			}
			return
		}
		if b.Grant == "" || len(b.Grant) > 64 || b.Generation < 1 || strings.ContainsAny(b.Grant, "/\\\"'. ") {
			t.Errorf("%q parsed as %+v", data, b)
		}
	})
}

// TestMessage pins what goes over the wire.
func TestMessage(t *testing.T) {
	b := newBus(t)
	w := wake()
	if err := b.alarm(t, token("good")).Schedule(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	all := b.messages(t)
	if len(all) != 1 {
		t.Fatalf("%d messages, want 1", len(all))
	}
	m := all[0]
	if want := `{"v":1,"grant":"018f3c1e-7c00-7000-8000-000000000001","generation":3}`; string(m.Body) != want {
		t.Errorf("body %s, want %s", m.Body, want)
	}
	if want := "018f3c1e-7c00-7000-8000-000000000001.3.1772442000000.2"; m.ID != want {
		t.Errorf("message id %s, want %s", m.ID, want)
	}
	if m.State != bussim.Scheduled || !m.ScheduledTime.Equal(w.At) {
		t.Errorf("state %s at %s, want scheduled at %s", m.State, m.ScheduledTime, w.At)
	}
	if len(m.ApplicationProperties) != 0 {
		t.Errorf("application properties %v, want none", m.ApplicationProperties)
	}
	// It must be in the queue when it is due, and not for ever.
	if _, err := b.Delivered(w.At.Add(24 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	if n := len(b.messages(t)); n != 1 {
		t.Errorf("%d messages a day after it was due, want 1", n)
	}
	if _, err := b.Delivered(w.At.Add(39 * 24 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	if n := len(b.messages(t)); n != 0 {
		t.Errorf("%d messages 39 days after it was due, want none", n)
	}
}

// TestReceived reads a message as a receiver does.
func TestReceived(t *testing.T) {
	b := newBus(t)
	w := wake()
	w.At = b.clock()
	if err := b.alarm(t, token("good")).Schedule(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	c, err := azservicebus.NewClient(namespace, token("good"), &azservicebus.ClientOptions{
		NewWebSocketConn: func(ctx context.Context, _ azservicebus.NewWebSocketConnArgs) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", b.address)
		}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	defer c.Close(ctx)
	r, err := c.NewReceiverForQueue(servicebus.DefaultQueue, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.ReceiveMessages(ctx, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if kind := got[0].ContentType; kind == nil || *kind != "application/json" {
		t.Errorf("content type %v, want application/json", kind)
	}
	if ttl := got[0].TimeToLive; ttl == nil || *ttl < decide.MaxAhead+7*24*time.Hour {
		t.Errorf("time to live %v, want a week after the furthest start", ttl)
	}
	// Names of the host's metadata, which the body's names must not take the place of.
	system := []string{"deliverycount", "deadlettersource", "locktoken", "expiresat", "expiresatutc", "enqueuedtime", "enqueuedtimeutc", "messageid", "contenttype",
		"replyto", "sequencenumber", "to", "subject", "label", "correlationid", "applicationproperties", "userproperties", "sessionid", "replytosessionid",
		"partitionkey", "transactionpartitionkey", "messagereceiver", "messagesession", "messageactions", "sessionactions", "receiveactions", "client", "sys", "state"}
	for _, name := range []string{"v", "grant", "generation"} {
		if slices.Contains(system, name) {
			t.Errorf("%s is a system property", name)
		}
	}
}

// TestDuplicates has duplicate detection on: it drops a repeat and nothing else.
func TestDuplicates(t *testing.T) {
	b := newBus(t)
	a := b.alarm(t, token("good"))
	again, later, newer := wake(), wake(), wake()
	again.Attempt++
	later.At = later.At.Add(time.Millisecond)
	newer.Generation++
	for _, w := range []store.Wake{wake(), wake(), again, later, newer, again} {
		if err := a.Schedule(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(b.messages(t)); n != 4 {
		t.Errorf("%d messages, want 4", n)
	}
}

// TestManyBatches schedules more than one batch holds.
func TestManyBatches(t *testing.T) {
	b := newBus(t)
	var wakes []store.Wake
	for n := range 6000 {
		w := wake()
		w.Attempt = n
		wakes = append(wakes, w)
	}
	if err := b.alarm(t, token("good")).Schedule(t.Context(), wakes...); err != nil {
		t.Fatal(err)
	}
	if n := len(b.messages(t)); n != len(wakes) {
		t.Errorf("%d messages, want %d", n, len(wakes))
	}
}

// TestConnectionLost loses the connection under callers, again and again.
func TestConnectionLost(t *testing.T) {
	b := newBus(t)
	a := b.alarm(t, token("good"), func(o *servicebus.Options) {
		o.Retry = azservicebus.RetryOptions{MaxRetries: 2, RetryDelay: time.Millisecond, MaxRetryDelay: time.Millisecond}
	})
	const callers, rounds = 4, 10
	var all sync.WaitGroup
	accepted := make([][]store.Wake, callers)
	for n := range callers {
		all.Go(func() {
			for i := range rounds {
				w := wake()
				w.Attempt = n*rounds + i
				if n == 0 {
					b.broker.DropConnections()
				}
				for range 20 { // what fails may be tried again
					if err := a.Schedule(t.Context(), w); err == nil {
						accepted[n] = append(accepted[n], w)
						break
					}
				}
			}
		})
	}
	all.Wait()
	for n := range callers {
		if len(accepted[n]) != rounds {
			t.Errorf("caller %d got %d of %d through", n, len(accepted[n]), rounds)
		}
	}
	if n := len(b.messages(t)); n != callers*rounds {
		t.Errorf("%d messages, want %d: repeats are dropped and nothing is lost", n, callers*rounds)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := a.Ping(t.Context()); err != nil {
		t.Errorf("ping after close: %v", err)
	}
}

// TestSilent has a peer that takes the connection and says nothing.
func TestSilent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b := &bus{address: l.Addr().String()}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = b.alarm(t, token("good")).Schedule(ctx, wake())
	if _, ok := errors.AsType[*store.Unavailable](err); !ok {
		t.Errorf("got %v, want *store.Unavailable at the deadline", err)
	}
}

// TestNobodyWaits has a caller who leaves before the call; the connection of the
// others stays.
func TestNobodyWaits(t *testing.T) {
	b := newBus(t)
	a := b.alarm(t, token("good"))
	if err := a.Schedule(t.Context(), wake()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Schedule(ctx, wake()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	if n := b.broker.DropConnections(); n != 1 {
		t.Errorf("%d connections, want the first one", n)
	}
}
